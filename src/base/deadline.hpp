#pragma once

#include <algorithm>
#include <chrono>

namespace base {

/// A point on the monotonic clock that bounds a whole job; passed down so that
/// every step shares it.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  static Deadline after(std::chrono::milliseconds span) { return Deadline(Clock::now() + span); }

  explicit Deadline(Clock::time_point at) : at_(at) {}

  [[nodiscard]] bool passed() const { return Clock::now() >= at_; }
  /// Time left, rounded up to whole milliseconds, never negative.
  [[nodiscard]] std::chrono::milliseconds left() const {
    return std::max(std::chrono::milliseconds(0),
                    std::chrono::ceil<std::chrono::milliseconds>(at_ - Clock::now()));
  }
  /// For poll(2).
  [[nodiscard]] int poll_timeout() const {
    return static_cast<int>(std::min<std::chrono::milliseconds::rep>(left().count(), 3'600'000));
  }
  /// The earlier of this and `span` from now.
  [[nodiscard]] Deadline at_most(std::chrono::milliseconds span) const {
    return Deadline(std::min(at_, Clock::now() + span));
  }

 private:
  Clock::time_point at_;
};

}  // namespace base
