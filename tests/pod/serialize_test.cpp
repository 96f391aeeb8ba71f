#include "pod/serialize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pod/parse.hpp"

namespace {

using testing::HasSubstr;

TEST(PodToJson, EmptyPod) {
  EXPECT_EQ(pod::to_json({}), "{}");
  EXPECT_EQ(pod::parse_pod("{}").value(), pod::Pod{});
}

TEST(PodToJson, IsTheApisForm) {
  pod::Pod pod;
  pod.name = "web";
  pod.deleting = true;
  pod.owner = pod::Owner{"ReplicaSet", "r", "u"};
  pod.host_network = true;
  pod.ips = {"10.0.0.2"};
  pod.scheduled_at = "2026-01-01T00:00:00Z";
  pod::Container init;
  init.init = true;
  init.name = "i";
  pod::Container proxy;
  proxy.name = "istio-proxy";
  proxy.args = {"proxy"};
  proxy.env = {{"A", "1"}};
  proxy.run_as_user = 0;
  pod.containers = {init, proxy};
  pod.init_statuses = {{"i", 2, pod::Termination{1, "Error", "", ""}, std::nullopt}};
  EXPECT_EQ(
      pod::to_json(pod),
      R"({"metadata":{"name":"web","deletionTimestamp":"1970-01-01T00:00:00Z","ownerReferences":)"
      R"([{"controller":true,"kind":"ReplicaSet","name":"r","uid":"u"}]},)"
      R"("spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"istio-proxy","args":["proxy"],)"
      R"("env":[{"name":"A","value":"1"}],"securityContext":{"runAsUser":0}}],"hostNetwork":true},)"
      R"("status":{"podIPs":[{"ip":"10.0.0.2"}],"conditions":[{"type":"PodScheduled","status":"True",)"
      R"("lastTransitionTime":"2026-01-01T00:00:00Z"}],"initContainerStatuses":[{"name":"i",)"
      R"("restartCount":2,"state":{"terminated":{"exitCode":1,"reason":"Error"}}}]}})");
}

TEST(PodToJson, BytesThatAreNotUtf8AreReplaced) {
  pod::Pod pod;
  pod.name = "a\xff";
  pod.annotations["k\xc3"] = "v";
  const auto again = pod::parse_pod(pod::to_json(pod));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->name, "a\xef\xbf\xbd");
  EXPECT_EQ(again->annotations.begin()->first, "k\xef\xbf\xbd");
}

/// Pods of every shape that parse_pod can return.
class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  pod::Pod pod() {
    pod::Pod pod;
    for (auto* value : {&pod.name, &pod.name_space, &pod.uid, &pod.resource_version, &pod.node_name,
                        &pod.restart_policy, &pod.service_account, &pod.phase, &pod.scheduled_at})
      *value = text();
    pod.labels = strings();
    pod.annotations = strings();
    pod.deleting = below(2) == 1;
    pod.host_network = below(2) == 1;
    if (below(2) == 1) pod.owner = pod::Owner{text(), text(), text()};
    const auto init = below(3);
    for (unsigned i = 0; i < init; ++i) pod.containers.push_back(container(true));
    const auto main = below(4);
    for (unsigned i = 0; i < main; ++i) pod.containers.push_back(container(false));
    for (auto i = below(3); i > 0; --i)
      if (auto ip = text(); !ip.empty()) pod.ips.push_back(ip);
    for (auto i = below(3); i > 0; --i)
      pod.init_statuses.push_back({text(), integer(), termination(), termination()});
    return pod;
  }

 private:
  unsigned below(unsigned end) { return static_cast<unsigned>(random_() % end); }
  std::int32_t integer() { return static_cast<std::int32_t>(random_()); }
  std::string text() {
    static const char* const pieces[] = {
        "a", "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xf0\x9f\x98\x80", "/", "\x7f", "0", "true"};
    std::string out;
    for (auto i = below(5); i > 0; --i) out += pieces[below(std::size(pieces))];
    if (below(20) == 0) out += std::string("nul\0nul", 7);
    return out;
  }
  std::map<std::string, std::string> strings() {
    std::map<std::string, std::string> out;
    for (auto i = below(4); i > 0; --i) out[text()] = text();
    return out;
  }
  pod::Container container(bool init) {
    pod::Container out;
    out.init = init;
    out.name = text();
    for (auto i = below(3); i > 0; --i) out.args.push_back(text());
    out.env = strings();
    if (below(2) == 1) out.run_as_user = static_cast<std::uint32_t>(random_());
    if (below(2) == 1) out.run_as_group = static_cast<std::uint32_t>(random_());
    return out;
  }
  std::optional<pod::Termination> termination() {
    if (below(2) == 0) return std::nullopt;
    return pod::Termination{integer(), text(), text(), text()};
  }

  std::mt19937 random_;
};

TEST(PodToJson, IsReadBackTheSame) {
  Generator generator(1);
  for (int i = 0; i < 2000; ++i) {
    const auto pod = generator.pod();
    const auto json = pod::to_json(pod);
    const auto again = pod::parse_pod(json);
    ASSERT_TRUE(again.ok()) << again.error().message << "\n" << json;
    ASSERT_EQ(*again, pod) << json;
    ASSERT_EQ(pod::to_json(*again), json);
  }
}

TEST(PodToJson, ContainersOfBothKindsAreToldApart) {
  const auto pod = pod::parse_pod(
      R"({"spec":{"containers":[{"name":"app"}],"initContainers":[{"name":"i"},{"name":"j"}]}})");
  const auto again = pod::parse_pod(pod::to_json(pod.value()));
  EXPECT_EQ(again.value(), pod.value());
  EXPECT_TRUE(again->containers[1].init);
  EXPECT_FALSE(again->containers[2].init);
}

}  // namespace
