#pragma once

#include <chrono>

namespace repair {

/// Wall-clock time: it is compared with what the API server says.
using Time = std::chrono::system_clock::time_point;

}  // namespace repair
