// Points in time as the API server and log formats write them. RFC 3339.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace base {

/// Microseconds since 1970 of "2021-07-21T08:32:17.362512Z": any number of
/// fraction digits (below the microsecond they are dropped), "Z" or an offset. A
/// leap second is the next one. Nothing for anything else.
std::optional<std::int64_t> parse_rfc3339_micros(std::string_view text);

/// The same on the system's clock; what lies beyond its range (1677 to 2262)
/// becomes its first or last moment.
std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text);

/// "2021-07-21T08:32:17Z", and with six digits of a second. The years 0 to 9999.
std::string format_rfc3339(std::chrono::system_clock::time_point time);
std::string format_rfc3339_micros(std::int64_t unix_micros);
std::string format_rfc3339_micros(std::chrono::system_clock::time_point time);

}  // namespace base
