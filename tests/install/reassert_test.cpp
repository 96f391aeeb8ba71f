// How long a list that another program renamed over ours is without our entry: in
// memory, and on the disk that the tests are on, there also with nothing prepared.
//   ICN_REWRITES=1000 install_reassert_test
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "install/installer.hpp"
#include "install/node.hpp"
#include "install/watcher.hpp"
#include "support/spares.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using test_install::calico;
using test_install::list;
using test_install::Node;

/// The agent's loop, without its patience for peers that fight.
class Agent {
 public:
  Agent(const Node& node, bool prepares) : node_(node), prepares_(prepares) {}
  ~Agent() { stop(); }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// What happens from now on is seen.
  [[nodiscard]] bool watching() const { return watching_; }
  /// Rewrites whose answer is all done, flushes and preparations included.
  [[nodiscard]] int answered() const { return answered_; }
  /// Files that were made to answer the next one.
  [[nodiscard]] int prepared() const { return prepared_; }

 private:
  void run() {
    install::Installer installer(node_.state_dir());
    auto watcher = install::Watcher::make();
    ASSERT_TRUE(watcher.ok());
    watcher->watch({node_.conf_dir(), node_.plugin(), node_.desired.kubeconfig_path});
    (void)installer.reconcile(node_.desired);
    if (prepares_) (void)installer.prepare(node_.desired);
    watching_ = true;
    while (!stopped_) {
      pollfd state{watcher->fd(), POLLIN, 0};
      if (::poll(&state, 1, 20) != 1) continue;
      const auto events = watcher->take();
      if (!events.relevant && !events.degraded) continue;
      const bool foreign = installer.reconcile(node_.desired).foreign;
      if (prepares_ && installer.prepare(node_.desired)) ++prepared_;
      if (foreign) ++answered_;
    }
  }

  const Node& node_;
  const bool prepares_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> watching_{false};
  std::atomic<int> answered_{0};
  std::atomic<int> prepared_{0};
  std::thread thread_{[this] { run(); }};
};

/// As a program does it that wants its file to survive.
void flush(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(fd.get()), 0);
}

template <typename Condition>
bool comes(const Condition& condition, std::chrono::milliseconds patience) {
  for (const auto end = Clock::now() + patience; Clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return false;
}

struct Figures {
  double median;
  double p99;
  double worst;
};
Figures figures(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 99 / 100], values.back()};
}
double millis(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// Each rewrite comes when the agent is done with the last one, and `pause` later. What
/// counts is the time from the end of the other program's rename: that may itself wait
/// for the disk, and until it is over our entry is there.
void measure(const char* what, const Node& node, bool prepares, int rewrites,
             std::chrono::milliseconds pause) {
  SCOPED_TRACE(what);
  node.conf(list, calico);
  ASSERT_TRUE(install::Installer(node.state_dir()).reconcile(node.desired).ready);
  const auto ours = node.conf(list);
  const auto path = node.conf_dir() + "/" + list;
  const auto back = [&] {
    const auto now = base::read_file(path);
    return now && *now == ours;
  };

  Agent agent(node, prepares);
  ASSERT_TRUE(comes([&] { return agent.watching(); }, std::chrono::seconds(10)));

  std::vector<double> renames;
  std::vector<double> answers;
  for (int i = 1; i <= rewrites; ++i) {
    node.conf(".new", calico);
    flush(node.conf_dir() + "/.new");
    const auto begin = Clock::now();
    std::filesystem::rename(node.conf_dir() + "/.new", path);
    const auto renamed = Clock::now();
    ASSERT_TRUE(comes(back, std::chrono::seconds(10)));
    answers.push_back(millis(Clock::now() - renamed));
    renames.push_back(millis(renamed - begin));
    ASSERT_TRUE(comes([&] { return agent.answered() >= i; }, std::chrono::seconds(10)));
    std::this_thread::sleep_for(pause);
  }
  agent.stop();

  EXPECT_EQ(agent.answered(), rewrites) << "each is one reversion";
  const auto answer = figures(answers);
  const auto rename = figures(renames);
  std::printf(
      "re-assert after a rename, %s, %d times, %d from a spare: median %.2f ms, p99 %.2f ms, "
      "worst %.2f ms (the rename: median %.2f ms, p99 %.2f ms)\n",
      what, rewrites, agent.prepared(), answer.median, answer.p99, answer.worst, rename.median,
      rename.p99);
  EXPECT_LT(answer.median, 50.0);
  const bool spares = prepares && test_support::keeps_spares(node.conf_dir());
  EXPECT_EQ(agent.prepared(), spares ? rewrites : 0);
}

int rewrites(int usual) {
  const char* set = std::getenv("ICN_REWRITES");
  return set == nullptr ? usual : std::max(1, std::atoi(set));
}

TEST(ReassertTest, InMemory) {
  measure("in memory", Node(), true, rewrites(1000), std::chrono::milliseconds(0));
}

TEST(ReassertTest, OnTheDisk) {
  const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  if (!test_support::keeps_spares(here))
    GTEST_SKIP() << here << " is of a kind that keeps no spare";
  constexpr std::chrono::milliseconds pause{20};  // others of the machine get to write
  measure("on the disk, nothing prepared", Node(here), false, rewrites(100), pause);
  measure("on the disk", Node(here), true, rewrites(200), pause);
}

}  // namespace
