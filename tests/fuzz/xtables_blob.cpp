// Property: a table that parses serialises, and the result parses to the same
// chains and rules and serialises to the same bytes.
//
// Input, in host byte order: valid_hooks, hook_entry[5], underflow[5] and
// num_entries as 32-bit words, then the entries. Read as IPv4 and as IPv6.
#include <algorithm>

#include "fuzz/check.hpp"
#include "netfilter/xtables_rule.hpp"
#include "netfilter/xtables_table.hpp"

namespace {

using netfilter::XtBlob;
using netfilter::XtTable;
using redirect::Family;

void check_same(const XtTable& a, const XtTable& b) {
  fuzz::require(a.chains().size() == b.chains().size(), "as many chains");
  for (std::size_t i = 0; i < a.chains().size(); ++i) {
    const auto& one = a.chains()[i];
    const auto& other = b.chains()[i];
    fuzz::require(one.name == other.name && one.hook == other.hook && one.policy == other.policy,
                  "the same chain");
    fuzz::require(one.rules.size() == other.rules.size(), "as many rules");
    for (std::size_t j = 0; j < one.rules.size(); ++j)
      fuzz::require(netfilter::same_rule(one.rules[j], other.rules[j], a.family()),
                    "the same rule");
  }
}

void check(Family family, const XtBlob& blob) {
  const auto table = XtTable::parse(family, blob);
  if (!table) {
    fuzz::require(table.error().code == base::Errc::invalid_input, "an error is invalid_input");
    return;
  }
  for (const auto& chain : table->chains()) {
    for (const auto& rule : chain.rules) {
      fuzz::require(!netfilter::describe_rule(rule, family).empty(), "a rule has a description");
      (void)netfilter::extensions_of(rule, family);
    }
  }
  const auto image = table->serialise();
  fuzz::require(image.ok(), "what parses serialises");
  fuzz::require(image->blob.num_entries == image->origins.size(), "one origin for each entry");
  fuzz::require(
      std::all_of(image->origins.begin(), image->origins.end(),
                  [&](const auto& origin) { return !origin || *origin < blob.num_entries; }),
      "origins are entries of the old table");
  const auto again = XtTable::parse(family, image->blob);
  fuzz::require(again.ok(), "what is serialised parses");
  check_same(*table, *again);
  const auto second = again->serialise();
  fuzz::require(second.ok(), "it serialises again");
  fuzz::require(second->blob.entries == image->blob.entries &&
                    second->blob.valid_hooks == image->blob.valid_hooks &&
                    second->blob.hook_entry == image->blob.hook_entry &&
                    second->blob.underflow == image->blob.underflow,
                "to the same bytes");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t words = 2 + 2 * XtBlob::hooks;
  if (size < words * sizeof(std::uint32_t)) return 0;
  const netfilter::ByteView input(data, size);
  auto word = [&](std::size_t index) {
    return netfilter::load<std::uint32_t>(input, index * sizeof(std::uint32_t));
  };
  XtBlob blob;
  blob.valid_hooks = word(0);
  for (std::size_t hook = 0; hook < XtBlob::hooks; ++hook) {
    blob.hook_entry[hook] = word(1 + hook);
    blob.underflow[hook] = word(1 + XtBlob::hooks + hook);
  }
  blob.num_entries = word(words - 1);
  const auto entries = input.subspan(words * sizeof(std::uint32_t));
  blob.entries.assign(entries.begin(), entries.end());
  for (const auto family : {Family::v4, Family::v6}) check(family, blob);
  return 0;
}
