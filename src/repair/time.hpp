// Points in time as the API writes them.
#pragma once

#include <chrono>
#include <string>

namespace repair {

using Time = std::chrono::system_clock::time_point;

/// As the API writes it, in whole seconds (rounded down): "2026-11-24T15:04:05Z".
std::string format_time(Time time);

}  // namespace repair
