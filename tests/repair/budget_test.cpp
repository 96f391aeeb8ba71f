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

std::string new_pod() {
  static int made = 0;
  return base::cat("pod-", ++made);
}

void use(Budget& budget, const std::string& owner, Time now) {
  const auto pod = new_pod();
  budget.begin(owner, "ReplicaSet/" + owner, pod, now);
  budget.end(pod, true, now);
}

Verdict check(const Budget& budget, const std::string& owner, Time now) {
  return budget.check(owner, new_pod(), now);
}

TEST(Budget, ThreePerOwnerInTenMinutes) {
  Budget budget;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(check(budget, "a", noon() + minutes(i)).allowed()) << i;
    use(budget, "a", noon() + minutes(i));
  }
  const auto verdict = check(budget, "a", noon() + minutes(3));
  EXPECT_EQ(verdict.why, Why::owner);
  EXPECT_EQ(verdict.until, noon() + minutes(10)) << "when the first leaves the window";
  EXPECT_THAT(verdict.text, testing::HasSubstr("10 min"));
  EXPECT_TRUE(check(budget, "b", noon() + minutes(3)).allowed());
  EXPECT_FALSE(check(budget, "a", noon() + minutes(10) - seconds(1)).allowed());
  EXPECT_TRUE(check(budget, "a", noon() + minutes(10)).allowed());
}

TEST(Budget, TwoInTenMinutesForEverAreNoReasonToWait) {
  Budget budget;
  for (int i = 0; i < 50; ++i) {
    const auto now = noon() + minutes(6 * i);
    ASSERT_TRUE(check(budget, "a", now).allowed()) << i;
    use(budget, "a", now);
  }
}

TEST(Budget, BeyondThatEachWaitIsTwiceTheLast) {
  Budget budget;
  auto now = noon();
  for (int i = 0; i < 3; ++i) use(budget, "a", now);
  std::vector<long> waits;
  for (int i = 0; i < 8; ++i) {
    const auto verdict = check(budget, "a", now);
    ASSERT_EQ(verdict.why, Why::owner);
    waits.push_back(std::chrono::duration_cast<minutes>(verdict.until - now).count());
    now = verdict.until;
    ASSERT_TRUE(check(budget, "a", now).allowed());
    const auto pod = new_pod();
    budget.begin("a", "", pod, now);
    EXPECT_EQ(check(budget, "a", now).why, Why::owner) << "one at a time";
    budget.end(pod, true, now);
  }
  EXPECT_THAT(waits, testing::ElementsAre(10, 10, 20, 40, 80, 120, 120, 120));
  // quiet for as long again: forgiven
  const auto until = check(budget, "a", now).until;
  EXPECT_FALSE(check(budget, "a", until - seconds(1)).allowed());
  const auto later = until + minutes(120);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(check(budget, "a", later).allowed()) << i;
    use(budget, "a", later);
  }
  EXPECT_EQ(check(budget, "a", later).until, later + minutes(10));
}

TEST(Budget, ThirtyPerNodeInAMinute) {
  Budget budget;
  for (int i = 0; i < 30; ++i) {
    const auto now = noon() + seconds(i);
    ASSERT_TRUE(check(budget, base::cat("o", i), now).allowed());
    use(budget, base::cat("o", i), now);
  }
  const auto verdict = check(budget, "new", noon() + seconds(30));
  EXPECT_EQ(verdict.why, Why::node);
  EXPECT_EQ(verdict.until, noon() + seconds(60));
  EXPECT_TRUE(check(budget, "new", noon() + seconds(60)).allowed());
  use(budget, "new", noon() + seconds(60));
  EXPECT_FALSE(check(budget, "newer", noon() + seconds(60)).allowed());
}

TEST(Budget, WhatIsUnderWayCountsAndWhatFailedDoesNot) {
  Budget budget;
  for (const auto* pod : {"1", "2", "3"}) budget.begin("a", "", pod, noon());
  EXPECT_EQ(check(budget, "a", noon()).why, Why::owner);
  EXPECT_GT(check(budget, "a", noon()).until, noon());
  for (const auto* pod : {"1", "2", "3"}) budget.end(pod, false, noon());
  EXPECT_TRUE(check(budget, "a", noon()).allowed());
  EXPECT_TRUE(budget.used().owners.empty());
  for (int i = 0; i < 30; ++i) budget.begin(base::cat("o", i), "", new_pod(), noon());
  EXPECT_EQ(check(budget, "a", noon()).why, Why::node);
}

TEST(Budget, APodThatMayBeGoneKeepsItsPlaceAndTakesNoSecond) {
  Budget budget;
  const auto ask = [&](const std::string& pod, Time now) {
    budget.begin("a", "", pod, now);
    budget.end(pod, true, now);
  };
  for (const auto* pod : {"1", "2", "3"}) ask(pod, noon());
  EXPECT_EQ(budget.check("a", "4", noon()).why, Why::owner);
  EXPECT_TRUE(budget.check("a", "1", noon()).allowed()) << "one of the three already";
  budget.begin("a", "", "1", noon() + minutes(9));
  EXPECT_EQ(budget.check("a", "4", noon() + minutes(9)).until, noon() + minutes(10));
  budget.end("1", false, noon() + minutes(9));
  EXPECT_TRUE(budget.used().owners.at("a").pods.contains("1")) << "the first request counts still";
  ask("1", noon() + minutes(9));
  EXPECT_EQ(budget.used().owners.at("a").strikes, 1) << "three pods, not four";
  EXPECT_EQ(budget.used().owners.at("a").pods.at("1"), noon() + minutes(9));
  // beyond the window it is a pod as any other
  EXPECT_FALSE(check(budget, "a", noon() + minutes(9)).allowed());
  EXPECT_TRUE(budget.check("a", "2", noon() + minutes(10)).allowed());
  ask("5", noon() + minutes(10));
  EXPECT_EQ(budget.check("a", "2", noon() + minutes(10)).why, Why::owner);
  EXPECT_TRUE(budget.check("a", "1", noon() + minutes(18)).allowed());
}

TEST(Budget, TheNodesLimitHoldsForThoseAskedForAgain) {
  Limits limits;
  limits.per_node = 2;
  Budget budget(limits);
  for (const auto* pod : {"1", "2"}) {
    budget.begin(pod, "", pod, noon());
    budget.end(pod, true, noon());
  }
  EXPECT_TRUE(budget.check("1", "1", noon()).allowed()) << "one of the two already";
  EXPECT_EQ(budget.check("3", "3", noon()).why, Why::node);
  // a minute later two others have the places
  for (const auto* pod : {"3", "4"}) {
    budget.begin(pod, "", pod, noon() + minutes(1));
    budget.end(pod, true, noon() + minutes(1));
  }
  EXPECT_EQ(budget.check("1", "1", noon() + minutes(1)).why, Why::node);
}

TEST(Budget, WhatIsUnderWayIsInTheStateAsIfDone) {
  Budget before;
  for (const auto* pod : {"1", "2", "3"}) before.begin("a", "ReplicaSet/a", pod, noon());
  Budget after;
  after.restore(before.used(), noon() + seconds(1));
  EXPECT_EQ(after.check("a", "4", noon() + seconds(1)).until, noon() + minutes(10));
  EXPECT_TRUE(after.check("a", "1", noon() + seconds(1)).allowed()) << "to be judged anew";
  EXPECT_EQ(after.used().owners.at("a").label, "ReplicaSet/a");
  for (const auto* pod : {"1", "2", "3"}) before.end(pod, false, noon());
  EXPECT_EQ(before.used(), Budget::Used{});
}

TEST(Budget, AnOwnerThatWasForgivenHasItsLimitAlsoForManyAtOnce) {
  Budget budget;
  for (int i = 0; i < 3; ++i) use(budget, "a", noon());
  const auto later = noon() + minutes(20);  // a window after the window
  int begun = 0;
  for (; begun < 10 && check(budget, "a", later).allowed(); ++begun)
    budget.begin("a", "", new_pod(), later);
  EXPECT_EQ(begun, 3);
}

TEST(Budget, NoneAtAll) {
  Limits limits;
  limits.per_owner = 0;
  EXPECT_EQ(check(Budget(limits), "a", noon()).why, Why::owner);
  limits = {};
  limits.per_node = 0;
  EXPECT_EQ(check(Budget(limits), "a", noon()).why, Why::node);
}

TEST(Budget, LimitsLoweredMeanwhile) {
  Budget budget;
  use(budget, "a", noon());
  use(budget, "a", noon() + minutes(1));
  Limits limits;
  limits.per_owner = 1;
  budget.set_limits(limits);
  EXPECT_EQ(check(budget, "a", noon() + minutes(2)).until, noon() + minutes(11));
}

TEST(Budget, SurvivesARestartAndAClockSetBack) {
  Budget before;
  for (int i = 0; i < 3; ++i) use(before, "a", noon());
  Budget after;
  after.restore(before.used(), noon() + minutes(5));
  EXPECT_EQ(check(after, "a", noon() + minutes(5)).until, noon() + minutes(10));
  EXPECT_EQ(after.used().owners, before.used().owners);
  // the clock now says a year earlier
  const auto past = noon() - std::chrono::hours(8760);
  after.restore(before.used(), past);
  EXPECT_LE(check(after, "a", past).until, past + minutes(10));
  EXPECT_TRUE(check(after, "a", past + minutes(10)).allowed());
}

TEST(Budget, ForgetsOwners) {
  Budget budget;
  for (int i = 0; i < 100; ++i) use(budget, base::cat("o", i), noon() + seconds(2 * i));
  use(budget, "last", noon() + minutes(30));
  EXPECT_EQ(budget.used().owners.size(), 1U);
  EXPECT_EQ(budget.used().node.size(), 1U);
}

}  // namespace
