// Verdicts over pods that do not start, from made-up facts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"
#include "istio-cnictl/verdict.hpp"

namespace {

using namespace test_support;
using base::Errc;
using base::Error;
using istio_cnictl::Cause;
using istio_cnictl::DecisionNow;
using istio_cnictl::Finding;
using istio_cnictl::judge;
using istio_cnictl::PodEvent;
using istio_cnictl::Verdict;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Verdict, NotInstalledAndTheAgentIsDown) {
  auto facts = good_facts();
  not_started(facts);
  facts.agent = Error{Errc::unavailable, "the agent does not listen"};
  facts.entry = Error{Errc::unavailable, "the agent does not listen"};
  facts.disk.file.clear();
  facts.disk.position = -1;
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_installed);
  EXPECT_THAT(verdict.sentence,
              HasSubstr("has not started, and the plugin is not in place on this node: no file in "
                        "/etc/cni/net.d names the plugin"));
  EXPECT_THAT(verdict.next, ElementsAre("systemctl start istio-cni-node", "istio-cnictl status"));
  EXPECT_EQ(exit_code(verdict.finding), 1);
}

TEST(Verdict, NotReadyAsTheAgentSays) {
  auto facts = good_facts();
  not_started(facts);
  facts.agent->installation.ready = false;
  facts.agent->installation.description = "no CNI network configuration in /etc/cni/net.d yet";
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_installed);
  EXPECT_THAT(verdict.sentence, HasSubstr("no CNI network configuration in /etc/cni/net.d yet"));
}

TEST(Verdict, InPlaceAndUnableToDoItsWork) {
  auto facts = good_facts();
  not_started(facts);
  facts.agent->ready = false;
  facts.agent->sentence = "Not ready: chained in 10-calico.conflist, but there is no credential";
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_installed);
  EXPECT_THAT(verdict.sentence,
              HasSubstr("the plugin cannot do its work on this node: Not ready: chained in"));
}

TEST(Verdict, TheRuntimeDoesNotFindThePlugin) {
  auto facts = good_facts();
  not_started(facts);
  facts.events = std::vector{PodEvent{
      at("09:30:00"), "uid-1", "Warning", "FailedCreatePodSandBox",
      "Failed to create pod sandbox: plugin type=\"istio-cni\" failed (add): failed to find plugin "
      "\"istio-cni\" in path [/opt/cni/bin]",
      "kubelet", 7}};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_installed);
  EXPECT_THAT(verdict.sentence, HasSubstr("the runtime does not find it"));
  EXPECT_THAT(verdict.evidence, evidence("events", "(7 times)"));
}

struct FailureCase {
  std::string code;
  std::string message;
  Cause cause;
  std::string next;
};

TEST(Verdict, PluginFailed) {
  const FailureCase cases[] = {
      {"100",
       "pod shop/web-1: annotation traffic.sidecar.istio.io/includeInboundPorts: \"http\" is no "
       "port",
       Cause::bad_annotation, "kubectl -n shop get pod web-1 -o yaml"},
      {"11", "cannot look up pod shop/web-1: https://10.0.0.1:6443: connection refused",
       Cause::api_unreachable, "istio-cnictl status"},
      {"11", "cannot look up pod shop/web-1: GET pod shop/web-1: HTTP 401 Unauthorized",
       Cause::credential, "istio-cnictl status"},
      {"101",
       "pod shop/web-1: nftables: the kernel lacks the nftables expression redir (module "
       "nft_redir): "
       "nat rule 1",
       Cause::kernel, "modprobe nft_redir"},
      {"11", "no primary network on this node yet: pods start once", Cause::gate,
       "istio-cnictl status"},
      {"8", "CNI_NETNS is the host's own", Cause::host_namespace, "journalctl"},
      {"102", "the namespace does not hold the expected redirection", Cause::rules_differ,
       "istio-cnictl rules --diff shop/web-1"},
      {"999", "something else", Cause::other, "journalctl -t istio-cni POD_NAME=web-1"}};
  for (const auto& one : cases) {
    SCOPED_TRACE(one.message);
    auto facts = good_facts();
    not_started(facts);
    facts.journal = std::vector{journal_add("09:30:00", "failed", one.message, one.code)};
    const auto verdict = judge(facts);
    EXPECT_EQ(verdict.finding, Finding::plugin_failed);
    EXPECT_EQ(verdict.cause, one.cause);
    EXPECT_THAT(verdict.sentence, AllOf(HasSubstr("does not start: "), HasSubstr(one.message)));
    ASSERT_FALSE(verdict.next.empty());
    EXPECT_THAT(verdict.next.front(), HasSubstr(one.next));
    EXPECT_EQ(exit_code(verdict.finding), 1);
  }
}

TEST(Verdict, PluginFailedAsOnlyTheEventTells) {
  auto facts = good_facts();
  not_started(facts);
  facts.journal = Error{Errc::refused, "there is no journal that this user may read"};
  facts.events = std::vector{PodEvent{
      at("09:30:00"), "uid-1", "Warning", "FailedCreatePodSandBox",
      "failed to setup network for sandbox: plugin type=\"istio-cni\" failed (add): cannot look up "
      "pod shop/web-1: the credential expired",
      "kubelet", 3}};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::plugin_failed);
  EXPECT_EQ(verdict.cause, Cause::credential);
  EXPECT_THAT(verdict.evidence, evidence("journal", "could not be read: there is no journal"));
}

TEST(Verdict, ABadAnnotationIsSeenBeforeThePluginRan) {
  auto facts = good_facts();
  not_started(facts);
  facts.live.reset();
  facts.decision =
      DecisionNow{DecisionNow::Kind::error, "", "pod shop/web-1: annotation x: no port"};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::plugin_failed);
  EXPECT_EQ(verdict.cause, Cause::bad_annotation);
}

TEST(Verdict, AFailureThatASuccessFollowedIsHistory) {
  auto facts = good_facts();
  facts.journal = std::vector{journal_add("08:59:00", "failed", "cannot look up pod", "11"),
                              journal_add("09:00:00", "redirect", "pod redirected")};
  EXPECT_EQ(judge(facts).finding, Finding::healthy);
}

TEST(Verdict, AnotherPluginsFailureIsNotOurs) {
  auto facts = good_facts();
  not_started(facts);
  facts.events = std::vector{PodEvent{at("09:30:00"), "uid-1", "Warning", "FailedCreatePodSandBox",
                                      "plugin type=\"calico\" failed (add): no IP", "kubelet", 1}};
  EXPECT_EQ(judge(facts).finding, Finding::not_started);
}

TEST(Verdict, AFailureOfAnEarlierPodOfTheNameDoesNotCount) {
  auto facts = good_facts();
  not_started(facts);
  facts.journal = std::vector{journal_add("08:00:00", "failed", "cannot look up", "11", "uid-0")};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_started);
  EXPECT_THAT(verdict.evidence, evidence("journal", "(an earlier pod of this name)"));
}

TEST(Verdict, NotStarted) {
  auto facts = good_facts();
  not_started(facts);
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_started);
  EXPECT_THAT(verdict.sentence, HasSubstr("the runtime has not called the plugin for it yet"));
}

}  // namespace
