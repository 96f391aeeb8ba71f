#include "base/json.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace {

TEST(Json, KeepsOrder) {
  EXPECT_EQ(base::parse_json(R"({"b":1,"a":2})", "x")->dump(), R"({"b":1,"a":2})");
}

TEST(Json, ErrorNamesThePlace) {
  auto result = base::parse_json("{\n  \"a\": ]\n}", "network configuration");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "network configuration is not valid JSON at line 2, column 8");
}

TEST(Json, RefusesDeepNesting) {
  for (std::size_t depth : {101UL, 100000UL}) {
    auto result = base::parse_json(std::string(depth, '[') + std::string(depth, ']'), "x");
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("nested deeper"), std::string::npos);
  }
  EXPECT_TRUE(base::parse_json(std::string(100, '[') + std::string(100, ']'), "x"));
}

TEST(Json, RefusesMalformed) {
  for (auto bad : {"", "{", "{} {}", "\"\xff\"", "nul", "{\"a\":1,}", "\xef\xbb\xbf"})
    EXPECT_FALSE(base::parse_json(bad, "x")) << bad;
}

TEST(Json, NothingMayFollowANulByte) {
  const std::string text("{}\0]", 4);
  auto json = base::parse_json(text, "file");
  ASSERT_FALSE(json.ok());
  EXPECT_EQ(json.error().message, "file is not valid JSON at line 1, column 3");
}

}  // namespace
