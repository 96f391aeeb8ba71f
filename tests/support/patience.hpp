// How long tests wait, and what they hold durations against.
#pragma once

#include <chrono>

#include "base/deadline.hpp"

namespace test_support {

/// A sanitizer slows down what is measured, too: ThreadSanitizer 5 to 15 times, by its manual.
#ifdef ICN_SANITIZED
inline constexpr int slowness = 10;
#else
inline constexpr int slowness = 1;
#endif

/// For answers that come at once, on a machine that is busy.
inline base::Deadline soon() { return base::Deadline::after(std::chrono::seconds(20 * slowness)); }

}  // namespace test_support
