#include "base/users.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.hpp"

namespace {

TEST(Users, ReadsTheGivenFiles) {
  const auto folder = testing::TempDir();
  std::ofstream(folder + "passwd")
      << "root:x:0:0::/:/bin/sh\nistio-proxy:x:1337:1337::/:/bin/false\n";
  std::ofstream(folder + "group") << "root:x:0:\njava:x:2020:a,b\n";
  EXPECT_EQ(*base::user_id("istio-proxy", folder + "passwd"), 1337U);
  EXPECT_EQ(*base::group_id("java", folder + "group"), 2020U);
  auto missing = base::group_id("nobody-here", folder + "group");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, base::Errc::not_found);
  EXPECT_NE(missing.error().message.find("nobody-here"), std::string::npos);
}

TEST(Files, BoundedRead) {
  const auto path = testing::TempDir() + "bounded";
  std::ofstream(path) << "12345";
  EXPECT_EQ(*base::read_file(path), "12345");
  EXPECT_EQ(base::read_file(path, 4).error().code, base::Errc::invalid_input);
  EXPECT_EQ(base::read_file(path + "-none").error().code, base::Errc::not_found);
}

}  // namespace
