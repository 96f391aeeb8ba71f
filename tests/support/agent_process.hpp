// The built istio-cni-node as a child process in a folder of its own, with a
// socket in place of the service manager.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/patience.hpp"

namespace test_support {

/// A TCP port of the loopback that nobody listens on now.
inline std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, size) != 0 || ::getsockname(fd, generic, &size) != 0)
    throw std::runtime_error("no free port");
  ::close(fd);
  return ntohs(address.sin_port);
}

class AgentProcess {
 public:
  using Clock = std::chrono::steady_clock;

  /// `folder` gets etc/net.d, bin, run, state. `plugin` is what is installed;
  /// `extra` is added to the configuration; `kubeconfig` may not exist.
  AgentProcess(std::string program, std::string folder, std::string plugin, std::string kubeconfig,
               std::string node, std::string extra = "")
      : program_(std::move(program)),
        folder_(std::move(folder)),
        metrics_port_(free_port()),
        health_port_(free_port()) {
    for (const char* name : {"/net.d", "/bin", "/run", "/state"})
      std::filesystem::create_directories(folder_ + name);
    write_config("run_dir: " + folder_ + "/run\nstate_dir: " + folder_ +
                 "/state\napi:\n  kubeconfig: " + kubeconfig + "\n  node_name: " + node +
                 "\ninstall:\n  cni_conf_dir: " + folder_ + "/net.d\n  cni_bin_dirs: [" + folder_ +
                 "/bin]\n  plugin_binary: " + plugin +
                 "\nmetrics:\n  address: 127.0.0.1:" + std::to_string(metrics_port_) +
                 "\nhealth:\n  address: 127.0.0.1:" + std::to_string(health_port_) + "\n" + extra);
    notify_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    notify_path_ = folder_ + "/notify";
    notify_path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(notify_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot bind " + notify_path_);
  }
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;
  ~AgentProcess() {
    stop(SIGKILL);
    ::close(notify_);
    ::unlink(notify_path_.c_str());
  }

  void write_config(const std::string& text) { std::ofstream(config_path()) << text; }
  [[nodiscard]] std::string read_config() const { return read(config_path()); }

  void start() {
    const auto config = "--config=" + config_path();
    char* argv[] = {program_.data(), const_cast<char*>(config.c_str()), nullptr};
    std::string notify = "NOTIFY_SOCKET=" + notify_path_;
    std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char* environment[] = {notify.data(), path.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    if (::posix_spawn(&pid_, program_.c_str(), &actions, nullptr, argv, environment) != 0)
      throw std::runtime_error("cannot start " + program_);
    posix_spawn_file_actions_destroy(&actions);
  }

  /// Reads notifications until one holds `text`; false after `timeout`.
  bool wait_notified(const std::string& text,
                     std::chrono::milliseconds timeout = slowness * std::chrono::seconds(10)) {
    const auto end = Clock::now() + timeout;
    for (;;) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      pollfd item{notify_, POLLIN, 0};
      if (left <= 0 || ::poll(&item, 1, static_cast<int>(left)) <= 0) return false;
      char buffer[4096];
      const auto size = ::recv(notify_, buffer, sizeof buffer, 0);
      if (size > 0 &&
          std::string(buffer, static_cast<std::size_t>(size)).find(text) != std::string::npos)
        return true;
    }
  }

  /// The exit status (or minus the signal) after `signal`.
  int stop(int signal) {
    if (pid_ <= 0) return 0;
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }

  /// VmRSS in bytes.
  [[nodiscard]] std::size_t resident() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    std::string word;
    while (status >> word) {
      std::size_t kilobytes = 0;
      if (word == "VmRSS:" && status >> kilobytes) return kilobytes * 1024;
    }
    return 0;
  }

  [[nodiscard]] std::string http(std::uint16_t port, const std::string& path) const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    std::string answer;
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      const auto request =
          "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
      (void)!::write(fd, request.data(), request.size());
      char buffer[4096];
      for (ssize_t size = 0; (size = ::read(fd, buffer, sizeof buffer)) > 0;)
        answer.append(buffer, static_cast<std::size_t>(size));
    }
    ::close(fd);
    return answer;
  }
  [[nodiscard]] std::string metrics() const { return http(metrics_port_, "/metrics"); }
  [[nodiscard]] std::string readyz() const { return http(health_port_, "/readyz"); }

  [[nodiscard]] std::string log() const { return read(log_path()); }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

  static std::string read(const std::string& path) {
    std::ifstream stream(path);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

 private:
  [[nodiscard]] std::string config_path() const { return folder_ + "/config.yaml"; }
  [[nodiscard]] std::string log_path() const { return folder_ + "/log"; }

  std::string program_;
  std::string folder_;
  std::uint16_t metrics_port_;
  std::uint16_t health_port_;
  std::string notify_path_;
  int notify_ = -1;
  pid_t pid_ = -1;
};

}  // namespace test_support
