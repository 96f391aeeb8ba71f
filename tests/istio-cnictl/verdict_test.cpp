// Every verdict, from made-up facts.
#include "istio-cnictl/verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"

namespace {

using namespace test_support;
using base::Errc;
using base::Error;
using istio_cnictl::Cause;
using istio_cnictl::DecisionNow;
using istio_cnictl::Evidence;
using istio_cnictl::Finding;
using istio_cnictl::judge;
using istio_cnictl::LiveState;
using istio_cnictl::PodEvent;
using istio_cnictl::ProbeResult;
using istio_cnictl::Verdict;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

auto evidence(const std::string& source, const std::string& text) {
  return Contains(AllOf(Field(&Evidence::source, source), Field(&Evidence::text, HasSubstr(text))));
}

TEST(Verdict, Healthy) {
  const auto verdict = judge(good_facts());
  EXPECT_EQ(verdict.finding, Finding::healthy);
  EXPECT_EQ(verdict.sentence, "is redirected: the rules are right, and traffic arrives");
  EXPECT_EQ(exit_code(verdict.finding), 0);
  EXPECT_THAT(verdict.next, IsEmpty());
  EXPECT_THAT(verdict.evidence, evidence("journal", "ADD: pod redirected"));
  EXPECT_THAT(verdict.evidence, evidence("namespace", "exactly the expected rules in /run/netns"));
  EXPECT_THAT(verdict.evidence, evidence("probe", "IPv4: redirected traffic arrives"));
  EXPECT_THAT(verdict.evidence, evidence("agent", "ADD: redirect, success, nftables"));
}

TEST(Verdict, EvidenceIsInOrderAndWhatHasNoTimeComesLast) {
  const auto verdict = judge(good_facts());
  bool timeless = false;
  std::optional<istio_cnictl::Time> last;
  for (const auto& line : verdict.evidence) {
    if (!line.at) {
      timeless = true;
      continue;
    }
    EXPECT_FALSE(timeless);
    EXPECT_LE(last.value_or(*line.at), *line.at);
    last = line.at;
  }
}

TEST(Verdict, HealthyThoughTheProbeCouldNotRun) {
  auto facts = good_facts();
  facts.probe.emplace(Error{Errc::io, "become user 1337 for the probe: EPERM"});
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::healthy);
  EXPECT_THAT(verdict.sentence, HasSubstr("whether traffic arrives was not seen: become user"));
}

// --- the plugin is not there

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

TEST(Verdict, NotInstalledAndThePodRunsWithoutRules) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  facts.disk.copies[0].present = false;
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_installed);
  EXPECT_THAT(verdict.sentence, HasSubstr("/opt/cni/bin/istio-cni is missing"));
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

TEST(Verdict, BrokenAndNotReplacedWhileTheNodeIsNotReady) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  (*facts.entry)->held_reason = "node_not_ready";
  (*facts.entry)->held_text = "this node is not ready: no CNI configuration";
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_installed);
  EXPECT_THAT(verdict.sentence, HasSubstr("stays so while this node is not ready"));
}

// --- the race

TEST(Verdict, StartedBeforeThePluginAndIsAboutToBeDeleted) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  facts.agent->changes = {{at("09:05:00"), true, "Ready: chained in 10-calico.conflist"}};
  facts.readiness = std::vector{journal_ready("08:50:00", false, "Not ready: no CNI network yet"),
                                journal_ready("09:05:00", true, "Ready: chained")};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_EQ(verdict.sentence,
            "has no redirection: it started before the plugin was in place (at that time: Not "
            "ready: no CNI network yet); the agent is about to delete it, so that it is created "
            "anew");
  EXPECT_THAT(verdict.next, ElementsAre("kubectl -n shop get pod web-1 --watch",
                                        "kubectl -n shop delete pod web-1"));
  EXPECT_THAT(verdict.evidence, evidence("API server", "exited with code 126"));
  EXPECT_THAT(verdict.evidence,
              evidence("journal", "the installation at the pod's start: Not ready"));
  EXPECT_THAT(verdict.evidence, evidence("namespace", "no rules of ours"));
}

TEST(Verdict, StartedBeforeThePluginByModeOfRepair) {
  using Mode = config::RepairMode;
  const std::pair<Mode, std::string> cases[] = {
      {Mode::repair, "the agent is about to put the rules into it"},
      {Mode::repair_then_delete, "the agent is about to put the rules into it"},
      {Mode::label, "the agent is about to label it"},
      {Mode::off, "repair is switched off"}};
  for (const auto& [mode, text] : cases) {
    auto facts = good_facts();
    forget_add(facts);
    no_rules(facts);
    break_pod(facts);
    facts.repair_mode = mode;
    const auto verdict = judge(facts);
    EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
    EXPECT_THAT(verdict.sentence, HasSubstr(text));
  }
}

TEST(Verdict, StartedBeforeThePluginWithoutAgent) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  facts.agent = Error{Errc::unavailable, "gone"};
  facts.entry = Error{Errc::unavailable, "gone"};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence, HasSubstr("so nothing repairs it"));
  EXPECT_EQ(verdict.next.front(), "systemctl start istio-cni-node");
}

TEST(Verdict, StartedBeforeThePluginWithoutValidation) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence, HasSubstr("once its validation container has failed"));
  EXPECT_THAT(verdict.next, ElementsAre("kubectl -n shop delete pod web-1"));
}

TEST(Verdict, RepairWaitsForSomethingElse) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  (*facts.entry)->held_reason = "static_pod";
  (*facts.entry)->held_text = "it is a static pod";
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence, HasSubstr("repair waits (static_pod): it is a static pod"));
}

TEST(Verdict, NoRulesThoughThePluginWasInPlace) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  EXPECT_THAT(judge(facts).sentence, HasSubstr("although the plugin was in place when it started"));
}

TEST(Verdict, Repaired) {
  auto facts = good_facts();
  forget_add(facts);
  (*facts.entry)->repair = agent::PodEntry::Repair{at("09:10:00"), "repaired", 1};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::repaired);
  EXPECT_THAT(verdict.sentence, HasSubstr("was repaired at 2026-11-24T09:10:00Z"));
  EXPECT_EQ(exit_code(verdict.finding), 0);
}

TEST(Verdict, RepairedAsTheDiskKnowsWithoutAgent) {
  auto facts = good_facts();
  facts.journal = std::vector<istio_cnictl::JournalEntry>{};
  facts.agent = Error{Errc::unavailable, "gone"};
  facts.entry = Error{Errc::unavailable, "gone"};
  repair::Record record;
  record.name_space = "shop";
  record.name = "web-1";
  record.at = at("09:10:00");
  facts.repairs->pods["uid-1"] = record;
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::repaired);
  EXPECT_THAT(verdict.evidence, evidence("disk", "repaired by the agent"));
}

TEST(Verdict, RecoversAtTheNextStartOfItsValidation) {
  auto facts = good_facts();
  break_pod(facts);
  (*facts.entry)->repair = agent::PodEntry::Repair{at("09:10:00"), "repaired", 1};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::recovering);
  EXPECT_EQ(verdict.sentence,
            "was repaired, and waits for container istio-validation to be started again");
  EXPECT_EQ(exit_code(verdict.finding), 1);
}

// --- skipped

TEST(Verdict, SkippedAndWhy) {
  auto facts = good_facts();
  forget_add(facts);
  facts.live.reset();
  facts.probe.reset();
  facts.decision =
      DecisionNow{DecisionNow::Kind::skip, "not-injected", "no annotation sidecar.istio.io/status"};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::skipped);
  EXPECT_EQ(verdict.sentence,
            "is left as it is: not-injected: no annotation sidecar.istio.io/status");
  EXPECT_EQ(exit_code(verdict.finding), 0);
  EXPECT_THAT(verdict.next, ElementsAre("kubectl get namespace shop --show-labels"));
}

TEST(Verdict, SkippedNowButRedirectedThen) {
  auto facts = good_facts();
  facts.decision = DecisionNow{DecisionNow::Kind::skip, "interception-none", "mode is NONE"};
  EXPECT_THAT(judge(facts).sentence, HasSubstr("but was redirected when it started"));
}

TEST(Verdict, SkippedThenAndRedirectedNow) {
  auto facts = good_facts();
  facts.journal = std::vector{journal_add("09:00:00", "excluded-namespace", "pod left as it is")};
  (*facts.entry)->add->decision = "excluded-namespace";
  no_rules(facts);
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::skipped_at_start);
  EXPECT_THAT(verdict.sentence, HasSubstr("(excluded-namespace)"));
  EXPECT_THAT(verdict.next, ElementsAre("kubectl -n shop delete pod web-1"));
}

// --- the plugin failed

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

// --- the rules

TEST(Verdict, RulesFlushedBySomebody) {
  auto facts = good_facts();
  no_rules(facts);
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::rules_missing);
  EXPECT_THAT(verdict.sentence, HasSubstr("has no rules any more: somebody removed them"));
  EXPECT_THAT(verdict.next, ElementsAre("kubectl -n shop delete pod web-1"));
}

TEST(Verdict, RulesChangedBySomebody) {
  auto facts = good_facts();
  facts.live.emplace(LiveState{"/run/netns/cni-1",
                               "plugin",
                               "nftables",
                               false,
                               {"istio-proxy-nat output rule 2: expected none, found \"accept\"",
                                "istio-proxy-nat output: 3", "4"}});
  facts.probe.reset();
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::rules_changed);
  EXPECT_THAT(verdict.sentence, AllOf(HasSubstr("found \"accept\""), HasSubstr("and 2 more")));
  EXPECT_EQ(verdict.next.front(), "istio-cnictl rules --diff shop/web-1");
  EXPECT_THAT(verdict.evidence, evidence("namespace", "found \"accept\""));
}

TEST(Verdict, ValidationRefusedAndTimedOut) {
  using Outcome = ProbeResult::Outcome;
  for (const auto& [outcome, text] :
       {std::pair{Outcome::refused, "connection refused"}, {Outcome::timeout, "no answer"}}) {
    auto facts = good_facts();
    break_pod(facts);
    facts.probe.emplace(std::vector{ProbeResult{
        redirect::Family::v4, outcome, "connections to 127.0.0.6:15002 fail", {"a try"}}});
    const auto verdict = judge(facts);
    EXPECT_EQ(verdict.finding, Finding::validation_failed);
    EXPECT_THAT(verdict.sentence, AllOf(HasSubstr("IPv4"), HasSubstr(text)));
    EXPECT_THAT(verdict.evidence, evidence("probe", "a try"));
    EXPECT_EQ(verdict.next.front(), "istio-cnictl rules --live shop/web-1");
  }
}

TEST(Verdict, EvictedAgainAndAgain) {
  auto facts = good_facts();
  break_pod(facts);
  no_rules(facts);
  (*facts.entry)->held_reason = "owner_budget";
  (*facts.entry)->held_text = "3 pods of the same owner were deleted within 10 min";
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::evicted_repeatedly);
  EXPECT_THAT(verdict.sentence,
              AllOf(HasSubstr("again and again"), HasSubstr("3 pods of the same owner")));
}

TEST(Verdict, EvictedAgainAndAgainAsEventsAndDiskTell) {
  auto facts = good_facts();
  break_pod(facts);
  no_rules(facts);
  facts.entry = Error{Errc::unavailable, "gone"};
  const PodEvent deletion{at("09:10:00"), "uid-0",      "Warning", "DeleteBrokenPod",
                          "deleted",      "cni-repair", 1};
  facts.events = std::vector{deletion, deletion};
  EXPECT_EQ(judge(facts).finding, Finding::evicted_repeatedly);
  facts.events = std::vector<PodEvent>{};
  facts.repairs->budget.owners["uid-1"].blocked_until = at("11:00:00");
  EXPECT_EQ(judge(facts).finding, Finding::evicted_repeatedly);
}

// --- nothing to judge

TEST(Verdict, NoSuchPod) {
  auto facts = good_facts();
  facts.pod = Error{Errc::not_found, "GET pod shop/web-1: HTTP 404 Not Found"};
  auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::no_such_pod);
  EXPECT_EQ(verdict.sentence, "there is no such pod");
  EXPECT_EQ(exit_code(verdict.finding), 3);
  facts.events = std::vector{
      PodEvent{at("09:10:00"), "uid-0", "Warning", "DeleteBrokenPod", "gone", "cni-repair", 1}};
  EXPECT_THAT(judge(facts).sentence, HasSubstr("this node's agent deleted one of this name"));
}

TEST(Verdict, ThePodCannotBeReadAndThePluginCouldNotEither) {
  auto facts = good_facts();
  facts.pod = Error{Errc::unavailable, "https://10.0.0.1:6443: connection refused"};
  facts.journal =
      std::vector{journal_add("09:30:00", "failed", "cannot look up pod: refused", "11")};
  facts.entry = Error{Errc::unavailable, "gone"};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::plugin_failed);
  EXPECT_EQ(verdict.cause, Cause::api_unreachable);
  facts.journal = std::vector<istio_cnictl::JournalEntry>{};
  EXPECT_EQ(judge(facts).finding, Finding::unverified);
}

TEST(Verdict, OnAnotherNodeOrNone) {
  auto facts = good_facts();
  facts.pod->pod.node_name = "n2";
  EXPECT_EQ(judge(facts).finding, Finding::other_node);
  EXPECT_EQ(judge(facts).sentence, "runs on node n2; this is n1");
  facts.pod->pod.node_name.clear();
  EXPECT_EQ(judge(facts).finding, Finding::not_scheduled);
}

TEST(Verdict, HostNetworkAndFinished) {
  auto facts = good_facts();
  facts.pod->pod.host_network = true;
  EXPECT_EQ(judge(facts).finding, Finding::host_network);
  facts.pod->pod.host_network = false;
  facts.pod->pod.phase = "Succeeded";
  EXPECT_EQ(judge(facts).finding, Finding::finished);
  EXPECT_EQ(exit_code(Finding::finished), 0);
}

TEST(Verdict, NotStarted) {
  auto facts = good_facts();
  not_started(facts);
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_started);
  EXPECT_THAT(verdict.sentence, HasSubstr("the runtime has not called the plugin for it yet"));
}

TEST(Verdict, WithoutRightsTheVerdictSaysSo) {
  auto facts = good_facts();
  facts.live.emplace(Error{Errc::refused, "only root may look into a pod's network namespace"});
  facts.probe.reset();
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::unverified);
  EXPECT_THAT(verdict.sentence, HasSubstr("could not be seen: only root"));
  EXPECT_THAT(verdict.next, ElementsAre("sudo istio-cnictl explain shop/web-1"));
}

TEST(Verdict, EveryFindingHasItsOwnName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Finding::unverified); ++i)
    names.insert(to_string(static_cast<Finding>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Finding::unverified) + 1);
  EXPECT_EQ(to_string(Finding::not_started), "not-started");
  EXPECT_EQ(to_string(Finding::unverified), "unverified");
}

// --- history

TEST(InstallationThen, TheLastChangeBeforeCounts) {
  auto facts = good_facts();
  facts.agent->changes = {{at("08:00:00"), false, "Not ready: starting"},
                          {at("08:00:01"), true, "Ready: a"}};
  facts.readiness = std::vector{journal_ready("07:00:00", false, "Not ready: b")};
  EXPECT_EQ(installation_at(at("07:30:00"), facts).ready, false);
  EXPECT_EQ(installation_at(at("08:00:00"), facts).text, "Not ready: b") << "starting says nothing";
  EXPECT_EQ(installation_at(at("09:00:00"), facts).ready, true);
  const auto before = installation_at(at("06:00:00"), facts);
  EXPECT_FALSE(before.ready.has_value());
  facts.readiness = Error{Errc::io, "no journal"};
  facts.agent = Error{Errc::io, "no agent"};
  EXPECT_THAT(installation_at(at("07:00:00"), facts).text, HasSubstr("written last after the pod"));
  EXPECT_THAT(installation_at(at("09:00:00"), facts).source, IsEmpty());
}

TEST(Adds, AreOfThisPodAndInOrder) {
  auto facts = good_facts();
  facts.journal = std::vector{journal_add("09:00:00", "redirect", "pod redirected"),
                              journal_add("08:00:00", "failed", "x", "11", "uid-0")};
  const auto adds = adds_of(facts);
  ASSERT_EQ(adds.size(), 2U);
  EXPECT_EQ(adds[0].source, "journal");
  EXPECT_EQ(adds[1].source, "agent");
}

}  // namespace
