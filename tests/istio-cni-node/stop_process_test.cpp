// install.on_stop: auto, with the built agent: what SIGTERM does to the
// installation depends on what the API server says of the DaemonSet.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "support/agent_process.hpp"
#include "support/apiserver.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using test_support::AgentProcess;
using test_support::Fault;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// as no serializer would write it
constexpr const char* oddly_written =
    "{ \"cniVersion\":\"1.0.0\",\n\t\"name\": \"primary\", \"x\": [1.0],\n  \"plugins\": [\n"
    "    { \"type\": \"bridge\" } ]}\n\n";
constexpr const char* other = R"({"type":"loopback","name":"lo","cniVersion":"1.0.0"})";
constexpr const char* node = R"({"metadata":{"name":"n1","labels":{"role":"worker"}}})";

std::string daemonset(const std::string& selector, const std::string& metadata = "") {
  return R"({"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"istio-cni-node",)"
         R"("namespace":"mesh")" +
         metadata + R"(},"spec":{"template":{"spec":{"nodeSelector":{)" + selector + "}}}}}";
}
const std::string wanted = daemonset(R"("role":"worker")");
const std::string deleted =
    daemonset(R"("role":"worker")", R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")");

class StopTest : public testing::Test {
 protected:
  StopTest() {
    test_support::ApiServerOptions options;
    options.token = "good";
    server_.emplace(options);
    server_->write_kubeconfig(dir_.path("kubeconfig"));
    server_->set_node("n1", node);
    agent_.emplace(ICN_AGENT, dir_.path(), ICN_PLUGIN, dir_.path("kubeconfig"), "n1",
                   "plugin:\n  agent_namespace: mesh\n");
    auto config = agent_->read_config();
    config.replace(config.find("install:\n"), 9, "install:\n  on_stop: auto\n");
    agent_->write_config(config);
    dir_.write("net.d/10-primary.conflist", oddly_written, 0640);
    dir_.write("net.d/99-loopback.conf", other);
    before_ = lists();
  }
  void TearDown() override {
    if (HasFailure()) std::fputs(agent_->log().c_str(), stderr);
  }

  using Lists = std::map<std::string, std::string>;
  [[nodiscard]] Lists lists() const {
    Lists out;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path("net.d")))
      out[entry.path().filename()] = AgentProcess::read(entry.path());
    return out;
  }
  [[nodiscard]] std::vector<std::string> in_folder(const std::string& name) const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path(name)))
      out.push_back(entry.path().filename());
    return out;
  }

  /// Installed, and all that is asked from now on is asked for the stop.
  void start() {
    agent_->start();
    ASSERT_TRUE(agent_->wait_notified("Ready: chained in 10-primary.conflist"));
    for (int i = 0; i < 1000 * test_support::slowness && server_->watches() == 0; ++i)
      std::this_thread::sleep_for(10ms);
    ASSERT_EQ(server_->watches(), 1U);
    installed_ = lists();
    ASSERT_NE(installed_, before_);
    ASSERT_THAT(in_folder("bin"), UnorderedElementsAre("istio-cni"));
  }
  void stop(std::chrono::milliseconds within = 3s) {
    const auto begin = Clock::now();
    EXPECT_EQ(agent_->stop(SIGTERM), 0);
    EXPECT_LT(Clock::now() - begin, within * test_support::slowness);
  }
  void expect_stays() const {
    EXPECT_EQ(lists(), installed_);
    EXPECT_THAT(in_folder("bin"), UnorderedElementsAre("istio-cni"));
    EXPECT_TRUE(std::filesystem::exists(dir_.path("run/istio-cni-kubeconfig")));
    EXPECT_TRUE(std::filesystem::exists(dir_.path("state/record.json")));
    EXPECT_THAT(agent_->log(), HasSubstr("the installation stays in place"));
  }
  void expect_gone() const {
    EXPECT_EQ(lists(), before_);
    struct stat info {};
    ASSERT_EQ(::stat(dir_.path("net.d/10-primary.conflist").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0640U);
    EXPECT_THAT(in_folder("bin"), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(dir_.path("run/istio-cni-kubeconfig")));
    EXPECT_THAT(in_folder("state"), IsEmpty());
    EXPECT_THAT(agent_->log(), HasSubstr("the installation is removed"));
  }

  test_support::TempDir dir_;
  std::optional<test_support::ApiServer> server_;
  std::optional<AgentProcess> agent_;
  Lists before_;
  Lists installed_;
};

TEST_F(StopTest, ASuccessorComesAndFindsTheInstallation) {
  server_->set_daemonset("mesh", "istio-cni-node", wanted);
  start();
  stop();
  expect_stays();
  EXPECT_THAT(agent_->log(), HasSubstr("the DaemonSet still wants this node"));
  // which then goes on from there
  while (agent_->wait_notified("", 10ms)) continue;  // what the first one told
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Ready: chained in 10-primary.conflist"));
  EXPECT_EQ(lists(), installed_);
  server_->set_daemonset("mesh", "istio-cni-node", "");
  stop();
  expect_gone();
}

TEST_F(StopTest, TheDaemonSetIsGone) {
  server_->set_daemonset("elsewhere", "istio-cni-node", wanted);
  start();
  stop();
  expect_gone();
}

TEST_F(StopTest, TheDaemonSetIsBeingDeleted) {
  server_->set_daemonset("mesh", "istio-cni-node", deleted);
  start();
  stop();
  expect_gone();
}

TEST_F(StopTest, TheDaemonSetNoLongerWantsThisNode) {
  server_->set_daemonset("mesh", "istio-cni-node", wanted);
  start();
  server_->set_daemonset("mesh", "istio-cni-node", daemonset(R"("role":"storage")"));
  stop();
  expect_gone();
}

TEST_F(StopTest, TheNodesLabelsNoLongerMatch) {
  server_->set_daemonset("mesh", "istio-cni-node", wanted);
  start();
  server_->set_node("n1", R"({"metadata":{"name":"n1","labels":{}}})");
  stop();
  expect_gone();
}

TEST_F(StopTest, TheServiceAccountIsGone) {
  server_->set_daemonset("mesh", "istio-cni-node", wanted);
  start();
  server_->set_token("another");
  stop();
  expect_gone();
}

// --- where it is not known, the installation stays

TEST_F(StopTest, TheApiServerIsNotThere) {
  start();
  server_.reset();
  stop(6s);
  expect_stays();
}

TEST_F(StopTest, TheApiServerStalls) {
  start();
  server_->inject({.kind = Fault::Kind::hang}, 10);
  stop(6s);
  expect_stays();
}

TEST_F(StopTest, TheApiServerStallsInTheMiddle) {
  server_->set_daemonset("mesh", "istio-cni-node", wanted);
  start();
  // both answers together have no longer than one alone
  server_->inject({.kind = Fault::Kind::delay, .delay = 4s}, 10);
  stop(6s);
  expect_stays();
  EXPECT_THAT(agent_->log(), HasSubstr("the node could not be read"));
}

struct Answer {
  const char* what;
  Fault fault;
};

class StopWithout : public StopTest, public testing::WithParamInterface<Answer> {};

TEST_P(StopWithout, AnAnswerItStays) {
  server_->set_daemonset("mesh", "istio-cni-node", deleted);
  start();
  server_->inject(GetParam().fault, 10);
  stop(6s);
  expect_stays();
  EXPECT_THAT(agent_->log(), HasSubstr("the DaemonSet could not be read"));
}

INSTANTIATE_TEST_SUITE_P(Stop, StopWithout,
                         testing::Values(Answer{"status500", {.status = 500}},
                                         Answer{"status503", {.status = 503}},
                                         Answer{"status429", {.status = 429}},
                                         Answer{"status403", {.status = 403}},
                                         Answer{"garbage", {.kind = Fault::Kind::garbage}},
                                         Answer{"cut", {.kind = Fault::Kind::cut}},
                                         Answer{"drop", {.kind = Fault::Kind::drop}},
                                         Answer{"huge", {.kind = Fault::Kind::huge_body}}),
                         [](const auto& one) { return std::string(one.param.what); });

TEST_F(StopTest, WhatIsNoDaemonSetSaysNothing) {
  server_->set_daemonset("mesh", "istio-cni-node", "[\"no\", \"DaemonSet\"");
  start();
  stop();
  expect_stays();
}

TEST_F(StopTest, TheNodeIsNotKnown) {
  server_->set_daemonset("mesh", "istio-cni-node", wanted);
  server_->set_node("n1", "");
  start();
  stop();
  expect_stays();
}

TEST_F(StopTest, ASlowAnswerIsWaitedFor) {
  start();
  server_->inject({.kind = Fault::Kind::delay, .delay = 2s}, 1);
  stop(6s);
  expect_gone();
}

TEST_F(StopTest, AskedTwiceItStopsAtOnce) {
  start();
  server_->inject({.kind = Fault::Kind::hang}, 10);
  agent_->signal(SIGTERM);
  ASSERT_TRUE(agent_->wait_notified("STOPPING=1"));
  stop(2s);
  EXPECT_EQ(lists(), installed_);
  EXPECT_THAT(in_folder("bin"), UnorderedElementsAre("istio-cni"));
}

}  // namespace
