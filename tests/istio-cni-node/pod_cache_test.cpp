#include "istio-cni-node/pod_cache.hpp"

#include <gtest/gtest.h>

namespace istio_cni_node {
namespace {

using std::chrono::system_clock;

pod::Container container(const std::string& name, std::vector<std::string> args = {}) {
  pod::Container made;
  made.name = name;
  made.args = std::move(args);
  return made;
}

pod::Pod plain(const std::string& name, const std::string& uid) {
  pod::Pod pod;
  pod.name_space = "shop";
  pod.name = name;
  pod.uid = uid;
  pod.containers.push_back(container("web"));
  return pod;
}

pod::Pod meshed(const std::string& name, const std::string& uid) {
  auto pod = plain(name, uid);
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod.annotations["example.com/large"] = std::string(10000, 'x');
  pod.containers.push_back(container("istio-proxy", {"proxy", "sidecar"}));
  return pod;
}

MeshRules rules() { return {"istio-system", {"kube-system"}, "sidecar.istio.io/status"}; }

agent::Outcome added(const std::string& name, const std::string& uid) {
  agent::Outcome outcome;
  outcome.command = "ADD";
  outcome.decision = "redirect";
  outcome.result = "success";
  outcome.name_space = "shop";
  outcome.name = name;
  outcome.uid = uid;
  outcome.netns = "/run/netns/x";
  return outcome;
}

TEST(PodCache, CountsAndFinds) {
  PodCache cache(rules());
  cache.upsert(meshed("a", "1"));
  cache.upsert(plain("b", "2"));
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.in_mesh(), 1U);
  ASSERT_NE(cache.find({"shop", "a", "1"}), nullptr);
  EXPECT_EQ(cache.find({"shop", "a", "0"}), nullptr) << "another uid is another pod";
  EXPECT_NE(cache.find({"shop", "a", ""}), nullptr);
  EXPECT_EQ(cache.find({"other", "a", "1"}), nullptr);
  EXPECT_EQ(cache.find({"shop", "a", "1"})->pod.annotations.count("example.com/large"), 0U)
      << "only what is needed is kept";
}

TEST(PodCache, APodBeingDeletedDoesNotAnswerForItsName) {
  PodCache cache(rules());
  auto pod = meshed("a", "1");
  pod.deleting = true;
  cache.upsert(pod);
  EXPECT_EQ(cache.find({"shop", "a", ""}), nullptr);
  EXPECT_NE(cache.find({"shop", "a", "1"}), nullptr);
}

TEST(PodCache, AListReplacesWhatItDoesNotName) {
  PodCache cache(rules());
  std::vector<std::string> removed;
  cache.pod_removed = [&](const std::string& uid) { removed.push_back(uid); };
  cache.upsert(meshed("a", "1"));
  cache.upsert(meshed("b", "2"));
  cache.list_begin();
  cache.upsert(meshed("b", "2"));
  EXPECT_EQ(cache.size(), 2U) << "nothing goes before the list is complete";
  // a list that fails half-way is begun again
  cache.list_begin();
  cache.upsert(meshed("b", "2"));
  cache.list_end();
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_EQ(cache.in_mesh(), 1U);
  EXPECT_EQ(removed, std::vector<std::string>{"1"});
}

TEST(PodCache, ASuccessorOfTheSameNameSurvivesTheLateRemoval) {
  PodCache cache(rules());
  std::vector<std::string> removed;
  cache.pod_removed = [&](const std::string& uid) { removed.push_back(uid); };
  cache.upsert(meshed("a", "1"));
  cache.report(added("a", "1"), system_clock::now());
  cache.upsert(meshed("a", "2"));
  EXPECT_EQ(removed, std::vector<std::string>{"1"});
  EXPECT_FALSE(cache.find({"shop", "a", "2"})->redirection) << "the first one's ADD is not its own";
  cache.remove("shop", "a", "1");
  EXPECT_EQ(cache.size(), 1U);
  cache.remove("shop", "a", "2");
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(cache.in_mesh(), 0U);
}

TEST(PodCache, AnAddBeforeTheWatchIsRemembered) {
  PodCache cache(rules());
  cache.report(added("a", "1"), system_clock::now());
  cache.upsert(meshed("a", "1"));
  const auto* found = cache.find({"shop", "a", "1"});
  ASSERT_TRUE(found != nullptr && found->redirection);
  EXPECT_EQ(found->redirection->netns, "/run/netns/x");
  // and not without bound
  for (int i = 0; i < 5000; ++i) cache.report(added("x", std::to_string(i)), system_clock::now());
}

TEST(PodCache, AnErrorThatIsOverIsForgotten) {
  PodCache cache(rules());
  kube::WatchState state;
  state.phase = kube::WatchState::Phase::waiting;
  state.synced = true;
  state.last_error = base::Error{base::Errc::unauthorized, "no credential"};
  cache.watch_changed(state);
  cache.error_is_over();
  EXPECT_FALSE(cache.watch().last_error);
  EXPECT_TRUE(cache.watch().synced) << "all else stays";
}

TEST(PodCache, RulesDecideWhoIsInTheMesh) {
  PodCache cache(rules());
  int changes = 0;
  cache.changed = [&] { ++changes; };
  auto excluded = meshed("a", "1");
  excluded.name_space = "kube-system";
  cache.upsert(excluded);
  EXPECT_EQ(cache.in_mesh(), 0U);
  auto bad = meshed("b", "2");
  bad.annotations["traffic.sidecar.istio.io/excludeOutboundPorts"] = "none";
  cache.upsert(bad);
  EXPECT_EQ(cache.in_mesh(), 1U) << "it wants to be redirected, and cannot be";
  EXPECT_EQ(changes, 2);
  cache.set_rules({"", {}, ""});
  EXPECT_EQ(cache.in_mesh(), 2U);
}

}  // namespace
}  // namespace istio_cni_node
