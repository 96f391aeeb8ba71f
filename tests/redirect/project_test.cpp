#include "redirect/project.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/strings.hpp"
#include "pod/serialize.hpp"
#include "redirect/decide.hpp"
#include "redirect/render.hpp"

namespace {

using base::cat;
using testing::ElementsAre;
using testing::Key;
using testing::Pair;

/// All that a decision says, as text.
std::string describe(const pod::Pod& pod, const redirect::HostInput& host) {
  const auto decision = redirect::decide(pod, host);
  if (!decision) return cat("error: ", decision.error().message);
  if (const auto* skip = std::get_if<redirect::Skip>(&*decision))
    return cat(to_string(skip->reason), ": ", skip->detail);
  auto plan = std::get<redirect::RedirectPlan>(*decision);
  auto text = cat(plan.dual_stack ? "dual\n" : "single\n", base::join(plan.warnings, "\n"));
  for (const bool ipv6 : {false, true}) {
    plan.config.ipv6 = ipv6;
    const auto ruleset = redirect::build_ruleset(plan.config);
    text += redirect::iptables_restore_text(ruleset, redirect::Family::v4);
    text += redirect::iptables_restore_text(ruleset, redirect::Family::v6);
    text += redirect::nft_commands(ruleset);
    text += base::join(ruleset.warnings, "\n");
  }
  return text;
}

std::string any_text(std::mt19937& random, const std::vector<std::string>& choices) {
  return choices[random() % choices.size()];
}

/// Pods that reach every branch of decide(), with much that it does not read.
pod::Pod any_pod(std::mt19937& random) {
  const auto below = [&](unsigned end) { return static_cast<unsigned>(random() % end); };
  const std::string traffic = "traffic.sidecar.istio.io/";
  const std::vector<std::string> keys{"sidecar.istio.io/inject",
                                      "sidecar.istio.io/interceptionMode",
                                      traffic + "includeOutboundIPRanges",
                                      traffic + "excludeOutboundIPRanges",
                                      traffic + "excludeInboundPorts",
                                      traffic + "includeInboundPorts",
                                      traffic + "excludeOutboundPorts",
                                      traffic + "includeOutboundPorts",
                                      traffic + "excludeInterfaces",
                                      "istio.io/reroute-virtual-interfaces",
                                      traffic + "kubevirtInterfaces",
                                      "istio.io/rev",
                                      "kubectl.kubernetes.io/last-applied",
                                      "sidecar.istio.io/proxyCPU",
                                      traffic + "other"};
  const std::vector<std::string> values{"",     "*",         "80",     "80,443",   "10.0.0.0/8",
                                        "net1", "net1,net2", "TPROXY", "REDIRECT", "x y"};
  const std::vector<std::string> variables{"DISABLE_ENVOY",    "ISTIO_META_DNS_CAPTURE",
                                           "ISTIO_DUAL_STACK", "INVALID_DROP",
                                           "POD_NAME",         "ISTIO_META_OTHER"};
  const std::vector<std::string> flags{"", "true", "false", "1", "maybe"};
  pod::Pod pod;
  pod.name = "web-1";
  pod.name_space = "shop";
  pod.labels["app"] = "web";
  if (below(8) == 0) pod.labels["sidecar.istio.io/inject"] = any_text(random, flags);
  if (below(8) != 0) pod.annotations["sidecar.istio.io/status"] = "{}";
  for (auto i = below(5); i > 0; --i)
    pod.annotations[any_text(random, keys)] = any_text(random, values);
  if (below(8) == 0) pod.annotations["sidecar.istio.io/interceptionMode"] = "NONE";
  for (auto i = below(5); i > 0; --i) {
    pod::Container container;
    container.init = below(4) == 0;
    container.name =
        any_text(random, {"istio-proxy", "istio-proxy", "istio-proxy", "app", "istio-init-not"});
    if (below(20) == 0) container.name = "istio-init";
    for (auto j = below(4); j > 0; --j)
      container.args.push_back(any_text(random, {"proxy", "proxy", "sidecar", "router", ""}));
    if (below(3) != 0) container.args = {"proxy", "sidecar", "--domain", "x"};
    for (auto j = below(4); j > 0; --j)
      container.env[any_text(random, variables)] = any_text(random, flags);
    if (below(3) == 0) container.run_as_user = below(3) * 1000;
    if (below(3) == 0) container.run_as_group = below(3) * 1000;
    pod.containers.push_back(std::move(container));
  }
  return pod;
}

TEST(Project, MakesNoDifferenceToTheDecision) {
  std::mt19937 random(7);
  std::map<std::string, int> kinds;
  const redirect::HostInput other{"java,202", "888", "127.0.0.0/8"};
  const redirect::HostInput bad{"*", "", "nonsense"};
  for (int i = 0; i < 4000; ++i) {
    const auto pod = any_pod(random);
    const auto projected = redirect::project(pod, {});
    for (const auto& host : {redirect::HostInput{}, other, bad}) {
      const auto whole = describe(pod, host);
      ASSERT_EQ(describe(projected, host), whole) << pod::to_json(pod);
      ++kinds[whole.substr(0, whole.find_first_of(":\n"))];
    }
    ASSERT_EQ(redirect::project(projected, {}), projected) << "once is enough";
  }
  for (const auto* kind :
       {"error", "single", "dual", "istio-init", "envoy-disabled", "no-proxy", "not-sidecar",
        "injection-disabled", "not-injected", "interception-none"})
    EXPECT_GT(kinds[kind], 5) << "the pods made here never reach " << kind;
}

TEST(Project, EveryAnnotationThatIsReadStays) {
  pod::Pod pod;
  for (std::size_t i = 0; i < redirect::annotation_count; ++i)
    pod.annotations[std::string(key_of(static_cast<redirect::Annotation>(i)))] = "value";
  EXPECT_EQ(pod.annotations.size(), redirect::annotation_count) << "keys differ from each other";
  EXPECT_EQ(redirect::project(pod, {}), pod);
}

TEST(Project, KeepsTheAnnotationsAskedFor) {
  pod::Pod pod;
  pod.annotations = {{"a", "1"}, {"ab", "2"}, {"sidecar.istio.io/status", "{}"}, {"b", ""}};
  EXPECT_THAT(redirect::project(pod, {"b", "a", ""}).annotations,
              ElementsAre(Pair("a", "1"), Pair("b", ""), Key("sidecar.istio.io/status")));
  EXPECT_THAT(redirect::project(pod, {}).annotations, ElementsAre(Key("sidecar.istio.io/status")));
}

TEST(Project, KeepsWhatRepairReads) {
  pod::Pod pod;
  pod.name = "web-1";
  pod.name_space = "shop";
  pod.uid = "u";
  pod.resource_version = "7";
  pod.labels = {{"app", "web"}, {"any", "label"}};
  pod.deleting = true;
  pod.owner = pod::Owner{"ReplicaSet", "web", "o"};
  pod.node_name = "n1";
  pod.restart_policy = "Never";
  pod.service_account = "web";
  pod.host_network = true;
  pod.phase = "Pending";
  pod.ips = {"10.0.0.2"};
  pod.scheduled_at = "2026-01-01T00:00:00Z";
  pod.init_statuses = {{"istio-validation", 1, std::nullopt, pod::Termination{126, "", "m", ""}}};
  EXPECT_EQ(redirect::project(pod, {}), pod);
}

TEST(Project, DropsWhatNobodyReads) {
  pod::Pod pod;
  pod::Container init;
  init.name = "istio-validation";
  init.init = true;
  init.args = {"istio-iptables"};
  init.run_as_user = 1337;
  pod::Container app;
  app.name = "app";
  app.args = {"proxy", "router"};
  app.env = {{"DISABLE_ENVOY", "true"}};
  app.run_as_group = 5;
  pod::Container proxy;
  proxy.name = "istio-proxy";
  proxy.args = {"proxy", "sidecar", "--log", "debug"};
  proxy.env = {{"INVALID_DROP", "true"}, {"POD_NAME", "x"}};
  proxy.run_as_user = 1;
  proxy.run_as_group = 2;
  pod.containers = {init, app, proxy};
  const auto projected = redirect::project(pod, {});
  pod::Container bare_init;
  bare_init.name = "istio-validation";
  bare_init.init = true;
  pod::Container bare_app;
  bare_app.name = "app";
  auto bare_proxy = proxy;
  bare_proxy.args.resize(2);
  bare_proxy.env.erase("POD_NAME");
  EXPECT_THAT(projected.containers, ElementsAre(bare_init, bare_app, bare_proxy));
}

TEST(Project, LargePodBecomesSmall) {
  pod::Pod pod;
  pod.name = "web-7d9f6c5b8-abcde";
  pod.name_space = "shop";
  pod.uid = "0d6b2c3e-1111-2222-3333-444455556666";
  pod.labels = {
      {"app", "web"}, {"pod-template-hash", "7d9f6c5b8"}, {"security.istio.io/tlsMode", "istio"}};
  pod.owner = pod::Owner{"ReplicaSet", "web-7d9f6c5b8", "0d6b2c3e-1111-2222-3333-444455556667"};
  pod.annotations = {
      {"kubectl.kubernetes.io/last-applied-configuration", std::string(8000, 'x')},
      {"sidecar.istio.io/status",
       R"({"initContainers":["istio-validation"],"containers":["istio-proxy"],"volumes":["a","b"]})"},
      {"traffic.sidecar.istio.io/excludeOutboundPorts", "3306,6379"}};
  for (const auto* name : {"istio-validation", "app", "istio-proxy"}) {
    pod::Container container;
    container.name = name;
    container.args = {"proxy", "sidecar", "--domain", std::string(200, 'd')};
    for (int i = 0; i < 60; ++i) container.env[cat("VARIABLE_", i)] = std::string(60, 'v');
    pod.containers.push_back(container);
  }
  ASSERT_GT(pod::to_json(pod).size(), 20000U);
  EXPECT_LT(pod::to_json(redirect::project(pod, {})).size(), 2000U);
}

}  // namespace
