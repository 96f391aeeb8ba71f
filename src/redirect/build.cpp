// The rules, in the order in which they must stand. The order is the contract:
// see the comments for what each group is there to do.
#include <algorithm>

#include "redirect/config.hpp"

namespace redirect {
namespace {

constexpr Port dns_port{53};
constexpr Port agent_dns_port{15053};
/// Set on the proxy's own connections to this pod, so that they are captured
/// again on the way in (app -> VIP -> proxy out -> proxy in -> app).
constexpr Mark outbound_mark{1338};
/// Conntrack zones that keep the two legs of a captured DNS query apart.
constexpr CtZone proxy_to_server{1};
constexpr CtZone client_to_proxy{2};

const IfName lo{"lo"};
const MatchProtocol tcp{Protocol::tcp};
const MatchProtocol udp{Protocol::udp};
const Ip v6_loopback{Family::v6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
/// Source addresses of the proxy's connections to the application.
const Ip v4_passthrough{Family::v4, {127, 0, 0, 6}};
const Ip v6_passthrough{Family::v6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6}};

constexpr Families only(Family family) {
  return Families{family == Family::v4, family == Family::v6};
}

MatchDestinationPorts dport(Port port, bool negate = false) { return {{port}, negate}; }

class Builder {
 public:
  explicit Builder(const Config& config) : config_(config) {}

  Ruleset build() {
    out_.ipv6 = config_.ipv6;
    out_.add_v6_passthrough_address = config_.ipv6;
    if (tproxy() && !config_.inbound_ports_include.empty())
      out_.policy_route = PolicyRoute{config_.tproxy_mark, config_.tproxy_route_table};
    dns_ = config_.redirect_dns;
    if (dns_ && !config_.capture_all_dns && config_.dns_servers_v4.empty() &&
        config_.dns_servers_v6.empty()) {
      dns_ = false;
      out_.warnings.emplace_back(
          "DNS redirection is on but there are no DNS servers and not all DNS is captured: DNS "
          "is not captured, ignoring");
    }
    interfaces();
    invalid_packets();
    targets();
    inbound();
    add(Table::nat, Chain::output, {}, Jump{Chain::output_custom});
    outbound_exceptions();
    if (dns_) dns();
    outbound_capture();
    if (tproxy()) tproxy_marks();
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool tproxy() const { return config_.mode == Mode::tproxy; }
  [[nodiscard]] const Cidr loopback(Family family) const {
    return family == Family::v4 ? config_.host_v4_loopback : Cidr::host(v6_loopback);
  }
  static Cidr passthrough(Family family) {
    return Cidr::host(family == Family::v4 ? v4_passthrough : v6_passthrough);
  }

  void add(Table table, Chain chain, std::vector<Match> matches, Action action,
           Families families = {}) {
    out_.rules.push_back(
        Rule{table, chain, std::move(matches), action, families, std::nullopt, false});
  }
  void insert(unsigned at, Table table, Chain chain, std::vector<Match> matches, Action action,
              Families families = {}) {
    out_.rules.push_back(Rule{table, chain, std::move(matches), action, families, at, false});
  }

  // Traffic of excluded interfaces passes untouched; traffic that enters
  // through a virtual interface is not inbound traffic of this pod.
  void interfaces() {
    std::vector<Table> tables{Table::nat};
    if (tproxy()) tables.push_back(Table::mangle);
    for (auto table : tables) {
      for (const auto& name : config_.exclude_interfaces) {
        add(table, Chain::prerouting, {MatchIn{name}}, Return{});
        add(table, Chain::output, {MatchOut{name}}, Return{});
      }
    }
    for (const auto& name : config_.reroute_interfaces)
      insert(1, Table::nat, Chain::prerouting, {MatchIn{name}}, Return{});
  }

  // Out-of-window packets are dropped instead of answered with a reset.
  void invalid_packets() {
    if (!config_.drop_invalid) return;
    add(Table::mangle, Chain::prerouting, {MatchCtState{CtState::invalid}}, Jump{Chain::drop});
    out_.rules.back().nft_tcp_only = true;
    add(Table::mangle, Chain::drop, {}, Drop{});
  }

  // Where captured traffic goes; the tunnel port reaches the proxy directly.
  void targets() {
    add(Table::nat, Chain::inbound, {tcp, dport(config_.inbound_tunnel_port)}, Return{});
    add(Table::nat, Chain::redirect, {tcp}, Redirect{config_.proxy_port});
    add(Table::nat, Chain::in_redirect, {tcp}, Redirect{config_.inbound_capture_port});
  }

  void inbound() {
    const auto& include = config_.inbound_ports_include;
    if (include.empty()) return;
    const auto table = tproxy() ? Table::mangle : Table::nat;
    if (tproxy()) {
      // packets of a connection that a transparent socket already has
      add(table, Chain::divert, {}, SetMark{config_.tproxy_mark});
      add(table, Chain::divert, {}, Accept{});
      for (auto family : {Family::v4, Family::v6})
        add(table, Chain::tproxy, {MatchDestination{loopback(family), true}, tcp},
            Tproxy{config_.inbound_capture_port, config_.tproxy_mark}, only(family));
    }
    add(table, Chain::prerouting, {tcp}, Jump{Chain::inbound});
    if (include.all) {
      for (auto port : config_.inbound_ports_exclude)
        add(table, Chain::inbound, {tcp, dport(port)}, Return{});
      capture_inbound({tcp});
    } else {
      for (auto port : include.items) capture_inbound({tcp, dport(port)});
    }
  }

  void capture_inbound(const std::vector<Match>& matches) {
    if (!tproxy()) {
      add(Table::nat, Chain::inbound, matches, Jump{Chain::in_redirect});
      return;
    }
    auto established = matches;
    established.emplace_back(MatchCtState{CtState::related_established});
    add(Table::mangle, Chain::inbound, std::move(established), Jump{Chain::divert});
    add(Table::mangle, Chain::inbound, matches, Jump{Chain::tproxy});
  }

  void outbound_exceptions() {
    for (auto port : config_.outbound_ports_exclude) {
      add(Table::nat, Chain::output_custom, {tcp, dport(port)}, Return{});
      add(Table::nat, Chain::output_custom, {udp, dport(port)}, Return{});
    }
    // the proxy's connections to the application it fronts
    for (auto family : {Family::v4, Family::v6})
      add(Table::nat, Chain::output_custom, {MatchOut{lo}, MatchSource{passthrough(family)}},
          Return{}, only(family));
    for (const auto& uid : config_.proxy_uids) proxy_owner<MatchUid>(uid);
    for (const auto& gid : config_.proxy_gids) proxy_owner<MatchGid>(gid);
    owner_groups();
  }

  template <typename MatchOwner>
  void proxy_owner(const Owner& owner) {
    constexpr bool by_uid = std::is_same_v<MatchOwner, MatchUid>;
    // an application that calls itself through a service: proxy out -> proxy in.
    // With DNS capture the proxy's own queries to a local server are left out,
    // but only by uid: the gid rule has no such exemption in the known program.
    MatchDestinationPorts ports{{config_.inbound_tunnel_port}, true};
    if (dns_ && by_uid) ports.ports.insert(ports.ports.begin(), dns_port);
    for (auto family : {Family::v4, Family::v6})
      add(Table::nat, Chain::output_custom,
          {MatchOut{lo}, MatchDestination{loopback(family), true}, tcp, ports,
           MatchOwner{owner, false}},
          Jump{Chain::in_redirect}, only(family));
    // an application that calls itself by its own address stays direct, unless
    // the user asked for a loopback range to be captured
    if (!loopback_captured()) {
      std::vector<Match> matches{MatchOut{lo}};
      if (dns_) matches.insert(matches.end(), {tcp, dport(dns_port, true)});
      matches.emplace_back(MatchOwner{owner, true});
      add(Table::nat, Chain::output_custom, std::move(matches), Return{});
    }
    // never capture what the proxy itself sends
    add(Table::nat, Chain::output_custom, {MatchOwner{owner, false}}, Return{});
  }

  [[nodiscard]] bool loopback_captured() const {
    const auto& items = config_.outbound_ranges_include.items;
    return std::any_of(items.begin(), items.end(),
                       [](const Cidr& cidr) { return cidr.address.is_loopback(); });
  }

  void owner_groups() {
    if (config_.owner_groups_include.all) {
      for (const auto& group : config_.owner_groups_exclude)
        add(Table::nat, Chain::output_custom, {MatchGid{group, false}}, Return{});
      return;
    }
    std::vector<Match> none_of;
    for (const auto& group : config_.owner_groups_include.items)
      none_of.emplace_back(MatchGid{group, true});
    add(Table::nat, Chain::output_custom, std::move(none_of), Return{});
  }

  void dns() {
    const bool all = config_.capture_all_dns;
    const Families served{all || !config_.dns_servers_v4.empty(),
                          all || !config_.dns_servers_v6.empty()};
    add(Table::raw, Chain::output, {}, Jump{Chain::output_dns});
    add(Table::nat, Chain::output_custom, {}, Jump{Chain::output_dns}, served);
    for (const auto& protocol : {tcp, udp}) {
      if (all) {
        add(Table::nat, Chain::output_dns, {protocol, dport(dns_port)}, Redirect{agent_dns_port});
      } else {
        for_each_server([&](const Cidr& server, Families families) {
          add(Table::nat, Chain::output_dns,
              {protocol, dport(dns_port), MatchDestination{server, false}},
              Redirect{agent_dns_port}, families);
        });
      }
    }
    for (const auto& uid : config_.proxy_uids) proxy_dns_zones(MatchUid{uid, false});
    for (const auto& gid : config_.proxy_gids) proxy_dns_zones(MatchGid{gid, false});
    add(Table::raw, Chain::prerouting, {}, Jump{Chain::inbound}, served);
    if (all) {
      add(Table::raw, Chain::output_dns, {udp, dport(dns_port)}, client_to_proxy);
      add(Table::raw, Chain::inbound, {udp, MatchSourcePort{dns_port}}, proxy_to_server);
    } else {
      for_each_server([&](const Cidr& server, Families families) {
        add(Table::raw, Chain::output_dns, {udp, dport(dns_port), MatchDestination{server, false}},
            client_to_proxy, families);
        add(Table::raw, Chain::inbound, {udp, MatchSourcePort{dns_port}, MatchSource{server}},
            proxy_to_server, families);
      });
    }
  }

  void proxy_dns_zones(const Match& owner) {
    add(Table::raw, Chain::output_dns, {udp, dport(dns_port), owner}, proxy_to_server);
    add(Table::raw, Chain::output_dns, {udp, MatchSourcePort{agent_dns_port}, owner},
        client_to_proxy);
  }

  template <typename F>
  void for_each_server(F&& f) {
    for (const auto& server : config_.dns_servers_v4) f(Cidr::host(server.ip), only(Family::v4));
    for (const auto& server : config_.dns_servers_v6) f(Cidr::host(server.ip), only(Family::v6));
  }

  void outbound_capture() {
    // container to container within the pod
    for (auto family : {Family::v4, Family::v6})
      add(Table::nat, Chain::output_custom, {MatchDestination{loopback(family), false}}, Return{},
          only(family));
    for (auto family : {Family::v4, Family::v6})
      for (const auto& cidr : config_.outbound_ranges_exclude)
        if (cidr.address.family == family)
          add(Table::nat, Chain::output_custom, {MatchDestination{cidr, false}}, Return{},
              only(family));
    for (auto port : config_.outbound_ports_include)
      add(Table::nat, Chain::output_custom, {tcp, dport(port)}, Jump{Chain::redirect});
    if (config_.outbound_ranges_include.all) {
      add(Table::nat, Chain::output_custom, {}, Jump{Chain::redirect});
      for (const auto& name : config_.reroute_interfaces)
        insert(1, Table::nat, Chain::prerouting, {MatchIn{name}}, Jump{Chain::redirect});
      return;
    }
    for (auto family : {Family::v4, Family::v6}) {
      for (const auto& cidr : config_.outbound_ranges_include.items) {
        if (cidr.address.family != family) continue;
        for (const auto& name : config_.reroute_interfaces)
          insert(1, Table::nat, Chain::prerouting, {MatchIn{name}, MatchDestination{cidr, false}},
                 Jump{Chain::redirect}, only(family));
        add(Table::nat, Chain::output_custom, {MatchDestination{cidr, false}},
            Jump{Chain::redirect}, only(family));
      }
    }
  }

  void tproxy_marks() {
    const auto mark = config_.tproxy_mark;
    // the proxy's sockets carry the mark: remember it for the connection, so
    // that the answers find the policy route again
    add(Table::mangle, Chain::prerouting, {tcp, MatchMark{mark, false}}, SaveMark{});
    add(Table::mangle, Chain::output, {tcp, MatchOut{lo}, MatchMark{mark, false}}, Return{});
    auto mark_proxy = [&](const Match& owner) {
      for (auto family : {Family::v4, Family::v6})
        add(Table::mangle, Chain::output,
            {MatchDestination{loopback(family), true}, tcp, MatchOut{lo}, owner},
            SetMark{outbound_mark}, only(family));
    };
    for (const auto& uid : config_.proxy_uids) mark_proxy(MatchUid{uid, false});
    for (const auto& gid : config_.proxy_gids) mark_proxy(MatchGid{gid, false});
    add(Table::mangle, Chain::output, {tcp, MatchConnmark{mark}}, RestoreMark{});
    // ahead of all inbound rules: what the proxy sent, and what the application
    // sends to itself
    insert(1, Table::mangle, Chain::inbound, {tcp, MatchMark{mark, false}}, Return{});
    for (auto family : {Family::v4, Family::v6})
      insert(2, Table::mangle, Chain::inbound, {tcp, MatchSource{passthrough(family)}, MatchIn{lo}},
             Return{}, only(family));
    insert(3, Table::mangle, Chain::inbound, {tcp, MatchIn{lo}, MatchMark{outbound_mark, true}},
           Return{});
  }

  const Config& config_;
  Ruleset out_;
  bool dns_ = false;
};

}  // namespace

Ruleset build_ruleset(const Config& config) { return Builder(config).build(); }

}  // namespace redirect
