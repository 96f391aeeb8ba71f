// Log records: a message and named fields, to stderr for people and to the
// journal for machines. Libraries do not log; programs do, once per event.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"

namespace logging {

/// debug: what a developer needs; info: one line for each decision; warn:
/// something was ignored or will need attention; error: a request failed.
enum class Level : std::uint8_t { debug, info, warn, error, fatal, none };
std::string_view to_string(Level level);
/// debug, info, warn, error, fatal, none; "" and anything else is info.
Level parse_level(std::string_view text);

/// Names are journal field names: upper case letters, digits, '_'. On stderr
/// they appear in lower case.
using Fields = std::vector<std::pair<std::string, std::string>>;

/// "2021-07-21T08:32:17.362512Z": UTC, six fraction digits.
std::string format_time(std::int64_t unix_micros);

/// "2021-07-21T08:32:17.362512Z\tinfo\tmessage\tkey=value ...\n"; values with
/// blanks are quoted. `unix_micros` is the time of the event.
std::string format_line(std::int64_t unix_micros, Level level, std::string_view message,
                        const Fields& fields);

/// One datagram of the journal's native protocol
/// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
std::string format_journal(std::string_view identifier, Level level, std::string_view message,
                           const Fields& fields);

/// Is `fd` the stream to the journal that JOURNAL_STREAM (`variable`, null when
/// unset) names as DEVICE:INODE? systemd.exec(5).
bool is_journal_stream(int fd, const char* variable);

class Logger {
 public:
  /// `journal_socket`: used when it exists; failure to send is ignored. The line
  /// on stderr is written as well, unless stderr is the journal already.
  explicit Logger(std::string identifier,
                  std::string journal_socket = "/run/systemd/journal/socket");

  void set_level(Level level) { level_ = level; }
  /// Fields of every later record, ahead of the record's own.
  void set_context(Fields fields) { context_ = std::move(fields); }
  /// Called with every record that is written: its time, and its fields with the
  /// context's ahead of them.
  using Sink = std::function<void(std::int64_t unix_micros, Level level, std::string_view message,
                                  const Fields& fields)>;
  void set_sink(Sink sink) { sink_ = std::move(sink); }
  void write(Level level, std::string_view message, const Fields& fields = {});

  void debug(std::string_view message, const Fields& fields = {}) {
    write(Level::debug, message, fields);
  }
  void info(std::string_view message, const Fields& fields = {}) {
    write(Level::info, message, fields);
  }
  void warn(std::string_view message, const Fields& fields = {}) {
    write(Level::warn, message, fields);
  }
  void error(std::string_view message, const Fields& fields = {}) {
    write(Level::error, message, fields);
  }

 private:
  bool send_journal(const std::string& datagram);  ///< true when it was taken

  std::string identifier_;
  std::string journal_path_;
  base::UniqueFd journal_;
  bool stderr_is_journal_;
  Level level_ = Level::info;
  Fields context_;
  Sink sink_;
};

}  // namespace logging
