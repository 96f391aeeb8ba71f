// The files that are read, and in which order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "config/load.hpp"
#include "support/temp_dir.hpp"

namespace config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Strings names_of(const Files& files) {
  Strings names;
  for (const auto& file : files.files)
    names.push_back(std::filesystem::path(file.name).filename().string());
  return names;
}

TEST(ReadFiles, TheFileThenDropInsInTheOrderOfTheirNames) {
  const test_support::TempDir dir;
  const auto path = dir.write("config.yaml", "run_dir: /a\n");
  std::filesystem::create_directory(dir.path("config.d"));
  dir.write("config.d/20-b.yaml", "run_dir: /b\n");
  dir.write("config.d/10-a.yaml", "run_dir: /c\n");
  dir.write("config.d/Z.yaml", "");
  for (const auto* other : {"30.yaml.dpkg-old", "40.yml", "README", ".50.yaml", "60.yaml~"})
    dir.write(std::string("config.d/") + other, "run_dir: /wrong\n");
  const auto files = read_files(path);
  EXPECT_THAT(files.problems, IsEmpty()) << texts(files.problems);
  EXPECT_THAT(names_of(files), ElementsAre("config.yaml", "10-a.yaml", "20-b.yaml", "Z.yaml"));
  EXPECT_EQ(good(load(files.files, {}, {})).run_dir, "/b");
}

TEST(ReadFiles, ANamedFileMustBeThere) {
  const test_support::TempDir dir;
  const auto files = read_files(dir.path("config.yaml"));
  EXPECT_THAT(files.files, IsEmpty());
  ASSERT_EQ(files.problems.size(), 1U);
  EXPECT_EQ(files.problems.front().file, dir.path("config.yaml"));
  EXPECT_THAT(files.problems.front().message, HasSubstr("No such file"));
}

TEST(ReadFiles, TheNameMayBeAnotherOne) {
  const test_support::TempDir dir;
  const auto path = dir.write("other.yaml", "");
  EXPECT_THAT(names_of(read_files(path)), ElementsAre("other.yaml"));
}

TEST(ReadFiles, WhatIsNoFileOrTooLargeIsAProblem) {
  const test_support::TempDir dir;
  const auto path = dir.write("config.yaml", "");
  std::filesystem::create_directories(dir.path("config.d/1-folder.yaml"));
  ASSERT_EQ(::mkfifo(dir.path("config.d/2-pipe.yaml").c_str(), 0600), 0);
  dir.write("config.d/3-large.yaml", std::string((1U << 20) + 1, '#'));
  std::filesystem::create_symlink("nowhere", dir.path("config.d/4-link.yaml"));
  dir.write("config.d/5-good.yaml", std::string(1U << 20, '#'));
  const auto files = read_files(path);
  EXPECT_THAT(names_of(files), ElementsAre("config.yaml", "5-good.yaml"));
  Strings problems;
  for (const auto& problem : files.problems)
    problems.push_back(problem.text().substr(dir.path("config.d/").size()));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("1-folder.yaml: is not a regular file"),
                                    HasSubstr("2-pipe.yaml: is not a regular file"),
                                    HasSubstr("3-large.yaml: is larger than 1048576 bytes"),
                                    HasSubstr("4-link.yaml: cannot be read")));
}

TEST(ReadFiles, AFileInPlaceOfTheFolderIsAProblem) {
  const test_support::TempDir dir;
  const auto path = dir.write("config.yaml", "");
  dir.write("config.d", "");
  const auto files = read_files(path);
  ASSERT_EQ(files.problems.size(), 1U);
  EXPECT_EQ(files.problems.front().file, dir.path("config.d"));
}

}  // namespace
}  // namespace config
