#include "istio-iptables/flags.hpp"

#include <array>
#include <cmath>

#include "base/strings.hpp"

namespace istio_iptables {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using base::quote;
using base::Status;
using redirect::Config;

constexpr std::size_t max_owner_groups = 64;  // what one rule may hold

Error invalid(std::string message) { return Error{Errc::invalid_input, std::move(message)}; }

/// Lists of the command line may hold empty elements ("6000,7000,"): dropped.
std::string compact(std::string_view list) {
  std::string out;
  for (auto part : base::split_nonempty(list, ',')) {
    if (!out.empty()) out.push_back(',');
    out.append(part);
  }
  return out;
}

template <typename T>
Status store(base::Result<T> parsed, T& member) {
  if (!parsed) return std::move(parsed).error();
  member = *std::move(parsed);
  return base::success();
}

template <auto Member>
Status set_port(Options& o, std::string_view value) {
  return store(redirect::Port::parse(value), o.config.*Member);
}
template <auto Member, auto Parse>
Status set_list(Options& o, std::string_view value) {
  return store(Parse(compact(value)), o.config.*Member);
}
template <auto Member>
Status set_text(Options& o, std::string_view value) {
  o.*Member = std::string(value);
  return base::success();
}
Status to_bool(std::string_view value, bool& member) {
  auto parsed = base::parse_go_bool(value);
  if (!parsed) return invalid(cat(quote(value), " is not a boolean (true or false)"));
  member = *parsed;
  return base::success();
}
template <auto Member>
Status set_bool(Options& o, std::string_view value) {
  return to_bool(value, o.*Member);
}
template <auto Member>
Status set_config_bool(Options& o, std::string_view value) {
  return to_bool(value, o.config.*Member);
}

Status set_mode(Options& o, std::string_view value) {
  // any other word means REDIRECT in the known program
  o.config.mode = value == "TPROXY" ? redirect::Mode::tproxy : redirect::Mode::redirect;
  if (!value.empty() && value != "TPROXY" && value != "REDIRECT")
    o.warnings.push_back(
        cat("interception mode ", quote(value), " is neither REDIRECT nor TPROXY, using REDIRECT"));
  return base::success();
}

Status set_exclude_cidrs(Options& o, std::string_view value) {
  if (value == "*")
    return invalid("\"*\" is not allowed here: list the prefixes that are not to be captured");
  return store(redirect::parse_cidrs(compact(value)), o.config.outbound_ranges_exclude);
}

Status set_mark(Options& o, std::string_view value) {
  return store(redirect::Mark::parse(value), o.config.tproxy_mark);
}

Status set_route_table(Options& o, std::string_view value) {
  auto table = base::parse_unsigned(value, UINT32_MAX);
  if (!table || *table == 0)
    return invalid(cat(quote(value), " is not the number of a routing table (1 to 4294967295)"));
  o.config.tproxy_route_table = static_cast<std::uint32_t>(*table);
  return base::success();
}

Status set_probe_port(Options& o, std::string_view value) {
  return store(redirect::Port::parse(value), o.probe_port);
}

Status set_probe_timeout(Options& o, std::string_view value) {
  auto span = parse_go_duration(value);
  if (!span) return invalid(cat(quote(value), " is not a duration such as 5s, 1m30s or 500ms"));
  o.probe_timeout = *span;
  return base::success();
}

Status set_binary(Options& o, std::string_view value) {
  if (value.empty()) {
    o.force_binary = Binary::any;
  } else if (value == "legacy") {
    o.force_binary = Binary::legacy;
  } else if (value == "nft") {
    o.force_binary = Binary::nft;
  } else {
    return invalid(cat(quote(value), " is neither \"legacy\" nor \"nft\" nor empty"));
  }
  return base::success();
}

Status set_ipv6(Options& o, std::string_view value) {
  if (value == "auto") {
    o.ipv6 = Ipv6::automatic;
  } else if (value == "on") {
    o.ipv6 = Ipv6::on;
  } else if (value == "off") {
    o.ipv6 = Ipv6::off;
  } else {
    return invalid(cat(quote(value), " is neither auto nor on nor off"));
  }
  return base::success();
}

Status set_dns_servers(Options& o, std::string_view value) {
  o.config.dns_servers_v4.clear();
  o.config.dns_servers_v6.clear();
  for (auto part : base::split_nonempty(value, ',')) {
    auto text = base::trim(part);
    auto ip = redirect::Ip::parse(text);
    if (!ip) return std::move(ip).error();
    auto& servers =
        ip->family == redirect::Family::v4 ? o.config.dns_servers_v4 : o.config.dns_servers_v6;
    servers.push_back(redirect::DnsServer{*ip, std::string(text)});
  }
  o.dns_servers_given = true;
  return base::success();
}

Status set_owner_groups(Options& o, std::string_view value) {
  auto groups = redirect::parse_owner_selection(compact(value));
  if (groups && groups->items.size() > max_owner_groups)
    return invalid(cat(groups->items.size(), " groups are given, at most ", max_owner_groups,
                       " are allowed (or \"*\")"));
  return store(std::move(groups), o.config.owner_groups_include);
}

Status set_loopback(Options& o, std::string_view value) {
  auto cidr = redirect::Cidr::parse(value);
  if (!cidr) return std::move(cidr).error();
  if (cidr->address.family != redirect::Family::v4 || !cidr->address.is_loopback() ||
      cidr->bits < 8)
    return invalid(cat(quote(value), " is not an IPv4 loopback prefix (127.x.x.x/8 to /32)"));
  o.config.host_v4_loopback = *cidr;
  return base::success();
}

Status accept(Options&, std::string_view) { return base::success(); }
Status accept_bool(Options&, std::string_view value) {
  bool ignored = false;
  return to_bool(value, ignored);
}

constexpr auto own = Variable::own;
constexpr auto none = Variable::none;

// clang-format off
constexpr std::array table{
  Flag{"envoy-port", 'p', Kind::text, none, {}, set_port<&Config::proxy_port>,
       "port of the proxy for outbound connections"},
  Flag{"inbound-capture-port", 'z', Kind::text, own, {}, set_port<&Config::inbound_capture_port>,
       "port of the proxy for inbound connections"},
  Flag{"inbound-tunnel-port", 'e', Kind::text, own, {}, set_port<&Config::inbound_tunnel_port>,
       "port of the proxy for tunnelled (HBONE) connections"},
  Flag{"proxy-uid", 'u', Kind::text, own, {}, set_list<&Config::proxy_uids, redirect::parse_owners>,
       "users whose traffic is not captured (default: the user $ENVOY_USER, else 1337)"},
  Flag{"proxy-gid", 'g', Kind::text, own, {}, set_list<&Config::proxy_gids, redirect::parse_owners>,
       "groups whose traffic is not captured (default: as proxy-uid)"},
  Flag{"istio-inbound-interception-mode", 'm', Kind::text, own, {}, set_mode,
       "REDIRECT or TPROXY"},
  Flag{"istio-inbound-ports", 'b', Kind::text, own, {},
       set_list<&Config::inbound_ports_include, redirect::parse_port_selection>,
       "inbound ports to capture, or *"},
  Flag{"istio-local-exclude-ports", 'd', Kind::text, own, {},
       set_list<&Config::inbound_ports_exclude, redirect::parse_ports>,
       "inbound ports not to capture, with -b '*'"},
  Flag{"istio-exclude-interfaces", 'c', Kind::text, own, {},
       set_list<&Config::exclude_interfaces, redirect::parse_interfaces>,
       "interfaces whose traffic is not captured"},
  Flag{"istio-service-cidr", 'i', Kind::text, own, {},
       set_list<&Config::outbound_ranges_include, redirect::parse_cidr_selection>,
       "outbound prefixes to capture, or *"},
  Flag{"istio-service-exclude-cidr", 'x', Kind::text, own, {}, set_exclude_cidrs,
       "outbound prefixes not to capture"},
  Flag{"istio-outbound-ports", 'q', Kind::text, own, {},
       set_list<&Config::outbound_ports_include, redirect::parse_ports>,
       "outbound ports to capture for any address"},
  Flag{"istio-local-outbound-ports-exclude", 'o', Kind::text, own, {},
       set_list<&Config::outbound_ports_exclude, redirect::parse_ports>,
       "outbound ports not to capture"},
  Flag{"kube-virt-interfaces", 'k', Kind::text, own, {},
       set_list<&Config::reroute_interfaces, redirect::parse_interfaces>,
       "virtual interfaces whose inbound traffic is outbound traffic of the pod"},
  Flag{"istio-inbound-tproxy-mark", 't', Kind::text, own, {}, set_mark,
       "packet mark in mode TPROXY"},
  Flag{"istio-inbound-tproxy-route-table", 'r', Kind::text, own, {}, set_route_table,
       "routing table in mode TPROXY"},
  Flag{"dry-run", 'n', Kind::boolean, own, {}, set_bool<&Options::dry_run>,
       "print the rules and change nothing"},
  Flag{"iptables-probe-port", 0, Kind::typed, own, {}, set_probe_port,
       "port that the validation connects to"},
  Flag{"probe-timeout", 0, Kind::typed, own, {}, set_probe_timeout,
       "time for the validation, such as 5s"},
  Flag{"skip-rule-apply", 0, Kind::boolean, own, {}, set_bool<&Options::skip_rule_apply>,
       "program nothing"},
  Flag{"run-validation", 0, Kind::boolean, own, {}, set_bool<&Options::run_validation>,
       "check that redirection works; exit 126 if not"},
  Flag{"redirect-dns", 0, Kind::boolean, own, "ISTIO_META_DNS_CAPTURE",
       set_config_bool<&Config::redirect_dns>, "capture DNS queries to the name servers"},
  Flag{"drop-invalid", 0, Kind::boolean, own, "INVALID_DROP",
       set_config_bool<&Config::drop_invalid>, "drop packets in conntrack state INVALID"},
  Flag{"dual-stack", 0, Kind::boolean, own, "ISTIO_DUAL_STACK", set_bool<&Options::dual_stack>,
       "look for an IPv6 address beyond the first address"},
  Flag{"capture-all-dns", 0, Kind::boolean, own, {}, set_config_bool<&Config::capture_all_dns>,
       "capture DNS queries to any server"},
  Flag{"network-namespace", 0, Kind::text, own, {}, set_text<&Options::network_namespace>,
       "path of the network namespace to work in"},
  Flag{"cni-mode", 0, Kind::boolean, own, {}, accept_bool,
       "accepted, no effect: no program is executed"},
  Flag{"reconcile", 0, Kind::boolean, own, {}, set_bool<&Options::reconcile>,
       "replace existing rules that differ"},
  Flag{"cleanup-only", 0, Kind::boolean, own, {}, set_bool<&Options::cleanup_only>,
       "remove the rules"},
  Flag{"force-apply", 0, Kind::boolean, own, {}, set_bool<&Options::force_apply>,
       "apply although the rules are in place"},
  Flag{"native-nftables", 0, Kind::boolean, own, {}, set_bool<&Options::native_nftables>,
       "use nftables"},
  Flag{"force-iptables-binary", 0, Kind::text, own, {}, set_binary,
       "legacy: iptables, nft: nftables"},
  Flag{"ipv6", 0, Kind::text, none, {}, set_ipv6,
       "auto (from the local addresses), on or off"},
  Flag{"dns-servers", 0, Kind::text, none, {}, set_dns_servers,
       "name servers, instead of those in /etc/resolv.conf"},
  Flag{"log_output_level", 0, Kind::text, none, {}, set_text<&Options::log_output_level>,
       "level of the log, as LEVEL or SCOPE:LEVEL,..."},
  Flag{"log_as_json", 0, Kind::boolean, none, {}, accept_bool,
       "accepted, no effect: the journal has the fields"},
  Flag{"log_target", 0, Kind::text, none, {}, accept, "accepted, no effect: stderr"},
  Flag{"log_caller", 0, Kind::text, none, {}, accept, "accepted, no effect"},
  Flag{"log_stacktrace_level", 0, Kind::text, none, {}, accept, "accepted, no effect"},
  // variables without a flag
  Flag{{}, 0, Kind::text, none, "ISTIO_OUTBOUND_OWNER_GROUPS", set_owner_groups,
       "groups whose outbound traffic is captured, or *"},
  Flag{{}, 0, Kind::text, none, "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
       set_list<&Config::owner_groups_exclude, redirect::parse_owners>,
       "groups whose outbound traffic is not captured"},
  Flag{{}, 0, Kind::text, none, "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", set_loopback,
       "what counts as loopback, 127.0.0.1/32"},
  Flag{{}, 0, Kind::text, none, "ENVOY_USER", set_text<&Options::envoy_user>,
       "name of the proxy's user, istio-proxy"},
  Flag{{}, 0, Kind::text, none, "DRY_RUN_FILE_PATH", set_text<&Options::dry_run_file>,
       "file that a dry run writes the rules to as well"},
};
// clang-format on

}  // namespace

std::span<const Flag> flags() { return table; }

std::string own_variable(const Flag& flag) {
  std::string name(flag.name);
  for (auto& c : name) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

std::optional<std::chrono::milliseconds> parse_go_duration(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return std::chrono::milliseconds(0);
  if (text.empty()) return std::nullopt;
  long double total = 0;  // nanoseconds
  while (!text.empty()) {
    long double number = 0;
    long double scale = 1;
    bool digits = false;
    bool point = false;
    while (!text.empty() && ((text[0] >= '0' && text[0] <= '9') || (text[0] == '.' && !point))) {
      if (text[0] == '.') {
        point = true;
      } else {
        digits = true;
        number = number * 10 + (text[0] - '0');
        if (point) scale *= 10;
      }
      text.remove_prefix(1);
    }
    if (!digits) return std::nullopt;
    auto unit = text.substr(0, text.find_first_of(".0123456789"));
    text.remove_prefix(unit.size());
    long double factor = 0;
    if (unit == "ns") {
      factor = 1;
    } else if (unit == "us" || unit == "\xc2\xb5s" || unit == "\xce\xbcs") {
      factor = 1e3L;
    } else if (unit == "ms") {
      factor = 1e6L;
    } else if (unit == "s") {
      factor = 1e9L;
    } else if (unit == "m") {
      factor = 60e9L;
    } else if (unit == "h") {
      factor = 3600e9L;
    } else {
      return std::nullopt;
    }
    total += number / scale * factor;
    if (!(total < 9.2e18L)) return std::nullopt;
  }
  const auto rounded = static_cast<std::int64_t>(std::ceil(total / 1e6L));
  return std::chrono::milliseconds(negative ? -rounded : rounded);
}

}  // namespace istio_iptables
