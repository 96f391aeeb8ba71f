// Verdicts over pods that run, or run and fail, from made-up facts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"
#include "istio-cnictl/verdict.hpp"

namespace {

using namespace test_support;
using base::Errc;
using base::Error;
using istio_cnictl::Finding;
using istio_cnictl::judge;
using istio_cnictl::LiveState;
using istio_cnictl::PodEvent;
using istio_cnictl::ProbeResult;
using istio_cnictl::Verdict;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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

TEST(Verdict, HealthyThoughTheProbeCouldNotRun) {
  auto facts = good_facts();
  facts.probe.emplace(Error{Errc::io, "become user 1337 for the probe: EPERM"});
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::healthy);
  EXPECT_THAT(verdict.sentence, HasSubstr("whether traffic arrives was not seen: become user"));
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

TEST(Verdict, StartedBeforeThePluginAndIsAboutToBeDeleted) {
  auto facts = good_facts();
  race(facts);
  break_pod(facts);
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
    race(facts);
    break_pod(facts);
    facts.repair_mode = mode;
    const auto verdict = judge(facts);
    EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
    EXPECT_THAT(verdict.sentence, HasSubstr(text));
  }
}

TEST(Verdict, StartedBeforeThePluginWithoutAgent) {
  auto facts = good_facts();
  race(facts);
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
  race(facts);
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence, HasSubstr("once its validation container has failed"));
  EXPECT_THAT(verdict.next, ElementsAre("kubectl -n shop delete pod web-1"));
}

TEST(Verdict, RepairWaitsForSomethingElse) {
  auto facts = good_facts();
  race(facts);
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
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_redirected) << "the race is no explanation";
  EXPECT_EQ(exit_code(verdict.finding), 1);
  EXPECT_THAT(verdict.sentence,
              AllOf(HasSubstr("although the plugin was in place when it started (Ready: chained"),
                    HasSubstr("the agent is about to delete it")));
}

TEST(Verdict, NotReadyIsNotTheSameAsNotInTheList) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  const std::string sentence =
      "Not ready: chained in 10-calico.conflist, but the credential cannot be read";
  facts.agent->changes = {{at("09:05:00"), true, true, "Ready: chained in 10-calico.conflist"}};
  facts.readiness = std::vector{journal_ready("08:50:00", false, sentence, true)};
  auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::not_redirected);
  EXPECT_THAT(verdict.sentence, HasSubstr("in place when it started (" + sentence));
  EXPECT_THAT(verdict.evidence,
              evidence("journal", "the installation at the pod's start: " + sentence));
  facts.readiness = std::vector{journal_ready("08:50:00", false, sentence, false)};
  verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence, HasSubstr("at that time: " + sentence));
}

TEST(Verdict, PutInPlaceWhileThePodStarted) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  break_pod(facts);
  facts.agent->changes.clear();
  facts.pod->view->accepted = at("08:59:50");
  facts.readiness =
      std::vector{journal_ready("08:50:00", false, "Not ready: no CNI network yet"),
                  journal_ready("08:59:55", true, "Ready: chained in 10-calico.conflist")};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence, HasSubstr("at one moment: Not ready: no CNI network yet"));
}

TEST(Verdict, NothingIsKnownOfThatTime) {
  auto facts = good_facts();
  forget_add(facts);
  no_rules(facts);
  facts.readiness = Error{Errc::refused, "no journal"};
  facts.agent->changes = {{at("09:30:00"), true, true, "Ready: chained"}};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::started_before_plugin);
  EXPECT_THAT(verdict.sentence,
              AllOf(HasSubstr("it seems to have started before the plugin was in place"),
                    HasSubstr("nothing is known of that time; later: Ready: chained")));
}

TEST(Verdict, Repaired) {
  auto facts = good_facts();
  forget_add(facts);
  (*facts.entry)->repair = agent::PodEntry::Repair{at("09:10:00"), "repaired", 1};
  const auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::repaired);
  EXPECT_THAT(verdict.sentence,
              HasSubstr("started without redirection, was repaired at 2026-11-24T09:10:00Z"));
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

TEST(Verdict, HeldBackByTheNodesBudgetIsNotAgainAndAgain) {
  for (const char* reason : {"node_budget", "disruption_budget"}) {
    auto facts = good_facts();
    forget_add(facts);
    break_pod(facts);
    no_rules(facts);
    (*facts.entry)->held_reason = reason;
    (*facts.entry)->held_text = "30 pods of this node were deleted";
    const auto verdict = judge(facts);
    EXPECT_EQ(verdict.finding, Finding::not_redirected);
    EXPECT_THAT(verdict.sentence,
                HasSubstr(std::string("repair waits (") + reason + "): 30 pods of this node"));
  }
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

}  // namespace
