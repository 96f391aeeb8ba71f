// The decision: what is to be done for one pod. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "pod/pod.hpp"
#include "redirect/config.hpp"

namespace redirect {

/// Why a pod is left as it is. The names (to_string) are part of the log and
/// metrics interface.
enum class SkipReason : std::uint8_t {
  own_agent,           ///< the agent's own pod, which must start without itself
  not_kubernetes,      ///< the runtime gave no pod name or namespace
  excluded_namespace,  ///< listed in exclude_namespaces
  istio_init,          ///< the pod redirects itself with an istio-init container
  envoy_disabled,      ///< DISABLE_ENVOY is true on the proxy
  no_proxy,            ///< no istio-proxy container
  not_sidecar,         ///< the proxy is a router, a waypoint...
  injection_disabled,  ///< sidecar.istio.io/inject is false
  not_injected,        ///< no sidecar.istio.io/status annotation
  interception_none,   ///< sidecar.istio.io/interceptionMode is NONE
};
std::string_view to_string(SkipReason reason);

struct Skip {
  SkipReason reason;
  std::string detail;  ///< one line for the log
};

/// Pod names of the agent's own DaemonSet start with this.
inline constexpr std::string_view own_agent_prefix = "istio-cni-node-";

/// What can be decided from the runtime's arguments alone, before any lookup.
/// Empty: the pod must be looked up.
struct PodArguments {
  std::string_view name;
  std::string_view name_space;
};
std::optional<Skip> decide_by_name(const PodArguments& pod, std::string_view agent_namespace,
                                   const std::vector<std::string>& exclude_namespaces);

/// Parameters that do not come from the pod.
struct HostInput {
  std::string owner_groups_include = "*";      ///< ISTIO_OUTBOUND_OWNER_GROUPS
  std::string owner_groups_exclude;            ///< ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE
  std::string loopback_cidr = "127.0.0.1/32";  ///< ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR
};

/// What of it `getenv` has: the environment of the runtime for the plugin, of the
/// agent for repair.
HostInput host_input(
    const std::function<std::optional<std::string>(const std::string& name)>& getenv);

/// A pod to redirect. `config.ipv6` is still to be set: it follows from the
/// addresses in the pod's namespace (`dual_stack`: any IPv6 address counts, not
/// only the first).
struct RedirectPlan {
  Config config;
  bool dual_stack = false;
  std::vector<std::string> warnings;
};

using Decision = std::variant<Skip, RedirectPlan>;

/// Errc::invalid_input when an annotation cannot be used; the message names the
/// pod, the annotation, its value and what is allowed.
base::Result<Decision> decide(const pod::Pod& pod, const HostInput& host);
/// decide_by_name and that: for who has the pod already.
base::Result<Decision> decide(const pod::Pod& pod, const HostInput& host,
                              std::string_view agent_namespace,
                              const std::vector<std::string>& exclude_namespaces);

/// The container whose arguments, environment and user decide() reads; of all
/// others the name alone.
inline constexpr std::string_view proxy_container = "istio-proxy";
/// Does decide() read this variable of the proxy's environment?
bool is_read_variable(std::string_view name);
/// What the proxy is ("sidecar"), when its first two arguments say so; decide()
/// reads no others.
std::optional<std::string_view> proxy_type(const std::vector<std::string>& args);

// annotations.cpp

/// The annotations that redirection reads; names as in their keys.
enum class Annotation : std::uint8_t {
  inject,
  status,
  interception_mode,
  include_outbound_ranges,
  exclude_outbound_ranges,
  exclude_inbound_ports,
  include_inbound_ports,
  exclude_outbound_ports,
  include_outbound_ports,
  exclude_interfaces,
  reroute_interfaces,
  kubevirt_interfaces,  ///< the old name of reroute_interfaces, which replaces it
};
inline constexpr std::size_t annotation_count = 12;
/// "sidecar.istio.io/status"...
std::string_view key_of(Annotation annotation);
/// Null when the pod has none.
const std::string* find_annotation(const std::map<std::string, std::string>& annotations,
                                   Annotation annotation);
/// Is this the key of one of them? Any other may be dropped from a pod.
bool is_read_annotation(std::string_view key);

/// Fills the annotation-driven fields of `config`, in the reference's order;
/// the first bad annotation is the error. `none` is set when the mode is NONE.
base::Status apply_annotations(const std::map<std::string, std::string>& annotations,
                               Config& config, bool& none);

}  // namespace redirect
