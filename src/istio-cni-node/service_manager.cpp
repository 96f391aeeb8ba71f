#include "istio-cni-node/service_manager.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "base/strings.hpp"
#include "base/utf8.hpp"

namespace istio_cni_node {
namespace {

using base::cat;

/// systemd drops messages above PIPE_BUF.
constexpr std::size_t max_status = 2048;

/// A failure is nothing the agent could act on: the manager is gone or is none.
void tell(const std::string& message) { (void)::sd_notify(0, message.c_str()); }

std::uint64_t monotonic_micros() {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

bool is_ours(int fd) { return ::sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, 1) > 0; }

/// The names' array and its strings are malloc'ed.
void free_names(char** names) {
  if (names == nullptr) return;
  for (char** name = names; *name != nullptr; ++name) std::free(*name);
  std::free(static_cast<void*>(names));
}

}  // namespace

void ServiceManager::ready() {
  if (std::exchange(ready_, true)) return;
  tell("READY=1");
}

void ServiceManager::status(std::string_view text) {
  auto clean = base::clean_utf8(text);
  clean = base::utf8_prefix(clean, max_status);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, ' ');
  if (clean == status_) return;
  status_ = std::move(clean);
  tell(cat("STATUS=", status_));
}

void ServiceManager::reloading() {
  if (ready_) tell(cat("RELOADING=1\nMONOTONIC_USEC=", monotonic_micros()));
}

void ServiceManager::reloaded() {
  if (ready_) tell("READY=1");
}

void ServiceManager::stopping() { tell("STOPPING=1"); }

void ServiceManager::alive() { tell("WATCHDOG=1"); }

std::optional<std::chrono::microseconds> ServiceManager::watchdog_interval() {
  std::uint64_t micros = 0;
  if (::sd_watchdog_enabled(0, &micros) <= 0) return std::nullopt;
  constexpr std::uint64_t day = 86'400'000'000;
  return std::chrono::microseconds(std::clamp<std::uint64_t>(micros / 4, 1, day));
}

base::UniqueFd ServiceManager::activation_socket() {
  static bool given = false;
  if (given) return {};
  char** names = nullptr;
  // the variables stay: children have another LISTEN_PID, and changing the
  // environment is not safe beside other threads
  const int count = ::sd_listen_fds_with_names(0, &names);
  int chosen = -1;
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    if (!is_ours(fd)) continue;
    const std::string_view name = names == nullptr ? "" : names[i];
    const bool named = name == "agent.sock" || name == "istio-cni-node.socket";
    if (chosen < 0 || named) chosen = fd;
    if (named) break;
  }
  free_names(names);
  if (chosen < 0) return {};
  const int flags = ::fcntl(chosen, F_GETFL);
  if (flags < 0 || ::fcntl(chosen, F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(chosen, F_SETFD, FD_CLOEXEC) != 0)
    return {};
  given = true;
  return base::UniqueFd(chosen);
}

}  // namespace istio_cni_node
