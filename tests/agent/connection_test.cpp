#include "agent/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using agent::Connection;
using base::Deadline;
using base::Errc;
using base::UniqueFd;
using std::chrono::milliseconds;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

/// A listening socket whose other end does what the test says.
class Agent {
 public:
  explicit Agent(int backlog = 16, int type = SOCK_SEQPACKET) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    fd_.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), backlog), 0);
  }
  [[nodiscard]] UniqueFd accept() const { return UniqueFd(::accept(fd_.get(), nullptr, nullptr)); }
  void close() { fd_.reset(); }

  test_support::TempDir folder;
  std::string path = folder.path("agent.sock");

 private:
  UniqueFd fd_;
};

std::string receive(const UniqueFd& fd) {
  std::string text(agent::max_request, '\0');
  pollfd wait{fd.get(), POLLIN, 0};
  if (::poll(&wait, 1, 2000) != 1) return "nothing came";
  const auto length = ::recv(fd.get(), text.data(), text.size(), 0);
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return text;
}

void send(const UniqueFd& fd, const std::string& text) {
  EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}

Deadline within(int millis) { return Deadline::after(milliseconds(millis)); }

int millis_since(Clock::time_point start) {
  return static_cast<int>(std::chrono::duration_cast<milliseconds>(Clock::now() - start).count());
}

agent::Answer pod_answer() {
  pod::Pod pod;
  pod.name = "web";
  pod.uid = "u-1";
  return {pod, "debug"};
}

/// What ask() says when the agent sends `answer`.
base::Result<agent::Answer> asked(const std::string& answer) {
  Agent agent;
  auto connection = Connection::open(agent.path, within(1000));
  if (!connection) return connection.error();
  const auto peer = agent.accept();
  if (!answer.empty()) send(peer, answer);
  return connection->ask(agent::Lookup{"shop", "web", "u-1"}, within(1000));
}

TEST(Connection, AsksAndTellsOverOneConnection) {
  Agent agent;
  auto connection = Connection::open(agent.path, within(1000));
  ASSERT_TRUE(connection) << connection.error().message;
  const auto peer = agent.accept();
  std::thread answering([&] {
    EXPECT_EQ(receive(peer), R"({"lookup":{"namespace":"shop","name":"web","uid":"u-1"}})");
    send(peer, to_json(pod_answer()));
  });
  const auto answer = connection->ask(agent::Lookup{"shop", "web", "u-1"}, within(2000));
  answering.join();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(std::get<pod::Pod>(answer->pod).name, "web");
  EXPECT_EQ(answer->log_level, "debug");
  agent::Outcome outcome;
  outcome.command = "ADD";
  outcome.result = "success";
  connection->tell(outcome);
  EXPECT_EQ(receive(peer), to_json(outcome));
}

TEST(Connection, AnErrorInTheAnswerIsTheAnswer) {
  const auto answer = asked(to_json(agent::Answer{base::Error{Errc::not_found, "404"}, "warn"}));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(std::get<base::Error>(answer->pod).code, Errc::not_found);
  EXPECT_EQ(answer->log_level, "warn");
}

TEST(Connection, NobodyThere) {
  const test_support::TempDir folder;
  auto code = [](const std::string& path) {
    const auto connection = Connection::open(path, within(1000));
    return connection ? Errc::io : connection.error().code;
  };
  EXPECT_EQ(code(folder.path("agent.sock")), Errc::not_found);
  EXPECT_EQ(code(folder.path("none") + "/agent.sock"), Errc::not_found);
  EXPECT_EQ(code(""), Errc::not_found);
  EXPECT_EQ(code(std::string(200, 'x')), Errc::not_found);
  EXPECT_EQ(code(folder.write("file", "")), Errc::refused);
  Agent gone;
  gone.close();
  EXPECT_EQ(code(gone.path), Errc::unavailable) << "a stale socket file";
  const Agent stream(1, SOCK_STREAM);
  EXPECT_EQ(code(stream.path), Errc::unavailable);
  ASSERT_EQ(::symlink(stream.path.c_str(), folder.path("link").c_str()), 0);
  EXPECT_EQ(code(folder.path("link")), Errc::refused);
}

TEST(Connection, ASocketOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: gives a file away";
  const Agent agent;
  ASSERT_EQ(::chown(agent.path.c_str(), 12345, 12345), 0);
  const auto connection = Connection::open(agent.path, within(1000));
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, Errc::refused);
  EXPECT_THAT(connection.error().message, HasSubstr("12345"));
}

TEST(Connection, AListenerThatIsNotRootIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: becomes another user";
  test_support::TempDir folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  const auto path = folder.path("agent.sock");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const auto child = ::fork();
  if (child == 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    const bool good = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                      ::setuid(12345) == 0 && ::listen(fd, 1) == 0;
    (void)!::write(ready[1], good ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 'n';
  (void)!::read(ready[0], &answer, 1);
  ::close(ready[0]);
  ::close(ready[1]);
  const auto connection = Connection::open(path, within(1000));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ASSERT_EQ(answer, 'y');
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, Errc::refused);
  EXPECT_THAT(connection.error().message, HasSubstr("user 12345 listens there"));
}

TEST(Connection, AFullQueueIsWaitedFor) {
  Agent agent(0);
  std::vector<Connection> queued;
  for (;;) {  // one try without waiting
    auto connection = Connection::open(agent.path, Deadline::after(milliseconds(0)));
    if (!connection) {
      EXPECT_EQ(connection.error().code, Errc::timeout);
      break;
    }
    queued.push_back(*std::move(connection));
    ASSERT_LT(queued.size(), 100U);
  }
  auto start = Clock::now();
  const auto late = Connection::open(agent.path, within(150));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timeout);
  EXPECT_GE(millis_since(start), 140);
  EXPECT_LT(millis_since(start), 1000);

  start = Clock::now();
  std::thread accepting([&] {
    std::this_thread::sleep_for(milliseconds(100));
    (void)agent.accept();
  });
  const auto connection = Connection::open(agent.path, within(5000));
  accepting.join();
  EXPECT_TRUE(connection);
  EXPECT_LT(millis_since(start), 2000) << "woken when there is room";
}

TEST(Connection, ASilentAgentCostsTheDeadlineAndNoMore) {
  const Agent agent;
  auto connection = Connection::open(agent.path, within(1000));
  ASSERT_TRUE(connection);
  const auto start = Clock::now();
  const auto answer = connection->ask(agent::Lookup{"shop", "web", ""}, within(100));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::timeout);
  EXPECT_GE(millis_since(start), 95);
  EXPECT_LT(millis_since(start), 1000);
}

TEST(Connection, AnAgentThatDies) {
  for (const bool reads : {true, false}) {
    Agent agent;
    auto connection = Connection::open(agent.path, within(1000));
    ASSERT_TRUE(connection);
    std::thread dying([&] {
      auto peer = agent.accept();
      pollfd wait{peer.get(), POLLIN, 0};
      (void)::poll(&wait, 1, 2000);
      if (reads) (void)receive(peer);
    });
    const auto answer = connection->ask(agent::Lookup{"shop", "web", ""}, within(5000));
    dying.join();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::unavailable);
    connection->tell({});  // no SIGPIPE
    EXPECT_FALSE(connection->ask(agent::Lookup{"shop", "web", ""}, within(1000)));
  }
}

TEST(Connection, NonsenseAsAnAnswer) {
  for (const auto* text : {"x", "{}", "[]", "null", "{\"pod\":7}"}) {
    const auto answer = asked(text);
    ASSERT_FALSE(answer) << text;
    EXPECT_EQ(answer.error().code, Errc::invalid_input) << text;
  }
}

TEST(Connection, AnswersAreBounded) {
  auto text = to_json(pod_answer());
  text.resize(agent::max_answer, ' ');
  EXPECT_TRUE(asked(text));
  text.push_back(' ');
  const auto answer = asked(text);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::invalid_input);
  EXPECT_THAT(answer.error().message, HasSubstr("longer than"));
}

TEST(Connection, WhatIsTooLongIsNotSent) {
  Agent agent;
  auto connection = Connection::open(agent.path, within(1000));
  ASSERT_TRUE(connection);
  const auto peer = agent.accept();
  const auto answer = connection->ask(
      agent::Lookup{"shop", std::string(agent::max_request, 'x'), ""}, within(1000));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::invalid_input);
  agent::Outcome outcome;
  outcome.command = "ADD";
  outcome.result = "error";
  outcome.netns = std::string(agent::max_request, 'x');
  connection->tell(outcome);
  outcome.netns = "short";
  connection->tell(outcome);
  EXPECT_EQ(receive(peer), to_json(outcome));
}

TEST(Connection, TellingNeverWaits) {
  const Agent agent;
  auto connection = Connection::open(agent.path, within(1000));
  ASSERT_TRUE(connection);
  agent::Outcome outcome;
  outcome.command = "ADD";
  outcome.result = "error";
  outcome.netns = std::string(8000, 'x');
  const auto start = Clock::now();
  for (int i = 0; i < 2000; ++i) connection->tell(outcome);  // far more than fits
  EXPECT_LT(millis_since(start), test_support::slowness * 2000);
}

TEST(Connection, ToldAndGoneBeforeTheAgentAccepts) {
  const Agent agent;
  agent::Outcome outcome;
  outcome.command = "DEL";
  outcome.result = "success";
  {
    auto connection = Connection::open(agent.path, Deadline::after(milliseconds(0)));
    ASSERT_TRUE(connection);
    connection->tell(outcome);
  }
  const auto peer = agent.accept();
  EXPECT_EQ(receive(peer), to_json(outcome));
  EXPECT_EQ(receive(peer), "");
}

}  // namespace
