#include "istio-cni-node/service_manager.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "base/strings.hpp"
#include "support/temp_dir.hpp"

namespace {

using istio_cni_node::ServiceManager;
using testing::StartsWith;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

base::UniqueFd bound(const std::string& path, int type, bool listening) {
  base::UniqueFd fd(::socket(AF_UNIX, type, 0));
  const auto address = address_of(path);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  if (listening) {
    EXPECT_EQ(::listen(fd.get(), 4), 0);
  }
  return fd;
}

class NotifyTest : public testing::Test {
 protected:
  NotifyTest() {
    socket_ = bound(dir_.path("notify"), SOCK_DGRAM, false);
    ::setenv("NOTIFY_SOCKET", dir_.path("notify").c_str(), 1);
  }
  ~NotifyTest() override { ::unsetenv("NOTIFY_SOCKET"); }
  /// The next message; "" when there is none.
  std::string next() {
    char buffer[8192];
    const auto got = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return got < 0 ? "" : std::string(buffer, static_cast<std::size_t>(got));
  }

  test_support::TempDir dir_;
  base::UniqueFd socket_;
  ServiceManager manager_;
};

TEST_F(NotifyTest, ReadyOnce) {
  manager_.ready();
  manager_.ready();
  EXPECT_EQ(next(), "READY=1");
  EXPECT_EQ(next(), "");
}

TEST_F(NotifyTest, StatusWhenItDiffers) {
  manager_.status("Ready: chained in a.conflist");
  manager_.status("Ready: chained in a.conflist");
  EXPECT_EQ(next(), "STATUS=Ready: chained in a.conflist");
  EXPECT_EQ(next(), "");
  manager_.status("Not ready");
  manager_.status("Ready: chained in a.conflist");
  EXPECT_EQ(next(), "STATUS=Not ready");
  EXPECT_EQ(next(), "STATUS=Ready: chained in a.conflist");
}

TEST_F(NotifyTest, StatusIsOneLineThatSystemdTakes) {
  manager_.status("a\nREADY=1\r\tb");
  EXPECT_EQ(next(), "STATUS=a READY=1  b");
  manager_.status("a READY=1  b");
  EXPECT_EQ(next(), "") << "the same sentence";
  manager_.status("bad \xff, good \xc3\xa9");
  EXPECT_EQ(next(), "STATUS=bad \xef\xbf\xbd, good \xc3\xa9");
  std::string wide = "x";
  while (wide.size() < 5000) wide.append("\xc3\xa9");
  manager_.status(wide);
  const auto cut = next();
  EXPECT_EQ(cut.size(), 7 + 2047U);
  EXPECT_EQ(cut, "STATUS=" + wide.substr(0, 2047));
}

TEST_F(NotifyTest, ReloadIsBracketed) {
  manager_.reloading();
  manager_.reloaded();
  EXPECT_EQ(next(), "") << "starting is not reloading, and not ready";
  manager_.ready();
  EXPECT_EQ(next(), "READY=1");
  manager_.reloading();
  const auto message = next();
  ASSERT_THAT(message, StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  const auto micros = base::parse_unsigned(message.substr(message.rfind('=') + 1));
  ASSERT_TRUE(micros);
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  EXPECT_NEAR(static_cast<double>(*micros), static_cast<double>(now.tv_sec) * 1e6, 5e6);
  manager_.reloaded();
  EXPECT_EQ(next(), "READY=1");
}

TEST_F(NotifyTest, StoppingAndAlive) {
  manager_.alive();
  manager_.stopping();
  EXPECT_EQ(next(), "WATCHDOG=1");
  EXPECT_EQ(next(), "STOPPING=1");
}

/// As a manager that is busy: nothing more goes into its queue.
void fill(const std::string& path) {
  const base::UniqueFd sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  const auto address = address_of(path);
  int sent = 0;
  while (::sendto(sender.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&address),
                  sizeof address) == 1)
    ++sent;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GT(sent, 0);
}

TEST_F(NotifyTest, AManagerThatDoesNotReadIsNotWaitedFor) {
  int waits = 0;
  manager_.waits = [&] { ++waits; };
  fill(dir_.path("notify"));
  manager_.status("Not ready: starting");
  manager_.ready();  // each of these would block for ever
  manager_.status("Ready: 1 pod");
  manager_.status("Ready: 2 pods");
  manager_.alive();
  EXPECT_EQ(waits, 4);
  manager_.retry();
  EXPECT_EQ(waits, 5) << "still full";
  while (next() == "x") {
  }
  manager_.retry();
  EXPECT_EQ(waits, 5);
  EXPECT_EQ(next(), "READY=1");
  EXPECT_EQ(next(), "STATUS=Ready: 2 pods");
  EXPECT_EQ(next(), "") << "neither what is out of date nor the sign of life of before";
  manager_.retry();
  EXPECT_EQ(next(), "");
  manager_.alive();
  EXPECT_EQ(next(), "WATCHDOG=1");
}

TEST_F(NotifyTest, WhatWaitsKeepsItsOrderAndItsBound) {
  fill(dir_.path("notify"));
  manager_.ready();
  for (int i = 0; i < 1000; ++i) {
    manager_.reloading();
    manager_.reloaded();
  }
  manager_.status("Stopping");
  manager_.stopping();
  while (next() == "x") {
  }
  manager_.retry();
  EXPECT_EQ(next(), "READY=1");
  EXPECT_THAT(next(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_EQ(next(), "READY=1");
  EXPECT_EQ(next(), "STOPPING=1");
  EXPECT_EQ(next(), "STATUS=Stopping");
  EXPECT_EQ(next(), "");
}

TEST_F(NotifyTest, AManagerThatIsGoneIsNotWaitedForEither) {
  manager_.waits = [] { ADD_FAILURE(); };
  socket_.reset();
  manager_.ready();
  manager_.status("refused");
  ::unlink(dir_.path("notify").c_str());
  manager_.status("not there");
  for (const std::string name : {"", "/", "@", "relative", "vsock:2:1"}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    manager_.status(name + "?");
  }
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(300, 'x')).c_str(), 1);
  manager_.status("a long name");
}

TEST_F(NotifyTest, AnAbstractSocketIsOneToo) {
  const auto name = dir_.path("abstract");
  base::UniqueFd listener(::socket(AF_UNIX, SOCK_DGRAM, 0));
  auto address = address_of(name);
  address.sun_path[0] = '\0';
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
            0);
  socket_ = std::move(listener);
  ::setenv("NOTIFY_SOCKET", ("@" + name.substr(1)).c_str(), 1);
  manager_.ready();
  EXPECT_EQ(next(), "READY=1");
}

TEST(ServiceManager, WithoutAManagerNothingHappens) {
  ::unsetenv("NOTIFY_SOCKET");
  ServiceManager manager;
  manager.ready();
  manager.status("x");
  manager.reloading();
  manager.reloaded();
  manager.alive();
  manager.stopping();
  EXPECT_FALSE(ServiceManager::watchdog_interval());
  EXPECT_FALSE(ServiceManager::activation_socket().valid());
}

/// Runs `body` in a child; its answer, 0 to 255. A failed assertion in it would
/// be lost: it only answers.
int in_child(const std::function<int()>& body) {
  const auto child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

TEST(Watchdog, AQuarterOfItsTime) {
  EXPECT_EQ(in_child([] {
              set("WATCHDOG_USEC", "60000000");
              set("WATCHDOG_PID", base::cat(::getpid()));
              const auto interval = ServiceManager::watchdog_interval();
              return interval ? static_cast<int>(interval->count() / 1'000'000) : 99;
            }),
            15);
  EXPECT_EQ(in_child([] {
              set("WATCHDOG_USEC", "60000000");
              set("WATCHDOG_PID", base::cat(::getppid()));
              return ServiceManager::watchdog_interval() ? 1 : 0;
            }),
            0)
      << "another process's";
  for (const auto* value : {"3", "18446744073709551614"})
    EXPECT_EQ(in_child([value] {
                set("WATCHDOG_USEC", value);
                const auto interval = ServiceManager::watchdog_interval();
                return interval && interval->count() >= 1 && interval->count() <= 86'400'000'000;
              }),
              1)
        << value;
  for (const auto* value : {"0", "", "x"})
    EXPECT_EQ(in_child([value] {
                set("WATCHDOG_USEC", value);
                return ServiceManager::watchdog_interval() ? 1 : 0;
              }),
              0)
        << value;
}

class ActivationTest : public testing::Test {
 protected:
  /// What activation_socket() gives a child that was passed these, in order, with
  /// these names: the descriptor's number, 0 for none, 200 and more for a defect.
  int passed(const std::vector<int>& fds, const std::string& names, bool mine = true) {
    return in_child([&] {
      // out of the way first: the targets may be among the sources
      std::vector<int> high;
      for (const int fd : fds) high.push_back(::fcntl(fd, F_DUPFD, 100));
      for (std::size_t i = 0; i < fds.size(); ++i) {
        const int target = 3 + static_cast<int>(i);
        if (::dup2(high[i], target) != target) return 250;
      }
      set("LISTEN_FDS", base::cat(fds.size()));
      set("LISTEN_PID", base::cat(mine ? ::getpid() : ::getppid()));
      if (!names.empty()) set("LISTEN_FDNAMES", names);
      const auto socket = ServiceManager::activation_socket();
      if (ServiceManager::activation_socket().valid()) return 251;
      if (!socket.valid()) return 0;
      if ((::fcntl(socket.get(), F_GETFL) & O_NONBLOCK) == 0) return 252;
      if ((::fcntl(socket.get(), F_GETFD) & FD_CLOEXEC) == 0) return 253;
      for (std::size_t i = 0; i < fds.size(); ++i)
        if (::fcntl(3 + static_cast<int>(i), F_GETFD) < 0) return 254;
      return socket.get();
    });
  }

  test_support::TempDir dir_;
  base::UniqueFd good_ = bound(dir_.path("a"), SOCK_SEQPACKET, true);
  base::UniqueFd other_ = bound(dir_.path("b"), SOCK_SEQPACKET, true);
  base::UniqueFd stream_ = bound(dir_.path("c"), SOCK_STREAM, true);
  base::UniqueFd deaf_ = bound(dir_.path("d"), SOCK_SEQPACKET, false);
  base::UniqueFd file_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
};

TEST_F(ActivationTest, TheOneThatFits) {
  EXPECT_EQ(passed({good_.get()}, ""), 3);
  EXPECT_EQ(passed({good_.get()}, "istio-cni-node.socket"), 3);
  EXPECT_EQ(passed({stream_.get(), deaf_.get(), file_.get(), good_.get()}, ""), 6);
}

TEST_F(ActivationTest, ANameWinsOverThePlace) {
  EXPECT_EQ(passed({good_.get(), other_.get()}, "unknown:agent.sock"), 4);
  EXPECT_EQ(passed({good_.get(), other_.get()}, "x:y"), 3);
  EXPECT_EQ(passed({stream_.get(), good_.get()}, "agent.sock:x"), 4)
      << "a name alone is not enough";
}

TEST_F(ActivationTest, NoneThatFits) {
  EXPECT_EQ(passed({}, ""), 0);
  EXPECT_EQ(passed({stream_.get(), deaf_.get(), file_.get()}, ""), 0);
  EXPECT_EQ(passed({good_.get()}, "", false), 0) << "meant for another process";
}

}  // namespace
