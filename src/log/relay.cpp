#include "log/relay.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/deadline.hpp"
#include "base/fd.hpp"
#include "base/strings.hpp"
#include "base/utf8.hpp"

namespace logging {
namespace {

using base::cat;
using base::Deadline;
using base::UniqueFd;

void append_json_string(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if ((c >= 0 && c < ' ') || c == '\x7f') {
      out.append("\\u00");
      out.push_back(hex[(c >> 4) & 15]);
      out.push_back(hex[c & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (out.size() > 1) out.push_back(',');
  append_json_string(out, name);
  out.push_back(':');
  append_json_string(out, base::clean_utf8(value));
}

bool trusted(uid_t uid) { return uid == 0 || uid == ::geteuid(); }

bool wait_for(int fd, short events, const Deadline& deadline) {
  pollfd entry{fd, events, 0};
  for (;;) {
    const int ready = ::poll(&entry, 1, deadline.poll_timeout());
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

/// Invalid when nobody trustworthy listens.
UniqueFd connect_to(const std::string& path) {
  struct stat status {};
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path || ::lstat(path.c_str(), &status) != 0 ||
      !S_ISSOCK(status.st_mode) || !trusted(status.st_uid))
    return {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // a local connection is there at once or not at all
  if (!fd.valid() ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return {};
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !trusted(peer.uid))
    return {};
  return fd;
}

bool send_all(int fd, std::string_view text, const Deadline& deadline) {
  while (!text.empty()) {
    const auto sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!wait_for(fd, POLLOUT, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
    if (deadline.passed()) return false;
  }
  return true;
}

void read_line(int fd, const Deadline& deadline) {
  char buffer[512];
  while (wait_for(fd, POLLIN, deadline)) {
    const auto got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0 && (got == 0 || (errno != EAGAIN && errno != EINTR))) return;
    if (got > 0 && std::memchr(buffer, '\n', static_cast<std::size_t>(got)) != nullptr) return;
    if (deadline.passed()) return;
  }
}

}  // namespace

std::string format_json(std::int64_t unix_micros, Level level, std::string_view message,
                        const Fields& fields) {
  std::vector<std::string> names{"level", "time", "scope", "msg"};
  std::string out = "{";
  append_member(out, names[0], to_string(level));
  append_member(out, names[1], format_time(unix_micros));
  append_member(out, names[2], "cni-plugin");
  append_member(out, names[3], message);
  for (const auto& [field, value] : fields) {
    auto name = base::clean_utf8(base::to_lower(field));
    bool is_new = true;
    for (const auto& other : names) is_new = is_new && other != name;
    if (!is_new) continue;
    append_member(out, name, value);
    names.push_back(std::move(name));
  }
  out.push_back('}');
  return out;
}

void Relay::record(std::int64_t unix_micros, Level level, std::string_view message,
                   const Fields& fields) {
  std::string element;
  append_json_string(element, format_json(unix_micros, level, message, fields));
  if (body_.size() + element.size() + 2 > max_body) return;
  body_.push_back(body_.empty() ? '[' : ',');
  body_.append(element);
}

void Relay::send(const std::string& socket_path, std::chrono::milliseconds within) {
  if (body_.empty()) return;
  const auto deadline = Deadline::after(within);
  auto body = std::exchange(body_, {});
  body.push_back(']');
  const auto fd = connect_to(socket_path);
  if (!fd.valid()) return;
  const auto head = cat("POST /log HTTP/1.1\r\nHost: ", socket_name,
                        "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
                        "\r\nConnection: close\r\n\r\n");
  if (send_all(fd.get(), head + body, deadline)) read_line(fd.get(), deadline);
}

}  // namespace logging
