// What the benchmarks share: processes that are timed as wholes, namespaces that
// play pods, and percentiles.
#pragma once

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
#include <string>
#include <vector>

namespace bench {

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
inline double timed(const char* program, const std::vector<std::string>& environment,
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

inline double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1))];
}

/// The environment of an ADD for shop/NAME in the namespace of `pod`.
inline std::vector<std::string> add_environment(const Pod& pod, const std::string& name) {
  return {"CNI_COMMAND=ADD",
          "CNI_CONTAINERID=c",
          "CNI_IFNAME=eth0",
          "CNI_PATH=/opt/cni/bin",
          "CNI_NETNS=/proc/" + std::to_string(pod.pid) + "/ns/net",
          "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=" + name +
              ";K8S_POD_UID=uid-" + name};
}

/// A mesh pod of node n1, dual stack; `padding` bytes of annotations besides.
inline std::string mesh_pod(const std::string& name, std::size_t padding = 0) {
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name +
         R"(","namespace":"shop","uid":"uid-)" + name +
         R"(","annotations":{"sidecar.istio.io/status":"{}","padding":")" +
         std::string(padding, 'x') +
         R"("}},"spec":{"nodeName":"n1","containers":[{"name":"app"},)"
         R"({"name":"istio-proxy","args":["proxy","sidecar"],"env":[{"name":"ISTIO_DUAL_STACK","value":"true"}]}]}})";
}

/// A network namespace of its own, loopback up; false when not allowed.
inline bool own_network() {
  return ::unshare(CLONE_NEWNET) == 0 && std::system("ip link set lo up") == 0;
}

}  // namespace bench
