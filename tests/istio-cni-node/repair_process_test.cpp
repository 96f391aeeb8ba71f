// Repair by the built agent as a process: what is done about which pod, and what is
// tried again when the API server fails.
#include "istio-cni-node/repair_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using base::cat;
using test_support::broken_mesh_pod;
using test_support::Fault;
using test_support::json;
using test_support::mesh_pod;
using test_support::RepairProcess;
using test_support::validation_ended;
using test_support::validation_waits;
using testing::HasSubstr;

constexpr const char* delete_web_1 = "DELETE /api/v1/namespaces/shop/pods/web-1";

// --- the modes

TEST_F(RepairProcess, OneWatchTellsOfManyChanges) {
  auto& node = this->node("mode: \"off\"");
  ASSERT_TRUE(node.start());
  for (int i = 0; i < 4; ++i) {
    node.add(mesh_pod(cat("web-", i), cat("u-", i)));
    ASSERT_TRUE(node.eventually(
        [&] { return node.readyz().find(cat(i + 1, " in the mesh")) != std::string::npos; }));
    EXPECT_EQ(node.readyz().find("no longer watched"), std::string::npos) << node.readyz();
  }
  EXPECT_EQ(node.requests("GET /api/v1/pods"), 2U) << "one list, one watch";
}

TEST_F(RepairProcess, DeletesWhatItFindsAtItsStartAndLater) {
  auto& node = this->node("mode: delete");
  node.add(broken_mesh_pod("web-1", "u-1"));
  auto healthy = mesh_pod("web-0", "u-0");
  validation_ended(healthy, 0);
  node.add(healthy);
  const auto version = node.find("web-1").at("metadata").at("resourceVersion");
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  const auto bodies = node.server.bodies_of(delete_web_1);
  ASSERT_EQ(bodies.size(), 1U);
  EXPECT_EQ(json::parse(bodies[0]).at("preconditions"),
            (json{{"uid", "u-1"}, {"resourceVersion", version}}));
  EXPECT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
  EXPECT_EQ(node.metric("istio_cni_node_repair_duration_seconds_count"), 1);
  ASSERT_TRUE(node.eventually([&] { return !node.events("DeleteBrokenPod").empty(); }));
  const auto event = node.events("DeleteBrokenPod")[0];
  EXPECT_EQ(event.at("involvedObject").at("uid"), "u-1");
  EXPECT_EQ(event.at("source"), (json{{"component", "cni-repair"}, {"host", "n1"}}));
  EXPECT_EQ(event.at("type"), "Warning");
  EXPECT_EQ(node.log_lines("Deleting broken pod: shop/web-1"), 1U);
  EXPECT_THAT(node.agent.log(), HasSubstr("owner=ReplicaSet/web"));
  EXPECT_TRUE(node.eventually([&] {
    return node.readyz().find("1 in the mesh; 1 repaired") != std::string::npos;
  })) << node.readyz();

  node.add(broken_mesh_pod("web-2", "u-2"));
  EXPECT_TRUE(node.eventually([&] { return !node.has("web-2"); }));
  EXPECT_TRUE(node.has("web-0"));
  EXPECT_EQ(node.actions(), 2U);
}

TEST_F(RepairProcess, EvictsWhenTheDisruptionBudgetAllowsIt) {
  auto& node = this->node("evict: true");
  node.server.set_eviction_status(429);
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.held_back("disruption_budget") == 1; }));
  EXPECT_TRUE(node.eventually([&] {
    return node.readyz().find("1 held back") != std::string::npos;
  })) << node.readyz();
  ASSERT_TRUE(node.eventually([&] { return !node.events("RepairHeldBack").empty(); }));
  EXPECT_THAT(node.events("RepairHeldBack")[0].at("message").get<std::string>(),
              HasSubstr("disruption budget"));
  EXPECT_TRUE(node.has("web-1"));
  node.server.set_eviction_status(201);
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  EXPECT_EQ(node.requests("DELETE "), 0U);
  const auto evictions = node.server.bodies_of("POST /api/v1/namespaces/shop/pods/web-1/eviction");
  ASSERT_GE(evictions.size(), 2U);
  EXPECT_EQ(json::parse(evictions[0]).at("deleteOptions").at("preconditions").at("uid"), "u-1");
  EXPECT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
  EXPECT_EQ(node.repaired("delete", "fail"), 0) << "held back is no failure";
}

TEST_F(RepairProcess, LabelsOnceAndSkipsWhatHasTheLabel) {
  auto& node = this->node("mode: label");
  auto labelled = broken_mesh_pod("web-2", "u-2");
  labelled["metadata"]["labels"]["cni.istio.io/uninitialized"] = "other";
  node.add(labelled);
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.start());
  ASSERT_TRUE(node.eventually([&] { return node.repaired("label", "success") == 1; }));
  ASSERT_TRUE(node.eventually([&] { return node.repaired("label", "skip") == 1; }));
  EXPECT_EQ(node.find("web-1").at("metadata").at("labels").at("cni.istio.io/uninitialized"),
            "true");
  EXPECT_EQ(node.find("web-2").at("metadata").at("labels").at("cni.istio.io/uninitialized"),
            "other");
  ASSERT_TRUE(node.eventually([&] { return !node.events("LabelBrokenPod").empty(); }));
  // neither after the next restart of the container, nor after one of the agent
  auto pod = node.find("web-1");
  validation_waits(pod);
  node.add(pod);
  EXPECT_EQ(node.agent.stop(SIGKILL), -SIGKILL);
  ASSERT_TRUE(node.start());
  node.let_pass(300ms);
  EXPECT_EQ(node.requests("PATCH /api/v1/namespaces/shop/pods/web-1/status"), 1U);
  EXPECT_EQ(node.actions(), 1U);
}

TEST_F(RepairProcess, OffLeavesAllAloneUntilAReloadSaysOtherwise) {
  auto& node = this->node("mode: \"off\"");
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.start());
  node.add(broken_mesh_pod("web-2", "u-2"));
  ASSERT_TRUE(
      node.eventually([&] { return node.readyz().find("2 in the mesh") != std::string::npos; }));
  node.let_pass(300ms);
  EXPECT_EQ(node.actions(), 0U);
  EXPECT_EQ(node.unredirected("broken"), 2) << "they are known all the same";
  EXPECT_TRUE(node.server.events().empty());
  EXPECT_EQ(node.readyz().find("held back"), std::string::npos);
  auto config = node.agent.read_config();
  config.replace(config.find("mode: \"off\""), 11, "mode: delete");
  node.agent.write_config(config);
  node.agent.signal(SIGHUP);
  EXPECT_TRUE(node.eventually([&] { return !node.has("web-1") && !node.has("web-2"); }));
  EXPECT_EQ(node.actions(), 2U);
}

// --- kinds of pods

TEST_F(RepairProcess, AJobsPodIsDeletedAtItsFirstFailure) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  auto pod = mesh_pod("job-1", "u-1", "job-uid");
  pod["spec"]["restartPolicy"] = "Never";
  pod["metadata"]["ownerReferences"][0]["kind"] = "Job";
  node.add(pod);
  // it failed: there will be no other run, and no last state
  validation_ended(pod, 126);
  pod["status"]["phase"] = "Failed";
  node.add(pod);
  ASSERT_TRUE(node.eventually([&] { return !node.has("job-1"); }));
  EXPECT_THAT(node.agent.log(), HasSubstr("owner=Job/web"));
}

TEST_F(RepairProcess, AJobsPodIsHeldBackInPlaceAndDeletedByRepairThenDelete) {
  auto pod = mesh_pod("job-1", "u-1", "job-uid");
  pod["spec"]["restartPolicy"] = "Never";
  validation_ended(pod, 126);
  pod["status"]["phase"] = "Failed";
  {
    auto& node = this->node("mode: repair");
    node.add(pod);
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(node.eventually([&] { return node.held_back("not_restarted") == 1; }));
    EXPECT_EQ(node.actions(), 0U);
  }
  auto& node = this->node("mode: repair-then-delete");
  node.add(pod);
  ASSERT_TRUE(node.start());
  EXPECT_TRUE(node.eventually([&] { return !node.has("job-1"); }));
}

TEST_F(RepairProcess, TheNextPodOfAStatefulSetIsNotTouchedByTheLastOnesDeletion) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  node.inject({Fault::Kind::delay, 0, 600ms});
  node.add(broken_mesh_pod("web-1", "u-old"));
  ASSERT_TRUE(node.eventually([&] { return node.deletions("web-1") == 1; }));
  // made anew under the same name while the request is under way
  auto next = mesh_pod("web-1", "u-new");
  validation_ended(next, 0);
  node.server.remove_pod("shop", "web-1");
  node.add(next);
  node.let_pass(1s);
  EXPECT_EQ(node.deletions("web-1"), 1U);
  EXPECT_EQ(node.find("web-1").at("metadata").at("uid"), "u-new");
  EXPECT_EQ(node.repaired("delete", "success"), 0);
  EXPECT_EQ(node.repaired("delete", "fail"), 0) << "a conflict is no failure";
  // its own failure is another matter
  node.add(broken_mesh_pod("web-1", "u-new"));
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  EXPECT_EQ(json::parse(node.server.bodies_of(delete_web_1).at(1)).at("preconditions").at("uid"),
            "u-new");
}

TEST_F(RepairProcess, APodThatChangedMeanwhileIsJudgedAnew) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  const auto begin = [&](const std::string& name, const std::string& uid) {
    node.inject({Fault::Kind::delay, 0, 500ms});
    node.add(broken_mesh_pod(name, uid));
    EXPECT_TRUE(node.eventually([&] { return node.deletions(name) == 1; }));
  };
  begin("web-1", "u-1");
  auto healed = mesh_pod("web-1", "u-1");
  validation_ended(healed, 0);
  node.add(healed);
  node.let_pass(700ms);
  EXPECT_TRUE(node.has("web-1"));
  EXPECT_EQ(node.deletions("web-1"), 1U);

  begin("web-2", "u-2");
  auto still = node.find("web-2");
  validation_waits(still);
  node.add(still);
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-2"); }));
  EXPECT_EQ(node.deletions("web-2"), 2U);
}

// --- an API server that fails

struct Failing {
  std::string name;
  std::vector<Fault> faults;
  bool counted;  ///< as a failure
  std::string said;
};

class RepairFaults : public RepairProcess, public testing::WithParamInterface<Failing> {};

TEST_P(RepairFaults, AreTriedAgain) {
  const auto& failing = GetParam();
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  for (const auto& fault : failing.faults) node.inject(fault);
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
  ASSERT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
  EXPECT_EQ(node.repaired("delete", "fail"), failing.counted ? 1 : 0);
  EXPECT_THAT(node.agent.log(), HasSubstr(failing.said));
  // one Event, for both attempts
  ASSERT_TRUE(node.eventually([&] {
    const auto events = node.events("DeleteBrokenPod");
    return events.size() == 1 && events[0].at("count") == (failing.counted ? 2 : 1);
  }));
  EXPECT_THAT(node.events("DeleteBrokenPod")[0].at("message").get<std::string>(),
              HasSubstr("detected as broken and deleted"));
}

constexpr auto status_fault = Fault::Kind::status;

INSTANTIATE_TEST_SUITE_P(
    , RepairFaults,
    testing::Values(
        // the credential is read again, and serves
        Failing{"UnauthorizedOnce", {{status_fault, 401}}, false, "Deleting broken pod"},
        Failing{"Unauthorized", {{status_fault, 401}, {status_fault, 401}}, true, "answers 401"},
        Failing{"Forbidden", {{status_fault, 403}}, true, "answers 403"},
        Failing{"TooManyRequests", {{status_fault, 429}}, true, "answers 429"},
        Failing{"InternalError", {{status_fault, 500}}, true, "answers 500"},
        Failing{"Dropped", {{Fault::Kind::drop}}, true, "failed, trying again"},
        Failing{"Cut", {{Fault::Kind::cut}}, true, "failed, trying again"},
        Failing{"Garbage", {{Fault::Kind::garbage}}, true, "failed, trying again"}),
    [](const auto& one) { return one.param.name; });

TEST_F(RepairProcess, AnAnswerThatNeverComesIsNotWaitedForForEver) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  node.inject({Fault::Kind::hang});
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return node.deletions("web-1") == 1; }));
  // others do not wait for it
  node.add(broken_mesh_pod("web-2", "u-2"));
  EXPECT_TRUE(node.eventually([&] { return !node.has("web-2"); }, 5s));
  EXPECT_TRUE(node.eventually([&] { return !node.has("web-1"); }, 20s));
  EXPECT_EQ(node.repaired("delete", "fail"), 1);
}

TEST_F(RepairProcess, GoneAndConflictAreNoFailures) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  for (const int status : {404, 409}) {
    SCOPED_TRACE(status);
    const auto name = cat("web-", status);
    const auto before = node.requests("DELETE ");
    const auto told = node.events("DeleteBrokenPod").size();
    node.inject({Fault::Kind::status, status});
    auto pod = broken_mesh_pod(name, cat("u-", status));
    node.add(pod);
    ASSERT_TRUE(node.eventually([&] { return node.requests("DELETE ") == before + 1; }));
    node.let_pass(1500ms);
    EXPECT_EQ(node.requests("DELETE "), before + 1) << "nothing has changed";
    EXPECT_EQ(node.events("DeleteBrokenPod").size(), told);
    // it is there after all: the next change is looked at
    validation_waits(pod);
    node.add(pod);
    ASSERT_TRUE(node.eventually([&] { return !node.has(name); }));
    ASSERT_TRUE(node.eventually([&] { return node.events("DeleteBrokenPod").size() == told + 1; }));
    EXPECT_EQ(node.repaired("delete", "fail"), 0);
  }
}

TEST_F(RepairProcess, EventsAreCountedAndMadeAnewWhenTheServerForgotThem) {
  auto& node = this->node("mode: delete");
  ASSERT_TRUE(node.start());
  node.inject({Fault::Kind::status, 403});
  node.add(broken_mesh_pod("web-1", "u-1"));
  ASSERT_TRUE(node.eventually([&] { return node.events("DeleteBrokenPod").size() == 1; }));
  const auto first = node.events("DeleteBrokenPod")[0];
  EXPECT_EQ(first.at("count"), 1);
  EXPECT_THAT(first.at("message").get<std::string>(), HasSubstr("deleting it failed"));
  node.server.forget_events();
  ASSERT_TRUE(node.eventually([&] { return node.events("DeleteBrokenPod").size() == 2; }));
  EXPECT_EQ(node.events("DeleteBrokenPod")[0], first);
  EXPECT_THAT(node.events("DeleteBrokenPod")[1].at("message").get<std::string>(),
              HasSubstr("and deleted"));
}

}  // namespace
