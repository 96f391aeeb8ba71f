// What a deletion costs: whatever may have been executed is counted, and before it
// is sent, so that neither a lost answer nor a crash makes room for another one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repair/controller.hpp"
#include "repair/fixtures.hpp"

namespace {

using repair::Deed;
using std::chrono::minutes;
using std::chrono::seconds;
using test_support::broken_pod;
using test_support::healthy_pod;
using test_support::noon;
using test_support::World;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using Kind = repair::Reply::Kind;

std::string held(const World& world, const std::string& name) {
  const auto one = world.controller->held("uid-" + name);
  return one ? one->reason : "";
}

TEST(Deletion, LostAnswersAreCounted) {
  World world;
  auto& controller = world.start();
  for (const auto* name : {"a", "b", "c"}) {
    controller.pod_changed(broken_pod(name), "");
    ASSERT_EQ(world.api.calls.size(), 1U) << name;
    world.api.lose_answer();
    // the server had done it
    controller.pod_removed(base::cat("uid-", name));
  }
  controller.pod_changed(broken_pod("d"), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_EQ(held(world, "d"), "owner_budget");
  // nor does a restart forget them
  world.start().pod_changed(broken_pod("d"), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_EQ(held(world, "d"), "owner_budget");
}

TEST(Deletion, WhatWasRefusedOrNeverSentIsNot) {
  for (const auto kind : {Kind::rejected, Kind::unavailable, Kind::conflict, Kind::gone}) {
    World world;
    auto& controller = world.start();
    for (const auto* name : {"a", "b", "c"}) {
      controller.pod_changed(broken_pod(name), "");
      world.api.answer(kind);
      controller.pod_removed(base::cat("uid-", name));
    }
    controller.pod_changed(broken_pod("d"), "");
    EXPECT_EQ(world.api.calls.size(), 1U) << static_cast<int>(kind);
    world.api.answer(kind);
    EXPECT_THAT(repair::parse_state(world.saved, "x")->budget.owners, IsEmpty());
  }
}

TEST(Deletion, TheSamePodIsTriedAgainOnItsOwnPlace) {
  World world;
  world.repair.per_owner = 1;
  auto& controller = world.start();
  controller.pod_changed(broken_pod("a"), "");
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(world.api.calls.size(), 1U) << i;
    world.api.lose_answer();
    EXPECT_EQ(held(world, "a"), "failed");
    controller.pod_changed(broken_pod("b"), "");
    EXPECT_EQ(held(world, "b"), "owner_budget");
    while (world.api.calls.empty()) ASSERT_TRUE(world.wait_for_wake());
    EXPECT_EQ(world.api.calls[0].target.name, "a");
  }
  world.api.answer();
  EXPECT_EQ(controller.state().budget.owners.at("rs-1").strikes, 1) << "one pod, however often";
}

TEST(Deletion, IsWrittenDownBeforeItIsSent) {
  World world;
  world.slow_disk = true;
  auto& controller = world.start();
  controller.pod_changed(broken_pod("a"), "");
  controller.pod_changed(broken_pod("b"), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  const auto written = *repair::parse_state(world.saved, "x");
  EXPECT_THAT(written.budget.node,
              ElementsAre(Pair("uid-a", testing::_), Pair("uid-b", testing::_)));
  controller.pod_changed(broken_pod("a"), "");
  controller.tick();
  EXPECT_THAT(world.api.calls, IsEmpty()) << "one at a time about one pod";
  world.disk_is_done();
  EXPECT_EQ(world.api.calls.size(), 2U);
}

TEST(Deletion, AKillInTheMiddleNeitherLosesItNorMakesRoom) {
  World world;
  world.repair.per_owner = 1;
  world.start().pod_changed(broken_pod("a"), "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  world.api.calls.clear();
  auto& controller = world.start();
  controller.pod_changed(broken_pod("b"), "");
  EXPECT_EQ(held(world, "b"), "owner_budget");
  EXPECT_THAT(world.api.calls, IsEmpty());
  controller.pod_changed(broken_pod("a"), "");
  ASSERT_EQ(world.api.calls.size(), 1U) << "it may not have been done";
  EXPECT_EQ(world.api.calls[0].target.name, "a");
}

TEST(Deletion, IsNotSentWhenTheWorldHasChangedMeanwhile) {
  const std::vector<std::pair<std::string, std::function<void(World&)>>> changes{
      {"not ready", [](World& world) { world.controller->node_ready(false, "x"); }},
      {"healed", [](World& world) { world.controller->pod_changed(healthy_pod(), ""); }},
      {"gone", [](World& world) { world.controller->pod_removed("uid-web-1"); }},
      {"off", [](World& world) {
         world.repair.mode = config::RepairMode::off;
         world.reload();
       }}};
  for (const auto& [what, change] : changes) {
    World world;
    world.slow_disk = true;
    world.start().pod_changed(broken_pod(), "");
    change(world);
    world.disk_is_done();
    EXPECT_THAT(world.api.calls, IsEmpty()) << what;
    EXPECT_THAT(repair::parse_state(world.saved, "x")->budget.node, IsEmpty()) << what;
    EXPECT_THAT(world.metrics, IsEmpty()) << what;
    EXPECT_EQ(held(world, "web-1"), what == "not ready" ? "node_not_ready" : "") << what;
  }
  // and one that goes on once all is well again
  World world;
  world.slow_disk = true;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  controller.node_ready(false, "x");
  world.disk_is_done();
  controller.node_ready(true, "");
  world.disk_is_done();
  EXPECT_EQ(world.api.calls.size(), 1U);
}

TEST(Deletion, ABrokenInstallationIsNoEvictionLoop) {
  World world;
  auto& controller = world.start();
  // every pod that a ReplicaSet makes breaks again at once
  int deleted = 0;
  for (int second = 0; second < 4 * 3600; ++second) {
    const auto name = "web-" + std::to_string(deleted);
    controller.pod_changed(broken_pod(name), "");
    if (!world.api.calls.empty()) {
      world.api.answer();
      controller.pod_removed("uid-" + name);
      ++deleted;
    }
    world.wait(seconds(1));
  }
  // at 0 (three), 10, 20, 40, 80, 160 minutes
  EXPECT_EQ(deleted, 8);
  EXPECT_GE(world.held.at("owner_budget"), 5);
}

TEST(Deletion, TwoHundredAtOnceAreDeletedWithinTheNodesBudget) {
  World world;
  auto& controller = world.start();
  for (int i = 0; i < 200; ++i)
    controller.pod_changed(broken_pod("web-" + std::to_string(i), "rs-" + std::to_string(i)), "");
  std::vector<std::size_t> per_minute;
  for (int minute = 0; minute < 7; ++minute) {
    per_minute.push_back(world.api.calls.size());
    while (!world.api.calls.empty()) {
      const auto uid = world.api.calls[0].target.uid;
      world.api.answer();
      controller.pod_removed(uid);
    }
    if (minute < 6) {
      ASSERT_TRUE(world.wait_for_wake());
      ASSERT_TRUE(world.clock.time <= noon() + minutes(minute + 1));
      world.clock.time = noon() + minutes(minute + 1);
      controller.tick();
    }
  }
  EXPECT_THAT(per_minute, ElementsAre(30, 30, 30, 30, 30, 30, 20));
  EXPECT_THAT(controller.status().held, IsEmpty());
  EXPECT_EQ(world.metrics.at("delete success"), 200);
}

TEST(Deletion, BudgetsSurviveARestart) {
  World world;
  world.start();
  for (const auto* name : {"a", "b", "c"}) {
    world.controller->pod_changed(broken_pod(name), "");
    world.api.answer();
  }
  world.start().pod_changed(broken_pod("d"), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_EQ(world.controller->status().held.at(0).reason, "owner_budget");
}

TEST(Deletion, ADeedIsSavedBeforeItsEvent) {
  World world;
  world.start().pod_changed(broken_pod(), "");
  const auto before = world.saves;
  world.api.answer();
  EXPECT_EQ(world.saves, before + 1);
  EXPECT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(repair::parse_state(world.saved, "x")->pods.at("uid-web-1").deed, Deed::deleted);
}

TEST(Deletion, DeletedButStillWholeIsTakenUpAgain) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.api.answer();
  ASSERT_TRUE(world.wait_for_wake());
  EXPECT_EQ(world.clock.time, noon() + repair::deletion_patience);
  ASSERT_EQ(world.api.calls.size(), 1U);
}

TEST(Deletion, NothingIsSentAfterTheEnd) {
  World world;
  world.slow_disk = true;
  world.start().pod_changed(broken_pod(), "");
  world.controller.reset();
  world.disk_is_done();
  EXPECT_THAT(world.api.calls, IsEmpty());
}

}  // namespace
