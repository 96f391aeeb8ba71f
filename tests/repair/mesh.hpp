// Pods of the mesh as the API server has them, and the built agent that looks
// after them: what an end-to-end test of repair begins with.
#pragma once

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "support/agent_process.hpp"
#include "support/apiserver.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace test_support {

using nlohmann::json;

/// Of namespace shop on node n1; its validation has not run yet.
inline json mesh_pod(const std::string& name, const std::string& uid,
                     const std::string& owner_uid = "rs-1",
                     const std::vector<std::string>& ips = {"10.9.0.2"}) {
  json pod_ips = json::array();
  for (const auto& ip : ips) pod_ips.push_back({{"ip", ip}});
  return {
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       {{"name", name},
        {"namespace", "shop"},
        {"uid", uid},
        {"annotations", {{"sidecar.istio.io/status", "{}"}}},
        {"ownerReferences", json::array({{{"kind", "ReplicaSet"},
                                          {"name", "web"},
                                          {"uid", owner_uid},
                                          {"controller", true}}})}}},
      {"spec",
       {{"nodeName", "n1"},
        {"restartPolicy", "Always"},
        {"initContainers", json::array({{{"name", "istio-validation"}}})},
        {"containers", json::array({{{"name", "app"}},
                                    {{"name", "istio-proxy"}, {"args", {"proxy", "sidecar"}}}})}}},
      {"status",
       {{"phase", "Pending"},
        {"podIP", ips.front()},
        {"podIPs", pod_ips},
        {"initContainerStatuses", json::array({{{"name", "istio-validation"},
                                                {"restartCount", 0},
                                                {"state", {{"running", json::object()}}}}})}}}};
}

inline std::string now_text() { return base::format_rfc3339(std::chrono::system_clock::now()); }

/// What the kubelet writes when the validation container has ended.
inline void validation_ended(json& pod, int exit_code,
                             const std::string& finished_at = now_text()) {
  auto& status = pod["status"]["initContainerStatuses"][0];
  status["state"] = {{"terminated",
                      {{"exitCode", exit_code},
                       {"reason", exit_code == 0 ? "Completed" : "Error"},
                       {"finishedAt", finished_at}}}};
  if (exit_code == 0) pod["status"]["phase"] = "Running";
}

/// And when it makes it anew, which waits for its turn.
inline void validation_waits(json& pod) {
  auto& status = pod["status"]["initContainerStatuses"][0];
  if (status["state"].contains("terminated")) status["lastState"] = status["state"];
  status["state"] = {{"waiting", {{"reason", "CrashLoopBackOff"}}}};
  status["restartCount"] = status["restartCount"].get<int>() + 1;
}

inline json broken_mesh_pod(const std::string& name, const std::string& uid,
                            const std::string& owner_uid = "rs-1") {
  auto pod = mesh_pod(name, uid, owner_uid);
  validation_ended(pod, 126);
  validation_waits(pod);
  return pod;
}

/// A node with an API server, a primary network's list and the agent, which is
/// not started yet.
class MeshNode {
 public:
  /// `repair`: lines of the section of the configuration, such as "mode: label".
  MeshNode(const std::string& agent_program, const std::string& plugin, const std::string& repair)
      : agent(agent_program, dir.path(), plugin, dir.path("kubeconfig"), "n1", section(repair)) {
    server.write_kubeconfig(dir.path("kubeconfig"));
  }
  ~MeshNode() = default;
  MeshNode(const MeshNode&) = delete;
  MeshNode& operator=(const MeshNode&) = delete;

  void write_primary() const {
    const auto file = dir.write(
        "net.d/.new", R"({"cniVersion":"1.0.0","name":"primary","plugins":[{"type":"bridge"}]})"
                      "\n");
    std::filesystem::rename(file, dir.path("net.d/10-primary.conflist"));
  }
  /// The primary's list is there, and the agent has seen all pods.
  bool start() {
    write_primary();
    agent.start();
    return eventually([this] { return readyz().find("in the mesh") != std::string::npos; });
  }

  bool eventually(const std::function<bool()>& condition,
                  std::chrono::milliseconds limit = test_support::slowness *
                                                    std::chrono::seconds(20)) const {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;;) {
      if (condition()) return true;
      if (std::chrono::steady_clock::now() >= end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  static void let_pass(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

  /// For the next deletions.
  void inject(Fault fault, int count = 1) {
    fault.request = "DELETE ";
    server.inject(fault, count);
  }
  void add(const json& pod) { server.add_pod(pod.dump()); }
  [[nodiscard]] bool has(const std::string& name) const {
    return server.find_pod("shop", name) != "";
  }
  [[nodiscard]] json find(const std::string& name) const {
    const auto text = server.find_pod("shop", name);
    return text.empty() ? json() : json::parse(text);
  }

  /// How many requests began so: "DELETE ".
  [[nodiscard]] std::size_t requests(const std::string& begin) const {
    std::size_t count = 0;
    for (const auto& one : server.request_log()) count += one.starts_with(begin) ? 1 : 0;
    return count;
  }
  [[nodiscard]] std::size_t deletions(const std::string& name) const {
    return server.bodies_of("DELETE /api/v1/namespaces/shop/pods/" + name).size();
  }
  /// Requests that change a pod.
  [[nodiscard]] std::size_t actions() const {
    std::size_t count = 0;
    for (const auto& one : server.request_log())
      count += one.find("/pods/") != std::string::npos && !one.starts_with("GET ") ? 1 : 0;
    return count;
  }
  /// Events of one reason, the newest last.
  [[nodiscard]] std::vector<json> events(const std::string& reason) const {
    std::vector<json> found;
    for (const auto& text : server.events()) {
      auto event = json::parse(text);
      if (event.at("reason") == reason) found.push_back(std::move(event));
    }
    return found;
  }
  /// The value of a sample, as in "name{label=\"value\"}"; -1 when it is not there.
  [[nodiscard]] double metric(const std::string& sample) const {
    const auto text = agent.metrics();
    const auto at = text.find("\n" + sample + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + sample.size() + 2));
  }
  [[nodiscard]] double repaired(const std::string& type, const std::string& result) const {
    return metric(base::cat("istio_cni_repair_pods_repaired_total{result=\"", result, "\",type=\"",
                            type, "\"}"));
  }
  [[nodiscard]] double unredirected(const std::string& reason) const {
    return metric(base::cat("istio_cni_node_mesh_pods_unredirected{reason=\"", reason, "\"}"));
  }
  [[nodiscard]] double held_back(const std::string& reason) const {
    return metric(base::cat("istio_cni_node_repair_held_back_total{reason=\"", reason, "\"}"));
  }
  [[nodiscard]] std::string readyz() const { return agent.readyz(); }
  /// How many of its lines hold `text`.
  [[nodiscard]] std::size_t log_lines(const std::string& text) const {
    const auto log = agent.log();
    std::size_t count = 0;
    for (auto at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
    return count;
  }

  TempDir dir;
  ApiServer server;
  AgentProcess agent;

 private:
  static std::string section(const std::string& repair) {
    std::string text = "repair:\n";
    for (const auto line : base::split_nonempty(repair, '\n')) text += base::cat("  ", line, '\n');
    return text;
  }
};

}  // namespace test_support
