// What the agent costs: start to READY, memory with a full node and under churn,
// and how soon its entry is back after another program's rename over the list.
//   agent-bench [CHANGES [start|reassert|memory]]
#include <fstream>
#include <string>
#include <thread>

#include "bench/bench.hpp"
#include "support/agent_process.hpp"
#include "support/apiserver.hpp"
#include "support/temp_dir.hpp"

namespace {

using bench::percentile;
using test_support::AgentProcess;
using Clock = std::chrono::steady_clock;

constexpr const char* primary =
    R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"bridge"}]})";

double millis(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

void start_to_ready() {
  std::vector<double> times;
  for (int run = 0; run < 20; ++run) {
    test_support::TempDir folder;
    AgentProcess agent(ICN_AGENT, folder.path(), ICN_PLUGIN, folder.path("none"), "n1");
    folder.write("net.d/10-primary.conflist", primary);
    const auto start = Clock::now();
    agent.start();
    if (!agent.wait_notified("READY=1")) std::abort();
    times.push_back(millis(start));
  }
  std::printf("start to READY, no API server: median %.1f ms, worst %.1f ms (20 starts)\n",
              percentile(times, 0.5), percentile(times, 1));
}

void reassert() {
  test_support::TempDir folder;
  AgentProcess agent(ICN_AGENT, folder.path(), ICN_PLUGIN, folder.path("none"), "n1");
  const auto list = folder.write("net.d/10-primary.conflist", primary);
  agent.start();
  if (!agent.wait_notified("READY=1")) std::abort();
  std::vector<double> times;
  for (int run = 0; run < 100; ++run) {  // a thousand: tests/install, without the pauses
    const auto fresh = folder.write("net.d/.fresh", primary);
    const auto start = Clock::now();
    if (::rename(fresh.c_str(), list.c_str()) != 0) std::abort();
    while (AgentProcess::read(list).find("istio-cni") == std::string::npos) {
      if (millis(start) > 5000) std::abort();
    }
    times.push_back(millis(start));
    // slower than what counts as a fight (10 in 5 s)
    std::this_thread::sleep_for(std::chrono::milliseconds(560));
  }
  std::printf("entry back after a foreign rename: median %.2f ms, p99 %.2f ms (%zu rewrites)\n",
              percentile(times, 0.5), percentile(times, 0.99), times.size());
}

void memory(int changes) {
  constexpr int pods = 250;
  constexpr std::size_t size = 20000;
  test_support::TempDir folder;
  test_support::ApiServer server;
  server.write_kubeconfig(folder.path("kubeconfig"));
  for (int i = 0; i < pods; ++i) server.add_pod(bench::mesh_pod("web-" + std::to_string(i), size));
  AgentProcess agent(ICN_AGENT, folder.path(), ICN_PLUGIN, folder.path("kubeconfig"), "n1");
  folder.write("net.d/10-primary.conflist", primary);
  agent.start();
  if (!agent.wait_notified("250 in the mesh")) std::abort();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  std::printf("resident, 250 pods of 20 KB: %.1f MB\n",
              static_cast<double>(agent.resident()) / 1e6);
  for (int change = 1; change <= changes; ++change) {
    const auto name = "web-" + std::to_string(change % pods);
    // every tenth change replaces the pod, the others update it
    if (change % 10 == 0) server.remove_pod("shop", name);
    server.add_pod(bench::mesh_pod(name, size + static_cast<std::size_t>(change % 7)));
    if (change % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (change % (changes / 6) == 0)
      std::printf("  after %6d changes: %.1f MB\n", change,
                  static_cast<double>(agent.resident()) / 1e6);
  }
  server.add_pod(bench::mesh_pod("last"));
  if (!agent.wait_notified("251 in the mesh", std::chrono::seconds(60))) std::abort();
  std::this_thread::sleep_for(std::chrono::seconds(11));  // one upkeep
  std::printf("resident at the end: %.1f MB\n", static_cast<double>(agent.resident()) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const int changes = argc > 1 ? std::max(6, std::atoi(argv[1])) : 36000;  // 1 h at 10 a second
  if (!bench::own_network()) {
    std::fputs("needs root: makes network namespaces\n", stderr);
    return 1;
  }
  const std::string only = argc > 2 ? argv[2] : "";
  if (only.empty() || only == "start") start_to_ready();
  if (only.empty() || only == "reassert") reassert();
  if (only.empty() || only == "memory") memory(changes);
  return 0;
}
