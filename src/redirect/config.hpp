// Config: the parameters of redirection, and the rules that follow from them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "redirect/ruleset.hpp"
#include "redirect/types.hpp"

namespace redirect {

enum class Mode : std::uint8_t { redirect, tproxy };

/// `*`, or a list. An empty list selects nothing.
template <typename T>
struct Selection {
  bool all = false;
  std::vector<T> items;
  [[nodiscard]] bool empty() const { return !all && items.empty(); }
  auto operator<=>(const Selection&) const = default;
};

/// A name server as written in resolv.conf; printed as it was written.
struct DnsServer {
  Ip ip;
  std::string text;
};

struct Config {
  Port proxy_port{15001};
  Port inbound_capture_port{15006};
  Port inbound_tunnel_port{15008};
  std::vector<Owner> proxy_uids{Owner::numeric(1337)};
  std::vector<Owner> proxy_gids{Owner::numeric(1337)};
  Mode mode = Mode::redirect;
  Mark tproxy_mark{1337};
  std::uint32_t tproxy_route_table = 133;

  Selection<Port> inbound_ports_include;
  std::vector<Port> inbound_ports_exclude;
  std::vector<Port> outbound_ports_include;
  std::vector<Port> outbound_ports_exclude;
  Selection<Cidr> outbound_ranges_include;
  std::vector<Cidr> outbound_ranges_exclude;
  std::vector<IfName> exclude_interfaces;
  std::vector<IfName> reroute_interfaces;

  Selection<Owner> owner_groups_include{true, {}};
  std::vector<Owner> owner_groups_exclude;

  Cidr host_v4_loopback{Ip{Family::v4, {127, 0, 0, 1}}, 32};
  bool redirect_dns = false;
  bool capture_all_dns = false;
  std::vector<DnsServer> dns_servers_v4;
  std::vector<DnsServer> dns_servers_v6;
  bool drop_invalid = false;
  bool ipv6 = false;
};

/// Ports, comma separated; the whole and each element trimmed, "" is none.
base::Result<std::vector<Port>> parse_ports(std::string_view text);
/// `*` or ports.
base::Result<Selection<Port>> parse_port_selection(std::string_view text);
/// Comma separated prefixes without blanks; "" is none.
base::Result<std::vector<Cidr>> parse_cidrs(std::string_view text);
/// `*` or prefixes.
base::Result<Selection<Cidr>> parse_cidr_selection(std::string_view text);
base::Result<std::vector<IfName>> parse_interfaces(std::string_view text);
base::Result<std::vector<Owner>> parse_owners(std::string_view text);
/// `*` or users or groups.
base::Result<Selection<Owner>> parse_owner_selection(std::string_view text);

/// The rules for `config`. Pure and total: a Config cannot be wrong.
Ruleset build_ruleset(const Config& config);

/// nameserver lines of a resolv.conf, split by family; unparsable ones are dropped.
void set_dns_servers(Config& config, std::string_view resolv_conf);

}  // namespace redirect
