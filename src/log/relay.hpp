// The plugin's log, for the agent in a DaemonSet to show: collected, and sent
// once when the process ends, as POST /log of a JSON array of strings, each one
// JSON object. Nothing here may fail the plugin: what goes wrong is not told.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log/log.hpp"

namespace logging {

/// One record in the known JSON form: {"level","time","scope":"cni-plugin","msg",
/// ...fields}. Fields appear in lower case, in their order; one that would appear
/// twice, or under one of the four names, is left out. Always valid UTF-8.
std::string format_json(std::int64_t unix_micros, Level level, std::string_view message,
                        const Fields& fields);

class Relay {
 public:
  static constexpr std::string_view socket_name = "log.sock";  ///< in the run dir
  /// What the body may grow to; the agent takes at most 1 MiB.
  static constexpr std::size_t max_body = std::size_t{256} << 10;

  /// For Logger::set_sink. Records beyond max_body are dropped.
  void record(std::int64_t unix_micros, Level level, std::string_view message,
              const Fields& fields);

  /// Sends what was collected, if anything was and if `socket_path` is a socket
  /// that root or our own user owns and listens on. Waits for the answer's first
  /// line, so that the agent has read the request when this process ends; `within`
  /// bounds everything. What was collected is gone afterwards.
  void send(const std::string& socket_path,
            std::chrono::milliseconds within = std::chrono::milliseconds(1000));

 private:
  std::string body_;  ///< "[" and the strings, without the "]"
};

}  // namespace logging
