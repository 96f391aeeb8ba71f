// Repair by the built agent as a process: how much is deleted at most, and what an
// outage, a lost answer or a crash loses or repeats.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cni-node/repair_process.hpp"

namespace {

using namespace std::chrono_literals;
using base::cat;
using test_support::add_many;
using test_support::broken_mesh_pod;
using test_support::Fault;
using test_support::json;
using test_support::mesh_pod;
using test_support::MeshNode;
using test_support::RepairProcess;
using test_support::validation_ended;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// --- many at once, and what holds them back

TEST_F(RepairProcess, TwoHundredAtOnceWithinTheNodesBudget) {
  auto& node = this->node("mode: delete");
  add_many(node, 200);
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 30; }));
  EXPECT_TRUE(node.eventually([&] {
    return node.readyz().find("30 repaired; 170 held back") != std::string::npos;
  })) << node.readyz();
  EXPECT_EQ(node.requests("DELETE "), 30U);
  EXPECT_EQ(node.held_back("node_budget"), 170);
  ASSERT_TRUE(node.eventually([&] { return node.events("RepairHeldBack").size() == 170; }));
  EXPECT_THAT(node.events("RepairHeldBack")[0].at("message").get<std::string>(),
              HasSubstr("30 pods of this node"));
  // a crash is no way around it
  node.agent.stop(SIGKILL);
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(
      node.eventually([&] { return node.readyz().find("170 held back") != std::string::npos; }));
  node.let_pass(500ms);
  EXPECT_EQ(node.requests("DELETE "), 30U);
}

TEST_F(RepairProcess, TwoHundredAtOnceAreGoneEachDeletedOnce) {
  auto& node = this->node("mode: delete\nper_node: 1000\nper_owner: 1000");
  add_many(node, 200, "rs-1");
  auto healthy = mesh_pod("api-1", "u-api");
  validation_ended(healthy, 0);
  node.add(healthy);
  node.write_primary();
  const auto begin = Clock::now();
  node.agent.start();
  ASSERT_TRUE(node.eventually([&] {
    for (int i = 0; i < 200; ++i)
      if (node.has(cat("web-", i))) return false;
    return true;
  }));
  const auto gone = std::chrono::duration<double>(Clock::now() - begin).count();
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 200; }));
  ASSERT_TRUE(node.eventually([&] { return node.events("DeleteBrokenPod").size() == 200; }));
  const auto told = std::chrono::duration<double>(Clock::now() - begin).count();
  EXPECT_EQ(node.requests("DELETE "), 200U);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(node.deletions(cat("web-", i)), 1U) << i;
  EXPECT_TRUE(node.has("api-1"));
  EXPECT_EQ(node.repaired("delete", "fail"), 0);
  // list and watch besides
  EXPECT_LE(node.server.requests(), 200U + 200U + 10U);
  std::printf(
      "200 broken pods: gone after %.2f s from the agent's start, told after %.2f s; %zu "
      "requests, %zu connections\n",
      gone, told, node.server.requests(), node.server.connections());
  RecordProperty("seconds_until_gone", std::to_string(gone));
}

TEST_F(RepairProcess, AnOwnersPodsAreHeldBackAfterThree) {
  auto& node = this->node("mode: delete");
  add_many(node, 8, "rs-loop");
  node.add(broken_mesh_pod("other-1", "u-other", "rs-other"));
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.held_back("owner_budget") == 5; }));
  ASSERT_TRUE(node.eventually([&] { return !node.has("other-1"); }));
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 4; }));
  // the same pod made anew and broken anew, as a loop does
  node.add(broken_mesh_pod("web-again", "u-again", "rs-loop"));
  ASSERT_TRUE(node.eventually([&] { return node.held_back("owner_budget") == 6; }));
  EXPECT_EQ(node.requests("DELETE "), 4U);
  ASSERT_TRUE(node.eventually([&] { return node.events("RepairHeldBack").size() == 6; }));
  EXPECT_THAT(node.events("RepairHeldBack")[0].at("message").get<std::string>(),
              HasSubstr("3 pods of the same owner"));
}

// --- what the agent before has used up: the state is written as it had left it

std::string before_now(std::chrono::seconds span) {
  return base::format_rfc3339(std::chrono::system_clock::now() - span);
}
json state_of(const MeshNode& node) {
  const auto text = test_support::AgentProcess::read(node.dir.path("state/repairs.json"));
  const auto state = json::parse(text, nullptr, false);
  return state.is_object() ? state : json::object();
}

TEST_F(RepairProcess, TheNodesSecondMinuteBringsTheNext) {
  auto& node = this->node("mode: delete");
  json used = json::object();
  for (int i = 0; i < 30; ++i) used[cat("u-before-", i)] = before_now(45s);
  node.dir.write("state/repairs.json", json{{"version", 1}, {"node", used}}.dump());
  const auto begin = std::chrono::system_clock::now();
  add_many(node, 2);
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.held_back("node_budget") == 2; }, 13s));
  EXPECT_EQ(node.requests("DELETE "), 0U);
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-0") && !node.has("web-1"); }, 30s));
  EXPECT_GE(std::chrono::system_clock::now() - begin, 13s) << "45 s of the minute were over";
  EXPECT_EQ(node.requests("DELETE "), 2U);
}

TEST_F(RepairProcess, AnOwnersNextWaitIsTwiceTheLast) {
  auto& node = this->node("mode: delete");
  // three, and one after each of two waits; the third is over in 15 s
  const json owner{{"owner", "ReplicaSet/web"}, {"strikes", 3}, {"blockedUntil", before_now(-15s)}};
  node.dir.write("state/repairs.json", json{{"version", 1}, {"owners", {{"rs-1", owner}}}}.dump());
  add_many(node, 2, "rs-1");
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.held_back("owner_budget") == 2; }, 13s));
  EXPECT_EQ(node.requests("DELETE "), 0U);
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
  const auto now = std::chrono::system_clock::now();
  node.let_pass(300ms);
  EXPECT_EQ(node.requests("DELETE "), 1U) << "one";
  EXPECT_NE(node.readyz().find("1 held back"), std::string::npos) << node.readyz();
  const auto after = state_of(node).at("owners").at("rs-1");
  EXPECT_EQ(after.at("strikes"), 4);
  const auto until = base::parse_rfc3339(after.at("blockedUntil").get<std::string>());
  ASSERT_TRUE(until);
  // 10, 10, 20 and now 40 minutes
  EXPECT_NEAR(std::chrono::duration<double>(*until - now).count(), 2400, 10);
}

TEST_F(RepairProcess, ALostAnswerIsNoRoomForAnother) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  // each may be sent a second time, on another connection
  node.inject({Fault::Kind::lose}, 6);
  for (const auto* name : {"web-1", "web-2", "web-3"}) {
    node.add(broken_mesh_pod(name, cat("u-", name)));
    ASSERT_TRUE(node.eventually([&] { return !node.has(name); })) << "the server did it";
  }
  node.add(broken_mesh_pod("web-4", "u-4"));
  ASSERT_TRUE(node.eventually([&] { return node.held_back("owner_budget") == 1; }));
  node.let_pass(300ms);
  EXPECT_EQ(node.deletions("web-4"), 0U);
  EXPECT_EQ(node.repaired("delete", "success"), 0) << "nobody has said so";
}

TEST_F(RepairProcess, AKillInTheMiddleIsNoRoomForAnother) {
  auto& node = this->node("mode: delete\nper_owner: 1");
  ASSERT_TRUE(node.start());
  node.inject({Fault::Kind::hang});
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return node.deletions("web-1") == 1; }));
  EXPECT_TRUE(state_of(node).value("node", json::object()).contains("u-1"))
      << "on disk before it was sent";
  node.agent.stop(SIGKILL);
  node.add(broken_mesh_pod("web-2", "u-2"));
  ASSERT_TRUE(node.start());
  // the one that was asked for is asked for again, on the place that it has
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  ASSERT_TRUE(node.eventually([&] { return node.held_back("owner_budget") == 1; }));
  node.let_pass(300ms);
  EXPECT_EQ(node.deletions("web-1"), 2U);
  EXPECT_EQ(node.deletions("web-2"), 0U);
  EXPECT_EQ(node.repaired("delete", "success"), 1);
}

TEST_F(RepairProcess, HeldBackOnceTheInstallationIsLost) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  std::filesystem::remove(node.dir.path("net.d/10-primary.conflist"));
  ASSERT_TRUE(node.eventually([&] { return node.readyz().find("503") != std::string::npos; }));
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return node.held_back("node_not_ready") == 1; }));
  ASSERT_TRUE(node.eventually([&] { return node.events("RepairHeldBack").size() == 1; }));
  EXPECT_EQ(node.actions(), 0U);
}

TEST_F(RepairProcess, HeldBackWhileTheInstallationIsNotReady) {
  auto& node = this->node("mode: delete");
  node.add(broken_mesh_pod("web-1", "u-1"));
  node.agent.start();
  ASSERT_TRUE(node.eventually([&] { return node.held_back("node_not_ready") == 1; }));
  ASSERT_TRUE(node.eventually([&] { return !node.events("RepairHeldBack").empty(); }));
  const auto event = node.events("RepairHeldBack")[0];
  EXPECT_EQ(event.at("involvedObject").at("uid"), "u-1");
  EXPECT_THAT(event.at("message").get<std::string>(),
              testing::AllOf(HasSubstr("a new pod would break the same way"),
                             HasSubstr("no CNI network configuration in")));
  EXPECT_THAT(node.agent.log(), HasSubstr("Holding back the repair of pod shop/web-1"));
  EXPECT_TRUE(node.eventually([&] { return node.unredirected("broken") == 1; }));
  node.let_pass(300ms);
  EXPECT_EQ(node.actions(), 0U);
  node.write_primary();
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  EXPECT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
  EXPECT_EQ(node.readyz().find("held back"), std::string::npos);
  EXPECT_TRUE(node.eventually([&] { return node.unredirected("broken") == 0; }));
}

// --- outages and crashes

TEST_F(RepairProcess, AnOutageAndALostHistoryLoseNothing) {
  auto& node = this->node("mode: delete");
  auto first = mesh_pod("web-1", "u-1");
  node.add(first);
  ASSERT_TRUE(node.start());
  node.server.inject({Fault::Kind::status, 503, 0ms, "GET "}, 2);
  node.server.disturb_watches(test_support::WatchFault::drop);
  node.add(broken_mesh_pod("web-1", "u-1"));
  node.add(broken_mesh_pod("web-2", "u-2"));
  node.server.expire_history();
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1") && !node.has("web-2"); }));
  // and by an event of the watch
  node.server.expire_history(test_support::ApiServer::Expiry::event);
  node.add(broken_mesh_pod("web-3", "u-3"));
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-3"); }));
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 3; }));
  for (const auto* name : {"web-1", "web-2", "web-3"}) EXPECT_EQ(node.deletions(name), 1U) << name;
}

TEST_F(RepairProcess, AnApiServerThatIsAwayLosesAndRepeatsNothing) {
  auto& node = this->node("mode: delete");
  add_many(node, 3, "rs-1");
  node.agent.start();
  // known, and held back: the API server goes before the deletions
  ASSERT_TRUE(node.eventually([&] { return node.events("RepairHeldBack").size() == 3; }));
  node.server.set_away(true);
  node.write_primary();
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "fail") >= 6; }));
  node.add(broken_mesh_pod("web-late", "u-late", "rs-2"));
  EXPECT_EQ(node.requests("DELETE "), 0U);
  node.server.set_away(false);
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 4; }, 60s));
  for (const auto* name : {"web-0", "web-1", "web-2", "web-late"})
    EXPECT_EQ(node.deletions(name), 1U) << name;
}

TEST_F(RepairProcess, KilledBeforeTheServerDidItItIsDoneByTheNextRun) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  node.inject({Fault::Kind::hang});
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return node.deletions("web-1") == 1; }));
  node.agent.stop(SIGKILL);
  EXPECT_TRUE(node.has("web-1"));
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  EXPECT_EQ(node.deletions("web-1"), 2U);
}

TEST_F(RepairProcess, KilledBeforeItHeardOfItItIsNotDoneTwice) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  node.inject({Fault::Kind::delay, 0, 500ms});
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return node.deletions("web-1") == 1; }));
  node.agent.stop(SIGKILL);
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); })) << "the server goes on";
  // the successor of a StatefulSet
  auto next = mesh_pod("web-1", "u-2");
  validation_ended(next, 0);
  node.add(next);
  ASSERT_TRUE(node.start());
  node.let_pass(300ms);
  EXPECT_EQ(node.deletions("web-1"), 1U);
  EXPECT_TRUE(node.has("web-1"));
}

TEST_F(RepairProcess, WhatWasDoneIsRememberedOverAKill) {
  auto& node = this->node("mode: label");
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.start());
  const auto state = [&] {
    return test_support::AgentProcess::read(node.dir.path("state/repairs.json"));
  };
  ASSERT_TRUE(node.eventually([&] { return state().find("labelled") != std::string::npos; }));
  node.agent.stop(SIGKILL);
  // somebody took the label away: that is not for us to judge
  auto pod = node.find("web-1");
  pod["metadata"].erase("labels");
  node.add(pod);
  ASSERT_TRUE(node.start());
  node.let_pass(300ms);
  EXPECT_EQ(node.actions(), 1U);
  // the record goes with its pod
  node.server.remove_pod("shop", "web-1");
  EXPECT_TRUE(node.eventually([&] { return state().find("u-1") == std::string::npos; }));
}

TEST_F(RepairProcess, AStateFileThatCannotBeReadIsNoObstacle) {
  auto& node = this->node("mode: delete");
  node.dir.write("state/repairs.json", "{\"version\":1,\"pods\":[");
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.start());
  EXPECT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  EXPECT_THAT(node.agent.log(), HasSubstr("what was repaired before is not known"));
}

TEST_F(RepairProcess, StoppedInTheMiddleTheRestIsDoneByTheNextRun) {
  auto& node = this->node("mode: delete\nper_node: 1000\nper_owner: 1000");
  add_many(node, 60);
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.requests("DELETE ") >= 5; }));
  node.agent.stop(SIGTERM);
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] {
    for (int i = 0; i < 60; ++i)
      if (node.has(cat("web-", i))) return false;
    return true;
  }));
  for (int i = 0; i < 60; ++i) EXPECT_LE(node.deletions(cat("web-", i)), 2U);
}

}  // namespace
