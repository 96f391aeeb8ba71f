// The built tool and pods with real network namespaces.
#include <gmock/gmock.h>

#include "istio-cnictl/tool_netns.hpp"

namespace {

using PodNamespace = test_support::ToolPodNamespace;
using ToolNetns = test_support::ToolNetnsTest;
using test_support::json;
using test_support::pod_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(ToolNetns, AHealthyPod) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  const auto explained = run("explain shop/web-1");
  EXPECT_EQ(explained.status, 0) << explained.out;
  EXPECT_THAT(explained.out, AllOf(HasSubstr("is redirected: the rules are right, and traffic"),
                                   HasSubstr("ADD: redirect, success, nftables"),
                                   HasSubstr("exactly the expected rules in " + pod.path())));
  EXPECT_EQ(explain("web-1")["finding"], "healthy");
  const auto live = run("rules --live shop/web-1");
  EXPECT_EQ(live.status, 0) << live.err;
  EXPECT_THAT(live.out, HasSubstr("table inet istio-proxy-nat {"));
  const auto diff = run("rules --diff shop/web-1");
  EXPECT_EQ(diff.status, 0);
  EXPECT_EQ(diff.out, "");
  const auto probe = run("validate shop/web-1");
  EXPECT_EQ(probe.status, 0) << probe.out << probe.err;
  EXPECT_THAT(probe.out, HasSubstr("IPv4: redirected traffic arrives"));
  const auto pods = run("pods --verify");
  EXPECT_EQ(pods.status, 0) << pods.out;
  EXPECT_THAT(pods.out, HasSubstr("verified (nftables)"));
  agent_->stop(SIGTERM);
  EXPECT_EQ(run("rules --diff shop/web-1").status, 0) << "found without the agent too";
}

TEST_F(ToolNetns, LiveRulesCanBeLoadedAgain) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  const auto live = dir_.write("live", run("rules --live shop/web-1").out);
  EXPECT_EQ(pod.run("nft flush ruleset"), "");
  EXPECT_EQ(pod.run("nft -f " + live), "");
  // nft may put a rule's matches into another order; they do the same
  EXPECT_EQ(run("validate shop/web-1").status, 0);
}

TEST_F(ToolNetns, FlushedRules) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  EXPECT_EQ(pod.run("nft flush ruleset"), "");
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "rules-missing") << verdict.dump(1);
  EXPECT_EQ(run("explain shop/web-1").status, 1);
  const auto diff = run("rules --diff shop/web-1");
  EXPECT_EQ(diff.status, 1);
  EXPECT_THAT(diff.out, HasSubstr("istio-proxy-nat: table is missing"));
  EXPECT_EQ(run("rules --diff shop/web-1 -o json").parsed()["absent"], true);
  const auto pods = run("pods --verify");
  EXPECT_EQ(pods.status, 1);
  EXPECT_THAT(pods.out, HasSubstr("missing"));
  const auto probe = run("validate shop/web-1");
  EXPECT_EQ(probe.status, 1);
  EXPECT_THAT(probe.out, HasSubstr("refused"));
}

TEST_F(ToolNetns, ChangedRules) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  EXPECT_EQ(pod.run("nft insert rule inet istio-proxy-nat output tcp dport 8080 accept"), "");
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "rules-changed") << verdict.dump(1);
  EXPECT_EQ(verdict["next"][0], "istio-cnictl rules --diff shop/web-1");
  EXPECT_THAT(run("rules --diff shop/web-1").out, HasSubstr("8080"));
}

TEST_F(ToolNetns, StartedBeforeThePlugin) {
  const PodNamespace pod;
  with_pod(pod);
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "started-before-plugin") << verdict.dump(1);
  agent_->stop(SIGTERM);
  EXPECT_THAT(explain("web-1")["sentence"].get<std::string>(),
              HasSubstr("the agent does not answer, so nothing repairs it"));
}

TEST_F(ToolNetns, ValidationRefusedAndTimedOut) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  EXPECT_EQ(pod.run("nft 'add table ip other; add chain ip other out { type nat hook output "
                    "priority -150; }; add rule ip other out tcp dport 15002 redirect to :9'"),
            "");
  auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "validation-failed") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(), HasSubstr("connection refused"));
  EXPECT_THAT(run("rules --live shop/web-1").out, HasSubstr("table ip other"));
  EXPECT_EQ(pod.run("nft 'delete table ip other; add table ip other; add chain ip other in { type "
                    "filter hook input priority 0; }; add rule ip other in tcp dport 15006 drop'"),
            "");
  verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "validation-failed") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(), HasSubstr("no answer"));
}

TEST_F(ToolNetns, ARunningProxyIsOnlyConnectedTo) {
  const PodNamespace pod(true);
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  const auto probe = run("validate shop/web-1");
  EXPECT_EQ(probe.status, 0) << probe.out << probe.err;
  EXPECT_THAT(probe.out, HasSubstr("accepted by the proxy"));
  EXPECT_EQ(explain("web-1")["finding"], "healthy");
  EXPECT_EQ(pod.run("nft flush ruleset"), "");
  EXPECT_EQ(run("validate shop/web-1").status, 1);
}

TEST_F(ToolNetns, WithIptables) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod, "iptables"), 0);
  EXPECT_EQ(run("rules --diff shop/web-1").status, 0) << run("rules --diff shop/web-1").out;
  const auto live = run("rules --live shop/web-1");
  EXPECT_THAT(live.out, AllOf(HasSubstr("# iptables, legacy\n"), HasSubstr("*nat\n"),
                              HasSubstr("-j REDIRECT --to-ports 15006")));
  EXPECT_EQ(explain("web-1")["finding"], "healthy");
  EXPECT_EQ(pod.run("iptables-legacy -t nat -F"), "");
  EXPECT_EQ(explain("web-1")["finding"], "rules-changed") << "the chains are still there";
}

TEST_F(ToolNetns, ThePluginFailed) {
  const PodNamespace pod;
  with_pod(pod);
  server_.add_pod(pod_json("web-1", "",
                           {{"sidecar.istio.io/status", "{}"},
                            {"traffic.sidecar.istio.io/includeInboundPorts", "http"}})
                      .dump());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_NE(add(pod), 0);
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "plugin-failed") << verdict.dump(1);
  EXPECT_EQ(verdict["cause"], "bad-annotation");
  EXPECT_EQ(run("pods").status, 1);
}

TEST_F(ToolNetns, TheBundleHoldsTheRules) {
  const PodNamespace pod;
  with_pod(pod);
  ASSERT_EQ(add(pod), 0);
  ASSERT_EQ(run("support-bundle -o " + dir_.path("b.tar.gz")).status, 0);
  EXPECT_THAT(support::shell("tar -xzOf " + dir_.path("b.tar.gz") + " --wildcards '*/rules/*'"),
              AllOf(HasSubstr("exactly the expected rules"), HasSubstr("istio-proxy-nat")));
}

}  // namespace
