#include "base/program.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "support/patience.hpp"

namespace {

using base::Errc;
using base::Program;
using base::run_program;
using testing::HasSubstr;
using namespace std::chrono_literals;
using test_support::soon;

Program shell(const std::string& script) { return {"/bin/sh", {"-c", script}, {}}; }

TEST(ProgramTest, BothStreamsAndTheEnd) {
  const auto end = run_program(shell("echo out; echo err >&2; exit 3"), soon());
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(end->output, "out\n");
  EXPECT_EQ(end->complaints, "err\n");
  EXPECT_EQ(end->how(), "exit status 3");
  EXPECT_EQ(run_program(shell("kill -9 $$"), soon())->how(), "killed by signal 9");
}

TEST(ProgramTest, GetsItsArgumentsAndNoMoreEnvironmentThanItIsGiven) {
  ::setenv("ICN_TEST_SECRET", "x", 1);
  auto program = shell("cat; echo $1 $GIVEN $ICN_TEST_SECRET");
  program.arguments.insert(program.arguments.end(), {"sh", "one"});
  program.environment = {"GIVEN=two"};
  EXPECT_EQ(run_program(program, soon())->output, "one two\n");
}

TEST(ProgramTest, IsNotThere) {
  const auto end = run_program({"/nonexistent/program", {}, {}}, soon());
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().sys, ENOENT);
}

TEST(ProgramTest, ThatHangsIsKilledWithItsChildren) {
  for (const char* script : {"sleep 60 & wait", "exec >&-; sleep 60"}) {
    const auto begin = std::chrono::steady_clock::now();
    const auto end = run_program(shell(script), base::Deadline::after(200ms));
    ASSERT_FALSE(end.ok()) << script;
    EXPECT_EQ(end.error().code, Errc::timeout);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  }
}

TEST(ProgramTest, OutputIsBoundedAndComplaintsAreCut) {
  auto program = shell("head -c 5000 /dev/zero | tr '\\0' x");
  program.output_limit = 4999;
  const auto much = run_program(program, soon());
  ASSERT_FALSE(much.ok());
  EXPECT_THAT(much.error().message, HasSubstr("prints more than 4999 bytes"));
  program.output_limit = 5000;
  EXPECT_EQ(run_program(program, soon())->output.size(), 5000U);
  const auto noisy = run_program(shell("head -c 3000000 /dev/zero >&2; echo done"), soon());
  ASSERT_TRUE(noisy.ok()) << noisy.error().message;
  EXPECT_EQ(noisy->output, "done\n");
  EXPECT_EQ(noisy->complaints.size(), 2048U);
  // after the output's end too, where nobody would wait for them
  const auto late = run_program(shell("exec >&-; head -c 300000 /dev/zero >&2"), soon());
  EXPECT_TRUE(late.ok()) << late.error().message;
  const auto endless = run_program(shell("cat /dev/zero >&2"), base::Deadline::after(200ms));
  EXPECT_EQ(endless.error().code, Errc::timeout);
}

}  // namespace
