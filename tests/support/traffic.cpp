#include "support/traffic.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace support {
namespace {

constexpr int so_original_dst = 80;  // linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h
constexpr int patience_ms = 1500;

std::string render(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

bool fill(const std::string& address, unsigned short port, sockaddr_storage& out, socklen_t& size) {
  std::memset(&out, 0, sizeof out);
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof v4;
    return true;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  size = sizeof v6;
  return inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1;
}

std::string exchange(Transport transport, const std::string& address, unsigned short port,
                     const Client& client) {
  if (client.netns_of_pid != 0) {
    const auto path = "/proc/" + std::to_string(client.netns_of_pid) + "/ns/net";
    const int ns = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (ns < 0 || ::setns(ns, CLONE_NEWNET) != 0) return "error: setns";
  }
  if (client.uid != 0 || client.gid != 0) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(client.gid) != 0 || ::setuid(client.uid) != 0)
      return "error: setuid";
  }
  sockaddr_storage to{};
  socklen_t size = 0;
  if (!fill(address, port, to, size)) return "error: address";
  const int fd = ::socket(to.ss_family, transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  if (fd < 0) return "error: socket";
  if (!client.bind.empty()) {
    sockaddr_storage from{};
    socklen_t from_size = 0;
    if (!fill(client.bind, 0, from, from_size) ||
        ::bind(fd, reinterpret_cast<sockaddr*>(&from), from_size) != 0)
      return "error: bind";
  }
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), size) != 0 && errno != EINPROGRESS)
    return errno == ECONNREFUSED ? "refused" : std::string("error: ") + std::strerror(errno);
  pollfd ready{fd, POLLOUT, 0};
  if (::poll(&ready, 1, patience_ms) != 1) return "timeout";
  int failure = 0;
  socklen_t failure_size = sizeof failure;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_size);
  if (failure == ECONNREFUSED) return "refused";
  if (failure != 0) return std::string("error: ") + std::strerror(failure);
  if (transport == Transport::udp) (void)!::send(fd, "?", 1, 0);
  ready.events = POLLIN;
  if (::poll(&ready, 1, patience_ms) != 1) return "timeout";
  char buffer[256];
  const auto got = ::recv(fd, buffer, sizeof buffer, 0);
  if (got < 0)
    return errno == ECONNREFUSED ? "refused" : std::string("error: ") + std::strerror(errno);
  return std::string(buffer, static_cast<std::size_t>(got));
}

}  // namespace

TagServer::TagServer(const std::vector<Endpoint>& endpoints) {
  for (const auto& endpoint : endpoints) {
    for (int family : {AF_INET, AF_INET6}) {
      const int type = endpoint.transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM;
      // the owner match looks at the fsuid of who made the socket
      ::setfsgid(endpoint.owner);
      ::setfsuid(endpoint.owner);
      const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
      ::setfsuid(0);
      ::setfsgid(0);
      const int on = 1;
      ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
      bool good = fd >= 0;
      // an answer must come from the address that was asked
      if (endpoint.transport == Transport::udp)
        family == AF_INET ? ::setsockopt(fd, SOL_IP, IP_PKTINFO, &on, sizeof on)
                          : ::setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
      if (endpoint.transparent)
        good = good && (family == AF_INET
                            ? ::setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on)
                            : ::setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof on)) == 0;
      sockaddr_storage address{};
      socklen_t size = 0;
      fill(family == AF_INET ? "0.0.0.0" : "::", endpoint.port, address, size);
      good = good && ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0;
      if (endpoint.transport == Transport::tcp) good = good && ::listen(fd, 16) == 0;
      if (!good) error_ = "port " + std::to_string(endpoint.port) + ": " + std::strerror(errno);
      sockets_.push_back({fd, endpoint, family});
    }
  }
  thread_ = std::thread([this] { serve(); });
}

TagServer::~TagServer() {
  stop_ = true;
  thread_.join();
  for (const auto& socket : sockets_) ::close(socket.fd);
}

void TagServer::serve() {
  std::vector<pollfd> polls;
  for (const auto& socket : sockets_) polls.push_back({socket.fd, POLLIN, 0});
  while (!stop_) {
    if (::poll(polls.data(), polls.size(), 20) <= 0) continue;
    for (std::size_t i = 0; i < polls.size(); ++i)
      if ((polls[i].revents & POLLIN) != 0) answer(sockets_[i]);
  }
}

void TagServer::answer(const Socket& socket) const {
  const auto tag = std::to_string(socket.endpoint.port) + " ";
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (socket.endpoint.transport == Transport::udp) {
    char buffer[64];
    alignas(cmsghdr) char control[256];
    iovec part{buffer, sizeof buffer};
    msghdr header{};
    header.msg_name = &address;
    header.msg_namelen = sizeof address;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (::recvmsg(socket.fd, &header, 0) < 0) return;
    auto text = tag + "udp";
    part = {text.data(), text.size()};
    for (auto* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
      // answer from there, whatever the interface
      if (item->cmsg_level == SOL_IP)
        reinterpret_cast<in_pktinfo*>(CMSG_DATA(item))->ipi_ifindex = 0;
      if (item->cmsg_level == SOL_IP)
        reinterpret_cast<in_pktinfo*>(CMSG_DATA(item))->ipi_spec_dst =
            reinterpret_cast<in_pktinfo*>(CMSG_DATA(item))->ipi_addr;
      if (item->cmsg_level == SOL_IPV6)
        reinterpret_cast<in6_pktinfo*>(CMSG_DATA(item))->ipi6_ifindex = 0;
    }
    (void)::sendmsg(socket.fd, &header, 0);
    return;
  }
  const int client = ::accept4(socket.fd, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int level = socket.family == AF_INET ? SOL_IP : SOL_IPV6;
  // without NAT, as with TPROXY, the original destination is the socket's own address
  if (::getsockopt(client, level, so_original_dst, &address, &size) != 0) {
    size = sizeof address;
    ::getsockname(client, reinterpret_cast<sockaddr*>(&address), &size);
  }
  const auto text = tag + render(address);
  (void)::send(client, text.data(), text.size(), MSG_NOSIGNAL);
  ::close(client);
}

std::string ask(Transport transport, const std::string& address, unsigned short port,
                const Client& client) {
  int fds[2];
  if (::pipe(fds) != 0) return "error: pipe";
  const auto child = ::fork();
  if (child == 0) {
    const auto text = exchange(transport, address, port, client);
    (void)!::write(fds[1], text.data(), text.size());
    ::_exit(0);
  }
  ::close(fds[1]);
  char buffer[256];
  std::string text;
  for (;;) {
    const auto got = ::read(fds[0], buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(fds[0]);
  ::waitpid(child, nullptr, 0);
  return text;
}

}  // namespace support
