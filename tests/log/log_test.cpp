#include "log/log.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/strings.hpp"

namespace {

using logging::Level;

TEST(Log, Line) {
  EXPECT_EQ(
      logging::format_line(1626856337362512, Level::info, "pod redirected",
                           {{"POD_NAME", "web-1"}, {"REASON", "two words"}}),
      "2021-07-21T08:32:17.362512Z\tinfo\tpod redirected\tpod_name=web-1 reason=\"two words\"\n");
  EXPECT_EQ(logging::format_line(1626856337000001, Level::error, "a\nb", {}),
            "2021-07-21T08:32:17.000001Z\terror\ta b\n");
}

TEST(Log, JournalFieldsWithLineFeedsAreLengthPrefixed) {
  EXPECT_EQ(logging::format_journal("istio-cni", Level::warn, "m", {{"DECISION", "x"}}),
            "MESSAGE=m\nPRIORITY=4\nSYSLOG_IDENTIFIER=istio-cni\nDECISION=x\n");
  constexpr char bytes[] = "MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=6\nSYSLOG_IDENTIFIER=i\n";
  const std::string expected(bytes, sizeof bytes - 1);
  EXPECT_EQ(logging::format_journal("i", Level::info, "a\nb", {}).substr(0, expected.size()),
            expected);
}

TEST(Log, Levels) {
  EXPECT_EQ(logging::parse_level("WARN"), Level::warn);
  EXPECT_EQ(logging::parse_level(""), Level::info);
  EXPECT_EQ(logging::parse_level("loud"), Level::info);
}

class Journal : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "journal-socket-" + std::to_string(::getpid());
    ::unlink(path_.c_str());
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void TearDown() override {
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  std::string path_;
  int fd_ = -1;
};

TEST_F(Journal, ReceivesContextAndFields) {
  logging::Logger logger("istio-cni", path_);
  logger.set_context({{"POD_UID", "u"}});
  logger.debug("below the level");
  logger.info("hello", {{"DECISION", "redirect"}});
  char buffer[1024];
  const auto got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
  ASSERT_GT(got, 0);
  EXPECT_EQ(
      std::string(buffer, static_cast<std::size_t>(got)),
      "MESSAGE=hello\nPRIORITY=6\nSYSLOG_IDENTIFIER=istio-cni\nPOD_UID=u\nDECISION=redirect\n");
  EXPECT_LT(::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT), 0) << "the debug record was sent";
}

TEST_F(Journal, LargeRecordsTravelInAMemoryFile) {
  logging::Logger logger("istio-cni", path_);
  const std::string large(4 << 20, 'x');
  logger.info(large);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  char byte = 0;
  iovec part{&byte, 1};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ASSERT_GE(::recvmsg(fd_, &header, MSG_DONTWAIT), 0);
  auto* item = CMSG_FIRSTHDR(&header);
  ASSERT_NE(item, nullptr);
  int memory = -1;
  std::memcpy(&memory, CMSG_DATA(item), sizeof memory);
  struct stat info {};
  ASSERT_EQ(::fstat(memory, &info), 0);
  EXPECT_GT(static_cast<std::size_t>(info.st_size), large.size());
  ::close(memory);
}

TEST(Log, KnowsTheStreamToTheJournal) {
  struct stat status {};
  ASSERT_EQ(::fstat(STDERR_FILENO, &status), 0);
  const auto own = base::cat(status.st_dev, ":", status.st_ino);
  EXPECT_TRUE(logging::is_journal_stream(STDERR_FILENO, own.c_str()));
  EXPECT_FALSE(logging::is_journal_stream(STDERR_FILENO, nullptr));
  EXPECT_FALSE(logging::is_journal_stream(STDERR_FILENO, ""));
  EXPECT_FALSE(logging::is_journal_stream(STDERR_FILENO, "1:2"));
  EXPECT_FALSE(logging::is_journal_stream(-1, own.c_str()));
}

TEST(Log, NoJournalIsNoProblem) {
  logging::Logger logger("istio-cni", "/nonexistent/socket");
  testing::internal::CaptureStderr();
  logger.info("one");
  logger.info("two");
  const auto text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("\tinfo\tone\n"), std::string::npos);
  EXPECT_NE(text.find("\tinfo\ttwo\n"), std::string::npos);
}

}  // namespace
