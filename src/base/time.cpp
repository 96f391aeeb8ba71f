#include "base/time.hpp"

#include <algorithm>
#include <cstddef>

namespace base {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes `digits` decimal digits off the front.
std::optional<int> take_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

/// "08:32" or "08:32:17": seconds of the day; a leap second is the next one.
std::optional<std::int64_t> take_time(std::string_view& text, bool with_seconds) {
  const auto hour = take_number(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  std::int64_t seconds = *hour * 3600 + *minute * 60;
  if (!with_seconds) return seconds;
  if (!take(text, ":")) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second || *second > 60) return std::nullopt;
  return seconds + *second;
}

std::optional<std::int64_t> take_days(std::string_view& text) {
  const auto year = take_number(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

std::optional<std::int64_t> take_fraction(std::string_view& text) {
  if (!take(text, ".")) return 0;
  std::int64_t micros = 0;
  std::size_t digits = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), ++digits)
    if (digits < 6) micros = micros * 10 + (text.front() - '0');
  if (digits == 0) return std::nullopt;
  for (; digits < 6; ++digits) micros *= 10;
  return micros;
}

std::optional<std::int64_t> take_offset(std::string_view& text) {
  if (take(text, "Zz")) return 0;
  const bool west = text.starts_with('-');
  if (!take(text, "+-")) return std::nullopt;
  const auto seconds = take_time(text, false);
  if (!seconds) return std::nullopt;
  return west ? -*seconds : *seconds;
}

}  // namespace

std::optional<std::int64_t> parse_rfc3339_micros(std::string_view text) {
  const auto days = take_days(text);
  if (!days || !take(text, "Tt")) return std::nullopt;
  const auto time = take_time(text, true);
  if (!time) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return (*days * 86'400 + *time - *offset) * 1'000'000 + *fraction;
}

std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text) {
  using Clock = std::chrono::system_clock;
  using std::chrono::microseconds;
  const auto micros = parse_rfc3339_micros(text);
  if (!micros) return std::nullopt;
  constexpr auto first = std::chrono::ceil<microseconds>(Clock::duration::min());
  constexpr auto last = std::chrono::floor<microseconds>(Clock::duration::max());
  return Clock::time_point(std::clamp(microseconds(*micros), first, last));
}

namespace {

void append_digits(std::string& out, std::int64_t value, int digits) {
  std::string reversed;
  for (; digits > 0; --digits, value /= 10) reversed.push_back(static_cast<char>('0' + value % 10));
  out.append(reversed.rbegin(), reversed.rend());
}

/// To the second, without the zone. Not gmtime(3): that reads /etc/localtime first.
std::string civil(std::chrono::sys_seconds time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string out;
  append_digits(out, static_cast<int>(date.year()), 4);
  out.push_back('-');
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out.push_back('-');
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out.push_back('T');
  append_digits(out, clock.hours().count(), 2);
  out.push_back(':');
  append_digits(out, clock.minutes().count(), 2);
  out.push_back(':');
  append_digits(out, clock.seconds().count(), 2);
  return out;
}

}  // namespace

std::string format_rfc3339(std::chrono::system_clock::time_point time) {
  return civil(std::chrono::floor<std::chrono::seconds>(time)) + "Z";
}

std::string format_rfc3339_micros(std::chrono::system_clock::time_point time) {
  return format_rfc3339_micros(
      std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count());
}

std::string format_rfc3339_micros(std::int64_t unix_micros) {
  const std::chrono::sys_time<std::chrono::microseconds> time{
      std::chrono::microseconds(unix_micros)};
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  auto out = civil(second);
  out.push_back('.');
  append_digits(out, (time - second).count(), 6);
  out.push_back('Z');
  return out;
}

}  // namespace base
