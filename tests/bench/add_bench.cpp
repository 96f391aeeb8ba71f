// What one ADD costs: the built plugin in fresh dual-stack namespaces, looking
// its pod up itself (loopback TLS API server) and through the agent, interleaved
// with an empty static program.
//   add-bench [RUNS]
#include <atomic>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include "bench/bench.hpp"
#include "support/agent_process.hpp"
#include "support/apiserver.hpp"
#include "support/temp_dir.hpp"

namespace {

using bench::percentile;
using Clock = std::chrono::steady_clock;

std::string field(const std::string& text, const std::string& name) {
  const auto at = text.rfind(name + "=");
  if (at == std::string::npos) return "0";
  return text.substr(at + name.size() + 1, text.find_first_of(" \n", at) - at - name.size() - 1);
}

/// One way of doing ADD, and what it took.
struct Way {
  std::string name;
  std::string input;  ///< file for stdin
  std::map<std::string, std::vector<double>> figures;
};

constexpr const char* phases[] = {"duration_us", "lookup_us", "rules_us", "verify_us"};

void print(const Way& way, double base) {
  const auto total = percentile(way.figures.at("total"), 0.5);
  std::printf("%-28s p50 %7.0f  p99 %7.0f  ratio %.1f\n", way.name.c_str(), total,
              percentile(way.figures.at("total"), 0.99), total / base);
  for (const auto* phase : phases)
    std::printf("  %-26s p50 %7.0f  p99 %7.0f\n", phase, percentile(way.figures.at(phase), 0.5),
                percentile(way.figures.at(phase), 0.99));
}

/// 110 ADDs at once, as after a node's start. Milliseconds; -1 when one failed.
double burst(const std::string& input) {
  constexpr int count = 110;
  std::vector<std::unique_ptr<bench::Pod>> pods;
  for (int i = 0; i < count; ++i) pods.push_back(std::make_unique<bench::Pod>());
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  const auto start = Clock::now();
  for (const auto& pod : pods) {
    threads.emplace_back([&, pod = pod.get()] {
      if (bench::timed(ICN_PLUGIN, bench::add_environment(*pod, "web-1"), input, "/dev/null") < 0)
        ++failures;
    });
  }
  for (auto& thread : threads) thread.join();
  const auto took = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  if (failures > 0) std::printf("%d of %d failed\n", failures.load(), count);
  return failures == 0 ? took : -1;
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 500;
  if (!bench::own_network()) {
    std::fputs("needs root: makes network namespaces\n", stderr);
    return 1;
  }
  test_support::TempDir folder;
  test_support::ApiServer server;
  server.write_kubeconfig(folder.path("kubeconfig"));
  server.add_pod(bench::mesh_pod("web-1"));
  test_support::AgentProcess agent(ICN_AGENT, folder.path(), ICN_PLUGIN, folder.path("kubeconfig"),
                                   "n1");
  folder.write("net.d/10-primary.conflist",
               R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"bridge"}]})");
  agent.start();
  if (!agent.wait_notified("1 in the mesh")) {
    std::fputs(agent.log().c_str(), stderr);
    return 1;
  }

  std::vector<Way> ways;
  for (const std::string backend : {"nftables", "iptables"}) {
    for (const bool with_agent : {true, false}) {
      Way way;
      way.name = "ADD " + backend + (with_agent ? ", with the agent" : ", API server itself");
      way.input = folder.write("stdin-" + std::to_string(ways.size()),
                               R"({"cniVersion":"1.0.0","name":"n","kubeconfig":")" +
                                   folder.path("kubeconfig") + R"(","cni_agent_run_dir":")" +
                                   folder.path(with_agent ? "run" : "none") + R"(","backend":")" +
                                   backend + R"("})");
      ways.push_back(std::move(way));
    }
  }
  std::vector<double> empty;
  int failures = 0;
  std::size_t requests = 0;
  for (int run = 0; run < runs + 5; ++run) {
    for (std::size_t i = 0; i < ways.size(); ++i) {
      auto& way = ways[i];
      const bench::Pod pod;
      const auto before = server.requests();
      const auto nothing = bench::timed(ICN_EMPTY, {}, "/dev/null", folder.path("log-add"));
      const auto total = bench::timed(ICN_PLUGIN, bench::add_environment(pod, "web-1"), way.input,
                                      folder.path("log-add"));
      if (run < 5) continue;  // warm up
      if (i % 2 == 0) requests += server.requests() - before;
      empty.push_back(nothing);
      if (total < 0) {
        ++failures;
        continue;
      }
      const auto log = test_support::AgentProcess::read(folder.path("log-add"));
      way.figures["total"].push_back(total);
      for (const auto* phase : phases)
        way.figures[phase].push_back(std::atof(field(log, phase).c_str()));
    }
  }
  const auto base = percentile(empty, 0.5);
  std::printf("%d runs each, %d failures; microseconds\n", runs, failures);
  std::printf("%-28s p50 %7.0f  p99 %7.0f\n", "empty static program", base,
              percentile(empty, 0.99));
  for (const auto& way : ways) print(way, base);
  std::printf("API requests per ADD with the agent: %.3f\n",
              static_cast<double>(requests) / (2.0 * runs));
  std::printf("110 ADDs at once: %.0f ms with the agent, %.0f ms without\n", burst(ways[0].input),
              burst(ways[1].input));
  return failures == 0 ? 0 : 1;
}
