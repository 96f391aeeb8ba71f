// What the nftables backend and its parts share: our tables as they should be,
// and the numbers that they are written and read with.
#pragma once

#include <linux/netfilter/nfnetlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "netfilter/nftables_expr.hpp"
#include "redirect/ruleset.hpp"

namespace netfilter {

inline constexpr std::array all_tables{redirect::Table::nat, redirect::Table::mangle,
                                       redirect::Table::raw};

constexpr std::uint16_t message_type(int message) {
  return static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message);
}

/// The hook of a chain that the kernel enters by itself.
struct BaseChain {
  std::string_view type;
  std::uint32_t hook;
  std::int32_t priority;
  bool operator==(const BaseChain&) const = default;
};
std::optional<BaseChain> base_chain(redirect::Table table, redirect::Chain chain);

struct WantedRule {
  const redirect::Rule* rule;  ///< owned by the Ruleset
  std::vector<Expr> exprs;
};
struct WantedChain {
  redirect::Chain chain;
  std::vector<WantedRule> rules;
};
struct WantedTable {
  redirect::Table table;
  std::vector<WantedChain> chains;
};

/// Errc::invalid_input: a rule that has no nftables form.
base::Result<std::vector<WantedTable>> wanted_tables(const redirect::Ruleset& ruleset);

/// `cause`, or that nftables is missing altogether when this is what it says.
base::Error no_nftables(const base::Error& cause);

}  // namespace netfilter
