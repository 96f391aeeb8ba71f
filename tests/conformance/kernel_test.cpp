// What the kernel holds after apply() is what the printed form gives when the
// distribution's own tools load it.
#include <gtest/gtest.h>

#include <map>

#include "base/strings.hpp"
#include "conformance/cases.hpp"
#include "netfilter/backend.hpp"
#include "redirect/render.hpp"
#include "support/netns_child.hpp"

namespace {

using redirect::Family;

/// Names of groups that need not exist here become numbers.
redirect::Config with_numeric_owners(redirect::Config config) {
  std::uint32_t next = 4000;
  for (auto* list : {&config.owner_groups_include.items, &config.owner_groups_exclude})
    for (auto& owner : *list)
      if (!owner.id) owner = redirect::Owner::numeric(next++);
  return config;
}

std::map<std::string, redirect::Config> all_cases(const nlohmann::json& redirects,
                                                  const nlohmann::json& pods) {
  std::map<std::string, redirect::Config> cases;
  for (const auto* kind : {"iptables", "nftables"})
    for (const auto& item : redirects.at(kind))
      cases[item.at("name")] = conformance::to_config(item.at("config"));
  for (const auto& item : conformance::pod_cases(pods)) cases["pod-" + item.name] = item.config;
  return cases;
}

const std::string save_v4 = "iptables-legacy-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'";
const std::string save_v6 = "ip6tables-legacy-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'";
/// Order of tables in the save output is the order of their creation.
std::string sorted_tables(const std::string& save) {
  std::map<std::string, std::string> tables;
  std::string current;
  for (auto line : base::split(save, '\n')) {
    if (line.starts_with("*")) current = line;
    tables[current].append(line).push_back('\n');
  }
  std::string out;
  for (const auto& [name, text] : tables) out.append(text);
  return out;
}

std::string apply_and(netfilter::Backend& backend, const redirect::Ruleset& ruleset,
                      const std::string& command) {
  return support::in_new_netns([&] {
    if (auto status = backend.apply(ruleset); !status) return status.error().message;
    if (auto same = backend.compare(ruleset); !same || !same->equal())
      return std::string("compare() does not agree with apply()");
    return support::shell(command);
  });
}

TEST(ConformanceKernel, IptablesHoldsWhatIsPrinted) {
  ICN_REQUIRE_ROOT();
  ICN_LOAD_OR_SKIP(redirects, "redirect-cases.json");
  ICN_LOAD_OR_SKIP(pods, "pod-cases.json");
  auto backend = netfilter::make_iptables();
  for (const auto& [name, original] : all_cases(*redirects, *pods)) {
    SCOPED_TRACE(name);
    const auto ruleset = redirect::build_ruleset(with_numeric_owners(original));
    const auto expected = support::in_new_netns([&] {
      auto out = support::shell_with_input("iptables-legacy-restore --noflush",
                                           iptables_restore_text(ruleset, Family::v4));
      if (ruleset.ipv6)
        out += support::shell_with_input("ip6tables-legacy-restore --noflush",
                                         iptables_restore_text(ruleset, Family::v6));
      return out + sorted_tables(support::shell(save_v4)) + sorted_tables(support::shell(save_v6));
    });
    const auto found = support::in_new_netns([&]() -> std::string {
      if (auto status = backend->apply(ruleset); !status) return status.error().message;
      if (auto same = backend->compare(ruleset); !same || !same->equal())
        return "compare() does not agree with apply()";
      return sorted_tables(support::shell(save_v4)) + sorted_tables(support::shell(save_v6));
    });
    EXPECT_EQ(found, expected);
    EXPECT_NE(found.find("ISTIO_OUTPUT"), std::string::npos);
  }
}

TEST(ConformanceKernel, NftablesHoldsWhatIsPrinted) {
  ICN_REQUIRE_ROOT();
  ICN_LOAD_OR_SKIP(redirects, "redirect-cases.json");
  ICN_LOAD_OR_SKIP(pods, "pod-cases.json");
  auto backend = netfilter::make_nftables();
  const std::string list =
      "for t in nat mangle raw; do nft list table inet istio-proxy-$t 2>&1; done";
  for (const auto& [name, original] : all_cases(*redirects, *pods)) {
    SCOPED_TRACE(name);
    const auto ruleset = redirect::build_ruleset(with_numeric_owners(original));
    const auto expected = support::in_new_netns([&] {
      auto out = support::shell_with_input("nft -f -", nft_commands(ruleset));
      return out + support::shell(list);
    });
    EXPECT_EQ(apply_and(*backend, ruleset, list), expected);
    EXPECT_NE(expected.find("istio-output"), std::string::npos);
  }
}

}  // namespace
