// A node for the built istio-cnictl: agent, API server, files and a journal
// folder of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "support/agent_process.hpp"
#include "support/apiserver.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace test_support {

using nlohmann::json;

struct Ran {
  int status = -1;
  std::string out;
  std::string err;
  [[nodiscard]] json parsed() const { return json::parse(out, nullptr, false); }
};

inline json pod_json(const std::string& name, const std::string& ip = "",
                     const json& annotations = {{"sidecar.istio.io/status", "{}"}},
                     const std::string& node = "n1") {
  json status{{"phase", ip.empty() ? "Pending" : "Running"}};
  if (!ip.empty()) {
    status["podIP"] = ip;
    status["podIPs"] = {{{"ip", ip}}};
    status["startTime"] = "2026-11-24T09:00:00Z";
  }
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", name},
            {"namespace", "shop"},
            {"uid", "uid-" + name},
            {"annotations", annotations}}},
          {"spec",
           {{"nodeName", node},
            {"containers",
             {{{"name", "app"}}, {{"name", "istio-proxy"}, {"args", {"proxy", "sidecar"}}}}}}},
          {"status", status}};
}

class ToolTest : public testing::Test {
 protected:
  ToolTest() : server_(with_token()) {
    server_.write_kubeconfig(dir_.path("kubeconfig"));
    std::filesystem::create_directories(dir_.path("journal"));
  }
  void TearDown() override {
    if (HasFailure() && agent_) std::fputs(agent_->log().c_str(), stderr);
  }

  void begin(const std::string& extra = "") {
    begin_without_network(extra);
    dir_.write("net.d/10-primary.conflist", primary);
  }
  void begin_without_network(const std::string& extra = "") {
    agent_.emplace(ICN_AGENT, dir_.path(), ICN_PLUGIN, dir_.path("kubeconfig"), "n1", extra);
  }
  void start() {
    agent_->start();
    ASSERT_TRUE(agent_->wait_notified("Ready: chained in 10-primary.conflist")) << agent_->log();
  }
  /// The agent has heard of so many pods.
  void wait_for_pods(const std::string& sentence) {
    ASSERT_TRUE(agent_->wait_notified(sentence)) << agent_->log();
  }

  /// Meanwhile the agent's notifications are read, for which it would wait else.
  [[nodiscard]] bool eventually(const std::function<bool()>& condition) {
    const auto end =
        std::chrono::steady_clock::now() + test_support::slowness * std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      (void)agent_->wait_notified("\n(nothing like this is sent)", std::chrono::milliseconds(20));
    }
    return true;
  }

  [[nodiscard]] Ran run(const std::string& arguments) const {
    const auto command = std::string("env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin ") + ICN_TOOL +
                         " " + arguments + " --config " + dir_.path("config.yaml") +
                         " --journal-dir " + dir_.path("journal") + " >" + dir_.path("out") +
                         " 2>" + dir_.path("err");
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, AgentProcess::read(dir_.path("out")),
            AgentProcess::read(dir_.path("err"))};
  }
  [[nodiscard]] json explain(const std::string& pod, const std::string& more = "") const {
    return run("explain shop/" + pod + " -o json " + more).parsed();
  }
  /// A line of a verdict's evidence, as "SOURCE: TEXT"; "" when none holds `text`.
  [[nodiscard]] static std::string evidence(const json& verdict, const std::string& text) {
    for (const auto& line : verdict.at("evidence")) {
      auto said = line.at("source").get<std::string>() + ": " + line.at("text").get<std::string>();
      if (said.find(text) != std::string::npos) return said;
    }
    return "";
  }

  static ApiServerOptions with_token() {
    ApiServerOptions options;
    options.token = token;
    return options;
  }

  static constexpr const char* token = "t0psecret-token-of-the-node";
  static constexpr const char* primary =
      "{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"primary\",\n  \"plugins\": [\n    { "
      "\"type\": "
      "\"bridge\", \"k8s_auth_token\": \"list-secret\" }\n  ]\n}\n";

  TempDir dir_;
  ApiServer server_;
  std::optional<AgentProcess> agent_;
};

}  // namespace test_support
