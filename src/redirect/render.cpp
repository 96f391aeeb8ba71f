#include "redirect/render.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "base/overloaded.hpp"
#include "base/strings.hpp"

namespace redirect {
namespace {

using base::cat;
using base::Overloaded;

std::string_view protocol_name(Protocol protocol) {
  return protocol == Protocol::tcp ? "tcp" : "udp";
}

// --- iptables ----------------------------------------------------------

std::string iptables_match(const Match& match) {
  return std::visit(
      Overloaded{
          [](const MatchIn& m) { return cat("-i ", m.name.name); },
          [](const MatchOut& m) { return cat("-o ", m.name.name); },
          [](const MatchSource& m) { return cat("-s ", m.cidr.to_string()); },
          [](const MatchDestination& m) {
            return cat(m.negate ? "! -d " : "-d ", m.cidr.to_string());
          },
          [](const MatchProtocol& m) { return cat("-p ", protocol_name(m.protocol)); },
          [](const MatchSourcePort& m) { return cat("--sport ", m.port.value); },
          [](const MatchDestinationPorts& m) {
            if (m.ports.size() == 1)
              return cat(m.negate ? "! --dport " : "--dport ", m.ports[0].value);
            std::vector<std::string> ports;
            for (auto port : m.ports) ports.push_back(cat(port.value));
            return cat("-m multiport ", m.negate ? "! --dports " : "--dports ",
                       base::join(ports, ","));
          },
          [](const MatchUid& m) {
            return cat("-m owner ", m.negate ? "! " : "", "--uid-owner ", m.owner.text);
          },
          [](const MatchGid& m) {
            return cat("-m owner ", m.negate ? "! " : "", "--gid-owner ", m.owner.text);
          },
          [](const MatchCtState& m) {
            return cat("-m conntrack --ctstate ",
                       m.state == CtState::invalid ? "INVALID" : "RELATED,ESTABLISHED");
          },
          [](const MatchMark& m) {
            return cat("-m mark ", m.negate ? "! " : "", "--mark ", m.mark.value);
          },
          [](const MatchConnmark& m) { return cat("-m connmark --mark ", m.mark.value); },
      },
      match);
}

/// UDP redirection is written with the abbreviation that the known program
/// uses; iptables-restore takes both.
bool is_udp(const Rule& rule) {
  return std::any_of(rule.matches.begin(), rule.matches.end(), [](const Match& match) {
    const auto* protocol = std::get_if<MatchProtocol>(&match);
    return protocol != nullptr && protocol->protocol == Protocol::udp;
  });
}

std::string iptables_action(const Rule& rule) {
  return std::visit(Overloaded{
                        [](const Return&) { return std::string("RETURN"); },
                        [](const Accept&) { return std::string("ACCEPT"); },
                        [](const Drop&) { return std::string("DROP"); },
                        [](const Jump& a) { return std::string(iptables_name(a.chain)); },
                        [&](const Redirect& a) {
                          return cat("REDIRECT ", is_udp(rule) ? "--to-port " : "--to-ports ",
                                     a.port.value);
                        },
                        [](const Tproxy& a) {
                          return cat("TPROXY --tproxy-mark ", a.mark.value,
                                     "/0xffffffff --on-port ", a.port.value);
                        },
                        [](const SetMark& a) { return cat("MARK --set-mark ", a.mark.value); },
                        [](const SaveMark&) { return std::string("CONNMARK --save-mark"); },
                        [](const RestoreMark&) { return std::string("CONNMARK --restore-mark"); },
                        [](const CtZone& a) { return cat("CT --zone ", a.zone); },
                    },
                    rule.action);
}

// --- nftables ----------------------------------------------------------

/// Where a match stands in an nft rule. The raw table names ports before
/// addresses; the order decides nothing, but is part of the published form.
int nft_rank(const Match& match, Table table) {
  const bool raw = table == Table::raw;
  return std::visit(Overloaded{
                        [](const MatchIn&) { return 0; },
                        [](const MatchOut&) { return 0; },
                        [](const MatchProtocol&) { return 1; },
                        [&](const MatchSource&) { return raw ? 5 : 2; },
                        [&](const MatchDestination&) { return raw ? 5 : 2; },
                        [](const MatchCtState&) { return 3; },
                        [](const MatchSourcePort&) { return 4; },
                        [](const MatchDestinationPorts&) { return 4; },
                        [](const MatchUid&) { return 6; },
                        [](const MatchGid&) { return 6; },
                        [](const MatchMark&) { return 7; },
                        [](const MatchConnmark&) { return 7; },
                    },
                    match);
}

std::string nft_address(const Cidr& cidr, std::string_view direction, bool negate) {
  return cat(cidr.address.family == Family::v4 ? "ip " : "ip6 ", direction, negate ? " != " : " ",
             cidr.to_string());
}

/// `meta l4proto tcp` is spelled out except where a port match alone carries the
/// protocol: UDP rules, outbound port lists and per-server DNS.
bool spells_protocol(const Rule& rule, Protocol protocol) {
  if (protocol == Protocol::udp) return false;
  if (rule.table != Table::nat) return rule.table == Table::mangle;
  const bool has_address = std::any_of(rule.matches.begin(), rule.matches.end(), [](auto& match) {
    return std::holds_alternative<MatchDestination>(match);
  });
  if (rule.chain == Chain::output_dns) return !has_address;
  return !(rule.chain == Chain::output_custom && rule.matches.size() == 2);
}

std::string nft_match(const Match& match, const Rule& rule) {
  const std::string_view protocol = is_udp(rule) ? "udp" : "tcp";
  const std::string_view owner_prefix = rule.table == Table::raw ? "meta " : "";
  return std::visit(
      Overloaded{
          [](const MatchIn& m) { return cat("iifname ", m.name.name); },
          [](const MatchOut& m) { return cat("oifname ", m.name.name); },
          [](const MatchSource& m) { return nft_address(m.cidr, "saddr", false); },
          [](const MatchDestination& m) { return nft_address(m.cidr, "daddr", m.negate); },
          [&](const MatchProtocol& m) {
            return spells_protocol(rule, m.protocol)
                       ? cat("meta l4proto ", protocol_name(m.protocol))
                       : std::string();
          },
          [&](const MatchSourcePort& m) { return cat(protocol, " sport ", m.port.value); },
          [&](const MatchDestinationPorts& m) {
            if (m.ports.size() == 1)
              return cat(protocol, " dport ", m.negate ? "!= " : "", m.ports[0].value);
            std::vector<std::string> ports;
            for (auto port : m.ports) ports.push_back(cat(port.value));
            return cat(protocol, " dport ", m.negate ? "!= " : "", "{ ", base::join(ports, ", "),
                       " }");
          },
          [&](const MatchUid& m) {
            return cat(owner_prefix, "skuid ", m.negate ? "!= " : "", m.owner.text);
          },
          [&](const MatchGid& m) {
            return cat(owner_prefix, "skgid ", m.negate ? "!= " : "", m.owner.text);
          },
          [](const MatchCtState& m) {
            return cat("ct state ",
                       m.state == CtState::invalid ? "invalid" : "related,established");
          },
          [](const MatchMark& m) { return cat("mark ", m.negate ? "!= " : "", m.mark.value); },
          [](const MatchConnmark& m) { return cat("ct mark ", m.mark.value); },
      },
      match);
}

std::string nft_action(const Rule& rule) {
  return std::visit(
      Overloaded{
          [](const Return&) { return std::string("counter return"); },
          [](const Accept&) { return std::string("counter accept"); },
          [](const Drop&) { return std::string("counter drop"); },
          [](const Jump& a) { return cat("counter jump ", nft_name(a.chain)); },
          [](const Redirect& a) { return cat("counter redirect to :", a.port.value); },
          [&](const Tproxy& a) {
            const bool v6 =
                std::any_of(rule.matches.begin(), rule.matches.end(), [](const Match& match) {
                  const auto* to = std::get_if<MatchDestination>(&match);
                  return to != nullptr && to->cidr.address.family == Family::v6;
                });
            return cat("tproxy ", v6 ? "ip6" : "ip", " to :", a.port.value, " meta mark set ",
                       a.mark.value, " counter accept");
          },
          [](const SetMark& a) { return cat("counter meta mark set ", a.mark.value); },
          [](const SaveMark&) { return std::string("counter ct mark set mark"); },
          [](const RestoreMark&) { return std::string("counter meta mark set ct mark"); },
          [](const CtZone& a) { return cat("counter ct zone set ", a.zone); },
      },
      rule.action);
}

struct BaseChain {
  std::string_view type;
  int priority;
};

BaseChain base_chain(Table table, Chain chain) {
  switch (table) {
    case Table::nat:
      return {"nat", -100};
    // `route`, or a mark set for local output would not choose the route again
    case Table::mangle:
      return {chain == Chain::output ? "route" : "filter", -150};
    case Table::raw:
      return {"filter", -300};
  }
  return {};
}

// In the order in which the published form declares them.
const std::vector<Chain>& declared_chains(Table table) {
  static const std::array<std::vector<Chain>, 3> chains{{
      {Chain::prerouting, Chain::output, Chain::divert, Chain::tproxy, Chain::inbound, Chain::drop},
      {Chain::prerouting, Chain::output, Chain::inbound, Chain::redirect, Chain::in_redirect,
       Chain::output_custom, Chain::output_dns},
      {Chain::prerouting, Chain::output, Chain::inbound, Chain::output_dns},
  }};
  return chains[static_cast<std::size_t>(table)];
}

constexpr std::array nft_table_order{Table::nat, Table::mangle, Table::raw};

}  // namespace

std::string iptables_rule_text(const Rule& rule, Family) {
  std::string line = rule.insert_at ? cat("-I ", iptables_name(rule.chain), ' ', *rule.insert_at)
                                    : cat("-A ", iptables_name(rule.chain));
  for (const auto& match : rule.matches) line.append(cat(' ', iptables_match(match)));
  return line.append(cat(" -j ", iptables_action(rule)));
}

std::string iptables_restore_text(const Ruleset& ruleset, Family family) {
  std::string text;
  if (family == Family::v6 && !ruleset.ipv6) return text;
  for (auto table : tables_in_use(ruleset, family)) {
    text.append(cat("* ", iptables_name(table), '\n'));
    for (const auto& chain : resolve(ruleset, table, family))
      if (!is_builtin(chain.chain)) text.append(cat("-N ", iptables_name(chain.chain), '\n'));
    for (const auto& rule : ruleset.rules)
      if (rule.table == table && rule.families.has(family))
        text.append(iptables_rule_text(rule, family)).push_back('\n');
    text.append("COMMIT\n");
  }
  return text;
}

std::string nft_rule_text(const Rule& rule) {
  std::vector<const Match*> ordered;
  for (const auto& match : rule.matches) ordered.push_back(&match);
  std::stable_sort(ordered.begin(), ordered.end(), [&](const Match* a, const Match* b) {
    return nft_rank(*a, rule.table) < nft_rank(*b, rule.table);
  });
  std::string text;
  if (rule.nft_tcp_only) text.append("meta l4proto tcp ");
  for (const auto* match : ordered) {
    auto part = nft_match(*match, rule);
    if (!part.empty()) text.append(part).push_back(' ');
  }
  return text.append(nft_action(rule));
}

std::string nft_commands(const Ruleset& ruleset) {
  std::string text;
  const auto used = tables_in_use(ruleset, std::nullopt);
  for (auto table : nft_table_order) {
    if (std::find(used.begin(), used.end(), table) == used.end()) continue;
    const auto name = nft_name(table);
    text.append(cat("add table inet ", name, "\nflush table inet ", name, '\n'));
    const auto chains = resolve(ruleset, table, std::nullopt);
    for (auto chain : declared_chains(table)) {
      const bool owns_rules = std::any_of(
          chains.begin(), chains.end(),
          [&](const ChainRules& rules) { return rules.chain == chain && !rules.rules.empty(); });
      if (!owns_rules) continue;
      text.append(cat("add chain inet ", name, ' ', nft_name(chain)));
      if (is_builtin(chain)) {
        const auto base = base_chain(table, chain);
        text.append(cat(" { type ", base.type, " hook ", nft_name(chain), " priority ",
                        base.priority, " ; }"));
      }
      text.push_back('\n');
    }
    std::map<Chain, unsigned> counts;
    for (const auto& rule : ruleset.rules) {
      if (rule.table != table || !(rule.families.v4 || (rule.families.v6 && ruleset.ipv6)))
        continue;
      auto& count = counts[rule.chain];
      // nft refuses an index that does not exist yet: such an insert appends
      const bool insert = rule.insert_at && *rule.insert_at - 1 < count;
      text.append(cat(insert ? "insert" : "add", " rule inet ", name, ' ', nft_name(rule.chain)));
      if (insert) text.append(cat(" index ", *rule.insert_at - 1));
      text.append(cat(' ', nft_rule_text(rule), '\n'));
      ++count;
    }
  }
  return text;
}

std::string nft_cleanup_commands() {
  std::string text;
  for (auto table : nft_table_order)
    text.append(
        cat("add table inet ", nft_name(table), "\ndelete table inet ", nft_name(table), '\n'));
  return text;
}

}  // namespace redirect
