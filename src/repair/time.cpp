#include "repair/time.hpp"

#include <array>
#include <ctime>

namespace repair {

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
