// What status, pods and explain print.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cnictl/explain_view.hpp"
#include "istio-cnictl/fixtures.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/pods_view.hpp"
#include "istio-cnictl/status_view.hpp"

namespace {

using namespace istio_cnictl;
using namespace test_support;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

NodeStatus node_status() { return {good_status(), good_disk(), at("10:00:00")}; }

TEST(StatusView, Ready) {
  auto status = node_status();
  status.agent->credential.expires = at("10:00:00") + std::chrono::hours(24 * 300);
  status.agent->installation.foreign_rewrites = 2;
  status.agent->installation.last_peer = "Calico";
  status.agent->installation.last_foreign_rewrite = at("09:59:30");
  EXPECT_TRUE(status.ready());
  const auto text = text_of(status, Style(false));
  EXPECT_THAT(text, StartsWith("Ready: chained in 10-calico.conflist; 3 pods"));
  EXPECT_THAT(text, HasSubstr("/etc/cni/net.d/10-calico.conflist (chained, entry 2 of 2)"));
  EXPECT_THAT(text, HasSubstr("/opt/cni/bin/istio-cni, version 0.1.0, the agent's"));
  EXPECT_THAT(text, HasSubstr("(in 300 days)"));
  EXPECT_THAT(text, HasSubstr("2 times by others (Calico), last 2026-11-24T09:59:30Z (30 s ago)"));
  EXPECT_THAT(text, HasSubstr("3, 1 in the mesh"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text_of(status, Style(true)), HasSubstr("\x1b[32mReady"));
}

TEST(StatusView, TheAgentIsDownAndThePluginInPlace) {
  auto status = node_status();
  status.agent = base::Error{base::Errc::not_found, "agent.sock: there is no such socket"};
  EXPECT_FALSE(status.ready());
  EXPECT_THAT(status.headline(), HasSubstr("the agent does not answer; the plugin is in place "
                                           "(chained in /etc/cni/net.d/10-calico.conflist"));
  EXPECT_THAT(text_of(status, Style(false)), HasSubstr("there is no such socket"));
}

TEST(StatusView, TheDiskContradictsTheAgent) {
  auto status = node_status();
  status.disk.first_file = "05-cilium.conflist";
  EXPECT_FALSE(status.ready());
  EXPECT_EQ(status.headline(),
            "Not ready: the runtime loads 05-cilium.conflist, but the plugin is in "
            "10-calico.conflist");
}

TEST(Disk, Problems) {
  auto disk = good_disk();
  EXPECT_TRUE(problems_of(disk, false).empty());
  disk.kubeconfig_present = false;
  EXPECT_TRUE(problems_of(disk, true).empty()) << "the agent looks pods up without it";
  EXPECT_EQ(problems_of(disk, false).size(), 1U);
  disk = good_disk();
  disk.mode = "standalone";
  disk.file = "YYY-istio-cni.conf";
  EXPECT_TRUE(problems_of(disk, true).empty()) << "a meta plugin names it";
  disk = good_disk();
  disk.gated = true;
  EXPECT_THAT(problems_of(disk, true).at(0), HasSubstr("lets no pod start"));
  disk = good_disk();
  disk.copies[0].executable = false;
  EXPECT_THAT(problems_of(disk, true).at(0), HasSubstr("is not executable"));
  disk.copies.push_back({"/other/bin/istio-cni", true, true, true, "", {}});
  EXPECT_TRUE(problems_of(disk, true).empty()) << "one is enough";
  disk = DiskState{};
  disk.conf_dir = "/x";
  EXPECT_THAT(problems_of(disk, true).at(0), HasSubstr("no CNI network configuration in /x"));
}

TEST(StatusView, Json) {
  const auto status = node_status();
  const auto disk = json_of(status.disk, true);
  EXPECT_EQ(disk["ready"], true);
  EXPECT_EQ(disk["file"], "10-calico.conflist");
  EXPECT_EQ(disk["kubeconfig"]["mode"], "0600");
  EXPECT_EQ(disk["copies"][0]["current"], true);
  EXPECT_EQ(json_of(*status.agent)["nodeName"], "n1");
}

TEST(PodsView, Rows) {
  PodRow good;
  good.entry = good_entry();
  EXPECT_EQ(condition_of(good), Condition::good);
  PodRow held = good;
  held.entry.name = "web-2";
  held.entry.add.reset();
  held.entry.held_reason = "owner_budget";
  EXPECT_EQ(condition_of(held), Condition::bad);
  PodRow failed = good;
  failed.entry.add->result = "error";
  failed.entry.add->decision = "failed";
  EXPECT_EQ(condition_of(failed), Condition::bad);
  EXPECT_EQ(text_of({good, held}, false, Style(false)),
            "NAMESPACE  NAME   PHASE    AT ADD    BACKEND   REPAIR\n"
            "shop       web-1  Running  redirect  nftables  -\n"
            "shop       web-2  Running  -         -         held: owner_budget\n");
  PodRow bad = good;
  bad.rules = RulesState{RulesState::State::bad, "missing"};
  EXPECT_EQ(condition_of(bad), Condition::bad);
  EXPECT_THAT(text_of({bad}, true, Style(false)), HasSubstr("missing"));
  EXPECT_EQ(json_of(bad.entry)["add"]["netns"], "/run/netns/cni-1");
}

TEST(PodsView, RulesThatCouldNotBeReadAreNeitherGoodNorBad) {
  PodRow row;
  row.entry = good_entry();
  row.rules = RulesState{RulesState::State::unknown, "only root may look"};
  EXPECT_EQ(condition_of(row), Condition::unknown);
  row.entry.held_reason = "owner_budget";
  EXPECT_EQ(condition_of(row), Condition::bad);
}

TEST(PodsView, WithoutAnAddWhatWouldBeDecidedNow) {
  PodRow row;
  row.entry = good_entry();
  row.entry.add.reset();
  row.now = Forecast{DecisionNow{}, "unknown"};
  EXPECT_EQ(condition_of(row), Condition::good);
  EXPECT_THAT(text_of({row}, false, Style(false)), HasSubstr("redirect (now)  unknown  -"));
  row.now->backend = "iptables";
  EXPECT_THAT(text_of({row}, false, Style(false)), HasSubstr("redirect (now)  iptables (now)"));
  const auto json = json_of(PodList{{row}, base::Error{base::Errc::not_found, "no socket"}});
  EXPECT_EQ(json["agent"], false);
  EXPECT_EQ(json["agentError"], "no socket");
  EXPECT_EQ(json["pods"][0]["now"]["decision"], "redirect");
  EXPECT_FALSE(json["pods"][0].contains("add"));
  row.now->decision = DecisionNow{DecisionNow::Kind::skip, "not-injected", "no annotation"};
  EXPECT_THAT(text_of({row}, false, Style(false)), HasSubstr("not-injected (now)  -"));
  row.now->decision = DecisionNow{DecisionNow::Kind::error, "", "annotation x: no port"};
  EXPECT_EQ(condition_of(row), Condition::bad) << "its ADD can only fail";
  EXPECT_THAT(text_of({row}, false, Style(false)), HasSubstr("failed (now)"));
}

TEST(PodsView, TheLastAddOfTheJournal) {
  const auto entries =
      std::vector{journal_add("09:00:00", "redirect", "pod redirected", "", "uid-1"),
                  journal_add("09:00:05", "failed", "cannot look up pod", "11", "uid-2"),
                  journal_add("09:00:09", "", "a warning on the way", "", "uid-1")};
  const auto good = last_add(entries, "uid-1");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->decision, "redirect");
  EXPECT_EQ(good->result, "success");
  EXPECT_EQ(good->at, at("09:00:00"));
  EXPECT_EQ(last_add(entries, "uid-2")->message, "cannot look up pod");
  EXPECT_FALSE(last_add(entries, "uid-3"));
  EXPECT_FALSE(last_add(entries, ""));
}

TEST(ExplainView, TextAndJson) {
  auto facts = good_facts();
  no_rules(facts);
  const auto verdict = judge(facts);
  const auto text = text_of(verdict, facts.name, Style(false));
  EXPECT_THAT(text, StartsWith("shop/web-1 was redirected, and has no rules any more"));
  EXPECT_THAT(text, HasSubstr("\nWhat is known\n  2026-11-24T08:00:00Z  disk"));
  EXPECT_THAT(text, HasSubstr("\nNext\n  kubectl -n shop delete pod web-1\n"));
  const auto json = json_of(verdict, facts.name);
  EXPECT_EQ(json["finding"], "rules-missing");
  EXPECT_EQ(json["good"], false);
  EXPECT_EQ(json["next"][0], "kubectl -n shop delete pod web-1");
  EXPECT_TRUE(json["evidence"][0]["at"].is_string());
  EXPECT_TRUE(Json::parse(dump(json)).is_object());
}

TEST(ExplainView, HostileMessagesStayOnTheirLine) {
  auto facts = good_facts();
  facts.journal = std::vector{journal_add("09:00:00", "redirect", "evil\n\x1b[2J\xff")};
  const auto text = text_of(judge(facts), facts.name, Style(false));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("evil  [2J"));
}

}  // namespace
