#include "repair/controller.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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
using test_support::World;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using Kind = repair::Reply::Kind;

std::string reason(const std::string& event) { return json::parse(event).at("reason"); }
std::string message(const std::string& event) { return json::parse(event).at("message"); }

TEST(Controller, DeletesWithPreconditionsOnce) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(healthy_pod("web-0"), "");
  controller.pod_changed(broken_pod(), "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  const auto& call = world.api.calls[0];
  EXPECT_EQ(call.what, "delete");
  EXPECT_EQ(call.target.name_space, "shop");
  EXPECT_EQ(call.target.name, "web-1");
  EXPECT_EQ(call.target.uid, "uid-web-1");
  EXPECT_EQ(call.target.resource_version, "100");

  // one action at a time, and none again once it is done
  auto later = broken_pod();
  later.resource_version = "101";
  controller.pod_changed(later, "");
  EXPECT_EQ(world.api.calls.size(), 1U);
  world.clock.time += std::chrono::milliseconds(250);
  world.api.answer();
  EXPECT_THAT(world.api.calls, IsEmpty());
  controller.pod_changed(later, "");
  controller.tick();
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.metrics, ElementsAre(Pair("delete success", 1)));
  EXPECT_THAT(world.durations, ElementsAre(std::chrono::duration<double>(0.25)));
  EXPECT_EQ(controller.status().repaired, 1U);
  ASSERT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(reason(world.api.events[0]), "DeleteBrokenPod");
  EXPECT_THAT(message(world.api.events[0]),
              AllOf(HasSubstr("detected as broken and deleted"), HasSubstr("code 126")));
}

TEST(Controller, EveryActionSaysWhomItIsAboutAndWhy) {
  struct Case {
    RepairMode mode;
    bool evict;
    std::string message;
    std::string mode_name;
  };
  for (const auto& one : {Case{RepairMode::del, false, "Deleting broken pod: ", "delete"},
                          Case{RepairMode::del, true, "Deleting broken pod: ", "delete"},
                          Case{RepairMode::label, false, "Labeling broken pod: ", "label"},
                          Case{RepairMode::repair, false, "Repairing broken pod: ", "repair"},
                          Case{RepairMode::repair_then_delete, false,
                               "Repairing broken pod: ", "repair-then-delete"}}) {
    World world(one.mode);
    world.repair.evict = one.evict;
    world.start().pod_changed(broken_pod(), "");
    ASSERT_FALSE(world.log.empty()) << one.mode_name;
    const auto& [level, text, fields] = world.log.front();
    EXPECT_EQ(level, logging::Level::info);
    EXPECT_EQ(text, one.message + "shop/web-1");
    EXPECT_THAT(fields, ElementsAre(Pair("POD_NAMESPACE", "shop"), Pair("POD_NAME", "web-1"),
                                    Pair("POD_UID", "uid-web-1"), Pair("OWNER", "ReplicaSet/web"),
                                    Pair("REPAIR_MODE", one.mode_name),
                                    Pair("CAUSE", HasSubstr("code 126"))));
  }
}

TEST(Controller, AfterTheAnswerThePodMayBeGone) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  controller.pod_removed("uid-web-1");
  world.api.answer();
  EXPECT_THAT(world.metrics, ElementsAre(Pair("delete success", 1)));
  EXPECT_EQ(world.api.events.size(), 1U);
  EXPECT_THAT(controller.state().pods, IsEmpty());
}

TEST(Controller, OffDoesNothing) {
  World world(RepairMode::off);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.jobs.jobs, IsEmpty());
  EXPECT_THAT(controller.status().held, IsEmpty());
}

TEST(Controller, ConflictWaitsForTheNextEvent) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.api.answer(Kind::conflict);
  controller.tick();
  controller.node_ready(false, "x");
  controller.node_ready(true, "");
  EXPECT_THAT(world.api.calls, IsEmpty()) << "nothing has changed yet";
  EXPECT_THAT(world.metrics, IsEmpty()) << "no failure";
  auto pod = broken_pod();
  pod.resource_version = "101";
  controller.pod_changed(pod, "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].target.resource_version, "101");

  // the event came before the answer
  pod.resource_version = "102";
  controller.pod_changed(pod, "");
  world.api.answer(Kind::conflict);
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].target.resource_version, "102");

  // healed meanwhile
  controller.pod_changed(healthy_pod(), "");
  world.api.answer(Kind::conflict);
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.metrics, IsEmpty());
}

TEST(Controller, GoneIsDone) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.api.answer(Kind::gone);
  controller.tick();
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.metrics, IsEmpty());
  EXPECT_THAT(world.api.events, IsEmpty());
  EXPECT_THAT(controller.status().held, IsEmpty());
  // the next of a StatefulSet, of the same name
  auto next = broken_pod();
  next.uid = "uid-next";
  controller.pod_changed(next, "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].target.uid, "uid-next");
}

TEST(Controller, OutageIsRetriedWithBackOffAndNeverForgotten) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  auto last = std::chrono::duration<double>(0);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(world.api.calls.size(), 1U) << i;
    world.api.answer(Kind::unavailable, "connection refused");
    EXPECT_THAT(world.api.calls, IsEmpty());
    EXPECT_THAT(controller.status().held.at(0).text, "connection refused");
    controller.pod_changed(broken_pod(), "");
    EXPECT_THAT(world.api.calls, IsEmpty()) << "an event does not shorten the back-off";
    ASSERT_TRUE(world.clock.wake);
    const std::chrono::duration<double> wait = *world.clock.wake - world.clock.time;
    EXPECT_GE(wait.count(), std::min(300.0, last.count()));
    EXPECT_LE(wait, std::chrono::duration<double>(375));
    if (i == 0) {
      EXPECT_LE(wait.count(), 1.25);
    }
    last = std::chrono::duration<double>(std::min(wait.count(), 300.0));
    world.wait_for_wake();
  }
  EXPECT_EQ(last.count(), 300);
  world.api.answer();
  EXPECT_THAT(world.metrics,
              UnorderedElementsAre(Pair("delete fail", 20), Pair("delete success", 1)));
  EXPECT_THAT(world.messages(logging::Level::warn), Contains(HasSubstr("connection refused")));
}

TEST(Controller, FailureSaysSoInItsEvent) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.api.answer(Kind::rejected, "pods is forbidden");
  ASSERT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(reason(world.api.events[0]), "DeleteBrokenPod");
  EXPECT_THAT(message(world.api.events[0]),
              AllOf(HasSubstr("deleting it failed"), HasSubstr("pods is forbidden")));
}

TEST(Controller, EvictionRespectsDisruptionBudgets) {
  World world;
  world.repair.evict = true;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  ASSERT_EQ(world.api.calls.at(0).what, "evict");
  for (int i = 0; i < 3; ++i) {
    world.api.answer(Kind::blocked, "would violate the pod's disruption budget");
    EXPECT_THAT(world.api.calls, IsEmpty());
    EXPECT_EQ(controller.status().held.at(0).reason, "disruption_budget");
    ASSERT_TRUE(world.wait_for_wake());
    ASSERT_EQ(world.api.calls.size(), 1U);
  }
  EXPECT_THAT(world.held, ElementsAre(Pair("disruption_budget", 1))) << "once, not per attempt";
  ASSERT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(reason(world.api.events[0]), "RepairHeldBack");
  EXPECT_THAT(message(world.api.events[0]), HasSubstr("disruption budget"));
  world.api.answer();
  EXPECT_THAT(world.metrics, ElementsAre(Pair("delete success", 1)));
  EXPECT_EQ(controller.state().pods.at("uid-web-1").deed, Deed::evicted);
  EXPECT_THAT(message(world.api.events.at(1)), HasSubstr("evicted"));
}

TEST(Controller, NotReadyHoldsDeletionsBackVisibly) {
  World world;
  auto& controller = world.start(false);
  controller.pod_changed(broken_pod(), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.api.events, IsEmpty()) << "nothing is known yet";
  controller.node_ready(false, "no network configuration");
  controller.node_ready(false, "no network configuration");
  controller.pod_changed(broken_pod(), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  ASSERT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(reason(world.api.events[0]), "RepairHeldBack");
  EXPECT_THAT(message(world.api.events[0]), HasSubstr("no network configuration"));
  EXPECT_THAT(world.held, ElementsAre(Pair("node_not_ready", 1)));
  EXPECT_EQ(controller.status().held.at(0).reason, "node_not_ready");
  EXPECT_THAT(world.messages(logging::Level::info),
              ElementsAre(HasSubstr("no network configuration")));
  // again after ten minutes, not before
  world.wait(minutes(9));
  controller.pod_changed(broken_pod(), "");
  EXPECT_EQ(world.api.events.size(), 1U);
  world.wait(minutes(2));
  controller.pod_changed(broken_pod(), "");
  EXPECT_EQ(world.held.at("node_not_ready"), 2);

  controller.node_ready(true, "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_THAT(controller.status().held, IsEmpty());
}

TEST(Controller, Labels) {
  World world(RepairMode::label);
  auto& controller = world.start(false);
  controller.pod_changed(broken_pod(), "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].what, "label");
  EXPECT_EQ(world.api.calls[0].first, "cni.istio.io/uninitialized");
  EXPECT_EQ(world.api.calls[0].second, "true");
  world.api.answer();
  controller.pod_changed(broken_pod(), "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  ASSERT_EQ(world.api.events.size(), 1U);
  EXPECT_EQ(reason(world.api.events[0]), "LabelBrokenPod");
  EXPECT_THAT(message(world.api.events[0]),
              HasSubstr("labelled with cni.istio.io/uninitialized=true"));

  auto labelled = broken_pod("web-2");
  labelled.labels["cni.istio.io/uninitialized"] = "other";
  controller.pod_changed(labelled, "");
  controller.pod_changed(labelled, "");
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(world.metrics, UnorderedElementsAre(Pair("label success", 1), Pair("label skip", 1)));
  EXPECT_EQ(world.api.events.size(), 1U);
}

TEST(Controller, ARestartOfTheAgentNeitherLosesNorRepeats) {
  World world;
  world.start().pod_changed(broken_pod("a", "rs-a"), "");
  world.api.answer();
  // asked, but the answer never came
  world.controller->pod_changed(broken_pod("b", "rs-b"), "");
  auto lost = std::move(world.api.calls[0]);
  world.api.calls.clear();

  auto& controller = world.start();
  lost.done({});  // nobody is there any more
  controller.pod_changed(broken_pod("a", "rs-a"), "");
  controller.pod_changed(broken_pod("b", "rs-b"), "");
  controller.listed({"uid-a", "uid-b"});
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].target.uid, "uid-b");
  world.api.answer();
  EXPECT_EQ(controller.state().pods.size(), 2U);
  // gone while the agent was away
  auto& third = world.start();
  third.pod_changed(broken_pod("b", "rs-b"), "");
  third.listed({"uid-b"});
  EXPECT_EQ(third.state().pods.size(), 1U);
  EXPECT_EQ(repair::parse_state(world.saved, "x")->pods.size(), 1U);
  EXPECT_THAT(world.api.calls, IsEmpty());
}

TEST(Controller, DropsWhatIsBeingDeletedOrGone) {
  World world;
  auto& controller = world.start(false);
  controller.node_ready(false, "x");
  controller.pod_changed(broken_pod("a", "rs-a"), "");
  controller.pod_changed(broken_pod("b", "rs-b"), "");
  controller.pod_changed(broken_pod("c", "rs-c"), "");
  EXPECT_EQ(controller.status().held.size(), 3U);
  auto deleting = broken_pod("a", "rs-a");
  deleting.deleting = true;
  controller.pod_changed(deleting, "");
  controller.pod_removed("uid-b");
  controller.pod_removed("uid-unknown");
  EXPECT_EQ(controller.status().held.size(), 1U);
  controller.listed({});
  EXPECT_THAT(controller.status().held, IsEmpty());
  controller.node_ready(true, "");
  EXPECT_THAT(world.api.calls, IsEmpty());
}

TEST(Controller, ReloadChangesModeAndCriteria) {
  World world(RepairMode::off);
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.repair.mode = RepairMode::label;
  world.reload();
  controller.pod_changed(broken_pod(), "");
  ASSERT_EQ(world.api.calls.size(), 1U);
  world.api.answer(Kind::rejected);
  // at once, whatever the back-off was
  world.repair.mode = RepairMode::del;
  world.reload();
  ASSERT_EQ(world.api.calls.size(), 1U);
  EXPECT_EQ(world.api.calls[0].what, "delete");
  world.api.answer(Kind::rejected);
  world.repair.init_container_exit_code = 1;
  world.reload();
  world.wait(minutes(10));
  EXPECT_THAT(world.api.calls, IsEmpty());
  EXPECT_THAT(controller.status().held, IsEmpty());
}

TEST(Controller, OffAtReloadStopsWhatWaits) {
  World world;
  auto& controller = world.start();
  controller.node_ready(false, "x");
  controller.pod_changed(broken_pod(), "");
  world.repair.mode = RepairMode::off;
  world.reload();
  controller.node_ready(true, "");
  world.wait(minutes(30));
  EXPECT_THAT(world.api.calls, IsEmpty());
}

TEST(Controller, EventsOfOneKindAreCountedNotRepeated) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.api.answer(Kind::unavailable, "first");
  world.api.answer_events();
  for (int i = 0; i < 3; ++i) {
    world.wait_for_wake();
    world.api.answer(Kind::unavailable, "again");
    world.api.answer_events();
  }
  EXPECT_EQ(world.api.events.size(), 1U);
  ASSERT_EQ(world.api.patches.size(), 3U);
  const auto patch = json::parse(world.api.patches.back());
  EXPECT_EQ(patch.at("count"), 4);
  EXPECT_THAT(patch.at("message").get<std::string>(), HasSubstr("again"));
  // one that the server has forgotten is made anew
  world.wait_for_wake();
  world.api.answer(Kind::unavailable);
  world.api.answer_events(Kind::gone);
  EXPECT_EQ(world.api.events.size(), 2U);
  world.api.answer_events();
  // after ten minutes a new one
  world.clock.time += minutes(11);
  controller.tick();
  world.api.answer(Kind::unavailable);
  EXPECT_EQ(world.api.events.size(), 3U);
}

TEST(Controller, AnEventThatCannotBeSentIsNoFailure) {
  World world;
  auto& controller = world.start();
  controller.pod_changed(broken_pod(), "");
  world.api.answer();
  world.api.answer_events(Kind::rejected);
  EXPECT_THAT(world.messages(logging::Level::warn), IsEmpty());
  EXPECT_THAT(world.messages(logging::Level::debug), Contains(HasSubstr("Event")));
  // not remembered as sent
  controller.pod_changed(broken_pod("web-2"), "");
  world.api.answer();
  EXPECT_EQ(world.api.events.size(), 2U);
}

TEST(Controller, NoCallbackAfterTheEnd) {
  World world;
  world.start().pod_changed(broken_pod(), "");
  world.controller->pod_changed(broken_pod("web-2"), "");
  world.api.answer();
  world.controller.reset();
  world.api.answer();
  world.api.answer_events();
  EXPECT_EQ(world.metrics.at("delete success"), 1);
}

TEST(Controller, HooksMayBeEmpty) {
  World world;
  repair::Controller controller(world.repair, *repair::make_criteria(world.repair), "n", {},
                                world.api, world.jobs, world.clock, {});
  controller.pod_changed(broken_pod(), "");
  controller.node_ready(true, "");
  world.api.answer(Kind::unavailable);
  world.api.answer_events(Kind::rejected);
  controller.tick();
}

}  // namespace
