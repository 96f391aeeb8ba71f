// Ruleset: what is to be programmed in one network namespace, as a value.
//
// One Ruleset serves both backends. A rule is written once; `families` says
// for which IP families it holds. The iptables form splits the list by family,
// the nftables form keeps one list for the table family `inet`, where a rule
// without an address match stands once for both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "redirect/types.hpp"

namespace redirect {

enum class Table : std::uint8_t { mangle, nat, raw };  // alphabetical, as restore text lists them

enum class Chain : std::uint8_t {
  // built in
  prerouting,
  output,
  // ours
  inbound,
  redirect,
  in_redirect,
  output_custom,  ///< ISTIO_OUTPUT / istio-output
  output_dns,
  divert,
  tproxy,
  drop,
};

/// "PREROUTING", "ISTIO_INBOUND"...
std::string_view iptables_name(Chain chain);
/// "prerouting", "istio-inbound"...
std::string_view nft_name(Chain chain);
/// "nat", "mangle", "raw"
std::string_view iptables_name(Table table);
/// "istio-proxy-nat"...
std::string_view nft_name(Table table);
constexpr bool is_builtin(Chain chain) {
  return chain == Chain::prerouting || chain == Chain::output;
}

enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };

// --- matches -----------------------------------------------------------

struct MatchIn {
  IfName name;
  auto operator<=>(const MatchIn&) const = default;
};
struct MatchOut {
  IfName name;
  auto operator<=>(const MatchOut&) const = default;
};
struct MatchSource {
  Cidr cidr;
  auto operator<=>(const MatchSource&) const = default;
};
struct MatchDestination {
  Cidr cidr;
  bool negate = false;
  auto operator<=>(const MatchDestination&) const = default;
};
struct MatchProtocol {
  Protocol protocol;
  auto operator<=>(const MatchProtocol&) const = default;
};
/// Needs a MatchProtocol earlier in the rule.
struct MatchSourcePort {
  Port port;
  auto operator<=>(const MatchSourcePort&) const = default;
};
/// One port: tcp/udp match. Several: multiport (iptables) or an anonymous set
/// (nftables). Needs a MatchProtocol earlier in the rule.
struct MatchDestinationPorts {
  std::vector<Port> ports;
  bool negate = false;
  auto operator<=>(const MatchDestinationPorts&) const = default;
};
struct MatchUid {
  Owner owner;
  bool negate = false;
  auto operator<=>(const MatchUid&) const = default;
};
struct MatchGid {
  Owner owner;
  bool negate = false;
  auto operator<=>(const MatchGid&) const = default;
};
enum class CtState : std::uint8_t { invalid, related_established };
struct MatchCtState {
  CtState state;
  auto operator<=>(const MatchCtState&) const = default;
};
struct MatchMark {
  Mark mark;
  bool negate = false;
  auto operator<=>(const MatchMark&) const = default;
};
struct MatchConnmark {
  Mark mark;
  auto operator<=>(const MatchConnmark&) const = default;
};

using Match =
    std::variant<MatchIn, MatchOut, MatchSource, MatchDestination, MatchProtocol, MatchSourcePort,
                 MatchDestinationPorts, MatchUid, MatchGid, MatchCtState, MatchMark, MatchConnmark>;

// --- actions -----------------------------------------------------------

struct Return {
  auto operator<=>(const Return&) const = default;
};
struct Accept {
  auto operator<=>(const Accept&) const = default;
};
struct Drop {
  auto operator<=>(const Drop&) const = default;
};
struct Jump {
  Chain chain;
  auto operator<=>(const Jump&) const = default;
};
/// NAT to a port of this host (127.0.0.1 or ::1 for local output).
struct Redirect {
  Port port;
  auto operator<=>(const Redirect&) const = default;
};
/// Hand the packet to a transparent socket on `port` and mark it.
struct Tproxy {
  Port port;
  Mark mark;
  auto operator<=>(const Tproxy&) const = default;
};
struct SetMark {
  Mark mark;
  auto operator<=>(const SetMark&) const = default;
};
/// packet mark -> connection mark
struct SaveMark {
  auto operator<=>(const SaveMark&) const = default;
};
/// connection mark -> packet mark
struct RestoreMark {
  auto operator<=>(const RestoreMark&) const = default;
};
struct CtZone {
  std::uint16_t zone;
  auto operator<=>(const CtZone&) const = default;
};

using Action = std::variant<Return, Accept, Drop, Jump, Redirect, Tproxy, SetMark, SaveMark,
                            RestoreMark, CtZone>;

// --- rules -------------------------------------------------------------

struct Families {
  bool v4 = true;
  bool v6 = true;
  [[nodiscard]] bool has(Family family) const { return family == Family::v4 ? v4 : v6; }
  auto operator<=>(const Families&) const = default;
};

struct Rule {
  Table table;
  Chain chain;
  std::vector<Match> matches;  ///< in the order of the iptables text
  Action action;
  Families families;
  /// 1-based position of an insert (`-I chain N`); empty: append.
  std::optional<unsigned> insert_at;
  /// nftables only: the rule is limited to TCP although the iptables form is
  /// not (INVALID drop; nftables' base chain sees every protocol otherwise).
  bool nft_tcp_only = false;
};

/// TPROXY delivery: packets with `mark` are routed by `table`, whose only
/// route is local 0.0.0.0/0 (::/0) on lo (Documentation/networking/tproxy.rst).
struct PolicyRoute {
  Mark mark;
  std::uint32_t table = 0;
  auto operator<=>(const PolicyRoute&) const = default;
};

struct Ruleset {
  std::vector<Rule> rules;  ///< in the order of creation
  bool ipv6 = false;        ///< program IPv6 as well
  /// ::6/128 on lo, the source of the proxy's inbound connections. As `ipv6`.
  bool add_v6_passthrough_address = false;
  std::optional<PolicyRoute> policy_route;
  std::vector<std::string> warnings;  ///< for the log: options that were ignored
};

/// The rules of one table, chain by chain, in the order in which a packet meets
/// them (inserts resolved). `family` empty: both, as nftables holds them. Chains
/// come in the order of first use; chains only jumped to are included, empty.
struct ChainRules {
  Chain chain;
  std::vector<const Rule*> rules;  ///< owned by the Ruleset
};
std::vector<ChainRules> resolve(const Ruleset& ruleset, Table table, std::optional<Family> family);

/// Tables with at least one rule (for `family`, if given), in alphabetical order.
std::vector<Table> tables_in_use(const Ruleset& ruleset, std::optional<Family> family);

}  // namespace redirect
