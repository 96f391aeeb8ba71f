// Pods that started before the plugin, repaired in place by the built agent in real
// network namespaces, as explain and pods tell it.
#include <gmock/gmock.h>

#include "istio-cnictl/tool_netns.hpp"
#include "repair/mesh.hpp"

namespace {

using PodNamespace = test_support::ToolPodNamespace;
using ToolRepair = test_support::ToolNetnsTest;
using test_support::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

json in_sandbox(const PodNamespace& sandbox) {
  return test_support::mesh_pod("web-1", "u-1", "rs-1", {sandbox.ip()});
}

TEST_F(ToolRepair, RecoveringAndThenRepaired) {
  const PodNamespace sandbox;
  ASSERT_TRUE(sandbox.good());
  auto pod = in_sandbox(sandbox);
  test_support::validation_ended(pod, 126);
  test_support::validation_waits(pod);
  server_.add_pod(pod.dump());
  begin("repair:\n  mode: repair\n");
  start();
  ASSERT_TRUE(eventually([&] { return explain("web-1")["finding"] == "recovering"; }))
      << explain("web-1").dump(1);
  const auto waiting = run("explain shop/web-1");
  EXPECT_EQ(waiting.status, 1);
  EXPECT_THAT(
      waiting.out,
      AllOf(HasSubstr("was repaired, and waits for container istio-validation to be started"),
            HasSubstr("exactly the expected rules in "),
            HasSubstr("container istio-validation exited with code 126"),
            HasSubstr("kubectl -n shop get pod web-1 --watch")));
  ASSERT_TRUE(eventually([&] { return !server_.events().empty(); }));
  EXPECT_THAT(evidence(explain("web-1"), "RepairBrokenPod"), HasSubstr("events: "));

  // its next run passes
  test_support::validation_ended(pod, 0);
  server_.add_pod(pod.dump());
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "repaired") << verdict.dump(1);
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              AllOf(HasSubstr("started without redirection, was repaired at "),
                    HasSubstr(", and is redirected")));
  EXPECT_EQ(run("explain shop/web-1").status, 0);
  const auto pods = run("pods --verify");
  EXPECT_EQ(pods.status, 0) << pods.out << pods.err;
  EXPECT_THAT(pods.out, AllOf(HasSubstr("repaired 20"), HasSubstr("verified (nftables)")));

  agent_->stop(SIGTERM);
  const auto alone = explain("web-1");
  EXPECT_EQ(alone["finding"], "repaired") << "the disk knows it: " << alone.dump(1);
  EXPECT_THAT(evidence(alone, "repaired by the agent"), HasSubstr("disk: "));
  const auto down = run("pods --verify");
  EXPECT_EQ(down.status, 0) << down.out << down.err;
  EXPECT_THAT(down.out, AllOf(HasSubstr("redirect (now)"), HasSubstr("repaired 20"),
                              HasSubstr("verified (nftables)")));
}

TEST_F(ToolRepair, WhatCannotBeRepairedInPlaceSaysWhy) {
  const PodNamespace sandbox;
  ASSERT_TRUE(sandbox.good());
  auto pod = in_sandbox(sandbox);
  pod["spec"]["restartPolicy"] = "Never";
  test_support::validation_ended(pod, 126);
  pod["status"]["phase"] = "Failed";
  server_.add_pod(pod.dump());
  begin("repair:\n  mode: repair\n");
  start();
  ASSERT_TRUE(
      eventually([&] { return run("pods").out.find("held: not_restarted") != std::string::npos; }));
  const auto verdict = explain("web-1");
  EXPECT_THAT(verdict["sentence"].get<std::string>(),
              AllOf(HasSubstr("has no redirection"), HasSubstr("repair waits (not_restarted): ")));
  EXPECT_EQ(run("explain shop/web-1").status, 1);
  EXPECT_THAT(sandbox.run("nft list ruleset"), Not(HasSubstr("15006")));
}

TEST_F(ToolRepair, RulesThatSomebodyRemovedArePutBack) {
  const PodNamespace sandbox;
  with_pod(sandbox, "repair:\n  mode: repair\n");
  ASSERT_EQ(add(sandbox), 0);
  EXPECT_EQ(sandbox.run("nft flush ruleset"), "");
  EXPECT_EQ(explain("web-1")["finding"], "rules-missing");
  auto pod = test_support::mesh_pod("web-1", "uid-web-1", "rs-1", {sandbox.ip()});
  test_support::validation_ended(pod, 126);
  test_support::validation_waits(pod);
  server_.add_pod(pod.dump());
  ASSERT_TRUE(eventually([&] { return explain("web-1")["finding"] == "recovering"; }))
      << explain("web-1").dump(1);
  test_support::validation_ended(pod, 0);
  server_.add_pod(pod.dump());
  EXPECT_THAT(explain("web-1")["sentence"].get<std::string>(),
              HasSubstr("was found without its rules, was repaired at "));
}

}  // namespace
