#include <gtest/gtest.h>

#include "conformance/cases.hpp"
#include "redirect/render.hpp"

namespace {

using conformance::lines;
using redirect::Family;

TEST(Conformance, IptablesText) {
  ICN_LOAD_OR_SKIP(file, "redirect-cases.json");
  for (const auto& item : file->at("iptables")) {
    SCOPED_TRACE(item.at("name"));
    const auto ruleset = redirect::build_ruleset(conformance::to_config(item.at("config")));
    EXPECT_EQ(redirect::iptables_restore_text(ruleset, Family::v4), lines(item.at("ipv4")));
    EXPECT_EQ(redirect::iptables_restore_text(ruleset, Family::v6), lines(item.at("ipv6")));
  }
}

TEST(Conformance, NftCommands) {
  ICN_LOAD_OR_SKIP(file, "redirect-cases.json");
  for (const auto& item : file->at("nftables")) {
    SCOPED_TRACE(item.at("name"));
    const auto ruleset = redirect::build_ruleset(conformance::to_config(item.at("config")));
    EXPECT_EQ(redirect::nft_commands(ruleset), lines(item.at("commands")));
  }
}

TEST(Conformance, PodsToText) {
  ICN_LOAD_OR_SKIP(file, "pod-cases.json");
  for (const auto& item : conformance::pod_cases(*file)) {
    SCOPED_TRACE(item.name);
    EXPECT_EQ(redirect::iptables_restore_text(redirect::build_ruleset(item.config), Family::v4),
              item.ipv4);
  }
}

}  // namespace
