#include "log/log.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/strings.hpp"
#include "base/time.hpp"

namespace logging {
namespace {

using base::cat;

int syslog_priority(Level level) {
  switch (level) {
    case Level::debug:
      return LOG_DEBUG;
    case Level::info:
      return LOG_INFO;
    case Level::warn:
      return LOG_WARNING;
    case Level::error:
      return LOG_ERR;
    case Level::fatal:
    case Level::none:
      return LOG_CRIT;
  }
  return LOG_INFO;
}

std::string stderr_value(std::string_view value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c != '"' && c != '\\' && c != '=' && c != '\x7f';
  });
  return plain ? std::string(value) : base::quote(value, value.size());
}

void append_journal_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name);
  if (value.find('\n') == std::string_view::npos) {
    out.append("=").append(value).push_back('\n');
    return;
  }
  // values with line feeds: name, newline, 64-bit little-endian size, value, newline
  out.push_back('\n');
  const std::uint64_t size = value.size();
  for (unsigned shift = 0; shift < 64; shift += 8)
    out.push_back(static_cast<char>((size >> shift) & 0xff));
  out.append(value).push_back('\n');
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
    case Level::fatal:
      return "fatal";
    case Level::none:
      return "none";
  }
  return "";
}

Level parse_level(std::string_view text) {
  const auto lower = base::to_lower(text);
  for (auto level :
       {Level::debug, Level::info, Level::warn, Level::error, Level::fatal, Level::none})
    if (lower == to_string(level)) return level;
  return Level::info;
}

std::string format_time(std::int64_t unix_micros) {
  return base::format_rfc3339_micros(unix_micros);
}

std::string format_line(std::int64_t unix_micros, Level level, std::string_view message,
                        const Fields& fields) {
  // one event, one line
  std::string text(message);
  std::replace(text.begin(), text.end(), '\n', ' ');
  auto line = cat(format_time(unix_micros), '\t', to_string(level), '\t', text);
  char separator = '\t';
  for (const auto& [name, value] : fields) {
    if (name == "MESSAGE_ID") continue;  // for journalctl -x, not for readers
    line.append(cat(separator, base::to_lower(name), '=', stderr_value(value)));
    separator = ' ';
  }
  line.push_back('\n');
  return line;
}

std::string format_journal(std::string_view identifier, Level level, std::string_view message,
                           const Fields& fields) {
  std::string out;
  append_journal_field(out, "MESSAGE", message);
  append_journal_field(out, "PRIORITY", cat(syslog_priority(level)));
  append_journal_field(out, "SYSLOG_IDENTIFIER", identifier);
  for (const auto& [name, value] : fields) append_journal_field(out, name, value);
  return out;
}

Logger::Logger(std::string identifier, std::string journal_socket)
    : identifier_(std::move(identifier)),
      journal_path_(std::move(journal_socket)),
      stderr_is_journal_(is_journal_stream(STDERR_FILENO, ::getenv("JOURNAL_STREAM"))) {}

void Logger::write(Level level, std::string_view message, const Fields& fields) {
  if (level_ == Level::none || level < level_) return;
  Fields all = context_;
  all.insert(all.end(), fields.begin(), fields.end());
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const auto line = format_line(now.count(), level, message, all);
  const bool in_journal = send_journal(format_journal(identifier_, level, message, all));
  if (!in_journal || !stderr_is_journal_) (void)!::write(STDERR_FILENO, line.data(), line.size());
  if (sink_) sink_(now.count(), level, message, all);
}

bool is_journal_stream(int fd, const char* variable) {
  struct stat status {};
  if (variable == nullptr || ::fstat(fd, &status) != 0) return false;
  return cat(status.st_dev, ":", status.st_ino) == variable;
}

bool Logger::send_journal(const std::string& datagram) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (journal_path_.empty() || journal_path_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, journal_path_.c_str(), journal_path_.size());
  if (!journal_.valid()) {
    journal_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!journal_.valid()) return false;
  }
  iovec part{const_cast<char*>(datagram.data()), datagram.size()};
  msghdr header{};
  header.msg_name = &address;
  header.msg_namelen = sizeof address;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (::sendmsg(journal_.get(), &header, MSG_NOSIGNAL) >= 0) return true;
  if (errno != EMSGSIZE && errno != ENOBUFS) return false;
  // too big for a datagram: the protocol takes a sealed memory file instead
  base::UniqueFd memory(::memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return false;
  if (::write(memory.get(), datagram.data(), datagram.size()) !=
      static_cast<ssize_t>(datagram.size()))
    return false;
  (void)::fcntl(memory.get(), F_ADD_SEALS,
                F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  header.msg_iov = nullptr;
  header.msg_iovlen = 0;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  auto* item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = memory.get();
  std::memcpy(CMSG_DATA(item), &fd, sizeof fd);
  return ::sendmsg(journal_.get(), &header, MSG_NOSIGNAL) >= 0;
}

}  // namespace logging
