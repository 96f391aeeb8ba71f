#include "istio-cnictl/connect_probe.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>

#include "base/deadline.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using redirect::Family;
using Outcome = ProbeResult::Outcome;

constexpr std::uint16_t probe_port = 15002;
constexpr std::size_t table_limit = std::size_t{8} << 20;

/// 127.0.0.x or ::x.
socklen_t address(Family family, std::uint8_t last, std::uint16_t port, sockaddr_storage& out) {
  out = {};
  if (family == Family::v4) {
    auto& in = reinterpret_cast<sockaddr_in&>(out);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(0x7f000000U | last);
    return sizeof in;
  }
  auto& in = reinterpret_cast<sockaddr_in6&>(out);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  in.sin6_addr.s6_addr[15] = last;
  return sizeof in;
}

/// A line of /proc/net/tcp: "0: 0100007F:3A99 00000000:0000 0A ...": is it a
/// listener (state 0A) on this port?
bool is_listener(std::string_view line, std::uint16_t port) {
  const auto words = base::split_nonempty(line, ' ');
  if (words.size() < 4 || words[3] != "0A") return false;
  const auto colon = words[1].rfind(':');
  if (colon == std::string_view::npos) return false;
  const auto text = words[1].substr(colon + 1);
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value == port;
}

int connect_error(int fd, const sockaddr_storage& target, socklen_t size, base::Deadline deadline) {
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&target), size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd item{fd, POLLOUT, 0};
  const int ready = ::poll(&item, 1, deadline.poll_timeout());
  if (ready < 0) return errno;
  if (ready == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace

bool listens(redirect::Port port) {
  for (const char* path : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
    auto text = base::read_file(path, table_limit);
    if (!text) continue;
    for (const auto line : base::split_nonempty(*text, '\n'))
      if (is_listener(line, port.value)) return true;
  }
  return false;
}

ProbeResult connect_probe(Family family, std::chrono::milliseconds timeout) {
  ProbeResult result;
  result.family = family;
  const auto name = cat(family == Family::v4 ? "127.0.0.6:" : "[::6]:", probe_port);
  const base::UniqueFd fd(::socket(family == Family::v4 ? AF_INET : AF_INET6,
                                   SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage local{};
  sockaddr_storage target{};
  const auto size = address(family, 1, 0, local);
  (void)address(family, 6, probe_port, target);
  if (!fd.valid() || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&local), size) != 0) {
    result.failure = base::system_error("prepare the connection", errno).message;
    return result;
  }
  const int error = connect_error(fd.get(), target, size, base::Deadline::after(timeout));
  if (error == 0) {
    result.outcome = Outcome::arrived;
    result.attempts.push_back(cat("connect to ", name, ": accepted by the proxy"));
    return result;
  }
  result.outcome = error == ECONNREFUSED ? Outcome::refused : Outcome::timeout;
  if (error != ECONNREFUSED && error != ETIMEDOUT) result.outcome = Outcome::failed;
  result.failure = base::system_error(cat("connect to ", name), error).message;
  return result;
}

}  // namespace istio_cnictl
