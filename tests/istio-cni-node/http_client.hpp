// A client that sends what a test tells it to, byte for byte.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>

#include "base/fd.hpp"

namespace test_support {

class RawClient {
 public:
  static RawClient tcp(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return RawClient(AF_INET, &address, sizeof address);
  }
  static RawClient tcp6(std::uint16_t port) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    address.sin6_port = htons(port);
    return RawClient(AF_INET6, &address, sizeof address);
  }
  static RawClient unix_stream(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return RawClient(AF_UNIX, &address, sizeof address);
  }

  [[nodiscard]] bool connected() const { return connected_; }
  bool send(const std::string& text) const {
    return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  /// Until the end or until nothing comes for `patience`; what was read.
  std::string read_all(std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    std::string text;
    while (read_more(text, patience)) {
    }
    return text;
  }
  /// One answer, by its Content-Length (`no_body`: its header only).
  std::string read_answer(bool no_body = false) {
    while (!whole(no_body) && read_more(pending_, std::chrono::seconds(10))) {
    }
    const auto size = std::min(pending_.size(), end_);
    auto answer = pending_.substr(0, size);
    pending_.erase(0, size);
    return answer;
  }
  /// The server has closed its side within `patience`, and sent nothing.
  bool closed(std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    std::string text;
    return !read_more(text, patience) && ended_ && text.empty();
  }
  void end_sending() const { ::shutdown(fd_.get(), SHUT_WR); }

 private:
  template <typename Address>
  RawClient(int family, const Address* address, socklen_t size)
      : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(address), size) == 0;
  }
  bool read_more(std::string& text, std::chrono::milliseconds patience) {
    pollfd entry{fd_.get(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(patience.count())) <= 0) return false;
    char buffer[4096];
    const auto got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) {
      ended_ = true;
      return false;
    }
    text.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  bool whole(bool no_body) {
    const auto head = pending_.find("\r\n\r\n");
    end_ = std::string::npos;
    if (head == std::string::npos) return false;
    end_ = head + 4;
    const auto length = pending_.find("Content-Length: ");
    if (!no_body && length < head) end_ += std::stoul(pending_.substr(length + 16));
    return pending_.size() >= end_;
  }

  base::UniqueFd fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string pending_;
  std::size_t end_ = 0;
};

}  // namespace test_support
