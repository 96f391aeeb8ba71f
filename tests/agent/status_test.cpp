#include "agent/status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/protocol.hpp"

namespace {

using agent::PodEntry;
using agent::PodsQuery;
using agent::Status;
using agent::StatusQuery;
using std::chrono::seconds;
using testing::HasSubstr;

agent::Time at(int second) { return agent::Time(seconds(1'795'000'000 + second)); }

Status full_status() {
  Status status;
  status.version = "1.2.3";
  status.started = at(1);
  status.node_name = "node-1";
  status.ready = true;
  status.sentence = "Ready: chained in 10-calico.conflist";
  status.changes = {{at(2), false, true, "Not ready: starting"}, {at(3), true, true, "Ready"}};
  status.installation = {true,
                         "chained",
                         "chained in 10-calico.conflist",
                         "/etc/cni/net.d",
                         "10-calico.conflist",
                         2,
                         3,
                         7,
                         at(4),
                         "Cilium"};
  status.watch = {"watching", true, at(5), 1, 2, 3, "slow"};
  status.credential = {"kubelet", "/var/lib/kubelet/x", "https://[::1]:6443", at(6), "none"};
  status.pods = 34;
  status.in_mesh = 12;
  status.repair_mode = "delete";
  status.repaired = 1;
  status.held_back = 2;
  return status;
}

PodEntry full_pod(const std::string& name) {
  PodEntry pod;
  pod.name_space = "shop";
  pod.name = name;
  pod.uid = "u-" + name;
  pod.phase = "Running";
  pod.ips = {"10.0.0.1", "fd00::1"};
  pod.in_mesh = true;
  pod.add = agent::AddReport{at(1), "redirect", "success", "nftables", "c1", "/run/netns/x", "m"};
  pod.repair = PodEntry::Repair{at(2), "repaired", 2};
  pod.held_reason = "owner_budget";
  pod.held_text = "3 of 3 in 10 minutes";
  return pod;
}

TEST(AgentStatus, SurvivesTheWay) {
  const auto back = agent::parse_status(to_json(full_status()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, full_status());
  const auto empty = agent::parse_status(to_json(Status{}));
  ASSERT_TRUE(empty) << empty.error().message;
  EXPECT_EQ(*empty, Status{});
}

TEST(AgentStatus, PodsSurviveTheWay) {
  const agent::PodPage page{{full_pod("a"), full_pod("b"), {}}, "shop/b"};
  auto sent = page;
  sent.pods[2].name_space = "n";
  sent.pods[2].name = "bare";
  const auto back = agent::parse_pods(to_json(sent));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, sent);
}

TEST(AgentStatus, QueriesAreMessages) {
  auto status = agent::parse_message(to_json(StatusQuery{}));
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(std::holds_alternative<StatusQuery>(*status));
  for (const PodsQuery& query :
       {PodsQuery{}, PodsQuery{"shop/a", "", ""}, PodsQuery{"", "shop", "a"}}) {
    auto message = agent::parse_message(to_json(query));
    ASSERT_TRUE(message) << message.error().message;
    ASSERT_TRUE(std::holds_alternative<PodsQuery>(*message));
    EXPECT_EQ(std::get<PodsQuery>(*message), query);
  }
}

TEST(AgentStatus, TwoQuestionsInOneAreNone) {
  EXPECT_FALSE(agent::parse_message(R"({"status":{},"pods":{}})"));
  EXPECT_FALSE(agent::parse_message(R"({"status":[]})"));
  EXPECT_FALSE(agent::parse_message(R"({"pods":{"after":1}})"));
}

TEST(AgentStatus, PagesHoldEveryPodOnce) {
  std::vector<PodEntry> all;
  for (int i = 0; i < 2000; ++i) all.push_back(full_pod("pod-" + std::to_string(10000 + i)));
  std::vector<PodEntry> seen;
  std::string after;
  int pages = 0;
  do {
    std::vector<PodEntry> rest;
    for (const auto& pod : all)
      if (pod.name_space + "/" + pod.name > after) rest.push_back(pod);
    const auto page = agent::page_of(rest);
    EXPECT_LE(to_json(page).size(), agent::max_answer);
    seen.insert(seen.end(), page.pods.begin(), page.pods.end());
    after = page.next;
    ++pages;
  } while (!after.empty() && pages < 100);
  EXPECT_EQ(seen, all);
  EXPECT_GT(pages, 1);
  EXPECT_LT(pages, 30);
}

TEST(AgentStatus, UnknownKeysAreForLaterVersions) {
  const auto status = agent::parse_status(R"({"status":{"version":"9","mood":"good"},"x":1})");
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->version, "9");
}

TEST(AgentStatus, NonsenseIsRefusedWithItsPlace) {
  const auto place = [](const char* text) {
    const auto status = agent::parse_status(text);
    return status ? std::string("accepted") : status.error().message;
  };
  EXPECT_THAT(place(R"({"status":{"ready":"yes"}})"), HasSubstr("status.ready"));
  EXPECT_THAT(place(R"({"status":{"started":"noon"}})"), HasSubstr("status.started"));
  EXPECT_THAT(place(R"({"status":{"watch":{"lists":-1}}})"), HasSubstr("watch.lists"));
  EXPECT_THAT(place(R"({"status":{"changes":[1]}})"), HasSubstr("change"));
  EXPECT_THAT(place(R"({"pods":[]})"), HasSubstr("no status"));
  EXPECT_FALSE(agent::parse_pods(R"({"pods":[{"name":"a"}]})"));
  EXPECT_FALSE(agent::parse_pods("[]"));
}

}  // namespace
