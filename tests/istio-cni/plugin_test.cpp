// The plugin's sequence with a world that is made up.
#include "istio-cni/plugin.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace {

using base::Errc;
using base::Error;
using testing::HasSubstr;

/// A kernel that holds what was applied last, or lies about it.
class FakeBackend final : public netfilter::Backend {
 public:
  explicit FakeBackend(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  base::Status apply(const redirect::Ruleset&) override {
    ++applied;
    if (fail) return *fail;
    held = !loses_rules;
    return base::success();
  }
  base::Result<netfilter::Comparison> compare(const redirect::Ruleset&) override {
    if (held) return netfilter::Comparison{};
    return netfilter::Comparison{true, {"nat ISTIO_OUTPUT is missing"}};
  }
  base::Status remove(const redirect::Ruleset&) override {
    ++removed;
    held = false;
    return base::success();
  }
  int applied = 0;
  int removed = 0;
  bool held = false;
  bool loses_rules = false;
  std::optional<Error> fail;

 private:
  std::string name_;
};

pod::Pod mesh_pod() {
  pod::Pod pod;
  pod.name = "web-1";
  pod.name_space = "shop";
  pod.uid = "u-1";
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod::Container proxy;
  proxy.name = "istio-proxy";
  pod.containers = {proxy};
  return pod;
}

class FakeEdges final : public istio_cni::Edges {
 public:
  base::Status lookup_ready(const cni::Netconf&, base::Deadline) override { return ready; }
  base::Result<pod::Pod> find_pod(const cni::Netconf&, const istio_cni::PodRequest& request,
                                  base::Deadline,
                                  const std::function<void(int, const Error&)>&) override {
    ++lookups;
    asked_uid = request.uid;
    return pod;
  }
  base::Status check_namespace(const std::string&) override { return namespace_status; }
  base::Status enter_namespace(const std::string&) override {
    entered = true;
    return namespace_status;
  }
  base::Result<netns::HostIp> host_ip(bool) override {
    return netns::HostIp{redirect::Ip::parse("10.0.0.2").value(), ipv6};
  }
  base::Result<bool> legacy_rules_present() override { return legacy; }
  base::Status probe_nftables() override { return nft_offered; }
  netfilter::Backend& nftables() override { return nft; }
  netfilter::Backend& iptables() override { return ipt; }
  base::Status apply_routes(const redirect::Ruleset&) override { return base::success(); }
  base::Result<std::vector<std::string>> compare_routes(const redirect::Ruleset&) override {
    return route_differences;
  }
  base::Status resolve_owners(redirect::Config&) override { return base::success(); }

  base::Status ready = base::success();
  base::Result<pod::Pod> pod = mesh_pod();
  base::Status namespace_status = base::success();
  base::Status nft_offered = base::success();
  std::vector<std::string> route_differences;
  FakeBackend nft{"nftables"};
  FakeBackend ipt{"iptables"};
  bool legacy = false;
  bool ipv6 = false;
  bool entered = false;
  int lookups = 0;
  std::string asked_uid;
};

class Plugin : public testing::Test {
 protected:
  istio_cni::Outcome run(const std::string& command, const std::string& input) {
    env["CNI_COMMAND"] = command;
    logging::Logger log("istio-cni", "");
    testing::internal::CaptureStderr();
    auto outcome = istio_cni::run(
        [this](const std::string& name) -> std::optional<std::string> {
          auto at = env.find(name);
          if (at == env.end()) return std::nullopt;
          return at->second;
        },
        [&]() -> base::Result<std::string> {
          ++stdin_reads;
          return input;
        },
        edges, log);
    log_text = testing::internal::GetCapturedStderr();
    return outcome;
  }
  static int code(const istio_cni::Outcome& outcome) {
    return nlohmann::json::parse(outcome.out).at("code").get<int>();
  }

  std::map<std::string, std::string> env{
      {"CNI_CONTAINERID", "c0ffee"},
      {"CNI_NETNS", "/ns"},
      {"CNI_IFNAME", "eth0"},
      {"CNI_PATH", "/opt/cni/bin"},
      {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1"}};
  FakeEdges edges;
  std::string log_text;
  int stdin_reads = 0;
  const std::string conf =
      R"({"cniVersion":"1.0.0","name":"net","type":"istio-cni","exclude_namespaces":["kube-system"],)"
      R"("pod_namespace":"istio-system","prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}})";
  const std::string printed =
      "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.2/24\"}]}\n";
};

TEST_F(Plugin, AddRedirects) {
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.out, printed);
  EXPECT_EQ(edges.nft.applied, 1);
  EXPECT_EQ(edges.asked_uid, "u-1");
  EXPECT_THAT(log_text, HasSubstr("decision=redirect"));
  EXPECT_THAT(log_text, HasSubstr("pod_name=web-1"));
  EXPECT_THAT(log_text, HasSubstr("duration_us="));
}

TEST_F(Plugin, EverySkipPrintsThePreviousResult) {
  struct Case {
    std::string args, reason;
    bool looks_up;
  };
  for (const auto& [args, reason, looks_up] :
       {Case{"K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=istio-cni-node-abc", "own-agent", false},
        Case{"", "not-kubernetes", false},
        Case{"K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns", "excluded-namespace", false},
        Case{"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=plain", "no-proxy", true}}) {
    env["CNI_ARGS"] = args;
    edges.lookups = 0;
    edges.pod.value().containers.clear();
    const auto outcome = run("ADD", std::string(conf).insert(1, R"("plugin_log_level":"debug",)"));
    EXPECT_EQ(outcome.exit_status, 0) << reason;
    EXPECT_EQ(outcome.out, printed) << reason;
    EXPECT_EQ(edges.lookups > 0, looks_up) << reason;
    EXPECT_THAT(log_text, HasSubstr("decision=" + reason));
    EXPECT_FALSE(edges.entered);
  }
}

TEST_F(Plugin, LookupFailureIsTryAgainLater) {
  for (auto error_code : {Errc::unavailable, Errc::not_found, Errc::unauthorized, Errc::timeout,
                          Errc::invalid_input, Errc::mismatch}) {
    edges.pod = Error{error_code, "https://10.0.0.1:6443: connection refused"};
    const auto outcome = run("ADD", conf);
    EXPECT_EQ(outcome.exit_status, 1);
    EXPECT_EQ(code(outcome), 11);
    EXPECT_THAT(outcome.out, HasSubstr("https://10.0.0.1:6443: connection refused"));
    EXPECT_THAT(outcome.out, HasSubstr("shop/web-1"));
  }
  EXPECT_FALSE(edges.entered);
}

TEST_F(Plugin, HostNamespaceIsRefusedBeforeAnything) {
  edges.namespace_status = Error{Errc::refused, "the host's own network namespace"};
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(code(outcome), 8);
  EXPECT_EQ(edges.lookups, 0);
  EXPECT_EQ(edges.nft.applied + edges.ipt.applied, 0);
}

TEST_F(Plugin, BadAnnotation) {
  edges.pod.value().annotations["sidecar.istio.io/interceptionMode"] = "BOTH";
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(code(outcome), 100);
  EXPECT_THAT(outcome.out, HasSubstr("BOTH"));
  EXPECT_FALSE(edges.entered);
}

TEST_F(Plugin, RulesThatDoNotStickFailAdd) {
  edges.nft.loses_rules = true;
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_EQ(code(outcome), 102);
}

TEST_F(Plugin, RoutesThatDoNotStickFailAdd) {
  edges.route_differences = {"no rule for fwmark 1337"};
  EXPECT_EQ(code(run("ADD", conf)), 102);
}

TEST_F(Plugin, BackendChoice) {
  auto with = [&](const std::string& backend) {
    return std::string(conf).insert(1, "\"backend\":\"" + backend + "\",");
  };
  run("ADD", with("iptables"));
  EXPECT_EQ(edges.ipt.applied, 1);
  EXPECT_EQ(edges.nft.removed, 1) << "the other backend's rules must go";
  edges.legacy = true;
  run("ADD", with("auto"));
  EXPECT_EQ(edges.ipt.applied, 2) << "legacy rules present";
  EXPECT_THAT(log_text, HasSubstr("legacy iptables rules in the namespace"));
  run("ADD", with("nftables"));
  EXPECT_EQ(edges.nft.applied, 1);
  EXPECT_EQ(edges.ipt.removed, 1);
  edges.legacy = false;
  edges.nft_offered = Error{Errc::unsupported, "kernel has no nf_tables"};
  run("ADD", with("auto"));
  EXPECT_EQ(edges.ipt.applied, 3);
  EXPECT_THAT(log_text, HasSubstr("kernel has no nf_tables"));
}

TEST_F(Plugin, AutomaticFallsBackWhenAnExpressionIsMissing) {
  edges.nft.fail = Error{Errc::unsupported, "kernel lacks the nftables expression redir"};
  EXPECT_EQ(run("ADD", conf).exit_status, 0);
  EXPECT_EQ(edges.ipt.applied, 1);
  EXPECT_THAT(log_text, HasSubstr("lacks the nftables expression redir"));
  const auto outcome = run("ADD", std::string(conf).insert(1, R"("backend":"nftables",)"));
  EXPECT_EQ(code(outcome), 101) << "a configured backend is not replaced";
}

TEST_F(Plugin, CheckVerifies) {
  EXPECT_EQ(run("ADD", conf).exit_status, 0);
  const auto good = run("CHECK", conf);
  EXPECT_EQ(good.exit_status, 0);
  EXPECT_EQ(good.out, "");
  edges.nft.held = false;
  const auto bad = run("CHECK", conf);
  EXPECT_EQ(code(bad), 102);
  EXPECT_THAT(bad.out, HasSubstr("nat ISTIO_OUTPUT is missing"));
  EXPECT_EQ(edges.nft.applied, 1) << "CHECK changes nothing";
}

TEST_F(Plugin, CheckNeeds040) {
  EXPECT_EQ(code(run("CHECK", R"({"cniVersion":"0.3.1","name":"n"})")), 1);
}

TEST_F(Plugin, DelAlwaysSucceedsAndTouchesNothing) {
  edges.pod = Error{Errc::unavailable, "down"};
  edges.namespace_status = Error{Errc::not_found, "gone"};
  env.erase("CNI_NETNS");
  env["CNI_ARGS"] = "garbage";
  const auto outcome = run("DEL", conf);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(edges.lookups, 0);
}

TEST_F(Plugin, GcAndStatus) {
  for (const auto* command : {"GC", "STATUS"}) {
    EXPECT_EQ(code(run(command, conf)), 1) << "cniVersion 1.0.0";
    EXPECT_EQ(run(command, R"({"cniVersion":"1.1.0","name":"n"})").exit_status, 0);
  }
  edges.ready = Error{Errc::not_found, "no kubeconfig"};
  EXPECT_EQ(code(run("STATUS", R"({"cniVersion":"1.1.0","name":"n"})")), 50);
}

TEST_F(Plugin, VersionReadsNoStdin) {
  const auto outcome = run("VERSION", "");
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("\"supportedVersions\""));
  EXPECT_EQ(stdin_reads, 0);
}

TEST_F(Plugin, AboutGoesToStderr) {
  const auto outcome = run("", "");
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("CNI plugin istio-cni"));
}

TEST_F(Plugin, BadInputNeverReachesThePod) {
  EXPECT_EQ(code(run("ADD", "{")), 6);
  EXPECT_EQ(code(run("ADD", R"({"cniVersion":"1.0.0"})")), 7);
  EXPECT_EQ(code(run("ADD", R"({"cniVersion":"9.0.0","name":"n"})")), 1);
  env["CNI_ARGS"] = "K8S_POD_NAME";
  EXPECT_EQ(code(run("ADD", conf)), 4);
  EXPECT_EQ(edges.lookups, 0);
}

}  // namespace
