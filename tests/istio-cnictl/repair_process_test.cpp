// Verdicts over broken pods, with the built agent and what it does about them:
// about to be repaired, held back, evicted again and again.
#include <gmock/gmock.h>

#include "base/strings.hpp"
#include "istio-cnictl/broken_pod.hpp"
#include "istio-cnictl/tool.hpp"

namespace {

using base::cat;
using test_support::Fault;
using test_support::json;
using testing::AllOf;
using testing::HasSubstr;

class ExplainRepair : public test_support::ToolTest {
 protected:
  void begin_repair(const std::string& repair) { begin("repair:\n  " + repair + "\n"); }

  void add_broken(const std::string& name, const std::string& uid,
                  const std::string& owner = "rs-1") {
    server_.add_pod(test_support::broken_pod(name, uid, owner).dump());
  }
  [[nodiscard]] json listed(const std::string& name) const {
    const auto pods = run("pods -o json").parsed();
    for (const auto& pod : pods["pods"])
      if (pod["name"] == name) return pod;
    return {};
  }
  [[nodiscard]] bool is_held(const std::string& name, const std::string& reason) const {
    return listed(name).value("heldReason", "") == reason;
  }
  [[nodiscard]] std::string sentence(const std::string& name) const {
    return explain(name)["sentence"].get<std::string>();
  }
  [[nodiscard]] std::size_t requests(const std::string& beginning) const {
    std::size_t count = 0;
    for (const auto& one : server_.request_log()) count += one.starts_with(beginning) ? 1 : 0;
    return count;
  }
};

// --- not installed, not ready

TEST_F(ExplainRepair, NotInstalledWithTheAgentThere) {
  begin_without_network();
  agent_->start();
  server_.add_pod(test_support::pod_json("web-1").dump());
  ASSERT_TRUE(eventually([&] { return explain("web-1")["finding"] == "not-installed"; }));
  EXPECT_THAT(sentence("web-1"), AllOf(HasSubstr("has not started, and the plugin is not in place"),
                                       HasSubstr("no CNI network configuration in")));
  EXPECT_EQ(run("explain shop/web-1").status, 1);
  EXPECT_EQ(explain("web-1")["next"][0], "istio-cnictl status");
}

TEST_F(ExplainRepair, NotReadyThoughInstalled) {
  server_.add_pod(test_support::pod_json("web-1").dump());
  begin();
  std::filesystem::rename(dir_.path("kubeconfig"), dir_.path("elsewhere"));
  agent_->start();
  ASSERT_TRUE(eventually([&] {
    return run("status").out.find("Not ready: chained in 10-primary.conflist, but") !=
           std::string::npos;
  }));
  const auto verdict = explain("web-1", "--api-kubeconfig " + dir_.path("elsewhere"));
  EXPECT_EQ(verdict["finding"], "not-installed") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              HasSubstr("the plugin cannot do its work on this node: Not ready: chained in"));
}

TEST_F(ExplainRepair, ABrokenPodStaysWhileTheNodeIsNotReady) {
  begin_without_network("repair:\n  mode: delete\n");
  agent_->start();
  add_broken("web-1", "u-1");
  ASSERT_TRUE(eventually([&] { return is_held("web-1", "node_not_ready"); }));
  ASSERT_TRUE(eventually([&] { return !server_.events().empty(); }));
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "not-installed") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              HasSubstr("is broken, and stays so while this node is not ready"));
  EXPECT_THAT(evidence(verdict, "RepairHeldBack"), HasSubstr("events: "));
  EXPECT_EQ(run("pods").status, 1);
}

// --- the race

TEST_F(ExplainRepair, TheRaceWhenTheNodeBecameReadyLater) {
  begin_without_network("repair:\n  mode: \"off\"\n");
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Not ready: no CNI network configuration"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // times of pods are in seconds
  add_broken("web-1", "u-1");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  dir_.write("net.d/10-primary.conflist", primary);
  ASSERT_TRUE(agent_->wait_notified("Ready: chained in 10-primary.conflist"));
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "started-before-plugin") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              AllOf(HasSubstr("(at that time: Not ready: no CNI network configuration in"),
                    HasSubstr("repair is switched off")));
  EXPECT_THAT(evidence(verdict, "the installation at the pod's start: Not ready: no CNI"),
              HasSubstr("agent: "));
}

TEST_F(ExplainRepair, NotTheRaceWhenOnlyTheCredentialWasMissing) {
  begin_repair("mode: \"off\"");
  std::filesystem::rename(dir_.path("kubeconfig"), dir_.path("elsewhere"));
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Not ready: chained in 10-primary.conflist, but"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  add_broken("web-1", "u-1");
  const auto verdict = explain("web-1", "--api-kubeconfig " + dir_.path("elsewhere"));
  EXPECT_EQ(verdict["finding"], "not-redirected") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              HasSubstr("although the plugin was in place when it started (Not ready: chained in"));
}

TEST_F(ExplainRepair, AboutToBeDeletedOrLabelled) {
  for (const auto& [mode, request, words] :
       {std::tuple{"delete", "DELETE /api/", "about to delete it, so that it is created anew"},
        {"label", "PATCH /api/", "about to label it"}}) {
    SCOPED_TRACE(mode);
    begin_repair(cat("mode: ", mode));
    server_.inject({Fault::Kind::hang, 0, {}, request}, 10);
    start();
    add_broken("web-1", cat("u-", mode));
    ASSERT_TRUE(eventually([&, request = request] { return requests(request) > 0; }));
    const auto verdict = explain("web-1");
    EXPECT_EQ(verdict["good"], false) << verdict.dump(1);
    EXPECT_THAT(verdict["sentence"].get<std::string>(),
                AllOf(HasSubstr("has no redirection"), HasSubstr(words)));
    EXPECT_EQ(verdict["next"][0], "kubectl -n shop get pod web-1 --watch");
    EXPECT_EQ(run("explain shop/web-1").status, 1);
    server_.remove_pod("shop", "web-1");
    agent_->stop(SIGKILL);
  }
}

TEST_F(ExplainRepair, LabelledAndLeftToOthers) {
  begin_repair("mode: label");
  start();
  add_broken("web-1", "u-1");
  ASSERT_TRUE(eventually([&] { return listed("web-1").contains("repair"); }));
  EXPECT_THAT(sentence("web-1"), HasSubstr("the agent has labelled it"));
  EXPECT_THAT(run("pods").out, HasSubstr("labelled 20"));
}

// --- again and again

TEST_F(ExplainRepair, EvictedAgainAndAgain) {
  begin_repair("mode: delete");
  start();
  for (int i = 0; i < 4; ++i) {
    add_broken(cat("web-", i), cat("u-", i), "rs-loop");
    ASSERT_TRUE(eventually([&] {
      return i == 3 ? is_held("web-3", "owner_budget")
                    : server_.find_pod("shop", cat("web-", i)).empty();
    })) << i;
  }
  ASSERT_TRUE(eventually([&] { return server_.events().size() == 4; }));
  const auto verdict = explain("web-3");
  EXPECT_EQ(verdict["finding"], "evicted-repeatedly") << verdict.dump(1);
  EXPECT_THAT(
      verdict["sentence"].get<std::string>(),
      AllOf(HasSubstr("breaks again and again"), HasSubstr("the next deletion is held back"),
            HasSubstr("3 pods of the same owner")));
  EXPECT_THAT(evidence(verdict, "RepairHeldBack"), HasSubstr("events: "));
  EXPECT_THAT(evidence(verdict, "repair waits (owner_budget)"), HasSubstr("agent: "));
  EXPECT_EQ(run("explain shop/web-3").status, 1);
  EXPECT_THAT(run("pods").out, HasSubstr("held: owner_budget"));
  EXPECT_EQ(run("pods").status, 1);
}

TEST_F(ExplainRepair, EvictedAgainAndAgainUnderOneNameAsTheEventsTell) {
  begin_repair("mode: delete\n  per_owner: 10");
  start();
  for (int i = 0; i < 2; ++i) {
    add_broken("db-0", cat("u-", i));
    ASSERT_TRUE(eventually([&] { return server_.find_pod("shop", "db-0").empty(); }));
  }
  ASSERT_TRUE(eventually([&] { return server_.events().size() == 2; }));
  agent_->stop(SIGTERM);
  add_broken("db-0", "u-2");
  std::filesystem::remove(dir_.path("state/repairs.json"));
  EXPECT_EQ(explain("db-0")["finding"], "evicted-repeatedly") << explain("db-0").dump(1);
  server_.forget_events();
  EXPECT_EQ(explain("db-0")["finding"], "started-before-plugin")
      << "with neither Events nor the disk, nobody knows";
}

TEST_F(ExplainRepair, WhatADisruptionBudgetHolds) {
  begin_repair("evict: true");
  server_.set_eviction_status(429);
  start();
  add_broken("web-1", "u-1");
  ASSERT_TRUE(eventually([&] { return is_held("web-1", "disruption_budget"); }));
  EXPECT_THAT(sentence("web-1"), AllOf(HasSubstr("has no redirection"),
                                       HasSubstr("repair waits (disruption_budget): ")));
}

}  // namespace
