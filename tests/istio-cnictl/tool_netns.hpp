// The built tool beside pods with real network namespaces.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>

#include "istio-cnictl/tool.hpp"
#include "support/netns_child.hpp"
#include "support/pod_namespace.hpp"

namespace test_support {

/// With an address that no other has.
class ToolPodNamespace : public PodNamespace {
 public:
  explicit ToolPodNamespace(bool proxy = false) : ToolPodNamespace(next_address(), proxy) {}
  [[nodiscard]] const std::string& ip() const { return ip_; }

 private:
  ToolPodNamespace(const std::string& ip, bool proxy)
      : PodNamespace(ip + "/24", "", [proxy] { return !proxy || listen_as_proxy(); }), ip_(ip) {}

  /// The machine's processes have other pods of these tests at the same time.
  static std::string next_address() {
    static int count = 0;
    const auto pid = ::getpid();
    return base::cat("10.", 64 + (pid >> 8) % 64, '.', pid & 255, '.', 1 + count++ % 254);
  }
  /// As a proxy does, and without SO_REUSEPORT: nobody else may listen there.
  static bool listen_as_proxy() {
    for (const int port : {15001, 15006}) {
      const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in any{};
      any.sin_family = AF_INET;
      any.sin_port = htons(static_cast<std::uint16_t>(port));
      if (::bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 || ::listen(fd, 16) != 0)
        return false;
    }
    return true;
  }
  std::string ip_;
};

class ToolNetnsTest : public ToolTest {
 protected:
  void SetUp() override { ICN_REQUIRE_ROOT(); }

  /// The agent, with one pod in `pod`'s namespace.
  void with_pod(const ToolPodNamespace& pod, const std::string& extra = "",
                const json& annotations = {{"sidecar.istio.io/status", "{}"}}) {
    ASSERT_TRUE(pod.good());
    server_.add_pod(pod_json("web-1", pod.ip(), annotations).dump());
    begin(extra);
    start();
    wait_for_pods("1 pod on this node");
  }
  int add(const ToolPodNamespace& pod, const std::string& backend = "auto") {
    const int status = run_plugin(pod, {{"backend", backend}});
    // the outcome reaches the agent a moment later
    for (int i = 0; i < 100; ++i) {
      if (run("pods -o json").out.find("\"add\"") != std::string::npos) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return status;
  }
  /// `more`: keys of the network configuration.
  int run_plugin(const ToolPodNamespace& pod, const json& more = json::object()) {
    json conf{
        {"cniVersion", "1.0.0"},
        {"name", "net"},
        {"type", "istio-cni"},
        {"cni_agent_run_dir", dir_.path("run")},
        {"timeout_seconds", 5},
        {"prevResult", {{"cniVersion", "1.0.0"}, {"ips", {{{"address", pod.ip() + "/24"}}}}}}};
    conf.update(more);
    dir_.write("stdin", conf.dump());
    const int status = std::system(
        ("env -i CNI_COMMAND=ADD CNI_CONTAINERID=c0ffee CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin "
         "CNI_NETNS=" +
         pod.path() +
         " CNI_ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;"
         "K8S_POD_UID=uid-web-1' " ICN_PLUGIN " <" +
         dir_.path("stdin") + " >" + dir_.path("add.out") + " 2>" + dir_.path("add.err"))
            .c_str());
    return WEXITSTATUS(status);
  }
};

}  // namespace test_support
