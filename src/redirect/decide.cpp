#include "redirect/decide.hpp"

#include <algorithm>
#include <array>

#include "base/strings.hpp"

namespace redirect {
namespace {

using base::cat;
using base::Error;

constexpr std::string_view init_container = "istio-init";

/// The variables of the proxy that are read, and no others: see Proxy.
enum class Variable : std::uint8_t { disable_envoy, dns_capture, dual_stack, invalid_drop };
constexpr auto variables = std::to_array<std::string_view>(
    {"DISABLE_ENVOY", "ISTIO_META_DNS_CAPTURE", "ISTIO_DUAL_STACK", "INVALID_DROP"});

constexpr std::string_view name_of(Variable variable) {
  return variables[static_cast<std::size_t>(variable)];
}

/// What the containers named istio-proxy say, together.
struct Proxy {
  [[nodiscard]] const std::optional<std::string>& get(Variable variable) const {
    return env[static_cast<std::size_t>(variable)];
  }

  bool found = false;
  std::string type;
  std::array<std::optional<std::string>, variables.size()> env;
  std::optional<std::uint32_t> user;
  std::optional<std::uint32_t> group;
};

Proxy find_proxy(const pod::Pod& pod) {
  Proxy proxy;
  for (const auto& container : pod.containers) {
    if (container.name != proxy_container) continue;
    proxy.found = true;
    for (std::size_t i = 0; i < variables.size(); ++i)
      if (auto at = container.env.find(std::string(variables[i])); at != container.env.end())
        proxy.env[i] = at->second;
    if (auto type = proxy_type(container.args)) proxy.type = *type;
    if (container.run_as_user) proxy.user = container.run_as_user;
    if (container.run_as_group) proxy.group = container.run_as_group;
  }
  return proxy;
}

std::string container_names(const pod::Pod& pod) {
  std::vector<std::string> names;
  for (const auto& container : pod.containers) names.push_back(container.name);
  std::sort(names.begin(), names.end());
  return base::join(names, ",");
}

/// A flag of the proxy's environment; unparsable counts as false, with a warning.
bool proxy_flag(const Proxy& proxy, Variable variable, std::vector<std::string>& warnings) {
  const auto& text = proxy.get(variable);
  if (!text) return false;
  auto value = base::parse_go_bool(*text);
  if (!value && !text->empty())
    warnings.push_back(cat("environment variable ", name_of(variable), " of ", proxy_container,
                           " is ", base::quote(*text), ", not true or false, ignoring"));
  return value.value_or(false);
}

/// The label replaces the annotation, even when it is empty.
std::string_view injection(const pod::Pod& pod) {
  if (auto at = pod.labels.find(std::string(key_of(Annotation::inject))); at != pod.labels.end())
    return at->second;
  if (const auto* value = find_annotation(pod.annotations, Annotation::inject)) return *value;
  return {};
}

}  // namespace

bool is_read_variable(std::string_view name) {
  return std::find(variables.begin(), variables.end(), name) != variables.end();
}

std::optional<std::string_view> proxy_type(const std::vector<std::string>& args) {
  if (args.size() >= 2 && args[0] == "proxy") return args[1];
  return std::nullopt;
}

std::string_view to_string(SkipReason reason) {
  switch (reason) {
    case SkipReason::own_agent:
      return "own-agent";
    case SkipReason::not_kubernetes:
      return "not-kubernetes";
    case SkipReason::excluded_namespace:
      return "excluded-namespace";
    case SkipReason::istio_init:
      return "istio-init";
    case SkipReason::envoy_disabled:
      return "envoy-disabled";
    case SkipReason::no_proxy:
      return "no-proxy";
    case SkipReason::not_sidecar:
      return "not-sidecar";
    case SkipReason::injection_disabled:
      return "injection-disabled";
    case SkipReason::not_injected:
      return "not-injected";
    case SkipReason::interception_none:
      return "interception-none";
  }
  return "";
}

std::optional<Skip> decide_by_name(const PodArguments& pod, std::string_view agent_namespace,
                                   const std::vector<std::string>& exclude_namespaces) {
  if (pod.name.starts_with(own_agent_prefix) && pod.name_space == agent_namespace &&
      !agent_namespace.empty())
    return Skip{SkipReason::own_agent, "the agent's own pod"};
  if (pod.name.empty() || pod.name_space.empty())
    return Skip{SkipReason::not_kubernetes, "not a Kubernetes pod"};
  if (std::find(exclude_namespaces.begin(), exclude_namespaces.end(), pod.name_space) !=
      exclude_namespaces.end())
    return Skip{SkipReason::excluded_namespace, cat("namespace ", pod.name_space, " is excluded")};
  return std::nullopt;
}

base::Result<Decision> decide(const pod::Pod& pod, const HostInput& host) {
  auto skip = [](SkipReason reason, std::string detail) {
    return Decision{Skip{reason, std::move(detail)}};
  };
  auto in_pod = [&](Error error) {
    return std::move(error).wrap(cat("pod ", pod.name_space, "/", pod.name));
  };

  for (const auto& container : pod.containers)
    if (container.name == init_container)
      return skip(SkipReason::istio_init, "the pod's istio-init container sets up redirection");

  const auto proxy = find_proxy(pod);
  if (const auto& disabled = proxy.get(Variable::disable_envoy);
      disabled && base::parse_go_bool(*disabled).value_or(false))
    return skip(SkipReason::envoy_disabled, "DISABLE_ENVOY is set on istio-proxy");
  if (!proxy.found)
    return skip(SkipReason::no_proxy,
                cat("no istio-proxy container; containers: ", container_names(pod)));
  if (!proxy.type.empty() && proxy.type != "sidecar")
    return skip(SkipReason::not_sidecar, cat("the proxy is a ", proxy.type, ", not a sidecar"));
  if (auto inject = injection(pod); !base::parse_go_bool(inject).value_or(true))
    return skip(SkipReason::injection_disabled, cat(key_of(Annotation::inject), " is ", inject));
  if (find_annotation(pod.annotations, Annotation::status) == nullptr)
    return skip(SkipReason::not_injected, cat("no annotation ", key_of(Annotation::status)));

  RedirectPlan plan;
  bool none = false;
  if (auto status = apply_annotations(pod.annotations, plan.config, none); !status)
    return in_pod(std::move(status).error());
  if (none) return skip(SkipReason::interception_none, "sidecar.istio.io/interceptionMode is NONE");

  // 0 means "not set": a TPROXY proxy runs as root and is told apart by its group
  if (proxy.user.value_or(0) != 0) plan.config.proxy_uids = {Owner::numeric(*proxy.user)};
  if (proxy.group.value_or(0) != 0) plan.config.proxy_gids = {Owner::numeric(*proxy.group)};

  plan.config.redirect_dns = proxy_flag(proxy, Variable::dns_capture, plan.warnings);
  // the pod's own resolv.conf does not exist yet: all of port 53 is captured
  plan.config.capture_all_dns = plan.config.redirect_dns;
  plan.dual_stack = proxy_flag(proxy, Variable::dual_stack, plan.warnings);
  plan.config.drop_invalid = proxy_flag(proxy, Variable::invalid_drop, plan.warnings);

  auto include = parse_owner_selection(host.owner_groups_include);
  if (!include) return in_pod(include.error().wrap("environment ISTIO_OUTBOUND_OWNER_GROUPS"));
  plan.config.owner_groups_include = *std::move(include);
  auto exclude = parse_owners(host.owner_groups_exclude);
  if (!exclude)
    return in_pod(exclude.error().wrap("environment ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"));
  plan.config.owner_groups_exclude = *std::move(exclude);
  auto loopback = Cidr::parse(host.loopback_cidr);
  if (!loopback)
    return in_pod(loopback.error().wrap("environment ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"));
  plan.config.host_v4_loopback = *loopback;
  return Decision{std::move(plan)};
}

base::Result<Decision> decide(const pod::Pod& pod, const HostInput& host,
                              std::string_view agent_namespace,
                              const std::vector<std::string>& exclude_namespaces) {
  if (auto skip = decide_by_name({pod.name, pod.name_space}, agent_namespace, exclude_namespaces))
    return Decision(*std::move(skip));
  return decide(pod, host);
}

HostInput host_input(
    const std::function<std::optional<std::string>(const std::string& name)>& getenv) {
  HostInput host;
  const auto take = [&](const char* name, std::string& out) {
    if (auto value = getenv(name)) out = *std::move(value);
  };
  take("ISTIO_OUTBOUND_OWNER_GROUPS", host.owner_groups_include);
  take("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", host.owner_groups_exclude);
  take("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", host.loopback_cidr);
  return host;
}

}  // namespace redirect
