#include "base/utf8.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Utf8, WellFormedTextIsKept) {
  for (const std::string text : {"", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                 "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\x80"})
    EXPECT_EQ(base::clean_utf8(text), text);
}

TEST(Utf8, EveryBadByteIsReplaced) {
  const std::string r = "\xef\xbf\xbd";
  const std::pair<std::string, std::string> cases[] = {
      {"a\xff", "a" + r},
      {"\xc3", r},
      {"\xc3(", r + "("},
      {"\xa9", r},
      {"\xc0\xaf", r + r},                  // overlong
      {"\xe0\x80\xaf", r + r + r},          // overlong
      {"\xed\xa0\x80", r + r + r},          // surrogate
      {"\xf4\x90\x80\x80", r + r + r + r},  // above U+10FFFF
      {"\xe2\x82", r + r},
      {"\xe2\x82\xc3\xa9", r + r + "\xc3\xa9"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(base::clean_utf8(text), expected);
}

TEST(Utf8, PrefixesEndBetweenCharacters) {
  EXPECT_EQ(base::utf8_prefix("abc", 3), "abc");
  EXPECT_EQ(base::utf8_prefix("abc", 2), "ab");
  EXPECT_EQ(base::utf8_prefix("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
  EXPECT_EQ(base::utf8_prefix("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(base::utf8_prefix("\xe2\x82\xac", 2), "");
  EXPECT_EQ(base::utf8_prefix("abc", 0), "");
}

}  // namespace
