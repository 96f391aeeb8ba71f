// Points in time as the API writes them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace repair {

using Time = std::chrono::system_clock::time_point;

/// "2026-11-24T15:04:05Z", with or without a fraction; nothing for anything else.
std::optional<Time> parse_time(std::string_view text);
/// The same form, in whole seconds (rounded down).
std::string format_time(Time time);

}  // namespace repair
