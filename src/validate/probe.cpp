#include "validate/probe.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/deadline.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/strings.hpp"

namespace validate {
namespace {

using base::cat;
using redirect::Family;
using redirect::Port;
using std::chrono::milliseconds;

// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; their kernel headers clash with
// <netinet/in.h>.
constexpr int original_destination = 80;
constexpr milliseconds connect_interval{1000};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address make_address(Family family, std::uint8_t last_byte, Port port) {
  Address address;
  if (family == Family::v4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port.value);
    in.sin_addr.s_addr = htonl(0x7f000000U | last_byte);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port.value);
    in.sin6_addr.s6_addr[15] = last_byte;
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  }
  return address;
}

std::uint16_t port_of(const Address& address) {
  // the port stands at the same place in both
  sockaddr_in in{};
  std::memcpy(&in, &address.storage, sizeof in);
  return ntohs(in.sin_port);
}

std::string text_of(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address.storage, sizeof in);
    inet_ntop(AF_INET6, &in.sin6_addr, buffer.data(), buffer.size());
    return cat('[', buffer.data(), "]:", port_of(address));
  }
  sockaddr_in in{};
  std::memcpy(&in, &address.storage, sizeof in);
  inet_ntop(AF_INET, &in.sin_addr, buffer.data(), buffer.size());
  return cat(buffer.data(), ':', port_of(address));
}

base::Result<base::UniqueFd> open_socket(Family family) {
  base::UniqueFd fd(::socket(family == Family::v4 ? AF_INET : AF_INET6,
                             SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return base::system_error("open a socket", errno);
  return fd;
}

base::Result<base::UniqueFd> listen_on(Family family, Port port) {
  auto fd = open_socket(family);
  if (!fd) return fd;
  const int on = 1;
  const auto address = make_address(family, 1, port);
  // Both options, so that a proxy of the same user that listens already does
  // not matter: the more specific address wins.
  if (::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
      ::bind(fd->get(), address.get(), address.size) != 0 || ::listen(fd->get(), 16) != 0)
    return base::system_error(cat("listen on ", text_of(address)), errno);
  return fd;
}

class Probe {
 public:
  explicit Probe(const ProbeConfig& config)
      : config_(config),
        deadline_(base::Deadline::after(config.timeout)),
        target_(make_address(config.family, 6, config.probe_port)) {}

  ProbeReport run() {
    ProbeReport report;
    using Outcome = ProbeReport::Outcome;
    if (config_.listen && !open_listeners()) {
      report.failure = "no listener available: both capture ports failed";
    } else if (loop()) {
      report.outcome = Outcome::arrived;
    } else {
      report.outcome = refused_ ? Outcome::refused : Outcome::timeout;
      report.failure = describe_failure();
    }
    for (const auto& [what, count] : notes_)
      report.attempts.push_back(count == 1 ? what : cat(what, " (", count, " times)"));
    return report;
  }

 private:
  struct Note {
    std::string what;
    unsigned count;
  };

  void note(std::string what) {
    auto seen =
        std::find_if(notes_.begin(), notes_.end(), [&](const Note& n) { return n.what == what; });
    if (seen == notes_.end())
      notes_.push_back(Note{std::move(what), 1});
    else
      ++seen->count;
  }

  bool open_listeners() {
    for (auto port : {config_.proxy_port, config_.inbound_port}) {
      auto fd = listen_on(config_.family, port);
      if (fd)
        listeners_.push_back(*std::move(fd));
      else
        note(fd.error().message);
    }
    return !listeners_.empty();
  }

  bool loop() {
    auto next_connect = base::Deadline::after(milliseconds(0));
    while (!deadline_.passed()) {
      if (next_connect.passed()) {
        if (connecting_) note(cat("connect to ", text_of(target_), ": no answer"));
        next_connect = base::Deadline::after(connect_interval);
        start_client();
        if (!config_.listen && (connected_ || refused_)) return accepted();
      }
      std::vector<pollfd> polled;
      for (const auto& fd : listeners_) polled.push_back({fd.get(), POLLIN, 0});
      if (connecting_) polled.push_back({client_.get(), POLLOUT, 0});
      const int wait = std::min(deadline_.poll_timeout(), next_connect.poll_timeout());
      const int ready = ::poll(polled.data(), polled.size(), wait);
      if (ready < 0 && errno != EINTR) {
        note(base::system_error("wait for connections", errno).message);
        return false;
      }
      if (ready <= 0) continue;
      if (connecting_ && polled.back().revents != 0) finish_client();
      if (!config_.listen && (connected_ || refused_)) return accepted();
      for (std::size_t i = 0; i < listeners_.size(); ++i)
        if (polled[i].revents != 0 && accept_all(listeners_[i].get())) return true;
    }
    return false;
  }

  /// Without listeners the first answer is the last word.
  bool accepted() {
    if (connected_) note(cat("connect to ", text_of(target_), ": accepted by the proxy"));
    return connected_;
  }

  void start_client() {
    connecting_ = false;
    auto fd = open_socket(config_.family);
    if (!fd) {
      note(fd.error().message);
      return;
    }
    client_ = *std::move(fd);
    const auto local = make_address(config_.family, 1, Port{0});
    if (::bind(client_.get(), local.get(), local.size) != 0) {
      note(base::system_error(cat("bind to ", text_of(local)), errno).message);
      return;
    }
    if (::connect(client_.get(), target_.get(), target_.size) == 0) {
      connected_ = true;
      return;
    }
    connecting_ = errno == EINPROGRESS;
    if (!connecting_) note_connect_error(errno);
  }

  void finish_client() {
    connecting_ = false;
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(client_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) {
      note_connect_error(error);
    } else {
      connected_ = true;
    }
  }

  void note_connect_error(int error) {
    refused_ = refused_ || error == ECONNREFUSED;
    note(cat(base::system_error(cat("connect to ", text_of(target_)), error).message,
             error == ECONNREFUSED ? " (it was not redirected to a capture port)" : ""));
  }

  /// True when one of the waiting connections came through the redirection.
  bool accept_all(int listener) {
    for (;;) {
      base::UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd.valid()) return false;
      Address here;
      here.size = sizeof here.storage;
      Address original;
      original.size = sizeof original.storage;
      (void)::getsockname(fd.get(), here.get(), &here.size);
      const int level = config_.family == Family::v4 ? IPPROTO_IP : IPPROTO_IPV6;
      if (::getsockopt(fd.get(), level, original_destination, original.get(), &original.size) !=
          0) {
        note(cat(
            base::system_error(cat("arrived at ", text_of(here), ", original destination"), errno)
                .message,
            " (it was not redirected)"));
        continue;
      }
      const auto arrival =
          cat("arrived at ", text_of(here), " with original destination ", text_of(original));
      if (port_of(original) == config_.probe_port.value) {
        note(arrival);
        return true;
      }
      note(cat(arrival, ", expected port ", config_.probe_port.value));
    }
  }

  [[nodiscard]] std::string describe_failure() const {
    const auto target = text_of(target_);
    const auto who = cat(" for user id ", ::geteuid());
    if (refused_)
      return cat("connections to ", target, " are refused: they are not redirected", who);
    if (connected_)
      return cat("connections to ", target,
                 " are accepted, but do not arrive at the capture ports as redirected", who);
    return cat("no redirected connection to ", target, " arrived within ", config_.timeout.count(),
               " ms", who);
  }

  ProbeConfig config_;
  base::Deadline deadline_;
  Address target_;
  std::vector<base::UniqueFd> listeners_;
  base::UniqueFd client_;  // kept open until the next attempt, so that it can be accepted
  bool connecting_ = false;
  bool connected_ = false;
  bool refused_ = false;
  std::vector<Note> notes_;
};

}  // namespace

ProbeReport run_probe(const ProbeConfig& config) { return Probe(config).run(); }

std::string_view failure_advice() {
  return "Either the pod has no redirection (it started before the CNI plugin was ready on this "
         "node, or its rules were removed), or this ran as another user than the proxy's. The "
         "repair controller of the node deletes or repairs such pods when it is enabled; "
         "otherwise delete the pod, so that it is created anew.";
}

}  // namespace validate
