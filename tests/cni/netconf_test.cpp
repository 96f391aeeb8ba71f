#include "cni/netconf.hpp"

#include <gtest/gtest.h>

namespace {

using cni::Code;
using cni::Failure;
using cni::Netconf;

Netconf good(const std::string& text) {
  auto parsed = cni::parse_netconf(text);
  if (auto* failure = std::get_if<Failure>(&parsed)) {
    ADD_FAILURE() << failure->message;
    std::abort();
  }
  return std::get<Netconf>(parsed);
}

Code code(const std::string& text) {
  auto parsed = cni::parse_netconf(text);
  auto* failure = std::get_if<Failure>(&parsed);
  return failure == nullptr ? Code{0} : failure->code;
}

TEST(Netconf, ExistingEntryKeepsWorking) {
  const auto conf = good(R"({
    "cniVersion": "0.3.1", "name": "k8s-pod-network", "type": "istio-cni",
    "plugin_log_level": "debug", "cni_agent_run_dir": "/var/run/istio-cni",
    "ambient_enabled": false, "enablement_selectors": [{"podSelector": {}}],
    "exclude_namespaces": ["kube-system"], "pod_namespace": "istio-system",
    "native_nftables": true, "enable_ambient_detection_retry": false,
    "ipam": {}, "dns": {}, "something_else": [1]})");
  EXPECT_EQ(conf.version.text(), "0.3.1");
  EXPECT_EQ(conf.log_level, "debug");
  EXPECT_EQ(conf.kubeconfig, "/var/run/istio-cni/istio-cni-kubeconfig");
  EXPECT_EQ(conf.exclude_namespaces, std::vector<std::string>{"kube-system"});
  EXPECT_EQ(conf.agent_namespace, "istio-system");
  EXPECT_EQ(conf.backend, cni::BackendChoice::nftables);
  EXPECT_EQ(conf.timeout, std::chrono::seconds(30));
  EXPECT_FALSE(conf.prev_result);
}

TEST(Netconf, OwnKeys) {
  const auto conf =
      good(R"({"name":"n","cniVersion":"1.0.0","kubeconfig":"/etc/k","backend":"iptables",
                             "native_nftables":true,"timeout_seconds":1.5,"exclude_namespaces":null})");
  EXPECT_EQ(conf.kubeconfig, "/etc/k");
  EXPECT_EQ(conf.backend, cni::BackendChoice::iptables);
  EXPECT_EQ(conf.timeout, std::chrono::milliseconds(1500));
}

TEST(Netconf, Codes) {
  EXPECT_EQ(code("{"), Code::decoding_failure);
  EXPECT_EQ(code("[]"), Code::decoding_failure);
  EXPECT_EQ(code(""), Code::decoding_failure);
  EXPECT_EQ(code(std::string(100000, '[')), Code::decoding_failure);
  EXPECT_EQ(code("{}"), Code::invalid_config);
  EXPECT_EQ(code(R"({"name":"a b"})"), Code::invalid_config);
  EXPECT_EQ(code(R"({"name":"n","cniVersion":"2.0.0"})"), Code::incompatible_version);
  EXPECT_EQ(code(R"({"name":"n","cniVersion":1})"), Code::decoding_failure);
  EXPECT_EQ(code(R"({"name":"n","exclude_namespaces":"x"})"), Code::decoding_failure);
  EXPECT_EQ(code(R"({"name":"n","native_nftables":"yes"})"), Code::decoding_failure);
  EXPECT_EQ(code(R"({"name":"n","backend":"ebpf"})"), Code::invalid_config);
  for (auto bad : {"0", "-1", "1e9", "601"})
    EXPECT_EQ(code(std::string(R"({"name":"n","timeout_seconds":)") + bad + "}"),
              Code::invalid_config);
  EXPECT_EQ(code(R"({"name":"n","timeout_seconds":"3"})"), Code::decoding_failure);
}

TEST(Netconf, Gate) {
  EXPECT_FALSE(good(R"({"name":"n"})").gate);
  EXPECT_FALSE(good(R"({"name":"n","gate":null})").gate);
  EXPECT_FALSE(good(R"({"name":"n","gate":false})").gate);
  EXPECT_TRUE(good(R"({"name":"n","gate":true})").gate);
  for (auto bad : {"1", "\"true\"", "[]"})
    EXPECT_EQ(code(std::string(R"({"name":"n","gate":)") + bad + "}"), Code::decoding_failure);
}

TEST(Netconf, MissingVersionIs010) { EXPECT_EQ(good(R"({"name":"n"})").version.text(), "0.1.0"); }

std::string result(const std::string& version, const std::string& previous) {
  auto text = "{\"name\":\"n\",\"cniVersion\":\"" + version + "\"" +
              (previous.empty() ? "" : ",\"prevResult\":" + previous) + "}";
  auto out = cni::result_json(good(text));
  if (auto* failure = std::get_if<Failure>(&out)) return "failure: " + failure->message;
  return std::get<std::string>(out);
}

TEST(Result, KeepsEveryField) {
  EXPECT_EQ(result("1.0.0", R"({"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mtu":1500}],
      "ips":[{"address":"10.0.0.2/24","interface":0}],"routes":[{"dst":"0.0.0.0/0"}],"custom":{"a":1}})"),
            "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1500}],"
            "\"ips\":[{\"address\":\"10.0.0.2/24\",\"interface\":0}],"
            "\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"custom\":{\"a\":1}}\n");
}

TEST(Result, OlderVersionsSayWhichIpVersion) {
  EXPECT_EQ(
      result(
          "0.4.0",
          R"({"cniVersion":"0.4.0","ips":[{"address":"10.0.0.2/24"},{"version":"6","address":"fd00::2/64"}]})"),
      "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"address\":\"10.0.0.2/24\",\"version\":\"4\"},"
      "{\"version\":\"6\",\"address\":\"fd00::2/64\"}],\"dns\":{}}\n");
}

TEST(Result, NewerVersionsOmitEmptyDns) {
  EXPECT_EQ(result("1.1.0", R"({"cniVersion":"1.1.0","dns":{}})"), "{\"cniVersion\":\"1.1.0\"}\n");
}

TEST(Result, WithoutPrevious) {
  EXPECT_EQ(result("1.0.0", ""), "{\"cniVersion\":\"1.0.0\"}\n");
  EXPECT_EQ(result("0.3.1", ""), "{\"cniVersion\":\"0.3.1\",\"dns\":{}}\n");
  EXPECT_NE(result("0.2.0", "").find("no valid IP addresses"), std::string::npos);
}

TEST(Result, Version020) {
  EXPECT_EQ(result("0.2.0", R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"}})"),
            "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.2/24\"},\"dns\":{}}\n");
}

TEST(Result, RefusesWhatIsNotAResult) {
  for (auto bad : {"[]", "1", R"({"cniVersion":"0.4.0"})", R"({"ips":{}})", R"({"ips":[1]})",
                   R"({"ips":[{"version":"4"}]})", R"({"interfaces":[{}]})", R"({"dns":[]})",
                   R"({"cniVersion":7})", R"({"routes":[{"gw":"x"}]})"})
    EXPECT_EQ(result("1.0.0", bad).substr(0, 8), "failure:") << bad;
}

}  // namespace
