#include "istio-cni-node/lookup_server.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include "agent/connection.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::Deadline;
using base::Errc;
using base::Error;
using base::UniqueFd;
using istio_cni_node::LookupHandler;
using istio_cni_node::LookupLimits;
using istio_cni_node::LookupServer;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

/// Answers with a pod of the name asked for; names that begin with "late" are
/// kept, "never" is forgotten, "huge" gives a pod of 100 KiB.
class Handler : public LookupHandler {
 public:
  agent::Status status() override {
    agent::Status status;
    status.sentence = "Ready: in a test";
    return status;
  }
  agent::PodPage pods(const agent::PodsQuery& query) override {
    agent::PodEntry pod;
    pod.name_space = "shop";
    pod.name = "after-" + query.after;
    return {{std::move(pod)}, ""};
  }
  void lookup(const agent::Lookup& lookup, std::function<void(agent::Answer)> answer) override {
    ++lookups;
    if (on_lookup) on_lookup();
    if (lookup.name == "never") return;
    pod::Pod pod;
    pod.name = lookup.name;
    pod.name_space = lookup.name_space;
    pod.uid = lookup.uid;
    if (lookup.name == "huge") pod.annotations["a"] = std::string(100 << 10, 'x');
    if (lookup.name.starts_with("late"))
      kept.emplace_back(std::move(pod), std::move(answer));
    else
      answer({std::move(pod), "debug"});
  }
  void outcome(const agent::Outcome& outcome) override { told.push_back(outcome.container_id); }

  void release() {
    for (auto& [pod, answer] : std::exchange(kept, {})) answer({pod, "debug"});
  }

  std::function<void()> on_lookup;
  std::vector<std::pair<pod::Pod, std::function<void(agent::Answer)>>> kept;
  std::vector<std::string> told;
  int lookups = 0;
};

/// The server on a thread of its own; what touches it or the handler is done
/// there, with run().
class LookupServerTest : public testing::Test {
 protected:
  void start(LookupLimits limits = {}, UniqueFd listening = {}) {
    auto server = LookupServer::start(io_, std::move(listening), path, limits, handler);
    ASSERT_TRUE(server) << server.error().message;
    server_.emplace(*std::move(server));
    thread_ = std::thread([this] { io_.run(); });
  }
  template <typename Function>
  auto run(Function function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto result = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return result.get();
  }
  ~LookupServerTest() override {
    if (!thread_.joinable()) return;
    run([this] { server_.reset(); });
    work_.reset();
    thread_.join();  // nothing is left to do once the server is gone
  }

  LookupServer::Counts counts() {
    return run([this] { return server_->counts(); });
  }
  /// Until `holds` does, or 5 s are over.
  bool eventually(const std::function<bool()>& holds) {
    for (const auto end = Clock::now() + test_support::slowness * std::chrono::seconds(5);
         Clock::now() < end;) {
      if (run(holds)) return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return false;
  }
  [[nodiscard]] UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const auto address = address_of(path);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
    return fd;
  }
  [[nodiscard]] agent::Connection open() const {
    return agent::Connection::open(path, Deadline::after(std::chrono::seconds(10))).value();
  }
  static base::Result<agent::Answer> ask(agent::Connection& connection, const std::string& name,
                                         int millis = 5000) {
    return connection.ask(agent::Lookup{"shop", name, "u"}, Deadline::after(milliseconds(millis)));
  }
  static std::string name_in(const base::Result<agent::Answer>& answer) {
    if (!answer) return answer.error().message;
    const auto* pod = std::get_if<pod::Pod>(&answer->pod);
    return pod != nullptr ? pod->name : std::get<Error>(answer->pod).message;
  }
  static agent::Outcome outcome(const std::string& id) {
    agent::Outcome made;
    made.command = "ADD";
    made.result = "success";
    made.container_id = id;
    return made;
  }
  /// Is the connection closed by the server within `millis`?
  static bool closed(const UniqueFd& fd, int millis = 5000) {
    for (const auto end = Clock::now() + milliseconds(millis); Clock::now() < end;) {
      pollfd wait{fd.get(), POLLIN, 0};
      if (::poll(&wait, 1, millis) <= 0) return false;
      char bytes[16];
      if (::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT) <= 0) return true;
    }
    return false;
  }
  static void send(const UniqueFd& fd, const std::string& text) {
    ASSERT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  test_support::TempDir folder;
  std::string path = folder.path("agent.sock");
  Handler handler;
  boost::asio::io_context io_;
  std::optional<LookupServer> server_;

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
      boost::asio::make_work_guard(io_);
  std::thread thread_;
};

TEST_F(LookupServerTest, AnswersAndHearsOutcomes) {
  start();
  auto connection = open();
  const auto answer = ask(connection, "web");
  EXPECT_EQ(name_in(answer), "web");
  EXPECT_EQ(answer.value().log_level, "debug");
  EXPECT_EQ(name_in(ask(connection, "second")), "second");
  EXPECT_EQ(name_in(ask(connection, "huge")), "huge");
  connection.tell(outcome("c1"));
  connection.tell(outcome("c2"));
  EXPECT_TRUE(eventually([&] { return handler.told.size() == 2; }));
  EXPECT_THAT(handler.told, ElementsAre("c1", "c2"));
  EXPECT_EQ(counts().accepted, 1U);
  EXPECT_EQ(counts().malformed, 0U);
}

TEST_F(LookupServerTest, AnswersTheOperatorsTool) {
  start();
  auto connection = open();
  const auto deadline = Deadline::after(std::chrono::seconds(10));
  const auto status = connection.ask(agent::StatusQuery{}, deadline);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->sentence, "Ready: in a test");
  const auto pods = connection.ask(agent::PodsQuery{"shop/a", "", ""}, deadline);
  ASSERT_TRUE(pods) << pods.error().message;
  ASSERT_EQ(pods->pods.size(), 1U);
  EXPECT_EQ(pods->pods[0].name, "after-shop/a");
  EXPECT_EQ(name_in(ask(connection, "web")), "web") << "the connection goes on";
}

TEST_F(LookupServerTest, ToldAndGone) {
  start();
  for (int i = 0; i < 50; ++i) open().tell(outcome("c"));
  EXPECT_TRUE(eventually([&] { return handler.told.size() == 50; }));
}

TEST_F(LookupServerTest, SocketIsOursAloneAndItsFileStays) {
  start();
  struct stat status {};
  ASSERT_EQ(::lstat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_FALSE(std::filesystem::exists(path + "~"));
  run([this] { server_.reset(); });
  EXPECT_TRUE(std::filesystem::exists(path));
  const auto connection = agent::Connection::open(path, Deadline::after(milliseconds(100)));
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, Errc::unavailable) << "and nobody listens";
}

TEST_F(LookupServerTest, AStaleFileIsReplacedALiveOneIsNot) {
  {
    auto stale = LookupServer::start(io_, {}, path, {}, handler);
    ASSERT_TRUE(stale);
  }
  folder.write("agent.sock~", "left behind by a crash");
  start();
  auto second = LookupServer::start(io_, {}, path, {}, handler);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::refused);
  EXPECT_THAT(second.error().message, HasSubstr("another program listens there"));
  auto connection = open();
  EXPECT_EQ(name_in(ask(connection, "web")), "web") << "the first one is not disturbed";
}

TEST_F(LookupServerTest, ErrorsOfStart) {
  auto error = [&](const std::string& where) {
    auto server = LookupServer::start(io_, {}, where, {}, handler);
    return server ? "none" : server.error().message;
  };
  EXPECT_THAT(error(folder.write("file", "")), HasSubstr("no socket is there"));
  EXPECT_THAT(error(folder.path("none/agent.sock")), HasSubstr("No such file"));
  EXPECT_THAT(error(""), HasSubstr("1 to 107 bytes"));
  EXPECT_THAT(error(std::string(108, 'x')), HasSubstr("1 to 107 bytes"));
  auto fd_error = [&](int fd) {
    auto server = LookupServer::start(io_, UniqueFd(fd), path, {}, handler);
    return server ? "none" : server.error().message;
  };
  EXPECT_THAT(fd_error(::open("/dev/null", O_RDONLY | O_CLOEXEC)), HasSubstr("does not listen"));
  EXPECT_THAT(fd_error(::socket(AF_UNIX, SOCK_SEQPACKET, 0)), HasSubstr("does not listen"));
}

TEST_F(LookupServerTest, ASocketFromSystemdIsUsedAndStays) {
  UniqueFd systemd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto address = address_of(path);
  ASSERT_EQ(::bind(systemd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(systemd.get(), 16), 0);
  auto early = open();  // before the agent runs
  early.tell(outcome("early"));
  start({}, UniqueFd(::dup(systemd.get())));
  EXPECT_TRUE(eventually([&] { return handler.told.size() == 1; }));
  EXPECT_EQ(name_in(ask(early, "web")), "web");
  run([this] { server_.reset(); });
  // the next agent finds who asked meanwhile
  auto waiting = open();
  run([&] {
    auto next = LookupServer::start(io_, UniqueFd(::dup(systemd.get())), "/unused", {}, handler);
    server_.emplace(*std::move(next));
  });
  EXPECT_EQ(name_in(ask(waiting, "web")), "web");
}

TEST_F(LookupServerTest, MalformedAndOversizedMessagesCloseTheirClient) {
  start();
  auto other = open();
  std::uint64_t count = 0;
  for (const std::string& text :
       {std::string("x"), std::string("{}"), std::string("[1]"), std::string(1, '\0'),
        std::string(R"({"lookup":{"name":"n"}})"), std::string(agent::max_request + 1, ' '),
        std::string(100 << 10, '{')}) {
    const auto bad = connect();
    send(bad, text);
    EXPECT_TRUE(closed(bad)) << text.substr(0, 40);
    EXPECT_EQ(counts().malformed, ++count);
    EXPECT_EQ(name_in(ask(other, "web")), "web");
  }
  // padded to the bound it is still a message
  auto text = to_json(outcome("long"));
  text.resize(agent::max_request, ' ');
  send(connect(), text);
  EXPECT_TRUE(eventually([&] { return handler.told.size() == 1; }));
  // what comes after nonsense is not heard
  const auto bad = connect();
  send(bad, "nonsense");
  (void)::send(bad.get(), text.data(), text.size(), MSG_NOSIGNAL);
  EXPECT_TRUE(closed(bad));
  EXPECT_EQ(run([&] { return handler.told.size(); }), 1U);
  // an empty message cannot be told from the end
  const auto empty = connect();
  ASSERT_EQ(::send(empty.get(), "", 0, MSG_NOSIGNAL), 0);
  EXPECT_TRUE(closed(empty));
}

TEST_F(LookupServerTest, ClientsThatAreNotRootAreRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: becomes another user";
  start();
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  // made before the fork, since the server's thread may hold the heap's lock then
  const auto address = address_of(path);
  const auto text = to_json(agent::Lookup{"shop", "web", "u"});
  const auto child = ::fork();
  if (child == 0) {
    bool good = ::syscall(SYS_setgid, 12345) == 0 && ::syscall(SYS_setuid, 12345) == 0;
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    good = good && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    (void)!::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    char byte = 0;
    ::_exit(good && ::recv(fd, &byte, 1, 0) <= 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "connected and was closed without an answer";
  EXPECT_EQ(counts().refused, 1U);
  EXPECT_EQ(counts().accepted, 0U);
  EXPECT_EQ(handler.lookups, 0);
}

TEST_F(LookupServerTest, ASilentClientIsClosed) {
  LookupLimits limits;
  limits.idle = milliseconds(200);
  start(limits);
  const auto silent = connect();
  auto busy = open();
  const auto begin = Clock::now();
  while (Clock::now() - begin < milliseconds(500)) {
    EXPECT_EQ(name_in(ask(busy, "web")), "web") << "every message begins a new span";
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_TRUE(closed(silent, 1));
  EXPECT_EQ(name_in(ask(busy, "never", 2000)), "the agent closed the connection")
      << "and so is one that nobody answers";
}

TEST_F(LookupServerTest, AClientThatDoesNotReadIsClosed) {
  LookupLimits limits;
  limits.send = test_support::slowness * milliseconds(150);
  start(limits);
  const auto lazy = connect();
  const auto question = to_json(agent::Lookup{"shop", "huge", "u"});
  for (int i = 0; i < 5; ++i) send(lazy, question);
  const auto begin = Clock::now();
  auto other = open();
  EXPECT_EQ(name_in(ask(other, "web")), "web");
  EXPECT_LT(Clock::now() - begin, test_support::slowness * milliseconds(140))
      << "nobody waits for the lazy one";
  EXPECT_TRUE(eventually([&] { return handler.lookups >= 3; }));
  // closed by the server: what was sent before can still be read, then the end
  std::this_thread::sleep_for(test_support::slowness * milliseconds(300));
  std::vector<char> bytes(agent::max_answer);
  int answers = 0;
  for (;;) {
    const auto length = ::recv(lazy.get(), bytes.data(), bytes.size(), 0);
    if (length < 0 && errno == ECONNRESET) continue;  // said once: questions were left unread
    if (length <= 0) break;
    ++answers;
  }
  EXPECT_GE(answers, 1);
  EXPECT_LT(answers, 5);
}

TEST_F(LookupServerTest, AnswersMayComeLater) {
  start();
  auto first = open();
  std::thread asking([&] { EXPECT_EQ(name_in(ask(first, "late-1")), "late-1"); });
  EXPECT_TRUE(eventually([&] { return handler.kept.size() == 1; }));
  auto second = open();
  EXPECT_EQ(name_in(ask(second, "web")), "web") << "not behind the first one";
  run([&] { handler.release(); });
  asking.join();
}

TEST_F(LookupServerTest, AnswersAreGivenOnceAndToTheirOwnQuestion) {
  start();
  auto connection = open();
  std::thread asking([&] { EXPECT_EQ(name_in(ask(connection, "late-1")), "late-1"); });
  EXPECT_TRUE(eventually([&] { return handler.kept.size() == 1; }));
  std::function<void(agent::Answer)> stale;
  run([&] {
    stale = handler.kept[0].second;
    handler.release();
    stale({Error{Errc::io, "a second answer"}, ""});
  });
  asking.join();
  std::thread again([&] { EXPECT_EQ(name_in(ask(connection, "late-2")), "late-2"); });
  EXPECT_TRUE(eventually([&] { return handler.kept.size() == 1; }));
  run([&] {
    stale({Error{Errc::io, "an answer to the first question"}, ""});
    handler.release();
  });
  again.join();
}

TEST_F(LookupServerTest, AClientGoneBeforeItsAnswer) {
  LookupLimits limits;
  limits.clients = 1;
  start(limits);
  {
    const auto impatient = connect();
    send(impatient, to_json(agent::Lookup{"shop", "late", "u"}));
    send(impatient, to_json(outcome("did it myself")));
    EXPECT_TRUE(eventually([&] { return handler.kept.size() == 1; }));
  }
  // its place is free at once, and what it left behind was read
  auto next = open();
  EXPECT_EQ(name_in(ask(next, "web")), "web");
  EXPECT_THAT(run([&] { return handler.told; }), ElementsAre("did it myself"));
  run([&] { handler.release(); });
  EXPECT_EQ(name_in(ask(next, "web")), "web");
}

TEST_F(LookupServerTest, MoreClientsThanAllowedWait) {
  LookupLimits limits;
  limits.clients = 2;
  start(limits);
  auto first = open();
  auto second = open();
  EXPECT_EQ(name_in(ask(first, "a")), "a");
  EXPECT_EQ(name_in(ask(second, "b")), "b");
  auto third = open();  // in the queue
  EXPECT_FALSE(ask(third, "c", 100));
  EXPECT_EQ(counts().accepted, 2U);
  auto fourth = open();
  std::thread waiting([&] { EXPECT_EQ(name_in(ask(fourth, "d")), "d"); });
  { const auto gone = std::move(first); }
  { const auto gone = std::move(third); }
  waiting.join();
  EXPECT_EQ(name_in(ask(second, "b")), "b");
}

TEST_F(LookupServerTest, BurstOfLookups) {
  start();
  constexpr int count = 200;
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      auto connection = open();
      const auto name = (i % 4 == 0 ? "late-" : "web-") + std::to_string(i);
      if (name_in(ask(connection, name, 20000)) == name) ++good;
      connection.tell(outcome("c"));
    });
  }
  EXPECT_TRUE(eventually([&] { return handler.kept.size() == count / 4; }));
  run([&] { handler.release(); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, count);
  EXPECT_LT(Clock::now() - begin, test_support::slowness * std::chrono::seconds(10));
  EXPECT_TRUE(eventually([&] { return handler.told.size() == count; }));
}

TEST_F(LookupServerTest, AClientThatNeverStopsTakesTurns) {
  start();
  std::atomic<bool> stop = false;
  std::vector<std::thread> floods;
  for (int i = 0; i < 3; ++i) {
    floods.emplace_back([&] {
      auto connection = open();
      while (!stop) connection.tell(outcome("flood"));
    });
  }
  EXPECT_TRUE(eventually([&] { return handler.told.size() > 100; }));
  auto other = open();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(name_in(ask(other, "web", 2000)), "web");
  stop = true;
  for (auto& flood : floods) flood.join();
}

TEST_F(LookupServerTest, NothingIsCalledAfterItsEnd) {
  start();
  std::vector<agent::Connection> connections;
  for (int i = 0; i < 4; ++i) connections.push_back(open());
  std::thread asking([&] { EXPECT_FALSE(ask(connections[0], "late")); });
  EXPECT_TRUE(eventually([&] { return handler.kept.size() == 1; }));
  run([this] {
    server_.reset();
    handler.release();  // does nothing
  });
  asking.join();
  connections[1].tell(outcome("too late"));
  EXPECT_FALSE(ask(connections[2], "web"));
  EXPECT_EQ(run([&] { return handler.lookups; }), 1);
  EXPECT_TRUE(handler.told.empty());
}

TEST_F(LookupServerTest, MayEndInsideTheHandler) {
  start();
  auto connection = open();
  run([this] { handler.on_lookup = [this] { server_.reset(); }; });
  EXPECT_FALSE(ask(connection, "web"));
  EXPECT_TRUE(eventually([&] { return !server_.has_value(); }));
}

TEST_F(LookupServerTest, MovesAndOutlivesItsContext) {
  boost::asio::io_context io;
  auto one = LookupServer::start(io, {}, folder.path("one"), {}, handler);
  auto two = LookupServer::start(io, {}, folder.path("two"), {}, handler);
  ASSERT_TRUE(one && two);
  *one = *std::move(two);  // the first one ends
  EXPECT_FALSE(agent::Connection::open(folder.path("one"), Deadline::after(milliseconds(50))).ok());
  EXPECT_TRUE(agent::Connection::open(folder.path("two"), Deadline::after(milliseconds(50))).ok());
  io.poll();
}

}  // namespace
