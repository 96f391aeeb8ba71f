#include "redirect/ruleset.hpp"

#include <algorithm>

namespace redirect {

std::string_view iptables_name(Chain chain) {
  switch (chain) {
    case Chain::prerouting:
      return "PREROUTING";
    case Chain::output:
      return "OUTPUT";
    case Chain::inbound:
      return "ISTIO_INBOUND";
    case Chain::redirect:
      return "ISTIO_REDIRECT";
    case Chain::in_redirect:
      return "ISTIO_IN_REDIRECT";
    case Chain::output_custom:
      return "ISTIO_OUTPUT";
    case Chain::output_dns:
      return "ISTIO_OUTPUT_DNS";
    case Chain::divert:
      return "ISTIO_DIVERT";
    case Chain::tproxy:
      return "ISTIO_TPROXY";
    case Chain::drop:
      return "ISTIO_DROP";
  }
  return "";
}

std::string_view nft_name(Chain chain) {
  switch (chain) {
    case Chain::prerouting:
      return "prerouting";
    case Chain::output:
      return "output";
    case Chain::inbound:
      return "istio-inbound";
    case Chain::redirect:
      return "istio-redirect";
    case Chain::in_redirect:
      return "istio-in-redirect";
    case Chain::output_custom:
      return "istio-output";
    case Chain::output_dns:
      return "istio-output-dns";
    case Chain::divert:
      return "istio-divert";
    case Chain::tproxy:
      return "istio-tproxy";
    case Chain::drop:
      return "istio-drop";
  }
  return "";
}

std::string_view iptables_name(Table table) {
  switch (table) {
    case Table::mangle:
      return "mangle";
    case Table::nat:
      return "nat";
    case Table::raw:
      return "raw";
  }
  return "";
}

std::string_view nft_name(Table table) {
  switch (table) {
    case Table::mangle:
      return "istio-proxy-mangle";
    case Table::nat:
      return "istio-proxy-nat";
    case Table::raw:
      return "istio-proxy-raw";
  }
  return "";
}

namespace {

bool in_scope(const Rule& rule, const Ruleset& ruleset, std::optional<Family> family) {
  if (family) return rule.families.has(*family) && (*family == Family::v4 || ruleset.ipv6);
  return rule.families.v4 || (rule.families.v6 && ruleset.ipv6);
}

}  // namespace

std::vector<ChainRules> resolve(const Ruleset& ruleset, Table table, std::optional<Family> family) {
  std::vector<ChainRules> chains;
  auto entry = [&](Chain chain) -> ChainRules& {
    auto at = std::find_if(chains.begin(), chains.end(),
                           [&](const ChainRules& c) { return c.chain == chain; });
    if (at != chains.end()) return *at;
    return chains.emplace_back(ChainRules{chain, {}});
  };
  for (const auto& rule : ruleset.rules) {
    if (rule.table != table || !in_scope(rule, ruleset, family)) continue;
    auto& rules = entry(rule.chain).rules;
    const std::size_t index = rule.insert_at ? *rule.insert_at - 1 : rules.size();
    rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(std::min(index, rules.size())), &rule);
  }
  std::vector<Chain> targets;
  for (const auto& chain : chains)
    for (const auto* rule : chain.rules)
      if (const auto* jump = std::get_if<Jump>(&rule->action)) targets.push_back(jump->chain);
  for (auto target : targets) entry(target);
  return chains;
}

std::vector<Table> tables_in_use(const Ruleset& ruleset, std::optional<Family> family) {
  std::vector<Table> tables;
  for (auto table : {Table::mangle, Table::nat, Table::raw})
    if (std::any_of(ruleset.rules.begin(), ruleset.rules.end(), [&](const Rule& rule) {
          return rule.table == table && in_scope(rule, ruleset, family);
        }))
      tables.push_back(table);
  return tables;
}

}  // namespace redirect
