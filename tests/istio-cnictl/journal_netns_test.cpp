// What only the journal tells: the built plugin and agent log into one, and the tool
// reads it.
#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>

#include "istio-cnictl/broken_pod.hpp"
#include "istio-cnictl/tool_netns.hpp"
#include "support/test_journal.hpp"

namespace {

using PodNamespace = test_support::ToolPodNamespace;
using test_support::json;
using test_support::pod_json;
using test_support::TestJournal;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ToolJournal : public test_support::ToolNetnsTest {
 protected:
  void SetUp() override {
    if (!TestJournal::possible()) GTEST_SKIP() << "needs root and systemd-journal-remote";
    journal_.emplace(dir_.path("journal"));
  }
  [[nodiscard]] std::string sentence(const std::string& pod) const {
    return explain(pod)["sentence"].get<std::string>();
  }
  std::optional<TestJournal> journal_;
};

/// For this process and what it starts: a kernel without nf_tables.
void lose_nf_tables() {
  constexpr auto word = [](std::size_t argument) {
    return static_cast<unsigned>(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
  };
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word(0)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word(2)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof code / sizeof *code, code};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    ::_exit(99);
}

// --- the plugin failed

TEST_F(ToolJournal, ThePluginCouldNotReachTheApiServer) {
  const PodNamespace pod;
  ASSERT_TRUE(pod.good());
  begin();
  {
    // nobody listens there any more
    const test_support::ApiServer gone(with_token());
    gone.write_kubeconfig(dir_.path("kubeconfig"));
  }
  EXPECT_NE(run_plugin(pod, {{"kubeconfig", dir_.path("kubeconfig")}, {"timeout_seconds", 1}}), 0);
  ASSERT_TRUE(journal_->write("DECISION=failed"));
  const auto alone = explain("web-1");
  EXPECT_EQ(alone["finding"], "plugin-failed") << "without anybody else: " << alone.dump(1);
  EXPECT_EQ(alone["cause"], "api-unreachable");
  EXPECT_EQ(run("explain shop/web-1").status, 1);
  // and when it is back, and the pod waits for the kubelet's next try
  server_.write_kubeconfig(dir_.path("kubeconfig"));
  server_.add_pod(pod_json("web-1").dump());
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "plugin-failed") << verdict.dump(1);
  EXPECT_EQ(verdict["cause"], "api-unreachable");
  EXPECT_THAT(evidence(verdict, "ADD: "), HasSubstr("journal: "));
}

TEST_F(ToolJournal, TheApiServerRefusedTheCredential) {
  const PodNamespace pod;
  ASSERT_TRUE(pod.good());
  begin();
  start();
  server_.set_token("another, since that one has expired");
  EXPECT_NE(run_plugin(pod, {{"timeout_seconds", 2}}), 0);
  server_.set_token(token);
  server_.add_pod(pod_json("web-1").dump());
  ASSERT_TRUE(journal_->write("DECISION=failed"));
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "plugin-failed") << verdict.dump(1);
  EXPECT_EQ(verdict["cause"], "credential");
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              AllOf(HasSubstr("the API server refuses the credential"), HasSubstr("HTTP 401")));
}

TEST_F(ToolJournal, TheKernelLacksAFeature) {
  const PodNamespace pod;
  with_pod(pod);
  server_.add_pod(pod_json("web-1").dump());
  const auto child = ::fork();
  if (child == 0) {
    lose_nf_tables();
    ::_exit(run_plugin(pod, {{"backend", "nftables"}}));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 1) << test_support::AgentProcess::read(dir_.path("add.err"));
  ASSERT_TRUE(journal_->write("DECISION=failed"));
  agent_->stop(SIGTERM);
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "plugin-failed") << verdict.dump(1);
  EXPECT_EQ(verdict["cause"], "kernel");
  EXPECT_EQ(verdict["next"][0], "modprobe nf_tables");
}

// --- the installation, when the pod started

TEST_F(ToolJournal, TheInstallationThenIsKnownAfterARestartOfTheAgent) {
  begin_without_network("repair:\n  mode: \"off\"\n");
  agent_->start();
  ASSERT_TRUE(agent_->wait_notified("Not ready: no CNI network configuration"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // times of pods are in seconds
  server_.add_pod(test_support::broken_pod("web-1", "u-1").dump());
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  dir_.write("net.d/10-primary.conflist", primary);
  ASSERT_TRUE(agent_->wait_notified("Ready: chained in 10-primary.conflist"));
  agent_->stop(SIGTERM);
  start();
  EXPECT_THAT(sentence("web-1"), HasSubstr("nothing is known of that time"));
  ASSERT_TRUE(journal_->write("ISTIO_CNI_IN_LIST=1"));
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "started-before-plugin") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              HasSubstr("(at that time: Not ready: no CNI network configuration in"));
  EXPECT_THAT(evidence(verdict, "the installation at the pod's start: "), HasSubstr("journal: "));
}

TEST_F(ToolJournal, BetweenUninstallAndInstallThereIsNoPlugin) {
  begin("repair:\n  mode: \"off\"\n");
  start();
  agent_->stop(SIGTERM);
  ASSERT_EQ(std::system((std::string(ICN_AGENT) + " uninstall --config " +
                         dir_.path("config.yaml") + " >" + dir_.path("out") + " 2>&1")
                            .c_str()),
            0);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  server_.add_pod(test_support::broken_pod("web-1", "u-1").dump());
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  start();
  ASSERT_TRUE(journal_->write("taken out of this node"));
  EXPECT_THAT(sentence("web-1"), HasSubstr("(at that time: Not ready: taken out of this node)"));
}

// --- pods without the agent

TEST_F(ToolJournal, DecisionsAtAddWithoutTheAgent) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  ASSERT_TRUE(journal_->write("DECISION=redirect"));
  agent_->stop(SIGTERM);
  const auto down = run("pods --verify");
  EXPECT_EQ(down.status, 0) << down.out << down.err;
  EXPECT_THAT(down.out, AllOf(HasSubstr("redirect  nftables"), Not(HasSubstr("(now)")),
                              HasSubstr("verified (nftables)")));
  EXPECT_THAT(down.err, HasSubstr("is istio-cni-node running?"));
  const auto parsed = run("pods -o json").parsed();
  EXPECT_EQ(parsed["agent"], false);
  EXPECT_EQ(parsed["pods"][0]["add"]["netns"], pod.path());
  EXPECT_FALSE(parsed["pods"][0].contains("now"));
  // one that was started after it knows no ADD of its own either
  start();
  wait_for_pods("1 pod on this node");
  EXPECT_THAT(run("pods").out, HasSubstr("redirect  nftables"));
  EXPECT_EQ(run("pods -o json").parsed()["agent"], true);
}

}  // namespace
