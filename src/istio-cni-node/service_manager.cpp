#include "istio-cni-node/service_manager.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
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

constexpr std::string_view reloading_line = "RELOADING=1\n";

/// As sd_notify(3), which would wait while the manager's queue is full. False when
/// it is, or something else passes by itself. Any other failure is nothing the agent
/// could act on: the manager is gone or is none.
bool send_now(std::string_view message) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  const std::string_view path = name == nullptr ? "" : name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || path.size() >= sizeof address.sun_path) return true;
  if (path.front() != '/' && path.front() != '@') return true;
  path.copy(address.sun_path, path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';  // an abstract one has no end
  const auto size = offsetof(sockaddr_un, sun_path) + path.size() + (path.front() == '/' ? 1 : 0);
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return false;
  const auto sent =
      ::sendto(fd.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size));
  return sent >= 0 || (errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM);
}

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

bool ServiceManager::send_waiting() {
  for (; !waiting_.empty(); waiting_.pop_front())
    if (!send_now(waiting_.front())) return false;
  if (status_waits_ && !send_now(cat("STATUS=", status_))) return false;
  status_waits_ = false;
  return true;
}

void ServiceManager::retry() {
  if (!send_waiting() && waits) waits();
}

void ServiceManager::tell(std::string message) {
  waiting_.push_back(std::move(message));
  retry();
}

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
  status_waits_ = true;
  retry();
}

void ServiceManager::reloading() {
  if (!ready_) return;
  // a reload that nobody has heard of is part of this one
  waiting_.erase(std::find_if(waiting_.begin(), waiting_.end(),
                              [](const auto& one) { return one.starts_with(reloading_line); }),
                 waiting_.end());
  tell(cat(reloading_line, "MONOTONIC_USEC=", monotonic_micros()));
}

void ServiceManager::reloaded() {
  if (ready_) tell("READY=1");
}

void ServiceManager::stopping() { tell("STOPPING=1"); }

void ServiceManager::alive() { (void)send_now("WATCHDOG=1"); }

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
