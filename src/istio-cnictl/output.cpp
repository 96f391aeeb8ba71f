#include "istio-cnictl/output.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "base/utf8.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

std::string_view sequence(Tone tone) {
  switch (tone) {
    case Tone::good:
      return "\x1b[32m";
    case Tone::warning:
      return "\x1b[33m";
    case Tone::bad:
      return "\x1b[31m";
    case Tone::faint:
      return "\x1b[2m";
    case Tone::strong:
      return "\x1b[1m";
    case Tone::plain:
      break;
  }
  return "";
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

}  // namespace

std::string Style::paint(Tone tone, std::string_view text) const {
  const auto begin = sequence(tone);
  if (!color_ || begin.empty() || text.empty()) return std::string(text);
  return cat(begin, text, "\x1b[0m");
}

std::string table(const std::vector<std::vector<Cell>>& rows, const Style& style,
                  std::size_t indentation) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i == widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], width(row[i].text));
    }
  std::string out;
  for (const auto& row : rows) {
    std::size_t blanks = indentation;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!row[i].text.empty()) {
        out.append(blanks, ' ').append(style.paint(row[i].tone, row[i].text));
        blanks = 0;
      }
      blanks += widths[i] - width(row[i].text) + 2;
    }
    out.push_back('\n');
  }
  return out;
}

std::string distance(Time time, Time now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time - now).count();
  const auto size = std::abs(seconds);
  struct Unit {
    std::int64_t from, length;
    std::string_view name;
  };
  constexpr std::array<Unit, 3> units{
      {{172800, 86400, "days"}, {7200, 3600, "h"}, {120, 60, "min"}}};
  auto text = cat(size, " s");
  for (const auto& unit : units)
    if (size >= unit.from) {
      text = cat(size / unit.length, ' ', unit.name);
      break;
    }
  return seconds > 0 ? cat("in ", text) : cat(text, " ago");
}

std::string with_distance(Time time, Time now) {
  return cat(base::format_rfc3339(time), " (", distance(time, now), ')');
}

std::string printable(std::string_view text, std::size_t limit) {
  auto clean = base::clean_utf8(base::trim(text));
  for (std::size_t i = 0; i < clean.size(); ++i) {
    const auto byte = static_cast<unsigned char>(clean[i]);
    if (byte < 0x20 || byte == 0x7f) clean[i] = ' ';
    // U+0080 to U+009F are control characters too
    if (byte == 0xc2 && i + 1 < clean.size() && static_cast<unsigned char>(clean[i + 1]) < 0xa0)
      clean.replace(i, 2, " ");
  }
  if (clean.size() <= limit) return clean;
  return cat(base::utf8_prefix(clean, limit), "...");
}

}  // namespace istio_cnictl
