#include "istio-cnictl/output.hpp"

#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"

namespace {

using namespace istio_cnictl;
using test_support::at;

TEST(Output, ColourOnlyWhenAsked) {
  EXPECT_EQ(Style(false).paint(Tone::bad, "x"), "x");
  EXPECT_EQ(Style(true).paint(Tone::bad, "x"), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(Style(true).paint(Tone::plain, "x"), "x");
  EXPECT_EQ(Style(true).paint(Tone::good, ""), "");
}

TEST(Output, TableColumnsLineUpAndNoLineEndsInBlanks) {
  EXPECT_EQ(table({{{"a"}, {"bbb"}, {"c"}}, {{"aaaa"}, {""}, {"c"}}, {{"ä"}, {"b"}, {""}}},
                  Style(false), 1),
            " a     bbb  c\n aaaa       c\n ä     b\n");
  EXPECT_EQ(table({{{"a", Tone::bad}, {"b"}}}, Style(true)), "\x1b[31ma\x1b[0m  b\n");
  EXPECT_EQ(table({}, Style(false)), "");
}

TEST(Output, Distances) {
  const auto now = at("10:00:00");
  EXPECT_EQ(distance(at("09:59:30"), now), "30 s ago");
  EXPECT_EQ(distance(at("09:30:00"), now), "30 min ago");
  EXPECT_EQ(distance(at("14:30:00"), now), "in 4 h");
  EXPECT_EQ(distance(now + std::chrono::hours(24 * 300), now), "in 300 days");
  EXPECT_EQ(with_distance(at("09:59:30"), now), "2026-11-24T09:59:30Z (30 s ago)");
}

TEST(Output, TextFromOutsideCannotMoveTheCursor) {
  EXPECT_EQ(printable("a\nb\x1b[2Jc\x7f"), "a b [2Jc ");
  EXPECT_EQ(printable("x\xc2\x9b"
                      "31m"),
            "x 31m");
  EXPECT_EQ(printable("ä\xff"), "ä\xef\xbf\xbd");
  EXPECT_EQ(printable(std::string(50, 'x'), 10), "xxxxxxxxxx...");
}

}  // namespace
