// The built plugin against the test API server and real namespaces, executed
// as a runtime does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/apiserver.hpp"
#include "support/netns_child.hpp"
#include "support/patience.hpp"
#include "support/pod_namespace.hpp"
#include "support/traffic.hpp"

namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json pod_json(const std::string& uid, const json& annotations = json::object(),
              const json& env = json::array()) {
  json all{{"sidecar.istio.io/status", "{}"}};
  all.update(annotations);
  return {
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata", {{"name", "web-1"}, {"namespace", "shop"}, {"uid", uid}, {"annotations", all}}},
      {"spec",
       {{"containers",
         {{{"name", "app"}},
          {{"name", "istio-proxy"}, {"args", {"proxy", "sidecar"}}, {"env", env}}}}}}};
}

using test_support::PodNamespace;

constexpr const char* pod_address = "10.9.0.2/24";

struct Answer {
  int status = -1;
  std::string out, err;
  [[nodiscard]] int code() const {
    auto parsed = json::parse(out, nullptr, false);
    return parsed.is_object() ? parsed.value("code", 0) : -1;
  }
};

std::string slurp(const std::string& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Everything runs in a child whose own namespace plays the host's.
class Node {
 public:
  Node() : folder_(make_folder()) { server.write_kubeconfig(folder_ + "/kubeconfig"); }
  ~Node() { (void)!std::system(("rm -rf " + folder_).c_str()); }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  Answer plugin(const std::string& command, const std::string& netns, json conf = json::object(),
                const std::string& uid = "u-1", const std::string& under = "") {
    json all{{"cniVersion", "1.0.0"},
             {"name", "net"},
             {"type", "istio-cni"},
             {"kubeconfig", folder_ + "/kubeconfig"},
             {"timeout_seconds", 5},
             {"prevResult", {{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.9.0.2/24"}}}}}}};
    all.update(conf);
    std::ofstream(folder_ + "/stdin") << all.dump();
    const auto status = std::system(
        ("env -i PATH=$PATH CNI_COMMAND=" + command + " CNI_CONTAINERID=c0ffee CNI_NETNS=" + netns +
         " CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin CNI_ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;"
         "K8S_POD_NAME=web-1;K8S_POD_UID=" +
         uid + "' " + under + ICN_PLUGIN " <" + folder_ + "/stdin >" + folder_ + "/out 2>" +
         folder_ + "/err")
            .c_str());
    return {WEXITSTATUS(status), slurp(folder_ + "/out"), slurp(folder_ + "/err")};
  }

  test_support::ApiServer server;

 private:
  static std::string make_folder() {
    char path[] = "/tmp/icn-plugin-XXXXXX";
    return ::mkdtemp(path);
  }
  std::string folder_;
};

/// Runs `body` in a child; gtest failures there are carried back as text.
void on_node(const std::function<void(Node&)>& body) {
  const auto text = support::in_new_netns([&]() -> std::string {
    testing::internal::CaptureStdout();
    {
      Node node;
      body(node);
    }
    const auto output = testing::internal::GetCapturedStdout();
    return testing::Test::HasFailure() ? "failed\n" + output : "";
  });
  EXPECT_EQ(text, "");
}

const std::string printed = "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.9.0.2/24\"}]}\n";

TEST(PluginNetns, AddCheckRepeatDelForEachBackendAndMode) {
  ICN_REQUIRE_ROOT();
  for (const std::string backend : {"nftables", "iptables"}) {
    for (const std::string mode : {"REDIRECT", "TPROXY"}) {
      SCOPED_TRACE(backend + " " + mode);
      on_node([&](Node& node) {
        node.server.add_pod(pod_json("u-1", {{"sidecar.istio.io/interceptionMode", mode}},
                                     {{{"name", "ISTIO_DUAL_STACK"}, {"value", "true"}},
                                      {{"name", "ISTIO_META_DNS_CAPTURE"}, {"value", "true"}}})
                                .dump());
        const PodNamespace pod(pod_address, "&& ip addr add fd00:9::2/64 dev eth0 nodad");
        ASSERT_TRUE(pod.good());
        const std::string save = backend == "nftables"
                                     ? "nft list ruleset"
                                     : "sh -c 'iptables-legacy-save; ip6tables-legacy-save'";
        const json conf{{"backend", backend}};
        auto answer = node.plugin("ADD", pod.path(), conf);
        ASSERT_EQ(answer.status, 0) << answer.out << answer.err;
        EXPECT_EQ(answer.out, printed);
        EXPECT_THAT(answer.err, HasSubstr("backend=" + backend));
        EXPECT_EQ(node.server.requests(), 1U);
        EXPECT_EQ(node.server.connections(), 1U);
        EXPECT_THAT(pod.run(save), HasSubstr("15006"));
        EXPECT_THAT(pod.run("ip -6 addr show dev lo"), HasSubstr("::6/128"));
        if (mode == "TPROXY") {
          EXPECT_THAT(pod.run("ip rule"), HasSubstr("fwmark 0x539 lookup 133"));
          EXPECT_THAT(pod.run("ip -6 route show table 133"), HasSubstr("local default dev lo"));
        }
        // without counters: the kernel's own neighbour discovery passes the rules too
        const auto state = [&] {
          return pod.run(
              "sh -c '{ nft list ruleset; ip rule; ip -6 rule; ip route show table all; "
              "ip -6 route show table all; iptables-legacy-save; ip6tables-legacy-save; } | "
              "grep -v ^# | sed -E \"s/packets [0-9]+ bytes [0-9]+//; s/\\[[0-9]+:[0-9]+\\]//\"'");
        };
        const auto before = state();
        answer = node.plugin("ADD", pod.path(), conf);
        ASSERT_EQ(answer.status, 0) << answer.out;
        EXPECT_EQ(state(), before) << "a repeated ADD changed something";
        answer = node.plugin("CHECK", pod.path(), conf);
        EXPECT_EQ(answer.status, 0) << answer.out;
        EXPECT_EQ(answer.out, "");
        pod.run(backend == "nftables" ? "nft flush chain inet istio-proxy-nat istio-output"
                                      : "iptables-legacy -t nat -D ISTIO_OUTPUT 2");
        answer = node.plugin("CHECK", pod.path(), conf);
        EXPECT_EQ(answer.code(), 102) << answer.out;
        answer = node.plugin("ADD", pod.path(), conf);
        EXPECT_EQ(answer.status, 0) << answer.out;
        EXPECT_EQ(node.plugin("CHECK", pod.path(), conf).status, 0);
        // the other backend takes over without leaving the first one's rules
        const std::string other = backend == "nftables" ? "iptables" : "nftables";
        answer = node.plugin("ADD", pod.path(), {{"backend", other}});
        EXPECT_EQ(answer.status, 0) << answer.out;
        EXPECT_THAT(pod.run(save), Not(HasSubstr("15006")));
        EXPECT_EQ(node.plugin("DEL", pod.path(), conf).status, 0);
        // nothing of it touched the host's own namespace
        EXPECT_THAT(
            support::shell("nft list ruleset; iptables-legacy-save; ip rule"),
            Not(testing::AnyOf(HasSubstr("istio"), HasSubstr("ISTIO"), HasSubstr("0x539"))));
      });
    }
  }
}

TEST(PluginNetns, HostNamespaceIsRefused) {
  ICN_REQUIRE_ROOT();
  on_node([](Node& node) {
    node.server.add_pod(pod_json("u-1").dump());
    for (const std::string path : {"/proc/self/ns/net", "/proc/thread-self/ns/net"}) {
      const auto answer = node.plugin("ADD", path);
      EXPECT_EQ(answer.code(), 8) << answer.out;
      EXPECT_THAT(answer.out, HasSubstr(path));
    }
    EXPECT_EQ(node.server.requests(), 0U);
    EXPECT_THAT(support::shell("nft list ruleset"), Not(HasSubstr("istio")));
  });
}

TEST(PluginNetns, LookupIsRetriedUntilThePodIsThere) {
  ICN_REQUIRE_ROOT();
  on_node([](Node& node) {
    const PodNamespace pod(pod_address);
    node.server.add_pod(pod_json("an-older-pod").dump());
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      node.server.add_pod(pod_json("u-1").dump());
    });
    const auto answer = node.plugin("ADD", pod.path());
    later.join();
    EXPECT_EQ(answer.status, 0) << answer.out;
    EXPECT_GE(node.server.requests(), 2U);
    EXPECT_THAT(answer.err, HasSubstr("trying again"));
  });
}

TEST(PluginNetns, FailsClosedWithinTheDeadline) {
  ICN_REQUIRE_ROOT();
  on_node([](Node& node) {
    const PodNamespace pod(pod_address);
    const json conf{{"timeout_seconds", 1}};
    const auto start = std::chrono::steady_clock::now();
    auto answer = node.plugin("ADD", pod.path(), conf);
    EXPECT_EQ(answer.code(), 11) << answer.out;
    EXPECT_THAT(answer.out, HasSubstr(node.server.url()));
    EXPECT_THAT(answer.out, HasSubstr("404"));
    node.server.add_pod(pod_json("another-uid").dump());
    answer = node.plugin("ADD", pod.path(), conf);
    EXPECT_EQ(answer.code(), 11);
    EXPECT_THAT(answer.out, HasSubstr("another-uid"));
    node.server.inject({test_support::Fault::Kind::hang, 0, {}}, 100);
    answer = node.plugin("ADD", pod.path(), conf);
    EXPECT_EQ(answer.code(), 11);
    EXPECT_LT(std::chrono::steady_clock::now() - start,
              test_support::slowness * std::chrono::seconds(6));
    answer = node.plugin("ADD", pod.path(), {{"kubeconfig", "/nonexistent/kubeconfig"}});
    EXPECT_EQ(answer.code(), 11);
    EXPECT_THAT(answer.out, HasSubstr("/nonexistent/kubeconfig"));
    EXPECT_EQ(pod.run("nft list ruleset"), "");
    EXPECT_EQ(node.plugin("DEL", "/nonexistent/ns", {{"kubeconfig", "/nonexistent"}}).status, 0);
  });
}

TEST(PluginNetns, RulesOfOthersAreKept) {
  ICN_REQUIRE_ROOT();
  on_node([](Node& node) {
    node.server.add_pod(pod_json("u-1").dump());
    const PodNamespace pod(pod_address,
                           "&& iptables-legacy -t nat -A POSTROUTING -p udp -j ACCEPT");
    const auto answer = node.plugin("ADD", pod.path());
    EXPECT_EQ(answer.status, 0) << answer.out;
    EXPECT_THAT(answer.err, HasSubstr("legacy iptables rules in the namespace"));
    const auto save = pod.run("iptables-legacy-save");
    EXPECT_THAT(save, HasSubstr("-A POSTROUTING -p udp -j ACCEPT"));
    EXPECT_THAT(save, HasSubstr("-A OUTPUT -j ISTIO_OUTPUT"));
  });
}

#ifndef ICN_SANITIZED
// A sanitizer's plugin is dynamic and cannot be traced.
TEST(PluginNetns, NeedsNothingOfItsHost) {
  ICN_REQUIRE_ROOT();
  char path[] = "/tmp/icn-root-XXXXXX";
  const std::string root = ::mkdtemp(path);
  EXPECT_THAT(support::shell("cp " ICN_PLUGIN " " + root +
                             "/istio-cni && CNI_COMMAND=VERSION chroot " + root + " /istio-cni"),
              HasSubstr("\"cniVersion\":\"1.1.0\""));
  EXPECT_THAT(support::shell("CNI_COMMAND=VERSION strace -f -e trace=execve,openat " ICN_PLUGIN
                             " 2>&1 | grep -c 'openat(.*\\.so'"),
              testing::StartsWith("0"));
  support::shell("rm -rf " + root);
}

TEST(PluginNetns, OneConnectionAndNoOtherProgram) {
  ICN_REQUIRE_ROOT();
  on_node([](Node& node) {
    node.server.add_pod(pod_json("u-1").dump());
    const PodNamespace pod(pod_address);
    const auto answer =
        node.plugin("ADD", pod.path(), json::object(), "u-1", "strace -f -e trace=execve,connect ");
    EXPECT_EQ(answer.status, 0) << answer.out;
    std::size_t executions = 0;
    std::size_t connects = 0;
    for (std::size_t at = 0; (at = answer.err.find("execve(", at)) != std::string::npos; ++at)
      ++executions;
    for (std::size_t at = 0; (at = answer.err.find("AF_INET", at)) != std::string::npos; ++at)
      ++connects;
    EXPECT_EQ(executions, 1U) << answer.err;  // its own start
    EXPECT_EQ(connects, 1U) << answer.err;
  });
}

#endif

TEST(PluginNetns, BadAnnotation) {
  ICN_REQUIRE_ROOT();
  on_node([](Node& node) {
    node.server.add_pod(
        pod_json("u-1", {{"traffic.sidecar.istio.io/excludeInboundPorts", "http"}}).dump());
    const PodNamespace pod(pod_address);
    const auto answer = node.plugin("ADD", pod.path());
    EXPECT_EQ(answer.code(), 100) << answer.out;
    EXPECT_THAT(answer.out, HasSubstr("shop/web-1"));
    EXPECT_EQ(pod.run("nft list ruleset"), "");
  });
}

}  // namespace
