// The controller's repairs in place, with a worker that is made up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/time.hpp"
#include "repair/controller.hpp"
#include "repair/fixtures.hpp"

namespace {

using config::RepairMode;
using nlohmann::json;
using repair::Deed;
using std::chrono::minutes;
using std::chrono::seconds;
using test_support::broken_pod;
using test_support::healthy_pod;
using test_support::noon;
using test_support::termination;
using test_support::World;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using Outcome = repair::InPlaceReport::Outcome;

std::string text_of(const std::string& event, const char* key) {
  return json::parse(event).at(key).get<std::string>();
}

/// The same pod after so many restarts, the last run ended `after` noon.
pod::Pod restarted(int count, seconds after) {
  auto pod = broken_pod();
  pod.resource_version = "200";
  pod.init_statuses[0].restart_count = count;
  pod.init_statuses[0].last_terminated = termination(126, base::format_rfc3339(noon() + after));
  return pod;
}

TEST(InPlace, RepairsOnceAndCountsAfterItsEnd) {
  World world(RepairMode::repair);
  auto& controller = world.start(false);  // a node that is not ready is no obstacle
  controller.pod_changed(broken_pod(), "/run/netns/cni-1");
  controller.pod_changed(broken_pod(), "/run/netns/cni-1");
  ASSERT_EQ(world.jobs.jobs.size(), 1U);
  EXPECT_EQ(world.jobs.jobs[0].netns, "/run/netns/cni-1");
  EXPECT_EQ(world.jobs.jobs[0].pod.uid, "uid-web-1");
  EXPECT_THAT(world.metrics, IsEmpty());
  world.jobs.answer(Outcome::repaired);
  EXPECT_THAT(world.metrics, ElementsAre(Pair("repair success", 1)));
  ASSERT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(text_of(world.api.events[0], "reason"), "RepairBrokenPod");
  EXPECT_THAT(text_of(world.api.events[0], "message"), HasSubstr("repaired in place"));
  EXPECT_THAT(world.messages(logging::Level::info),
              ElementsAre("Repairing broken pod: shop/web-1", "Repaired broken pod: shop/web-1"));
  EXPECT_THAT(std::get<2>(world.log.at(1)), Contains(Pair("BACKEND", "nftables")));
  controller.pod_changed(restarted(2, seconds(-60)), "");
  EXPECT_THAT(world.jobs.jobs, IsEmpty()) << "it runs, with rules now";
  // also after a restart of the agent
  world.start().pod_changed(restarted(2, seconds(-60)), "");
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
  EXPECT_THAT(world.api.calls, IsEmpty());
}

TEST(InPlace, FailureIsRetried) {
  World world(RepairMode::repair);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.jobs.answer(Outcome::failed, "no network namespace");
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
  EXPECT_THAT(world.metrics, ElementsAre(Pair("repair fail", 1)));
  EXPECT_EQ(controller.status().held.at(0).text, "no network namespace");
  EXPECT_THAT(text_of(world.api.events.at(0), "message"),
              AllOf(HasSubstr("repairing it failed"), HasSubstr("no network namespace")));
  ASSERT_TRUE(world.wait_for_wake());
  ASSERT_EQ(world.jobs.jobs.size(), 1U);
  world.jobs.answer(Outcome::repaired);
  EXPECT_EQ(controller.state().pods.at("uid-web-1").attempts, 2);
  EXPECT_THAT(controller.status().held, IsEmpty());
}

TEST(InPlace, BrokenAgainIsRepairedAgain) {
  World world(RepairMode::repair);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.jobs.answer(Outcome::repaired);
  controller.pod_changed(restarted(2, seconds(30)), "");
  ASSERT_EQ(world.jobs.jobs.size(), 1U) << "somebody took the rules away";
  world.clock.time += seconds(31);
  world.jobs.answer(Outcome::repaired);
  controller.pod_changed(restarted(2, seconds(30)), "");
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
}

TEST(InPlace, ThenDeletes) {
  World world(RepairMode::repair_then_delete);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.jobs.answer(Outcome::repaired);
  controller.pod_changed(restarted(2, seconds(-60)), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  controller.pod_changed(restarted(2, seconds(30)), "");
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].what, "delete");
  world.api.answer();
  EXPECT_THAT(world.metrics,
              UnorderedElementsAre(Pair("repair success", 1), Pair("delete success", 1)));
}

TEST(InPlace, ThenDeletesAfterFailuresToo) {
  World world(RepairMode::repair_then_delete);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  for (int i = 0; i < 3; ++i) {
    world.jobs.answer(Outcome::failed, "kernel");
    ASSERT_TRUE(world.wait_for_wake());
    ASSERT_EQ(world.jobs.jobs.size(), 1U);
  }
  world.jobs.answer(Outcome::failed, "kernel");
  // ended between the attempts: after the first one
  controller.pod_changed(restarted(2, seconds(1)), "");
  ASSERT_TRUE(world.wait_for_wake());
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].target.resource_version, "200");
}

TEST(InPlace, ThenDeletesAlsoAfterARestartOfTheAgent) {
  World world(RepairMode::repair_then_delete);
  world.start().pod_changed(broken_pod(), "");
  world.jobs.answer(Outcome::repaired);
  world.start().pod_changed(restarted(2, seconds(30)), "");
  EXPECT_EQ(world.api.calls.size(), 1U);
}

TEST(InPlace, ARestartMeanwhileDoesNotCountAgainstIt) {
  World world(RepairMode::repair_then_delete);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  // the next run began before the rules were there
  controller.pod_changed(restarted(2, seconds(0)), "");
  world.clock.time += std::chrono::milliseconds(500);
  world.jobs.answer(Outcome::repaired);
  controller.pod_changed(restarted(2, seconds(5)), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  controller.pod_changed(restarted(3, seconds(15)), "");
  EXPECT_EQ(world.api.calls.size(), 1U);
}

TEST(InPlace, AJobsPodIsHeldBackOrDeleted) {
  auto pod = broken_pod();
  pod.restart_policy = "Never";
  pod.phase = "Failed";
  pod.init_statuses[0] = {"istio-validation", 0, termination(), std::nullopt};
  {
    World world(RepairMode::repair);
    world.start().pod_changed(pod, "");
    EXPECT_THAT(world.jobs.jobs, IsEmpty());
    EXPECT_THAT(world.held, ElementsAre(Pair("not_restarted", 1)));
    EXPECT_THAT(text_of(world.api.events.at(0), "message"), HasSubstr("only a new pod can help"));
  }
  for (const auto mode : {RepairMode::repair_then_delete, RepairMode::del}) {
    World world(mode);
    world.start().pod_changed(pod, "");
    EXPECT_EQ(world.api.calls.size(), 1U);
  }
}

TEST(InPlace, WhatThePluginLeavesAloneIsLeftAlone) {
  World world(RepairMode::repair_then_delete);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.jobs.answer(Outcome::skipped, "excluded-namespace");
  controller.pod_changed(restarted(2, seconds(30)), "");
  world.wait(minutes(1));
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.metrics, ElementsAre(Pair("repair skip", 1)));
  EXPECT_EQ(controller.status().held.at(0).reason, "not_redirected");
  // another configuration may say otherwise
  world.reload();
  EXPECT_EQ(world.jobs.jobs.size(), 1U);
}

TEST(InPlace, HealedOrGoneMeanwhile) {
  World world(RepairMode::repair);
  auto& controller = world.start();
  controller.pod_changed(broken_pod("a"), "");
  controller.pod_changed(broken_pod("b"), "");
  controller.pod_changed(broken_pod("c"), "");
  controller.pod_changed(healthy_pod("a"), "");
  controller.pod_removed("uid-b");
  world.jobs.answer(Outcome::failed, "x");
  world.jobs.answer(Outcome::failed, "x");
  world.wait(minutes(10));
  EXPECT_EQ(world.jobs.jobs.size(), 1U) << "only c's first";
  EXPECT_FALSE(controller.state().pods.contains("uid-b"));
  world.controller.reset();
  world.jobs.answer(Outcome::repaired);
  EXPECT_FALSE(world.metrics.contains("repair success"));
}

}  // namespace
