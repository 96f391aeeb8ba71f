#include <algorithm>
#include <array>
#include <set>

#include "base/strings.hpp"
#include "redirect/decide.hpp"

namespace redirect {
namespace {

using base::cat;
using base::Errc;
using base::Error;

constexpr std::string_view port_list = "a comma separated list of ports (0 to 65535)";
constexpr std::string_view port_selection = "* or a comma separated list of ports (0 to 65535)";
constexpr std::string_view cidr_list =
    "a comma separated list of prefixes such as 10.0.0.0/8, without blanks";
constexpr std::string_view cidr_selection =
    "* or a comma separated list of prefixes such as 10.0.0.0/8, without blanks";
// our own bound, far above any real pod: a rule each, and ADD must stay short
constexpr std::size_t max_reroute_rules = 8192;
constexpr std::string_view interface_list = "a comma separated list of interface names";

struct Spec {
  std::string_view key;
  std::string_view fallback;  ///< when the pod has no such annotation
  std::string_view allowed;   ///< for the error
};

/// Every annotation that is read anywhere: they are read by name (Annotation)
/// alone, so that none is missing here. In the order of Annotation.
constexpr auto table = std::to_array<Spec>({
    {"sidecar.istio.io/inject", "", ""},
    {"sidecar.istio.io/status", "", ""},
    {"sidecar.istio.io/interceptionMode", "REDIRECT", "REDIRECT, TPROXY or NONE"},
    {"traffic.sidecar.istio.io/includeOutboundIPRanges", "*", cidr_selection},
    {"traffic.sidecar.istio.io/excludeOutboundIPRanges", "", cidr_list},
    {"traffic.sidecar.istio.io/excludeInboundPorts", "15020", port_selection},
    {"traffic.sidecar.istio.io/includeInboundPorts", "*", port_selection},
    {"traffic.sidecar.istio.io/excludeOutboundPorts", "15020", port_selection},
    {"traffic.sidecar.istio.io/includeOutboundPorts", "", port_selection},
    {"traffic.sidecar.istio.io/excludeInterfaces", "", interface_list},
    {"istio.io/reroute-virtual-interfaces", "", interface_list},
    {"traffic.sidecar.istio.io/kubevirtInterfaces", "", interface_list},
});
static_assert(table.size() == annotation_count);

constexpr const Spec& spec_of(Annotation annotation) {
  return table[static_cast<std::size_t>(annotation)];
}

class Reader {
 public:
  explicit Reader(const std::map<std::string, std::string>& annotations)
      : annotations_(annotations) {}

  /// The annotation's value, or the default when the key is absent; a present
  /// but empty value counts as "".
  [[nodiscard]] std::string_view get(Annotation annotation) const {
    const auto* value = find_annotation(annotations_, annotation);
    return value != nullptr ? std::string_view(*value) : spec_of(annotation).fallback;
  }
  [[nodiscard]] bool has(Annotation annotation) const {
    return find_annotation(annotations_, annotation) != nullptr;
  }

  template <typename T>
  base::Status read(Annotation annotation, base::Result<T> (*parse)(std::string_view),
                    T& out) const {
    auto value = get(annotation);
    auto parsed = parse(value);
    if (!parsed)
      return Error{Errc::invalid_input,
                   cat("annotation ", key_of(annotation), ": ", base::quote(value), ": ",
                       parsed.error().message, "; allowed: ", spec_of(annotation).allowed)};
    out = *std::move(parsed);
    return base::success();
  }

 private:
  const std::map<std::string, std::string>& annotations_;
};

}  // namespace

std::string_view key_of(Annotation annotation) { return spec_of(annotation).key; }

const std::string* find_annotation(const std::map<std::string, std::string>& annotations,
                                   Annotation annotation) {
  const auto at = annotations.find(std::string(key_of(annotation)));
  return at == annotations.end() ? nullptr : &at->second;
}

bool is_read_annotation(std::string_view key) {
  return std::any_of(table.begin(), table.end(), [&](const Spec& spec) { return spec.key == key; });
}

base::Status apply_annotations(const std::map<std::string, std::string>& annotations,
                               Config& config, bool& none) {
  const Reader reader(annotations);

  const auto mode = reader.get(Annotation::interception_mode);
  none = mode == "NONE";
  if (none) return base::success();
  if (mode == "TPROXY") {
    config.mode = Mode::tproxy;
  } else if (mode != "REDIRECT") {
    return Error{Errc::invalid_input,
                 cat("annotation ", key_of(Annotation::interception_mode), ": ", base::quote(mode),
                     "; allowed: ", spec_of(Annotation::interception_mode).allowed)};
  }

  if (auto status = reader.read(Annotation::include_outbound_ranges, &parse_cidr_selection,
                                config.outbound_ranges_include);
      !status)
    return status;
  if (auto status = reader.read(Annotation::exclude_outbound_ranges, &parse_cidrs,
                                config.outbound_ranges_exclude);
      !status)
    return status;

  Selection<Port> exclude_inbound;
  if (auto status =
          reader.read(Annotation::exclude_inbound_ports, &parse_port_selection, exclude_inbound);
      !status)
    return status;
  if (auto status = reader.read(Annotation::include_inbound_ports, &parse_port_selection,
                                config.inbound_ports_include);
      !status)
    return status;
  Selection<Port> exclude_outbound;
  if (auto status =
          reader.read(Annotation::exclude_outbound_ports, &parse_port_selection, exclude_outbound);
      !status)
    return status;
  Selection<Port> include_outbound;
  if (auto status =
          reader.read(Annotation::include_outbound_ports, &parse_port_selection, include_outbound);
      !status)
    return status;
  // excluded inbound ports count only when all ports are included
  if (!config.inbound_ports_include.all) exclude_inbound.all = false;
  if (exclude_inbound.all || exclude_outbound.all || include_outbound.all) {
    const auto which = exclude_inbound.all    ? Annotation::exclude_inbound_ports
                       : exclude_outbound.all ? Annotation::exclude_outbound_ports
                                              : Annotation::include_outbound_ports;
    // the reference lets "*" through here and then hands the kernel a port
    // called "*": ADD fails there as well, but without saying why
    return Error{Errc::invalid_input, cat("annotation ", key_of(which),
                                          ": \"*\" is not a port here; allowed: ", port_list)};
  }
  config.inbound_ports_exclude = std::move(exclude_inbound.items);
  // the proxy's own status, health and metrics ports
  for (auto port : {Port{15020}, Port{15021}, Port{15090}})
    config.inbound_ports_exclude.push_back(port);
  std::vector<Port> unique;
  std::set<Port> seen;
  for (auto port : config.inbound_ports_exclude)
    if (seen.insert(port).second) unique.push_back(port);
  config.inbound_ports_exclude = std::move(unique);
  config.outbound_ports_exclude = std::move(exclude_outbound.items);
  config.outbound_ports_include = std::move(include_outbound.items);

  if (auto status =
          reader.read(Annotation::exclude_interfaces, &parse_interfaces, config.exclude_interfaces);
      !status)
    return status;
  const auto reroute = reader.has(Annotation::reroute_interfaces) ? Annotation::reroute_interfaces
                                                                  : Annotation::kubevirt_interfaces;
  if (auto status = reader.read(reroute, &parse_interfaces, config.reroute_interfaces); !status)
    return status;
  // every interface gets a rule for every range: two long lists would exhaust memory
  const auto ranges = std::max<std::size_t>(config.outbound_ranges_include.items.size(), 1);
  if (config.reroute_interfaces.size() > max_reroute_rules / ranges)
    return Error{Errc::invalid_input,
                 cat("annotation ", key_of(reroute), ": ", config.reroute_interfaces.size(),
                     " interfaces for ", ranges, " outbound ranges; allowed: a product of at most ",
                     max_reroute_rules)};
  return base::success();
}

}  // namespace redirect
