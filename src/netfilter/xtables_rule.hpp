// Our rules as xtables entries: what iptables-legacy-restore makes of their
// text, so that iptables-legacy-save prints the same for both. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "netfilter/xtables_table.hpp"
#include "redirect/ruleset.hpp"

namespace netfilter {

/// A mask that compares, or sets, every bit of a mark.
inline constexpr std::uint32_t full_mask = 0xffffffff;

/// A match or target at the revision that we write.
struct XtExtensionId {
  std::string name;
  std::uint8_t revision = 0;
  bool target = false;
  /// The module that offers it, for a message: "xt_owner".
  std::string module;
  auto operator<=>(const XtExtensionId&) const = default;
};

/// Errc::invalid_input: an owner without an id, a port match without a protocol,
/// an address of the other family, more ports than multiport takes (15).
base::Result<XtRule> encode_rule(const redirect::Rule& rule, redirect::Family family);

/// Extensions that encode_rule() uses for this rule; standard verdicts aside.
std::vector<XtExtensionId> extensions_of(const XtRule& rule, redirect::Family family);

/// True when both rules do the same to a packet, as far as the visible bytes
/// say: counters, the kernel's own fields and padding do not count.
bool same_rule(const XtRule& a, const XtRule& b, redirect::Family family);

/// A short iptables-like text: "-o lo -p tcp -m owner --uid-owner 1337 -j RETURN".
/// Extensions that we never write show as their name alone.
std::string describe_rule(const XtRule& rule, redirect::Family family);

}  // namespace netfilter
