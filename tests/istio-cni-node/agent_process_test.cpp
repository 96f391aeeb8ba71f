// The built agent as a process: real files, a real API server, real signals.
#include "support/agent_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "support/apiserver.hpp"
#include "support/patience.hpp"
#include "support/spares.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using test_support::AgentProcess;

constexpr const char* primary =
    "{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"primary\",\n  \"plugins\": [\n    { \"type\": "
    "\"bridge\" }\n  ]\n}\n";

std::string mesh_pod(const std::string& name) {
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name +
         R"(","namespace":"shop","uid":"uid-)" + name +
         R"(","annotations":{"sidecar.istio.io/status":"{}"}},"spec":{"nodeName":"n1","containers":)"
         R"([{"name":"app"},{"name":"istio-proxy","args":["proxy","sidecar"]}]}})";
}

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    server_.write_kubeconfig(dir_.path("kubeconfig"));
    server_.add_pod(mesh_pod("web-1"));
  }
  void begin(const std::string& extra = "", const std::string& kubeconfig = "") {
    agent_.emplace(ICN_AGENT, dir_.path(), ICN_PLUGIN,
                   kubeconfig.empty() ? dir_.path("kubeconfig") : kubeconfig, "n1", extra);
  }
  void write_primary() {
    auto file = dir_.write("net.d/.new", primary);
    ASSERT_EQ(::rename(file.c_str(), list().c_str()), 0);
  }
  [[nodiscard]] std::string list() const { return dir_.path("net.d/10-primary.conflist"); }
  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 * test_support::slowness; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  void TearDown() override {
    if (HasFailure() && agent_) std::fputs(agent_->log().c_str(), stderr);
  }

  test_support::TempDir dir_;
  test_support::ApiServer server_;
  std::optional<AgentProcess> agent_;
};

TEST_F(AgentTest, ReadyAfterTheFirstPassAndTheSentenceIsTrue) {
  begin();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("READY=1"));
  EXPECT_TRUE(eventually([&] {
    return agent_->readyz().find("503") != std::string::npos &&
           agent_->readyz().find("no CNI network configuration in") != std::string::npos;
  }));
  write_primary();
  ASSERT_TRUE(agent_->wait_notified(
      "Ready: chained in 10-primary.conflist; 1 pod on this node, 1 in the mesh"));
  EXPECT_NE(agent_->readyz().find("200 OK"), std::string::npos);
  const auto metrics = agent_->metrics();
  EXPECT_NE(metrics.find("\nistio_cni_install_ready 1\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("\nistio_cni_installs_total{result=\"SUCCESS\"} 1\n"), std::string::npos);
  server_.add_pod(mesh_pod("web-2"));
  EXPECT_TRUE(agent_->wait_notified("2 pods on this node, 2 in the mesh"));
  server_.remove_pod("shop", "web-1");
  EXPECT_TRUE(agent_->wait_notified("1 pod on this node, 1 in the mesh"));
}

TEST_F(AgentTest, StoppingLeavesTheInstallationInPlace) {
  begin();
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Ready: chained"));
  const auto installed = AgentProcess::read(list());
  EXPECT_NE(installed.find("istio-cni"), std::string::npos);
  EXPECT_EQ(agent_->stop(SIGTERM), 0);
  EXPECT_EQ(AgentProcess::read(list()), installed);
  EXPECT_EQ(::access(dir_.path("bin/istio-cni").c_str(), X_OK), 0);
  EXPECT_NE(agent_->log().find("the installation stays in place"), std::string::npos);
}

TEST_F(AgentTest, OnStopRemoveTakesItOut) {
  begin("# \n");
  auto config = agent_->read_config();
  config.replace(config.find("install:\n"), 9, "install:\n  on_stop: remove\n");
  agent_->write_config(config);
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Ready: chained"));
  EXPECT_EQ(agent_->stop(SIGTERM), 0);
  EXPECT_EQ(AgentProcess::read(list()), primary);
  EXPECT_NE(::access(dir_.path("bin/istio-cni").c_str(), F_OK), 0);
}

TEST_F(AgentTest, AForeignRewriteIsUndoneAndCounted) {
  begin();
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Ready: chained"));
  for (int i = 1; i <= 3; ++i) {
    write_primary();
    ASSERT_TRUE(eventually(
        [&] { return AgentProcess::read(list()).find("istio-cni") != std::string::npos; }));
  }
  EXPECT_TRUE(eventually([&] {
    return agent_->metrics().find("conf_foreign_rewrites_total{peer=\"unknown\"} 3") !=
           std::string::npos;
  })) << agent_->metrics();
}

TEST_F(AgentTest, AForeignRewriteIsAnsweredWithWhatIsPrepared) {
  if (!test_support::keeps_spares(dir_.path()))
    GTEST_SKIP() << dir_.path() << " is of a kind that keeps no spare";
  begin();
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("READY=1"));
  std::vector<ino_t> waiting;
  const auto prepared = [&] {
    waiting = test_support::nameless(dir_.path("net.d"), std::to_string(agent_->pid()));
    return !waiting.empty();
  };
  ASSERT_TRUE(eventually(prepared));
  write_primary();
  EXPECT_TRUE(eventually([&] {
    struct stat info {};
    return ::stat(list().c_str(), &info) == 0 && info.st_ino == waiting.front();
  }));
  EXPECT_NE(AgentProcess::read(list()).find("istio-cni"), std::string::npos);
  EXPECT_TRUE(eventually(prepared)) << "the next one";
}

TEST_F(AgentTest, ReloadAppliesAGoodConfigurationAndKeepsABadOneOut) {
  begin();
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Ready: chained"));
  const auto good = agent_->read_config();
  agent_->write_config(good + "plugin:\n  backend: nftables\n");
  agent_->signal(SIGHUP);
  ASSERT_TRUE(agent_->wait_notified("RELOADING=1"));
  ASSERT_TRUE(agent_->wait_notified("READY=1"));
  EXPECT_NE(agent_->log().find("plugin.backend: auto -> nftables"), std::string::npos);
  EXPECT_TRUE(
      eventually([&] { return AgentProcess::read(list()).find("nftables") != std::string::npos; }));
  agent_->write_config(good + "plugin:\n  backend: nope\n");
  agent_->signal(SIGHUP);
  ASSERT_TRUE(agent_->wait_notified("READY=1"));
  EXPECT_NE(agent_->log().find("configuration not reloaded"), std::string::npos);
  EXPECT_NE(AgentProcess::read(list()).find("nftables"), std::string::npos);
}

TEST_F(AgentTest, StartsWithoutAnApiServerInReach) {
  begin("", dir_.path("no-such-kubeconfig"));
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("READY=1"));
  EXPECT_NE(AgentProcess::read(list()).find("istio-cni"), std::string::npos)
      << "no pod of the mesh may pass unnoticed meanwhile";
  EXPECT_NE(agent_->readyz().find("503"), std::string::npos);
  // and the credential is found when it comes
  server_.write_kubeconfig(dir_.path("no-such-kubeconfig"));
  EXPECT_TRUE(agent_->wait_notified("1 in the mesh", 30s));
  EXPECT_EQ(agent_->log().find("pods not known: "), std::string::npos)
      << "the missing credential is no reason any more";
}

TEST_F(AgentTest, AServiceManagerThatDoesNotReadHoldsNothingUp) {
  begin();
  write_primary();
  const int sender = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  agent_->path("notify").copy(address.sun_path, sizeof address.sun_path - 1);
  while (::sendto(sender, "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
         1) {
  }
  ASSERT_EQ(errno, EAGAIN);
  ::close(sender);
  agent_->start();
  EXPECT_TRUE(eventually([&] {
    return agent_->readyz().find("1 pod on this node, 1 in the mesh") != std::string::npos;
  }));
  server_.add_pod(mesh_pod("web-2"));
  EXPECT_TRUE(
      eventually([&] { return agent_->readyz().find("2 in the mesh") != std::string::npos; }));
  // it is told once it reads: that the agent is ready, and what is true by then
  ASSERT_TRUE(agent_->wait_notified("READY=1"));
  EXPECT_TRUE(agent_->wait_notified("STATUS=Ready: chained in 10-primary.conflist; 2 pods"));
}

TEST_F(AgentTest, MetricsTellTheInstalledPluginsVersion) {
  begin();
  write_primary();
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Ready: chained"));
  const auto has = [&](const std::string& version) {
    return agent_->metrics().find("\nistio_cni_node_plugin_info{version=\"" + version +
                                  "\"} 1\n") != std::string::npos;
  };
  EXPECT_TRUE(has(ICN_VERSION)) << agent_->metrics();
  EXPECT_FALSE(has("unknown"));
}

TEST_F(AgentTest, ABadConfigurationIsNotStartedWith) {
  begin("nonsense: true\n");
  agent_->start();
  EXPECT_TRUE(eventually([&] { return agent_->log().find("nonsense") != std::string::npos; }));
  EXPECT_EQ(agent_->stop(0), 1);
}

}  // namespace
