#include "repair/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.hpp"
#include "base/time.hpp"
#include "repair/fixtures.hpp"
#include "support/temp_dir.hpp"

namespace {

using repair::Deed;
using repair::State;
using std::chrono::minutes;
using std::chrono::seconds;
using test_support::noon;
using testing::HasSubstr;

State some_state() {
  State state;
  int i = 0;
  for (const auto deed :
       {Deed::repaired, Deed::repair_failed, Deed::deleted, Deed::evicted, Deed::labelled}) {
    ++i;
    state.put(base::cat("uid-", i), {"shop", base::cat("web-", i), deed, noon(), i, i});
  }
  state.budget.owners["rs-1"] = {"ReplicaSet/web",
                                 {{"uid-1", noon()}, {"uid-2", noon() + seconds(1)}},
                                 2,
                                 noon() + minutes(10)};
  state.budget.node = {{"uid-1", noon()}, {"uid-2", noon() + seconds(1)}};
  return state;
}

TEST(RepairState, ThereAndBack) {
  const auto text = to_json(some_state());
  auto parsed = repair::parse_state(text, "x");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(*parsed, some_state());
  EXPECT_EQ(*repair::parse_state(to_json(State{}), "x"), State{});
}

TEST(RepairState, AnotherVersionsKeysAreIgnoredAndMissingOnesAreNone) {
  auto parsed = repair::parse_state(
      R"({"version":2,"new":[1],"pods":{"u":{"done":"deleted","new":1}}})", "x");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->pods.at("u").deed, Deed::deleted);
  EXPECT_TRUE(repair::parse_state("{}", "x").ok());
}

TEST(RepairState, WhatIsWrongIsNamed) {
  for (const char* text :
       {"", "[]", "{", R"({"pods":[]})", R"({"pods":{"u":1}})", R"({"pods":{"u":{"done":"x"}}})",
        R"({"pods":{"u":{"done":"deleted","at":"noon"}}})",
        R"({"pods":{"u":{"done":"deleted","restartCount":"1"}}})",
        R"({"pods":{"u":{"done":"deleted","name":1}}})", R"({"node":[]})", R"({"node":{"u":1}})",
        R"({"owners":1})", R"({"owners":{"o":[]}})", R"({"owners":{"o":{"pods":[]}}})"}) {
    auto parsed = repair::parse_state(text, "repairs.json");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr("repairs.json")) << text;
  }
}

TEST(RepairState, IsBounded) {
  State state;
  for (std::size_t i = 0; i < repair::max_records + 10; ++i)
    state.put(base::cat("u", i), {"n", "p", Deed::deleted, noon() + seconds(i), 0, 0});
  EXPECT_EQ(state.pods.size(), repair::max_records);
  EXPECT_FALSE(state.pods.contains("u9"));
  EXPECT_TRUE(state.pods.contains("u10"));
  EXPECT_TRUE(state.prune({"u10", "u11", "unknown"}));
  EXPECT_EQ(state.pods.size(), 2U);
  EXPECT_FALSE(state.prune({"u10", "u11"}));
}

TEST(RepairState, File) {
  const test_support::TempDir folder;
  const auto path = folder.path("repairs.json");
  auto missing = repair::load_state(path);
  ASSERT_TRUE(missing.ok());
  EXPECT_EQ(*missing, State{});
  ASSERT_TRUE(repair::save_state(path, to_json(some_state())).ok());
  EXPECT_EQ(*repair::load_state(path), some_state());
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_FALSE(repair::save_state(folder.path("none/repairs.json"), "{}").ok());
  folder.write("repairs.json", "{");
  EXPECT_THAT(repair::load_state(path).error().message, HasSubstr(path));
}

TEST(RepairTime, WholeSeconds) {
  EXPECT_EQ(base::format_rfc3339(noon()), "2026-11-24T12:00:00Z");
  EXPECT_EQ(base::format_rfc3339(noon() + std::chrono::milliseconds(999)), "2026-11-24T12:00:00Z");
}

}  // namespace
