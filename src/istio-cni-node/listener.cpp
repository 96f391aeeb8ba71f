#include "istio-cni-node/listener.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using base::system_error;
using base::UniqueFd;

constexpr int socket_flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

/// errno of the step that failed, and the hint for the operator.
Error listen_error(std::string_view where, int error) {
  auto result = system_error(where, error);
  if (error == EADDRINUSE)
    result.message.append("; stop the other program that listens there or configure another port");
  if (error == EADDRNOTAVAIL)
    result.message.append("; this node does not have the address: configure another one");
  return result;
}

/// errno, 0 for success.
int bind_and_listen(int fd, const sockaddr* address, socklen_t size) {
  const int one = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) return errno;
  if (::bind(fd, address, size) != 0) return errno;
  return ::listen(fd, SOMAXCONN) == 0 ? 0 : errno;
}

base::Result<UniqueFd> listen_anywhere(std::uint16_t port) {
  const auto where = cat("listen on port ", port, " of every address");
  UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | socket_flags, 0));
  if (fd.valid()) {
    const int zero = 0;
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    int error = EAFNOSUPPORT;
    if (::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) == 0)
      error = bind_and_listen(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (error == 0) return fd;
    // disable_ipv6 leaves the family and takes its addresses
    if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) return listen_error(where, error);
  }
  fd.reset(::socket(AF_INET, SOCK_STREAM | socket_flags, 0));
  if (!fd.valid()) return listen_error(where, errno);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const int error =
      bind_and_listen(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  if (error != 0) return listen_error(where, error);
  return fd;
}

base::Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error{Errc::invalid_input,
                 cat("listen on ", path, ": the path of a socket has 1 to ",
                     sizeof address.sun_path - 1, " bytes; use a shorter folder")};
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

/// Success when nothing, or a socket that nobody listens on, is at `path`.
base::Status check_free(const std::string& path, const sockaddr_un& address, int type) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return base::success();
    return system_error(cat("listen on ", path), errno);
  }
  if (!S_ISSOCK(status.st_mode))
    return Error{Errc::refused, cat("listen on ", path,
                                    ": a file that is no socket is there; "
                                    "remove it")};
  const UniqueFd probe(::socket(AF_UNIX, type | socket_flags, 0));
  if (!probe.valid()) return system_error(cat("listen on ", path), errno);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const int error = ::connect(probe.get(), generic, sizeof address) == 0 ? 0 : errno;
  // EAGAIN: a queue that is full is somebody's
  if (error == 0 || error == EAGAIN || error == EINPROGRESS || error == EPROTOTYPE)
    return Error{Errc::refused, cat("listen on ", path,
                                    ": another program listens there; "
                                    "stop it first")};
  if (error != ECONNREFUSED && error != ENOENT) return system_error(cat("listen on ", path), error);
  return base::success();
}

}  // namespace

base::Result<UniqueFd> listen_tcp_socket(const std::string& host, std::uint16_t port) {
  if (host.empty()) return listen_anywhere(port);
  const bool colon = host.find(':') != std::string::npos;
  const auto where = cat("listen on ", colon ? "[" : "", host, colon ? "]:" : ":", port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), cat(port).c_str(), &hints, &found);
  if (failure != 0)
    return Error{failure == EAI_AGAIN ? Errc::unavailable : Errc::invalid_input,
                 cat(where, ": ", ::gai_strerror(failure), "; configure an address of this node")};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  int error = EADDRNOTAVAIL;
  for (const auto* entry = found; entry != nullptr; entry = entry->ai_next) {
    UniqueFd fd(::socket(entry->ai_family, SOCK_STREAM | socket_flags, 0));
    if (!fd.valid()) {
      error = errno;
      continue;
    }
    error = bind_and_listen(fd.get(), entry->ai_addr, entry->ai_addrlen);
    if (error == 0) return fd;
  }
  return listen_error(where, error);
}

std::uint16_t local_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

base::Result<UnixListener> UnixListener::make(const std::string& path, mode_t mode, int type,
                                              int backlog) {
  auto address = address_of(path);
  if (!address) return address.error();
  if (auto free = check_free(path, *address, type); !free) return free.error();
  // made beside its place and moved there: clients meet the old socket or the
  // new one with its mode, never nothing and never another mode
  const auto beside = path + "~";
  auto beside_address = address_of(beside);
  if (!beside_address) return beside_address.error();
  (void)::unlink(beside.c_str());

  UnixListener made;
  made.fd.reset(::socket(AF_UNIX, type | socket_flags, 0));
  const auto where = cat("listen on ", path);
  if (!made.fd.valid()) return system_error(where, errno);
  if (::bind(made.fd.get(), reinterpret_cast<const sockaddr*>(&*beside_address),
             sizeof *beside_address) != 0)
    return system_error(where, errno);
  struct stat status {};
  if (::chmod(beside.c_str(), mode) != 0 || ::listen(made.fd.get(), backlog) != 0 ||
      ::lstat(beside.c_str(), &status) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    (void)::unlink(beside.c_str());
    return system_error(where, error);
  }
  made.path_ = path;
  made.device_ = status.st_dev;
  made.inode_ = status.st_ino;
  return made;
}

void UnixListener::remove_file() {
  struct stat status {};
  if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_)
    (void)::unlink(path_.c_str());
  path_.clear();
}

}  // namespace istio_cni_node
