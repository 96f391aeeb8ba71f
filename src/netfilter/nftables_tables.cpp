#include "netfilter/nftables_tables.hpp"

#include <linux/netfilter.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.hpp"
#include "redirect/render.hpp"

namespace netfilter {

using base::Errc;
using base::Error;
using base::Result;
using redirect::Chain;
using redirect::Ruleset;
using redirect::Table;

namespace {

// Every table's chains are made in this order, so that listings look alike.
constexpr std::array all_chains{
    Chain::prerouting, Chain::output,      Chain::divert,        Chain::tproxy,     Chain::inbound,
    Chain::redirect,   Chain::in_redirect, Chain::output_custom, Chain::output_dns, Chain::drop};

}  // namespace

std::optional<BaseChain> base_chain(Table table, Chain chain) {
  if (!redirect::is_builtin(chain)) return std::nullopt;
  const std::uint32_t hook = chain == Chain::output ? NF_INET_LOCAL_OUT : NF_INET_PRE_ROUTING;
  switch (table) {
    case Table::nat:
      return BaseChain{"nat", hook, -100};
    // Only type `route` looks up the route again after a mark changed.
    case Table::mangle:
      return BaseChain{chain == Chain::output ? "route" : "filter", hook, -150};
    case Table::raw:
      return BaseChain{"filter", hook, -300};
  }
  return std::nullopt;
}

Result<std::vector<WantedTable>> wanted_tables(const Ruleset& ruleset) {
  const auto used = redirect::tables_in_use(ruleset, std::nullopt);
  std::vector<WantedTable> tables;
  for (const Table table : all_tables) {
    if (std::find(used.begin(), used.end(), table) == used.end()) continue;
    WantedTable wanted{table, {}};
    const auto resolved = redirect::resolve(ruleset, table, std::nullopt);
    for (const Chain chain : all_chains) {
      const auto found = std::find_if(resolved.begin(), resolved.end(),
                                      [chain](const auto& c) { return c.chain == chain; });
      if (found == resolved.end()) continue;
      WantedChain filled{chain, {}};
      for (const redirect::Rule* rule : found->rules) {
        auto exprs = translate(*rule);
        if (!exprs) {
          return Error(exprs.error())
              .wrap(base::cat(redirect::nft_name(table), ' ', redirect::nft_name(chain), ": ",
                              redirect::nft_rule_text(*rule)));
        }
        filled.rules.push_back({rule, *std::move(exprs)});
      }
      wanted.chains.push_back(std::move(filled));
    }
    tables.push_back(std::move(wanted));
  }
  return tables;
}

Error no_nftables(const Error& cause) {
  if (cause.sys != EPROTONOSUPPORT && cause.sys != EAFNOSUPPORT && cause.sys != EINVAL &&
      cause.sys != EOPNOTSUPP) {
    return Error(cause).wrap("nftables");
  }
  return {Errc::unsupported,
          base::cat("the kernel lacks nftables (module nf_tables): ", cause.message), cause.sys};
}

}  // namespace netfilter
