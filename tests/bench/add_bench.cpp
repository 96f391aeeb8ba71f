// What one ADD costs: the built plugin against the loopback TLS API server in
// fresh dual-stack namespaces, interleaved with an empty static program.
//   add-bench [RUNS]
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/apiserver.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Pod {
  pid_t pid = -1;
  Pod() {
    int ready[2];
    if (::pipe(ready) != 0) std::abort();
    pid = ::fork();
    if (pid == 0) {
      if (::unshare(CLONE_NEWNET) != 0 ||
          std::system(
              "ip link set lo up && ip link add eth0 type veth peer name eth0p && "
              "ip addr add 10.9.0.2/24 dev eth0 && ip addr add fd00:9::2/64 dev eth0 nodad && "
              "ip link set eth0 up") != 0)
        ::_exit(1);
      (void)!::write(ready[1], "y", 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char answer = 0;
    if (::read(ready[0], &answer, 1) != 1) std::abort();
    ::close(ready[0]);
  }
  ~Pod() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  Pod(const Pod&) = delete;
  Pod& operator=(const Pod&) = delete;
};

/// Microseconds from spawn to exit; -1 when it failed.
double timed(const char* program, const std::vector<std::string>& environment,
             const std::string& input, const std::string& log) {
  std::vector<char*> env;
  for (const auto& item : environment) env.push_back(const_cast<char*>(item.c_str()));
  env.push_back(nullptr);
  char* argv[] = {const_cast<char*>(program), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const auto start = Clock::now();
  pid_t pid = -1;
  int status = -1;
  if (::posix_spawn(&pid, program, &actions, nullptr, argv, env.data()) != 0) return -1;
  ::waitpid(pid, &status, 0);
  const auto micros = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  posix_spawn_file_actions_destroy(&actions);
  return status == 0 ? micros : -1;
}

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1))];
}

std::string field(const std::string& text, const std::string& name) {
  const auto at = text.rfind(name + "=");
  if (at == std::string::npos) return "0";
  return text.substr(at + name.size() + 1, text.find_first_of(" \n", at) - at - name.size() - 1);
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 500;
  if (::unshare(CLONE_NEWNET) != 0 || std::system("ip link set lo up") != 0) {
    std::fputs("needs root: makes network namespaces\n", stderr);
    return 1;
  }
  char folder_template[] = "/tmp/icn-bench-XXXXXX";
  const std::string folder = ::mkdtemp(folder_template);
  test_support::ApiServer server;
  server.write_kubeconfig(folder + "/kubeconfig");
  server.add_pod(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"shop",
    "uid":"u-1","annotations":{"sidecar.istio.io/status":"{}"}},"spec":{"containers":[{"name":"app"},
    {"name":"istio-proxy","args":["proxy","sidecar"],"env":[{"name":"ISTIO_DUAL_STACK","value":"true"}]}]}})");

  std::vector<double> empty;
  int failures = 0;
  std::map<std::string, std::map<std::string, std::vector<double>>> figures;
  for (int run = 0; run < runs + 5; ++run) {
    for (const std::string backend : {"nftables", "iptables"}) {
      const Pod pod;
      std::ofstream(folder + "/stdin")
          << R"({"cniVersion":"1.0.0","name":"n","kubeconfig":")" << folder
          << R"(/kubeconfig","backend":")" << backend << R"("})";
      const std::vector<std::string> environment{
          "CNI_COMMAND=ADD",
          "CNI_CONTAINERID=c",
          "CNI_IFNAME=eth0",
          "CNI_PATH=/opt/cni/bin",
          "CNI_NETNS=/proc/" + std::to_string(pod.pid) + "/ns/net",
          "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1"};
      const auto nothing = timed(ICN_EMPTY, {}, "/dev/null", folder + "/log");
      const auto total = timed(ICN_PLUGIN, environment, folder + "/stdin", folder + "/log");
      if (run < 5) continue;  // warm up
      empty.push_back(nothing);
      if (total < 0) {
        ++failures;
        continue;
      }
      std::ifstream stream(folder + "/log");
      const std::string log{std::istreambuf_iterator<char>(stream), {}};
      auto& of = figures[backend];
      of["total"].push_back(total);
      for (const auto* phase : {"duration_us", "lookup_us", "rules_us", "verify_us"})
        of[phase].push_back(std::atof(field(log, phase).c_str()));
    }
  }
  const auto base = percentile(empty, 0.5);
  std::printf("%d runs a backend, %d failures; microseconds\n", runs, failures);
  std::printf("%-24s p50 %7.0f  p99 %7.0f\n", "empty static program", base,
              percentile(empty, 0.99));
  for (const auto& [backend, of] : figures) {
    const auto total = percentile(of.at("total"), 0.5);
    std::printf("%-24s p50 %7.0f  p99 %7.0f  ratio %.1f\n", ("ADD " + backend).c_str(), total,
                percentile(of.at("total"), 0.99), total / base);
    for (const auto* phase : {"duration_us", "lookup_us", "rules_us", "verify_us"})
      std::printf("  %-22s p50 %7.0f  p99 %7.0f\n", phase, percentile(of.at(phase), 0.5),
                  percentile(of.at(phase), 0.99));
  }
  std::printf("API requests %zu, connections %zu\n", server.requests(), server.connections());
  (void)!std::system(("rm -rf " + folder).c_str());
  return failures == 0 ? 0 : 1;
}
