#include "agent/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/strings.hpp"

namespace agent {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using base::system_error;
using base::UniqueFd;

bool trusted(uid_t uid) { return uid == 0 || uid == ::geteuid(); }

Error not_ours(const std::string& path, std::string_view what) {
  return Error{Errc::refused, cat(path, ": ", what)};
}

base::Status check_file(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return Error{Errc::not_found, cat(path, ": there is no such socket")};
    return system_error(path, errno);
  }
  if (!S_ISSOCK(status.st_mode)) return not_ours(path, "not a socket");
  if (!trusted(status.st_uid))
    return not_ours(path, cat("the socket belongs to user ", status.st_uid, ", not to root"));
  return base::success();
}

/// A blocking connect waits in the kernel for room in the queue, as long as
/// SO_SNDTIMEO says, and is woken when there is some.
int connect_within(int fd, const sockaddr_un& address, base::Deadline deadline) {
  for (;;) {
    const auto left = std::max<std::int64_t>(deadline.left().count(), 1);
    const timeval limit{left / 1000, (left % 1000) * 1000};
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return errno;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return 0;
    if (errno != EINTR || deadline.passed()) return errno;
  }
}

Error broken(int error) {
  return Error{Errc::unavailable, cat("the agent closed the connection: ", std::strerror(error)),
               error};
}

}  // namespace

base::Result<Connection> Connection::open(const std::string& path, base::Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error{Errc::not_found, cat(path, ": the path of a socket has 1 to ",
                                      sizeof address.sun_path - 1, " bytes")};
  std::memcpy(address.sun_path, path.c_str(), path.size());
  if (auto status = check_file(path); !status) return std::move(status).error();

  const int flags = SOCK_SEQPACKET | SOCK_CLOEXEC | (deadline.passed() ? SOCK_NONBLOCK : 0);
  UniqueFd fd(::socket(AF_UNIX, flags, 0));
  if (!fd.valid()) return system_error("socket", errno);
  switch (const int error = connect_within(fd.get(), address, deadline)) {
    case 0:
      break;
    case ENOENT:
      return Error{Errc::not_found, cat(path, ": there is no such socket"), error};
    case EAGAIN:
    case EINTR:
      return Error{Errc::timeout, cat(path, ": the agent's queue is full"), error};
    case ECONNREFUSED:
    case EPROTOTYPE:
      return Error{Errc::unavailable, cat(path, ": the agent does not listen"), error};
    default:
      return system_error(path, error);
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return system_error(path, errno);
  if (!trusted(peer.uid)) return not_ours(path, cat("user ", peer.uid, " listens there, not root"));
  return Connection(std::move(fd));
}

base::Result<std::string> Connection::converse(const std::string& request,
                                               base::Deadline deadline) {
  if (request.size() > max_request)
    return Error{Errc::invalid_input, cat("the question is longer than ", max_request, " bytes")};
  if (::send(fd_.get(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return broken(errno);

  pollfd wait{fd_.get(), POLLIN, 0};
  for (;;) {
    const int ready = ::poll(&wait, 1, deadline.poll_timeout());
    if (ready > 0) break;
    if (ready < 0 && errno != EINTR) return system_error("poll", errno);
    if (deadline.passed()) return Error{Errc::timeout, "the agent did not answer in time"};
  }
  // MSG_TRUNC: the message's own length, whatever fits
  const auto length = ::recv(fd_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (length < 0) return broken(errno);
  if (length == 0) return Error{Errc::unavailable, "the agent closed the connection"};
  if (static_cast<std::size_t>(length) > max_answer)
    return Error{Errc::invalid_input, cat("answer is longer than ", max_answer, " bytes")};
  std::string text(static_cast<std::size_t>(length), '\0');
  if (::recv(fd_.get(), text.data(), text.size(), MSG_DONTWAIT) != length) return broken(errno);
  return text;
}

base::Result<Answer> Connection::ask(const Lookup& lookup, base::Deadline deadline) {
  auto text = converse(to_json(lookup), deadline);
  if (!text) return std::move(text).error();
  return parse_answer(*text);
}

base::Result<Status> Connection::ask(const StatusQuery& query, base::Deadline deadline) {
  auto text = converse(to_json(query), deadline);
  if (!text) return std::move(text).error();
  return parse_status(*text);
}

base::Result<PodPage> Connection::ask(const PodsQuery& query, base::Deadline deadline) {
  auto text = converse(to_json(query), deadline);
  if (!text) return std::move(text).error();
  return parse_pods(*text);
}

void Connection::tell(const Outcome& outcome) {
  const auto message = to_json(outcome);
  if (message.size() > max_request) return;
  (void)::send(fd_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace agent
