#include "repair/budget.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.hpp"
#include "repair/fixtures.hpp"

namespace {

using repair::Budget;
using repair::Limits;
using repair::Time;
using repair::Verdict;
using std::chrono::minutes;
using std::chrono::seconds;
using test_support::noon;
using Why = Verdict::Why;

void use(Budget& budget, const std::string& owner, Time now) {
  budget.begin(owner);
  budget.end(owner, "ReplicaSet/" + owner, true, now);
}

TEST(Budget, ThreePerOwnerInTenMinutes) {
  Budget budget;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(budget.check("a", noon() + minutes(i)).allowed()) << i;
    use(budget, "a", noon() + minutes(i));
  }
  const auto verdict = budget.check("a", noon() + minutes(3));
  EXPECT_EQ(verdict.why, Why::owner);
  EXPECT_EQ(verdict.until, noon() + minutes(10)) << "when the first leaves the window";
  EXPECT_THAT(verdict.text, testing::HasSubstr("10 min"));
  EXPECT_TRUE(budget.check("b", noon() + minutes(3)).allowed());
  EXPECT_FALSE(budget.check("a", noon() + minutes(10) - seconds(1)).allowed());
  EXPECT_TRUE(budget.check("a", noon() + minutes(10)).allowed());
}

TEST(Budget, TwoInTenMinutesForEverAreNoReasonToWait) {
  Budget budget;
  for (int i = 0; i < 50; ++i) {
    const auto now = noon() + minutes(6 * i);
    ASSERT_TRUE(budget.check("a", now).allowed()) << i;
    use(budget, "a", now);
  }
}

TEST(Budget, BeyondThatEachWaitIsTwiceTheLast) {
  Budget budget;
  auto now = noon();
  for (int i = 0; i < 3; ++i) use(budget, "a", now);
  std::vector<long> waits;
  for (int i = 0; i < 8; ++i) {
    const auto verdict = budget.check("a", now);
    ASSERT_EQ(verdict.why, Why::owner);
    waits.push_back(std::chrono::duration_cast<minutes>(verdict.until - now).count());
    now = verdict.until;
    ASSERT_TRUE(budget.check("a", now).allowed());
    budget.begin("a");
    EXPECT_EQ(budget.check("a", now).why, Why::owner) << "one at a time";
    budget.end("a", "", true, now);
  }
  EXPECT_THAT(waits, testing::ElementsAre(10, 10, 20, 40, 80, 120, 120, 120));
  // quiet for as long again: forgiven
  const auto until = budget.check("a", now).until;
  EXPECT_FALSE(budget.check("a", until - seconds(1)).allowed());
  const auto later = until + minutes(120);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(budget.check("a", later).allowed()) << i;
    use(budget, "a", later);
  }
  EXPECT_EQ(budget.check("a", later).until, later + minutes(10));
}

TEST(Budget, ThirtyPerNodeInAMinute) {
  Budget budget;
  for (int i = 0; i < 30; ++i) {
    const auto now = noon() + seconds(i);
    ASSERT_TRUE(budget.check(base::cat("o", i), now).allowed());
    use(budget, base::cat("o", i), now);
  }
  const auto verdict = budget.check("new", noon() + seconds(30));
  EXPECT_EQ(verdict.why, Why::node);
  EXPECT_EQ(verdict.until, noon() + seconds(60));
  EXPECT_TRUE(budget.check("new", noon() + seconds(60)).allowed());
  use(budget, "new", noon() + seconds(60));
  EXPECT_FALSE(budget.check("newer", noon() + seconds(60)).allowed());
}

TEST(Budget, WhatIsUnderWayCountsAndWhatFailedDoesNot) {
  Budget budget;
  for (int i = 0; i < 3; ++i) budget.begin("a");
  EXPECT_EQ(budget.check("a", noon()).why, Why::owner);
  EXPECT_GT(budget.check("a", noon()).until, noon());
  for (int i = 0; i < 3; ++i) budget.end("a", "", false, noon());
  EXPECT_TRUE(budget.check("a", noon()).allowed());
  EXPECT_TRUE(budget.used().owners.empty());
  for (int i = 0; i < 30; ++i) budget.begin(base::cat("o", i));
  EXPECT_EQ(budget.check("a", noon()).why, Why::node);
}

TEST(Budget, NoneAtAll) {
  Limits limits;
  limits.per_owner = 0;
  EXPECT_EQ(Budget(limits).check("a", noon()).why, Why::owner);
  limits = {};
  limits.per_node = 0;
  EXPECT_EQ(Budget(limits).check("a", noon()).why, Why::node);
}

TEST(Budget, LimitsLoweredMeanwhile) {
  Budget budget;
  use(budget, "a", noon());
  use(budget, "a", noon() + minutes(1));
  Limits limits;
  limits.per_owner = 1;
  budget.set_limits(limits);
  EXPECT_EQ(budget.check("a", noon() + minutes(2)).until, noon() + minutes(11));
}

TEST(Budget, SurvivesARestartAndAClockSetBack) {
  Budget before;
  for (int i = 0; i < 3; ++i) use(before, "a", noon());
  Budget after;
  after.restore(before.used(), noon() + minutes(5));
  EXPECT_EQ(after.check("a", noon() + minutes(5)).until, noon() + minutes(10));
  EXPECT_EQ(after.used().owners, before.used().owners);
  // the clock now says a year earlier
  const auto past = noon() - std::chrono::hours(8760);
  after.restore(before.used(), past);
  EXPECT_LE(after.check("a", past).until, past + minutes(10));
  EXPECT_TRUE(after.check("a", past + minutes(10)).allowed());
}

TEST(Budget, ForgetsOwners) {
  Budget budget;
  for (int i = 0; i < 100; ++i) use(budget, base::cat("o", i), noon() + seconds(2 * i));
  use(budget, "last", noon() + minutes(30));
  EXPECT_EQ(budget.used().owners.size(), 1U);
  EXPECT_EQ(budget.used().node.size(), 1U);
}

}  // namespace
