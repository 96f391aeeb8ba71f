#include "repair/time.hpp"

#include <array>
#include <ctime>

namespace repair {

std::optional<Time> parse_time(std::string_view text) {
  std::tm tm{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  if (rest == nullptr) return std::nullopt;
  std::chrono::microseconds fraction{0};
  if (*rest == '.') {
    std::int64_t scale = 100000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10)
      fraction += std::chrono::microseconds((*rest - '0') * scale);
  }
  if (std::string_view(rest) != "Z") return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&tm)) + fraction;
}

std::string format_time(Time time) {
  const auto seconds =
      std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time));
  std::tm tm{};
  std::array<char, 32> buffer{};
  if (::gmtime_r(&seconds, &tm) == nullptr) return "1970-01-01T00:00:00Z";
  const auto size = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%SZ", &tm);
  return {buffer.data(), size};
}

}  // namespace repair
