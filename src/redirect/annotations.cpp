#include <algorithm>
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

class Reader {
 public:
  explicit Reader(const std::map<std::string, std::string>& annotations)
      : annotations_(annotations) {}

  /// The annotation's value, or the default when the key is absent; a present
  /// but empty value counts as "".
  [[nodiscard]] std::string_view get(std::string_view key, std::string_view fallback) const {
    auto at = annotations_.find(std::string(key));
    return at == annotations_.end() ? fallback : std::string_view(at->second);
  }
  [[nodiscard]] bool has(std::string_view key) const {
    return annotations_.contains(std::string(key));
  }

  template <typename T>
  base::Status read(std::string_view key, std::string_view fallback, std::string_view allowed,
                    base::Result<T> (*parse)(std::string_view), T& out) const {
    auto value = get(key, fallback);
    auto parsed = parse(value);
    if (!parsed)
      return Error{Errc::invalid_input, cat("annotation ", key, ": ", base::quote(value), ": ",
                                            parsed.error().message, "; allowed: ", allowed)};
    out = *std::move(parsed);
    return base::success();
  }

 private:
  const std::map<std::string, std::string>& annotations_;
};

}  // namespace

base::Status apply_annotations(const std::map<std::string, std::string>& annotations,
                               Config& config, bool& none) {
  const Reader reader(annotations);
  const std::string traffic = "traffic.sidecar.istio.io/";

  constexpr std::string_view mode_key = "sidecar.istio.io/interceptionMode";
  const auto mode = reader.get(mode_key, "REDIRECT");
  none = mode == "NONE";
  if (none) return base::success();
  if (mode == "TPROXY") {
    config.mode = Mode::tproxy;
  } else if (mode != "REDIRECT") {
    return Error{Errc::invalid_input, cat("annotation ", mode_key, ": ", base::quote(mode),
                                          "; allowed: REDIRECT, TPROXY or NONE")};
  }

  if (auto status = reader.read(traffic + "includeOutboundIPRanges", "*", cidr_selection,
                                &parse_cidr_selection, config.outbound_ranges_include);
      !status)
    return status;
  if (auto status = reader.read(traffic + "excludeOutboundIPRanges", "", cidr_list, &parse_cidrs,
                                config.outbound_ranges_exclude);
      !status)
    return status;

  Selection<Port> exclude_inbound;
  if (auto status = reader.read(traffic + "excludeInboundPorts", "15020", port_selection,
                                &parse_port_selection, exclude_inbound);
      !status)
    return status;
  if (auto status = reader.read(traffic + "includeInboundPorts", "*", port_selection,
                                &parse_port_selection, config.inbound_ports_include);
      !status)
    return status;
  Selection<Port> exclude_outbound;
  if (auto status = reader.read(traffic + "excludeOutboundPorts", "15020", port_selection,
                                &parse_port_selection, exclude_outbound);
      !status)
    return status;
  Selection<Port> include_outbound;
  if (auto status = reader.read(traffic + "includeOutboundPorts", "", port_selection,
                                &parse_port_selection, include_outbound);
      !status)
    return status;
  // excluded inbound ports count only when all ports are included
  if (!config.inbound_ports_include.all) exclude_inbound.all = false;
  if (exclude_inbound.all || exclude_outbound.all || include_outbound.all) {
    const std::string key = traffic + (exclude_inbound.all    ? "excludeInboundPorts"
                                       : exclude_outbound.all ? "excludeOutboundPorts"
                                                              : "includeOutboundPorts");
    // the reference lets "*" through here and then hands the kernel a port
    // called "*": ADD fails there as well, but without saying why
    return Error{Errc::invalid_input,
                 cat("annotation ", key, ": \"*\" is not a port here; allowed: ", port_list)};
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

  if (auto status = reader.read(traffic + "excludeInterfaces", "", interface_list,
                                &parse_interfaces, config.exclude_interfaces);
      !status)
    return status;
  const std::string reroute = "istio.io/reroute-virtual-interfaces";
  const std::string reroute_key = reader.has(reroute) ? reroute : traffic + "kubevirtInterfaces";
  if (auto status = reader.read(reroute_key, "", interface_list, &parse_interfaces,
                                config.reroute_interfaces);
      !status)
    return status;
  // every interface gets a rule for every range: two long lists would exhaust memory
  const auto ranges = std::max<std::size_t>(config.outbound_ranges_include.items.size(), 1);
  if (config.reroute_interfaces.size() > max_reroute_rules / ranges)
    return Error{
        Errc::invalid_input,
        cat("annotation ", reroute_key, ": ", config.reroute_interfaces.size(), " interfaces for ",
            ranges, " outbound ranges; allowed: a product of at most ", max_reroute_rules)};
  return base::success();
}

}  // namespace redirect
