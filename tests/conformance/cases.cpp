#include "conformance/cases.hpp"

#include <cstdlib>
#include <fstream>

#include "base/strings.hpp"
#include "redirect/decide.hpp"

namespace conformance {
namespace {

std::string without_empty(const std::string& list) {
  std::vector<std::string> parts;
  for (auto part : base::split_nonempty(list, ',')) parts.emplace_back(part);
  return base::join(parts, ",");
}

}  // namespace

std::optional<nlohmann::json> load(const std::string& file) {
  const char* folder = std::getenv("ICN_CONFORMANCE_DIR");
  std::ifstream stream(folder != nullptr
                           ? std::string(folder) + "/" + file
                           : std::string(ICN_SOURCE_DIR) + "/../shared/conformance/" + file);
  if (!stream) return std::nullopt;
  return nlohmann::json::parse(stream);
}

redirect::Config to_config(const nlohmann::json& config) {
  redirect::Config out;
  auto text = [&](const char* key) { return without_empty(config.value(key, std::string())); };
  out.inbound_ports_include = redirect::parse_port_selection(text("InboundPortsInclude")).value();
  out.inbound_ports_exclude = redirect::parse_ports(text("InboundPortsExclude")).value();
  out.outbound_ports_include = redirect::parse_ports(text("OutboundPortsInclude")).value();
  out.outbound_ports_exclude = redirect::parse_ports(text("OutboundPortsExclude")).value();
  out.outbound_ranges_include =
      redirect::parse_cidr_selection(text("OutboundIPRangesInclude")).value();
  out.outbound_ranges_exclude = redirect::parse_cidrs(text("OutboundIPRangesExclude")).value();
  out.exclude_interfaces = redirect::parse_interfaces(text("ExcludeInterfaces")).value();
  out.reroute_interfaces = redirect::parse_interfaces(text("RerouteVirtualInterfaces")).value();
  if (config.contains("ProxyUID"))
    out.proxy_uids = redirect::parse_owners(text("ProxyUID")).value();
  if (config.contains("ProxyGID"))
    out.proxy_gids = redirect::parse_owners(text("ProxyGID")).value();
  if (config.contains("OwnerGroupsInclude"))
    out.owner_groups_include = redirect::parse_owner_selection(text("OwnerGroupsInclude")).value();
  out.owner_groups_exclude = redirect::parse_owners(text("OwnerGroupsExclude")).value();
  if (config.contains("HostIPv4LoopbackCidr"))
    out.host_v4_loopback = redirect::Cidr::parse(text("HostIPv4LoopbackCidr")).value();
  if (config.value("InboundInterceptionMode", "") == "TPROXY") out.mode = redirect::Mode::tproxy;
  out.redirect_dns = config.value("RedirectDNS", false);
  out.capture_all_dns = config.value("CaptureAllDNS", false);
  out.drop_invalid = config.value("DropInvalid", false);
  out.ipv6 = config.value("EnableIPv6", false);
  for (const auto& server : config.value("DNSServersV4", std::vector<std::string>()))
    out.dns_servers_v4.push_back({redirect::Ip::parse(server).value(), server});
  for (const auto& server : config.value("DNSServersV6", std::vector<std::string>()))
    out.dns_servers_v6.push_back({redirect::Ip::parse(server).value(), server});
  return out;
}

std::string lines(const nlohmann::json& list) {
  std::string text;
  for (const auto& line : list) text.append(line.get<std::string>()).append("\n");
  return text;
}

std::vector<PodCase> pod_cases(const nlohmann::json& file) {
  std::vector<PodCase> cases;
  for (const auto& item : file.at("cases")) {
    pod::Pod pod;
    pod.name = "pod";
    pod.name_space = "ns";
    for (const auto* name : {"test", "istio-proxy", "istio-validate"}) {
      pod::Container container;
      container.name = name;
      if (container.name == "istio-proxy")
        for (const auto& [key, value] : item.at("proxyEnv").items())
          container.env[key] = value.get<std::string>();
      pod.containers.push_back(std::move(container));
    }
    for (const auto& [key, value] : item.at("annotations").items())
      pod.annotations[key] = value.get<std::string>();
    auto decision = redirect::decide(pod, {});
    cases.push_back({item.at("name"), std::get<redirect::RedirectPlan>(decision.value()).config,
                     lines(item.at("ipv4"))});
  }
  return cases;
}

}  // namespace conformance
