#include "istio-cnictl/expected.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"
#include "pod/serialize.hpp"

namespace {

using namespace istio_cnictl;
using test_support::mesh_pod;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Expected, DecidesAsThePlugin) {
  config::Config config;
  EXPECT_EQ(in_words(decide_as_plugin(mesh_pod(), config)).kind, DecisionNow::Kind::redirect);
  config.plugin.exclude_namespaces = {"shop"};
  EXPECT_EQ(in_words(decide_as_plugin(mesh_pod(), config)).reason, "excluded-namespace");
  config.plugin.exclude_namespaces.clear();
  auto pod = mesh_pod();
  pod.annotations["traffic.sidecar.istio.io/includeInboundPorts"] = "http";
  const auto words = in_words(decide_as_plugin(pod, config));
  EXPECT_EQ(words.kind, DecisionNow::Kind::error);
  EXPECT_THAT(words.detail, HasSubstr("includeInboundPorts"));
}

TEST(Expected, FamiliesByTheStatus) {
  auto pod = mesh_pod();
  EXPECT_EQ(wants_ipv6(pod, true), false);
  pod.ips = {"10.0.0.7", "fd00::7"};
  EXPECT_EQ(wants_ipv6(pod, false), false);
  EXPECT_EQ(wants_ipv6(pod, true), true);
  pod.ips = {"fd00::7"};
  EXPECT_EQ(wants_ipv6(pod, false), true);
  pod.ips.clear();
  EXPECT_EQ(wants_ipv6(pod, true), std::nullopt);
}

TEST(Expected, Text) {
  auto decision = decide_as_plugin(mesh_pod(), {});
  const auto ruleset = redirect::build_ruleset(std::get<redirect::RedirectPlan>(*decision).config);
  EXPECT_THAT(text_of(ruleset, false), StartsWith("* nat\n"));
  EXPECT_THAT(text_of(ruleset, true), StartsWith("add table inet istio-proxy-nat\n"));
}

TEST(Expected, PodsFromText) {
  const auto json = pod::to_json(mesh_pod());
  auto pod = pod_from_text(json, "f");
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(pod->name, "web-1");
  EXPECT_TRUE(pod_from_text("{\"kind\":\"List\",\"items\":[" + json + "]}", "f").ok());
  EXPECT_THAT(pod_from_text("{\"kind\":\"List\",\"items\":[]}", "f").error().message,
              HasSubstr("a list of 0 objects"));
  EXPECT_THAT(pod_from_text("{\"kind\":\"Deployment\"}", "f").error().message,
              HasSubstr("this is a Deployment, not a Pod"));
  EXPECT_THAT(pod_from_text("kind: Pod", "f").error().message, HasSubstr("-o json"));
  EXPECT_FALSE(pod_from_text("{", "f").ok());
}

}  // namespace
