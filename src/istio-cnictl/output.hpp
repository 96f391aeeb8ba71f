// How things look: colour, columns, times. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace istio_cnictl {

using Time = std::chrono::system_clock::time_point;

enum class Tone : std::uint8_t { plain, good, warning, bad, faint, strong };

class Style {
 public:
  explicit Style(bool color) : color_(color) {}
  [[nodiscard]] std::string paint(Tone tone, std::string_view text) const;

 private:
  bool color_;
};

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
};

/// Columns as wide as their widest cell (in characters), two blanks between them;
/// each line begins with `indentation` blanks and none ends with one.
std::string table(const std::vector<std::vector<Cell>>& rows, const Style& style,
                  std::size_t indentation = 0);

/// "12 s ago", "in 3 h", "in 214 days".
std::string distance(Time time, Time now);
/// "2026-11-24T20:00:00Z (12 s ago)".
std::string with_distance(Time time, Time now);

/// Text from outside: one line, without control characters, valid UTF-8. A
/// container's message must not move the cursor of the one who reads it.
std::string printable(std::string_view text, std::size_t limit = 2000);

}  // namespace istio_cnictl
