// The order of the verdicts, and pods that need no rules or cannot be judged; from made-up facts.
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
using istio_cnictl::Finding;
using istio_cnictl::judge;
using istio_cnictl::PodEvent;
using istio_cnictl::Verdict;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

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

TEST(Verdict, NoSuchPod) {
  auto facts = good_facts();
  facts.pod = Error{Errc::not_found, "GET pod shop/web-1: HTTP 404 Not Found"};
  auto verdict = judge(facts);
  EXPECT_EQ(verdict.finding, Finding::no_such_pod);
  EXPECT_EQ(verdict.sentence, "does not exist");
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

}  // namespace
