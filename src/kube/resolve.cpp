#include "kube/resolve.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <nss.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace kube {
namespace {

std::optional<Address> literal(const std::string& host, std::uint16_t port) {
  Address address;
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
    return address;
  }
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
    return address;
  }
  return std::nullopt;
}

}  // namespace

bool is_ip_literal(const std::string& host) { return literal(host, 0).has_value(); }

/// Shared by the caller and the thread that looks up, because either may end first.
struct Lookup::Shared {
  std::string host;
  std::string service;
  base::UniqueFd done;  // an eventfd, so that the wait can be a poll

  std::mutex mutex;
  int status = 0;
  std::vector<Address> addresses;

  void run();
};

void Lookup::Shared::run() {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int result = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found);
  {
    std::lock_guard lock(mutex);
    status = result;
    for (auto* entry = found; entry != nullptr; entry = entry->ai_next) {
      if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
      auto& address = addresses.emplace_back();
      std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
      address.size = entry->ai_addrlen;
    }
  }
  if (found != nullptr) ::freeaddrinfo(found);
  ::eventfd_write(done.get(), 1);
}

Lookup::Lookup(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

base::Result<Lookup> Lookup::start(const std::string& host, std::uint16_t port) {
  static std::once_flag configured;
  std::call_once(configured, [] { __nss_configure_lookup("hosts", "files dns"); });

  auto shared = std::make_shared<Shared>();
  shared->host = host;
  shared->service = base::cat(port);
  shared->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared->done.valid()) return base::system_error("eventfd", errno);

  // The thread must not take signals meant for the program.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::string failure;
  try {
    std::thread([shared] { shared->run(); }).detach();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!failure.empty())
    return base::Error{base::Errc::unavailable, base::cat("look up ", host, ": ", failure)};
  return Lookup(std::move(shared));
}

int Lookup::fd() const { return shared_->done.get(); }

base::Result<std::vector<Address>> Lookup::take() {
  std::lock_guard lock(shared_->mutex);
  if (shared_->status == 0 && !shared_->addresses.empty()) return std::move(shared_->addresses);
  return base::Error{
      base::Errc::unavailable,
      base::cat("look up ", shared_->host, ": ",
                shared_->status == 0 ? "no address" : ::gai_strerror(shared_->status))};
}

base::Result<std::vector<Address>> resolve(const std::string& host, std::uint16_t port,
                                           base::Deadline deadline) {
  if (auto address = literal(host, port)) return std::vector<Address>{*address};
  auto lookup = Lookup::start(host, port);
  if (!lookup) return std::move(lookup).error();
  for (;;) {
    pollfd wait{lookup->fd(), POLLIN, 0};
    if (::poll(&wait, 1, deadline.poll_timeout()) > 0) return lookup->take();
    if (deadline.passed())
      return base::Error{base::Errc::timeout, base::cat("look up ", host, ": no answer in time")};
  }
}

}  // namespace kube
