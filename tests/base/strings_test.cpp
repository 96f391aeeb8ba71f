#include "base/strings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::ElementsAre;

TEST(Strings, CatJoinsTextAndNumbers) { EXPECT_EQ(base::cat("a", 1, '/', -2L), "a1/-2"); }

TEST(Strings, SplitKeepsEmptyElements) {
  EXPECT_THAT(base::split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(base::split("", ','), ElementsAre(""));
  EXPECT_THAT(base::split_nonempty("a,,b,", ','), ElementsAre("a", "b"));
}

TEST(Strings, ParseUnsignedIsStrict) {
  EXPECT_EQ(base::parse_unsigned("65535", 65535), 65535U);
  for (auto bad : {"", "65536", "-1", "+1", " 1", "1 ", "0x1", "1.0", "99999999999999999999"})
    EXPECT_FALSE(base::parse_unsigned(bad, 65535)) << bad;
}

TEST(Strings, GoBool) {
  for (auto yes : {"1", "t", "T", "TRUE", "true", "True"})
    EXPECT_EQ(base::parse_go_bool(yes), true);
  for (auto no : {"0", "f", "F", "FALSE", "false", "False"})
    EXPECT_EQ(base::parse_go_bool(no), false);
  for (auto bad : {"", "yes", "tRUE", " true"}) EXPECT_FALSE(base::parse_go_bool(bad)) << bad;
}

TEST(Strings, QuoteEscapesAndShortens) {
  EXPECT_EQ(base::quote("a\"b\n"), "\"a\\\"b\\x0a\"");
  EXPECT_EQ(base::quote("abcdef", 3), "\"abc...\"");
}

TEST(Strings, Base64) {
  EXPECT_EQ(base::base64_decode("aGVsbG8="), "hello");
  EXPECT_EQ(base::base64_decode("aGVs\nbG8"), "hello");
  EXPECT_EQ(base::base64_decode(""), "");
  for (auto bad : {"a", "a*==", "aGVsbG8=a"}) EXPECT_FALSE(base::base64_decode(bad)) << bad;
}

TEST(Strings, Trim) { EXPECT_EQ(base::trim(" \ta b\r\n"), "a b"); }

}  // namespace
