#include "install/watcher.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>

#include "install/node.hpp"

namespace {

namespace fs = std::filesystem;
using install::Watcher;
using test_install::in_child;
using test_install::skip;

class WatcherTest : public testing::Test {
 protected:
  WatcherTest() {
    fs::create_directories(path("etc/cni/net.d"));
    fs::create_directories(path("opt/bin"));
  }
  [[nodiscard]] std::string path(const std::string& name) const { return dir_.path(name); }
  void write(const std::string& name, const std::string& content = "x") const {
    std::ofstream(path(name)) << content;
  }
  static bool readable(const Watcher& watcher, int patience_ms = 0) {
    pollfd state{watcher.fd(), POLLIN, 0};
    return ::poll(&state, 1, patience_ms) == 1;
  }
  /// All that is pending, as the agent takes it.
  static Watcher::Events take(Watcher& watcher) {
    Watcher::Events all;
    while (readable(watcher)) {
      const auto events = watcher.take();
      all.relevant |= events.relevant;
      all.degraded |= events.degraded;
    }
    return all;
  }
  Watcher made(const std::vector<std::string>& paths) {
    auto watcher = Watcher::make();
    EXPECT_TRUE(watcher.ok());
    watcher->watch(paths);
    EXPECT_TRUE(watcher->unwatched().empty());
    (void)take(*watcher);
    return std::move(*watcher);
  }

  test_support::TempDir dir_;
};

TEST_F(WatcherTest, WhatCountsInAFolder) {
  struct Case {
    const char* what;
    std::function<void()> change;
    bool relevant;
  };
  write("etc/cni/net.d/old");
  write("outside");
  ASSERT_EQ(::link(path("etc/cni/net.d/old").c_str(), path("etc/cni/net.d/hard").c_str()), 0);
  auto watcher = made({path("etc/cni/net.d"), path("opt/bin/istio-cni")});
  const std::vector<Case> cases{
      {"create", [&] { write("etc/cni/net.d/new"); }, true},
      {"write", [&] { write("etc/cni/net.d/old", "yy"); }, true},
      {"mode", [&] { ::chmod(path("etc/cni/net.d/old").c_str(), 0600); }, true},
      {"rename over", [&] { fs::rename(path("outside"), path("etc/cni/net.d/old")); }, true},
      {"rename away", [&] { fs::rename(path("etc/cni/net.d/old"), path("outside")); }, true},
      {"unlink of one of two names", [&] { fs::remove(path("etc/cni/net.d/hard")); }, true},
      {"read", [&] { std::ifstream(path("etc/cni/net.d/new")).get(); }, false},
      {"our temporary file",
       [&] {
         write("etc/cni/net.d/.new.icn-aB3xYz");
         ::chmod(path("etc/cni/net.d/.new.icn-aB3xYz").c_str(), 0600);
       },
       false},
      {"and its rename",
       [&] { fs::rename(path("etc/cni/net.d/.new.icn-aB3xYz"), path("etc/cni/net.d/new")); }, true},
      {"its exchange",
       [&] {
         write("etc/cni/net.d/.new.icn-aB3xYz-0-1");
         ASSERT_EQ(::renameat2(AT_FDCWD, path("etc/cni/net.d/.new.icn-aB3xYz-0-1").c_str(),
                               AT_FDCWD, path("etc/cni/net.d/new").c_str(), RENAME_EXCHANGE),
                   0);
       },
       true},
      {"what the exchange took out", [&] { fs::remove(path("etc/cni/net.d/.new.icn-aB3xYz-0-1")); },
       false},
      {"our spare",
       [&] {
         const base::UniqueFd fd(
             ::open(path("etc/cni/net.d").c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
         ::fchmod(fd.get(), 0644);
       },
       false},
      {"watched file created", [&] { write("opt/bin/istio-cni"); }, true},
      {"watched file's mode", [&] { ::chmod(path("opt/bin/istio-cni").c_str(), 0); }, true},
      {"watched file removed", [&] { fs::remove(path("opt/bin/istio-cni")); }, true},
      {"another file beside it", [&] { write("opt/bin/calico"); }, false},
      {"beside the folder", [&] { write("etc/cni/readme"); }, false},
      {"above", [&] { write("etc/passwd"); }, false}};
  for (const auto& [what, change, relevant] : cases) {
    SCOPED_TRACE(what);
    EXPECT_FALSE(readable(watcher));
    change();
    const auto events = take(watcher);
    EXPECT_EQ(events.relevant, relevant);
    EXPECT_FALSE(events.degraded);
  }
}

TEST_F(WatcherTest, FoldersThatAppearLater) {
  auto watcher = made({path("var/lib/cni/net.d"), path("usr/libexec/cni/istio-cni")});
  // one by one, and all at once before anybody looks
  fs::create_directory(path("var"));
  EXPECT_TRUE(take(watcher).relevant);
  fs::create_directories(path("var/lib/cni/net.d"));
  EXPECT_TRUE(take(watcher).relevant);
  write("var/lib/cni/net.d/10-x.conflist");
  EXPECT_TRUE(take(watcher).relevant);
  fs::create_directories(path("usr/libexec/cni"));
  (void)take(watcher);
  write("usr/libexec/cni/istio-cni");
  EXPECT_TRUE(take(watcher).relevant);
}

TEST_F(WatcherTest, FoldersThatAreReplaced) {
  auto watcher = made({path("etc/cni/net.d")});
  const std::vector<std::function<void()>> changes{
      [&] {
        fs::remove_all(path("etc/cni/net.d"));
        fs::create_directory(path("etc/cni/net.d"));
      },
      [&] {
        fs::rename(path("etc/cni/net.d"), path("etc/cni/net.d.old"));
        fs::create_directory(path("etc/cni/net.d"));
      },
      [&] {  // two levels up: the folder itself is not told
        fs::rename(path("etc"), path("etc.old"));
        fs::create_directories(path("etc/cni/net.d"));
      },
      [&] {
        fs::create_directory(path("other"));
        fs::remove_all(path("etc/cni/net.d"));
        fs::create_directory_symlink("../../other", path("etc/cni/net.d"));
      },
      [&] {  // to a folder that is not there yet
        fs::remove(path("etc/cni/net.d"));
        fs::create_directory_symlink(path("later/net.d"), path("etc/cni/net.d"));
        EXPECT_TRUE(take(watcher).relevant);
        fs::create_directories(path("later/net.d"));
      }};
  int number = 0;
  for (const auto& change : changes) {
    SCOPED_TRACE(number++);
    change();
    EXPECT_TRUE(take(watcher).relevant);
    write("etc/cni/net.d/10-x.conflist");
    EXPECT_TRUE(take(watcher).relevant);
    EXPECT_FALSE(readable(watcher));
  }
  // the old one does not count any more
  fs::create_directories(path("etc.old/cni/net.d"));
  write("etc.old/cni/net.d/x");
  EXPECT_FALSE(take(watcher).relevant);
}

TEST_F(WatcherTest, ALostWatchIsTold) {
  auto watcher = made({path("etc/cni/net.d")});
  fs::remove_all(path("etc/cni"));
  const auto events = take(watcher);
  EXPECT_TRUE(events.relevant);
  EXPECT_TRUE(events.degraded);
  fs::create_directories(path("etc/cni/net.d"));
  EXPECT_TRUE(take(watcher).relevant);
}

TEST_F(WatcherTest, AnOverflowIsTold) {
  auto watcher = made({path("etc/cni/net.d")});
  std::ifstream limit("/proc/sys/fs/inotify/max_queued_events");
  int events = 0;
  limit >> events;
  if (events <= 0 || events > 200000) GTEST_SKIP() << "a queue of " << events << " events";
  write("etc/cni/net.d/a");
  write("etc/cni/net.d/b");
  for (int i = 0; i <= events / 2; ++i) {  // equal ones in a row would be merged
    ::chmod(path("etc/cni/net.d/a").c_str(), 0600);
    ::chmod(path("etc/cni/net.d/b").c_str(), 0600);
  }
  const auto all = take(watcher);
  EXPECT_TRUE(all.degraded);
  EXPECT_TRUE(all.relevant);
  write("etc/cni/net.d/c");
  EXPECT_TRUE(take(watcher).relevant);
}

TEST_F(WatcherTest, NewPathsReplaceTheOldOnes) {
  auto watcher = made({path("etc/cni/net.d")});
  const int fd = watcher.fd();
  watcher.watch({path("opt/bin")});
  EXPECT_EQ(watcher.fd(), fd);
  (void)take(watcher);
  write("etc/cni/net.d/x");
  EXPECT_FALSE(take(watcher).relevant);
  write("opt/bin/x");
  EXPECT_TRUE(take(watcher).relevant);
}

TEST_F(WatcherTest, AMountOverAFolderIsSeen) {
  const int result = in_child([this] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return skip;
    auto watcher = Watcher::make();
    if (!watcher) return 1;
    watcher->watch({path("etc/cni/net.d")});
    (void)take(*watcher);
    if (readable(*watcher)) return 2;
    if (::mount("none", path("etc/cni/net.d").c_str(), "tmpfs", 0, nullptr) != 0) return skip;
    if (!readable(*watcher, 1000)) return 3;
    auto events = watcher->take();
    if (!events.degraded || !events.relevant) return 4;
    write("etc/cni/net.d/inside");
    if (!take(*watcher).relevant) return 5;
    // a mount elsewhere is none of our business
    if (::mount("none", path("opt/bin").c_str(), "tmpfs", 0, nullptr) != 0) return skip;
    events = take(*watcher);
    if (events.degraded || events.relevant) return 6;
    if (::umount2(path("etc/cni/net.d").c_str(), 0) != 0) return skip;
    if (!take(*watcher).degraded) return 7;
    write("etc/cni/net.d/below");
    if (!take(*watcher).relevant) return 8;
    // over a folder above
    if (::mount("none", path("etc").c_str(), "tmpfs", 0, nullptr) != 0) return skip;
    if (!take(*watcher).degraded) return 9;
    fs::create_directories(path("etc/cni/net.d"));
    if (!take(*watcher).relevant) return 10;
    return 0;
  });
  if (result == skip) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(result, 0);
}

TEST_F(WatcherTest, LimitsAreTold) {
  const int result = in_child([this] {
    if (::unshare(CLONE_NEWUSER) != 0) return skip;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 0 1";
    auto limit = [](const char* name, const char* value) {
      std::ofstream file(name);
      file << value;
      file.close();
      return file.good();
    };
    constexpr auto* watches = "/proc/sys/user/max_inotify_watches";
    if (!limit(watches, "1")) return skip;
    auto watcher = Watcher::make();
    if (!watcher) return 1;
    watcher->watch({path("etc/cni/net.d")});
    if (watcher->unwatched() != std::vector<std::string>{path("etc/cni/net.d")}) return 2;
    if (!limit(watches, "100")) return skip;
    (void)watcher->take();  // tries again
    if (!watcher->unwatched().empty()) return 3;
    write("etc/cni/net.d/x");
    if (!take(*watcher).relevant) return 4;
    if (!limit("/proc/sys/user/max_inotify_instances", "0")) return skip;
    const auto refused = Watcher::make();
    if (refused || refused.error().code != base::Errc::io) return 5;
    return 0;
  });
  if (result == skip) GTEST_SKIP() << "no user namespaces here";
  EXPECT_EQ(result, 0);
}

}  // namespace
