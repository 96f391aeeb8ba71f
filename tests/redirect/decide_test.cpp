#include "redirect/decide.hpp"

#include <gtest/gtest.h>

namespace {

using redirect::SkipReason;

pod::Pod mesh_pod() {
  pod::Pod pod;
  pod.name = "web-1";
  pod.name_space = "shop";
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod::Container app;
  app.name = "app";
  pod::Container proxy;
  proxy.name = "istio-proxy";
  proxy.args = {"proxy", "sidecar"};
  pod.containers = {app, proxy};
  return pod;
}

std::string skip(const pod::Pod& pod) {
  auto decision = redirect::decide(pod, {});
  if (!decision) return "error: " + decision.error().message;
  if (auto* skipped = std::get_if<redirect::Skip>(&*decision))
    return std::string(to_string(skipped->reason));
  return "redirect";
}

TEST(Decide, MeshPod) { EXPECT_EQ(skip(mesh_pod()), "redirect"); }

TEST(Decide, ByName) {
  const std::vector<std::string> excluded{"kube-system"};
  auto reason = [&](std::string_view name, std::string_view ns, std::string_view agent) {
    auto decision = redirect::decide_by_name({name, ns}, agent, excluded);
    return decision ? std::string(to_string(decision->reason)) : "look up";
  };
  EXPECT_EQ(reason("istio-cni-node-x7", "istio-system", "istio-system"), "own-agent");
  EXPECT_EQ(reason("istio-cni-node-x7", "shop", "istio-system"), "look up");
  EXPECT_EQ(reason("", "shop", ""), "not-kubernetes");
  EXPECT_EQ(reason("web", "", ""), "not-kubernetes");
  EXPECT_EQ(reason("web", "kube-system", ""), "excluded-namespace");
  EXPECT_EQ(reason("web", "kube-systems", ""), "look up");
}

TEST(Decide, SkipsInOrder) {
  auto pod = mesh_pod();
  pod.annotations.erase("sidecar.istio.io/status");
  EXPECT_EQ(skip(pod), "not-injected");
  pod.annotations["sidecar.istio.io/inject"] = "false";
  EXPECT_EQ(skip(pod), "injection-disabled");
  pod.containers[1].args = {"proxy", "router"};
  EXPECT_EQ(skip(pod), "not-sidecar");
  pod.containers[1].name = "other";
  EXPECT_EQ(skip(pod), "no-proxy");
  pod.containers[1].name = "istio-proxy";
  pod.containers[1].env["DISABLE_ENVOY"] = "true";
  EXPECT_EQ(skip(pod), "envoy-disabled");
  pod::Container init;
  init.name = "istio-init";
  init.init = true;
  pod.containers.push_back(init);
  EXPECT_EQ(skip(pod), "istio-init");
}

TEST(Decide, NativeSidecarCounts) {
  auto pod = mesh_pod();
  pod.containers[1].init = true;
  EXPECT_EQ(skip(pod), "redirect");
}

TEST(Decide, ProxyTypeMayBeMissing) {
  auto pod = mesh_pod();
  pod.containers[1].args = {"proxy"};
  EXPECT_EQ(skip(pod), "redirect");
  pod.containers[1].args = {"other", "router"};
  EXPECT_EQ(skip(pod), "redirect");
}

TEST(Decide, InjectLabelReplacesAnnotation) {
  auto pod = mesh_pod();
  pod.annotations["sidecar.istio.io/inject"] = "false";
  pod.labels["sidecar.istio.io/inject"] = "true";
  EXPECT_EQ(skip(pod), "redirect");
  pod.labels["sidecar.istio.io/inject"] = "";
  EXPECT_EQ(skip(pod), "redirect");
  pod.labels["sidecar.istio.io/inject"] = "nonsense";
  EXPECT_EQ(skip(pod), "redirect");
  pod.labels["sidecar.istio.io/inject"] = "F";
  EXPECT_EQ(skip(pod), "injection-disabled");
}

redirect::RedirectPlan plan(const pod::Pod& pod, const redirect::HostInput& host = {}) {
  auto decision = redirect::decide(pod, host);
  return std::get<redirect::RedirectPlan>(decision.value());
}

std::vector<unsigned> numbers(const std::vector<redirect::Port>& ports) {
  std::vector<unsigned> out;
  for (auto port : ports) out.push_back(port.value);
  return out;
}

TEST(Decide, Defaults) {
  const auto config = plan(mesh_pod()).config;
  EXPECT_EQ(config.mode, redirect::Mode::redirect);
  EXPECT_TRUE(config.inbound_ports_include.all);
  EXPECT_EQ(numbers(config.inbound_ports_exclude), (std::vector<unsigned>{15020, 15021, 15090}));
  EXPECT_EQ(numbers(config.outbound_ports_exclude), std::vector<unsigned>{15020});
  EXPECT_TRUE(config.outbound_ranges_include.all);
  EXPECT_EQ(config.proxy_uids[0].id, 1337U);
  EXPECT_FALSE(config.redirect_dns);
}

TEST(Decide, ProxyIdentityAndFlags) {
  auto pod = mesh_pod();
  auto& proxy = pod.containers[1];
  proxy.run_as_user = 0;
  proxy.run_as_group = 4242;
  proxy.env = {
      {"ISTIO_META_DNS_CAPTURE", "true"}, {"ISTIO_DUAL_STACK", "1"}, {"INVALID_DROP", "maybe"}};
  const auto result = plan(pod);
  EXPECT_EQ(result.config.proxy_uids[0].id, 1337U) << "0 means not set";
  EXPECT_EQ(result.config.proxy_gids[0].id, 4242U);
  EXPECT_TRUE(result.config.redirect_dns && result.config.capture_all_dns);
  EXPECT_TRUE(result.dual_stack);
  EXPECT_FALSE(result.config.drop_invalid);
  EXPECT_EQ(result.warnings.size(), 1U);
}

TEST(Decide, HostInput) {
  const auto config = plan(mesh_pod(), {"java,202", "888", "127.0.0.0/8"}).config;
  EXPECT_EQ(config.owner_groups_include.items.size(), 2U);
  EXPECT_EQ(config.owner_groups_exclude[0].id, 888U);
  EXPECT_EQ(config.host_v4_loopback.bits, 8);
}

TEST(Annotations, EmptyValuesCount) {
  auto pod = mesh_pod();
  pod.annotations["traffic.sidecar.istio.io/includeInboundPorts"] = "";
  pod.annotations["traffic.sidecar.istio.io/includeOutboundIPRanges"] = "";
  pod.annotations["traffic.sidecar.istio.io/excludeOutboundPorts"] = "";
  const auto config = plan(pod).config;
  EXPECT_TRUE(config.inbound_ports_include.empty());
  EXPECT_TRUE(config.outbound_ranges_include.empty());
  EXPECT_TRUE(config.outbound_ports_exclude.empty());
}

TEST(Annotations, Lists) {
  auto pod = mesh_pod();
  const std::string prefix = "traffic.sidecar.istio.io/";
  pod.annotations[prefix + "excludeInboundPorts"] = " 8080, 15021,8080 ";
  pod.annotations[prefix + "excludeInterfaces"] = "net1, net2";
  pod.annotations[prefix + "kubevirtInterfaces"] = "bad name";
  pod.annotations["istio.io/reroute-virtual-interfaces"] = "virt0";
  const auto config = plan(pod).config;
  EXPECT_EQ(numbers(config.inbound_ports_exclude),
            (std::vector<unsigned>{8080, 15021, 15020, 15090}));
  EXPECT_EQ(config.exclude_interfaces.size(), 2U);
  EXPECT_EQ(config.reroute_interfaces[0].name, "virt0") << "the deprecated key is not even read";
}

TEST(Annotations, Tproxy) {
  auto pod = mesh_pod();
  pod.annotations["sidecar.istio.io/interceptionMode"] = "TPROXY";
  EXPECT_EQ(plan(pod).config.mode, redirect::Mode::tproxy);
}

TEST(Annotations, NoneIsSkipped) {
  auto pod = mesh_pod();
  pod.annotations["sidecar.istio.io/interceptionMode"] = "NONE";
  EXPECT_EQ(skip(pod), "interception-none");
}

TEST(Annotations, InvalidValuesNamePodKeyValueAndWhatIsAllowed) {
  const std::string prefix = "traffic.sidecar.istio.io/";
  struct Case {
    std::string key, value, allowed;
  };
  for (const auto& [key, value, allowed] :
       {Case{"sidecar.istio.io/interceptionMode", "redirect", "REDIRECT, TPROXY or NONE"},
        Case{prefix + "includeOutboundIPRanges", "10.0.0.0", "prefixes"},
        Case{prefix + "includeOutboundIPRanges", "10.0.0.0/8,", "prefixes"},
        Case{prefix + "excludeOutboundIPRanges", "*", "prefixes"},
        Case{prefix + "includeInboundPorts", "http", "ports"},
        Case{prefix + "includeInboundPorts", "80,", "ports"},
        Case{prefix + "excludeInboundPorts", "70000", "ports"},
        Case{prefix + "excludeInboundPorts", "*", "ports"},
        Case{prefix + "includeOutboundPorts", "1-2", "ports"},
        Case{prefix + "excludeOutboundPorts", "x", "ports"},
        Case{prefix + "excludeInterfaces", "a,,b", "interface"},
        Case{prefix + "kubevirtInterfaces", "this-name-is-too-long", "interface"},
        Case{"istio.io/reroute-virtual-interfaces", "1st", "interface"}}) {
    auto pod = mesh_pod();
    pod.annotations[key] = value;
    auto decision = redirect::decide(pod, {});
    ASSERT_FALSE(decision) << key << "=" << value;
    EXPECT_EQ(decision.error().code, base::Errc::invalid_input);
    const auto& message = decision.error().message;
    for (const auto& part : {std::string("shop/web-1"), key, "\"" + value + "\"", allowed})
      EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  }
}

TEST(Annotations, ProductOfTwoLongListsIsBounded) {
  auto pod = mesh_pod();
  std::string names = "a";
  for (int i = 0; i < 100; ++i) names += ",a";
  std::string ranges = "10.0.0.0/8";
  for (int i = 0; i < 100; ++i) ranges += ",10.0.0.0/8";
  pod.annotations["istio.io/reroute-virtual-interfaces"] = names;
  EXPECT_EQ(skip(pod), "redirect");
  pod.annotations["traffic.sidecar.istio.io/includeOutboundIPRanges"] = ranges;
  EXPECT_NE(skip(pod).find("istio.io/reroute-virtual-interfaces"), std::string::npos);
}

TEST(Annotations, WildcardExclusionIsIgnoredBesideAPortList) {
  auto pod = mesh_pod();
  pod.annotations["traffic.sidecar.istio.io/includeInboundPorts"] = "80";
  pod.annotations["traffic.sidecar.istio.io/excludeInboundPorts"] = "*";
  EXPECT_EQ(skip(pod), "redirect");
}

}  // namespace
