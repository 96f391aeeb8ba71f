#include "base/time.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace {

constexpr std::int64_t moment = 1626856337362512;
constexpr const char* moment_text = "2021-07-21T08:32:17.362512Z";

TEST(Rfc3339, Moments) {
  const std::pair<const char*, std::optional<std::int64_t>> cases[] = {
      {moment_text, moment},
      {"2021-07-21t08:32:17.362512z", moment},
      {"2021-07-21T08:32:17.362512999Z", moment},
      {"2021-07-21T08:32:17.3625129999999999999999999999Z", moment},
      {"2021-07-21T08:32:17Z", moment - 362512},
      {"2021-07-21T08:32:17.3Z", moment - 62512},
      {"2021-07-21T10:32:17.362512+02:00", moment},
      {"2021-07-21T01:02:17.362512-07:30", moment},
      {"2021-07-20T23:32:17.362512-09:00", moment},
      {"2024-02-29T00:00:00Z", 1709164800000000},
      {"2016-12-31T23:59:60Z", 1483228800000000},
      {"1969-12-31T23:59:59.5Z", -500000},
      {"0000-01-01T00:00:00Z", -62167219200000000},
      {"9999-12-31T23:59:59.999999Z", 253402300799999999},
      {"2023-02-29T00:00:00Z", std::nullopt},
      {"2021-13-01T00:00:00Z", std::nullopt},
      {"2021-00-01T00:00:00Z", std::nullopt},
      {"2021-07-32T00:00:00Z", std::nullopt},
      {"2021-07-21T24:00:00Z", std::nullopt},
      {"2021-07-21T23:60:00Z", std::nullopt},
      {"2021-07-21T23:59:61Z", std::nullopt},
      {"2021-07-21T08:32:17.Z", std::nullopt},
      {"2021-07-21T08:32:17", std::nullopt},
      {"2021-07-21T08:32:17+02", std::nullopt},
      {"2021-07-21T08:32:17+0200", std::nullopt},
      {"2021-07-21T08:32:17+24:00", std::nullopt},
      {"2021-07-21T08:32Z", std::nullopt},
      {"2021-07-21 08:32:17Z", std::nullopt},
      {"2021-07-21T08:32:17Zx", std::nullopt},
      {" 2021-07-21T08:32:17Z", std::nullopt},
      {"+021-07-21T08:32:17Z", std::nullopt},
      {"1626856337", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& [text, expected] : cases)
    EXPECT_EQ(base::parse_rfc3339_micros(text), expected) << text;
}

TEST(Rfc3339, OnTheSystemsClock) {
  using namespace std::chrono;
  const auto noon = sys_days(year{2026} / 11 / 24) + hours(12);
  EXPECT_EQ(base::parse_rfc3339("2026-11-24T12:00:00.250Z"),
            system_clock::time_point(noon + milliseconds(250)));
  EXPECT_EQ(base::parse_rfc3339("2026-11-24T13:00:00+01:00"), system_clock::time_point(noon));
  const auto last = base::parse_rfc3339("9999-12-31T23:59:59Z");
  ASSERT_TRUE(last);
  EXPECT_GT(*last, system_clock::time_point(sys_days(year{2262} / 1 / 1)));
  const auto first = base::parse_rfc3339("0000-01-01T00:00:00Z");
  ASSERT_TRUE(first);
  EXPECT_LT(*first, system_clock::time_point(sys_days(year{1678} / 1 / 1)));
  EXPECT_FALSE(base::parse_rfc3339("now"));
}

TEST(Rfc3339, Writes) {
  using std::chrono::system_clock;
  const auto at = [](std::int64_t seconds) {
    return system_clock::time_point(std::chrono::seconds(seconds));
  };
  EXPECT_EQ(base::format_rfc3339(at(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(base::format_rfc3339(at(-1)), "1969-12-31T23:59:59Z");
  EXPECT_EQ(base::format_rfc3339(at(951826154)), "2000-02-29T12:09:14Z");
  EXPECT_EQ(base::format_rfc3339(at(1) - std::chrono::nanoseconds(1)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(base::format_rfc3339_micros(1'626'856'337'362'512), "2021-07-21T08:32:17.362512Z");
  EXPECT_EQ(base::format_rfc3339_micros(-1), "1969-12-31T23:59:59.999999Z");
  for (std::int64_t micros = 1; micros < 8'000'000'000'000'000; micros = micros * 7 + 13)
    EXPECT_EQ(base::parse_rfc3339_micros(base::format_rfc3339_micros(micros)), micros);
}

}  // namespace
