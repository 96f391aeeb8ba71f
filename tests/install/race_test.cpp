// What other programs do to the lists between the installer's look and its write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <thread>

#include "install/installer.hpp"
#include "install/node.hpp"
#include "install/watcher.hpp"
#include "support/patience.hpp"

namespace {

using install::Installer;
using install::Mode;
using install::Pass;
using test_install::azure;
using test_install::bridge_conf;
using test_install::calico;
using test_install::cilium;
using test_install::list;
using test_install::Node;
using test_install::own;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Calico's, in its n-th version.
std::string version(int n) {
  auto text = calico;
  return text.replace(text.find("k8s-pod-network"), 3, "v" + std::to_string(n) + "-");
}

/// The system call; `change` comes before the first one on a list, the second, ...
base::RenameCall meddle(std::function<void(int)> change) {
  const auto count = std::make_shared<int>(0);
  return [change = std::move(change), count](int folder, const char* from, const char* to,
                                             unsigned flags) {
    change(++*count);
    return base::rename_in_folder(folder, from, to, flags);
  };
}

class RaceTest : public testing::Test {
 protected:
  Pass pass(const base::RenameCall& rename = base::rename_in_folder) {
    return Installer(node_.state_dir(), rename).reconcile(node_.desired);
  }
  [[nodiscard]] std::string with_entry(const std::string& text) const {
    auto result = cni::with_entry(text, node_.desired.entry);
    return result ? *result : result.error().message;
  }
  /// Once, just before the first rename.
  [[nodiscard]] base::RenameCall renamed_over(const char* name, const std::string& text) const {
    return meddle([this, name, text](int call) {
      if (call == 1) node_.rename_over(name, text);
    });
  }
  /// Runs in a child that is killed after the first rename.
  template <typename Body>
  static void killed(const base::RenameCall& rename, const Body& body) {
    const auto child = ::fork();
    if (child == 0) {
      body(
          base::RenameCall([&rename](int folder, const char* from, const char* to, unsigned flags) {
            (void)rename(folder, from, to, flags);
            return ::raise(SIGKILL);
          }));
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "there was nothing to do";
  }
  void killed_at_the_exchange() {
    killed(renamed_over(list, version(2)), [&](const base::RenameCall& rename) { pass(rename); });
    ASSERT_EQ(node_.conf(list), with_entry(calico)) << "of the older version";
    ASSERT_EQ(node_.confs().size(), 2U);
    ASSERT_EQ(node_.conf(node_.confs().front()), version(2));
  }

  Node node_;
};

TEST_F(RaceTest, AListThatIsRenamedOverMeanwhileIsEditedAnew) {
  node_.conf(list, calico);
  const auto result = pass(renamed_over(list, version(2)));
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.failure);
  EXPECT_THAT(result.warnings, IsEmpty());
  EXPECT_EQ(node_.conf(list), with_entry(version(2)));
  EXPECT_THAT(node_.confs(), ElementsAre(list));
  EXPECT_EQ(install::uninstall(node_.state_dir()).failures.size(), 0U);
  EXPECT_EQ(node_.conf(list), version(2));
}

TEST_F(RaceTest, AListThatChangesAllTheTimeIsNotFoughtOver) {
  node_.conf(list, calico);
  int changes = 0;
  const auto result = pass(meddle([&](int call) {
    if (call % 2 == 1) node_.rename_over(list, version(++changes));  // and not on the way back
  }));
  EXPECT_FALSE(result.ready);
  EXPECT_FALSE(result.failure);
  EXPECT_THAT(result.waiting_for, HasSubstr("is being changed all the time"));
  EXPECT_GT(result.look_again.count(), 0);
  EXPECT_EQ(node_.conf(list), version(changes));
  EXPECT_THAT(node_.confs(), ElementsAre(list));
  EXPECT_TRUE(pass().ready);
  EXPECT_EQ(node_.conf(list), with_entry(version(changes)));
}

TEST_F(RaceTest, AListThatIsRemovedMeanwhileDoesNotComeBack) {
  node_.conf(list, calico);
  const auto result = pass(meddle([&](int call) {
    if (call == 1) node_.remove(list);
  }));
  EXPECT_FALSE(result.ready);
  EXPECT_THAT(node_.confs(), IsEmpty());
}

TEST_F(RaceTest, AFileThatAppearsUnderOurNameMeanwhileIsSeen) {
  node_.conf("10-bridge.conf", bridge_conf);
  const auto result = pass(renamed_over(own, azure));
  EXPECT_TRUE(result.ready);
  EXPECT_TRUE(result.foreign || result.changed);
  EXPECT_EQ(result.derived_from, "10-bridge.conf");
  EXPECT_THAT(node_.confs(), ElementsAre(own, "10-bridge.conf"));
}

TEST_F(RaceTest, TheSourceOfOurOwnListMayChangeMeanwhile) {
  node_.desired.mode = Mode::owned;
  node_.conf(list, calico);
  pass(renamed_over(list, version(2)));
  EXPECT_TRUE(pass().ready);
  EXPECT_THAT(node_.conf(own), HasSubstr("v2-"));
}

TEST_F(RaceTest, UninstallTakesItsEntryOutOfTheNewestVersion) {
  node_.conf(list, calico);
  pass();
  // another program adds itself to what it has read: our entry included
  auto theirs = with_entry(version(2));
  const auto result = install::uninstall(node_.state_dir(), renamed_over(list, theirs));
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_EQ(node_.conf(list), version(2));
  EXPECT_THAT(node_.confs(), ElementsAre(list));
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
}

TEST_F(RaceTest, UninstallGivesUpOnAListThatChangesAllTheTime) {
  node_.conf(list, calico);
  pass();
  int changes = 0;
  const auto busy = meddle([&](int call) {
    if (call % 2 == 1) node_.rename_over(list, with_entry(version(++changes)));
  });
  const auto result = install::uninstall(node_.state_dir(), busy);
  EXPECT_THAT(result.failures,
              Contains(testing::Field(&base::Error::message,
                                      HasSubstr("10-calico.conflist is being changed all"))));
  EXPECT_EQ(node_.conf(list), with_entry(version(changes)));
  EXPECT_TRUE(std::filesystem::exists(node_.plugin())) << "a list names it";
  EXPECT_THAT(install::uninstall(node_.state_dir()).failures, IsEmpty());
  EXPECT_EQ(node_.conf(list), version(changes));
}

TEST_F(RaceTest, UninstallDeletesNoListThatTookThePlaceOfOurs) {
  node_.desired.mode = Mode::owned;
  node_.conf(list, calico);
  pass();
  const auto result = install::uninstall(node_.state_dir(), renamed_over(own, cilium));
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_EQ(node_.conf(own), cilium);
  EXPECT_THAT(node_.confs(), ElementsAre(own, list));
}

// --- killed in between

TEST_F(RaceTest, AfterAKillTheNewerVersionComesBackAndIsEdited) {
  node_.conf(list, calico);
  killed_at_the_exchange();
  const auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("put back")));
  EXPECT_EQ(node_.conf(list), with_entry(version(2)));
  EXPECT_THAT(node_.confs(), ElementsAre(list));
  EXPECT_THAT(pass().warnings, IsEmpty());
}

TEST_F(RaceTest, ARecordIsNotNeededForThat) {
  node_.conf(list, calico);
  killed_at_the_exchange();
  std::filesystem::remove(node_.state_dir() + "/record.json");
  EXPECT_TRUE(pass().ready);
  EXPECT_EQ(node_.conf(list), with_entry(version(2)));
}

TEST_F(RaceTest, UninstallAfterAKillLeavesTheNewerVersion) {
  node_.conf(list, calico);
  killed_at_the_exchange();
  const auto result = install::uninstall(node_.state_dir());
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_THAT(result.done, Contains(HasSubstr("put back")));
  EXPECT_EQ(node_.conf(list), version(2));
  EXPECT_THAT(node_.confs(), ElementsAre(list));
}

TEST_F(RaceTest, AfterAKillAndAnotherChangeBothVersionsStay) {
  node_.conf(list, calico);
  killed_at_the_exchange();
  const auto beside = node_.confs().front();
  node_.rename_over(list, version(3));
  const auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr(beside)));
  EXPECT_EQ(node_.conf(list), with_entry(version(3)));
  EXPECT_EQ(node_.conf(beside), version(2));
  const auto undone = install::uninstall(node_.state_dir());
  EXPECT_THAT(undone.failures, IsEmpty());
  EXPECT_THAT(undone.done, Contains(HasSubstr(beside)));
  EXPECT_EQ(node_.conf(beside), version(2));
}

TEST_F(RaceTest, AKilledUninstallLosesNoListEither) {
  node_.desired.mode = Mode::owned;
  node_.conf(list, calico);
  pass();
  killed(renamed_over(own, cilium),
         [&](const base::RenameCall& rename) { install::uninstall(node_.state_dir(), rename); });
  EXPECT_FALSE(node_.has(own));
  EXPECT_THAT(install::uninstall(node_.state_dir()).failures, IsEmpty());
  EXPECT_EQ(node_.conf(own), cilium);
  EXPECT_THAT(node_.confs(), ElementsAre(own, list));
}

/// Killed at any moment while another program writes version after version, and
/// slow just where it hurts.
TEST_F(RaceTest, KilledAtAnyMomentNoVersionIsLost) {
  const auto seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> pause(0, 1000);
  const auto slow = [](int folder, const char* from, const char* to, unsigned flags) {
    ::usleep(100);
    const int result = base::rename_in_folder(folder, from, to, flags);
    const int cause = errno;
    ::usleep(100);
    errno = cause;
    return result;
  };
  int newest = 0;
  int restored = 0;
  int kept = 0;
  node_.conf(list, version(newest));
  // a child's first round takes longer with sanitizers
  const auto begun = std::chrono::steady_clock::now();
  (void)Installer(node_.state_dir(), slow).reconcile(node_.desired);
  (void)install::uninstall(node_.state_dir(), slow);
  const auto round = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - begun);
  std::uniform_int_distribution<int> moment(0, 4000 + 2 * static_cast<int>(round.count()));
  const int kills = round > std::chrono::milliseconds(5) ? 100 : 300;
  const auto enough = begun + std::chrono::seconds(40 / test_support::slowness);
  for (int i = 0; i < kills || (restored + kept == 0 && std::chrono::steady_clock::now() < enough);
       ++i) {
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) {
        (void)Installer(node_.state_dir(), slow).reconcile(node_.desired);
        (void)install::uninstall(node_.state_dir(), slow);
      }
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(moment(random));
    while (std::chrono::steady_clock::now() < end) {
      node_.rename_over(list, version(++newest));
      std::this_thread::sleep_for(std::chrono::microseconds(pause(random)));
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ::waitpid(child, nullptr, 0);

    ASSERT_TRUE(cni::inspect(list, node_.conf(list)).ok()) << "seed " << seed;
    const auto result = pass();
    ASSERT_TRUE(result.ready) << "seed " << seed;
    const auto names = node_.confs();
    if (names.size() == 1U) {
      ASSERT_EQ(node_.conf(list), with_entry(version(newest))) << "kill " << i << ", seed " << seed;
      restored += result.warnings.empty() ? 0 : 1;
      continue;
    }
    // killed twice over: while a newer one of two versions was on its way back
    ++kept;
    bool there = node_.conf(list) == with_entry(version(newest));
    for (const auto& name : names) {
      if (name == list) continue;
      EXPECT_THAT(result.warnings, Contains(HasSubstr(name)));
      there = there || node_.conf(name) == version(newest);
      node_.remove(name);
    }
    ASSERT_TRUE(there) << "kill " << i << ", seed " << seed;
    node_.rename_over(list, version(newest));
  }
#ifndef ICN_SANITIZED  // a slow process is seldom met in the moment that counts
  EXPECT_GT(restored + kept, 0) << "the moments do not meet the work";
#endif
  RecordProperty("restored", restored);
  RecordProperty("kept", kept);
}

// --- what the watcher makes of it

TEST_F(RaceTest, OurOwnExchangeEndsTheEvents) {
  node_.conf(list, calico);
  auto watcher = install::Watcher::make();
  ASSERT_TRUE(watcher);
  watcher->watch({node_.conf_dir(), node_.plugin(), node_.desired.kubeconfig_path});
  int calls = 0;
  Installer installer(node_.state_dir(), meddle([&](int) {
                        // twice in a row they meet, then the other program is done
                        if (++calls <= 2) node_.rename_over(list, version(calls));
                      }));
  EXPECT_TRUE(installer.reconcile(node_.desired).ready);
  (void)installer.prepare(node_.desired);
  int passes = 0;
  pollfd state{watcher->fd(), POLLIN, 0};
  while (::poll(&state, 1, 100) == 1) {
    const auto events = watcher->take();
    EXPECT_FALSE(events.degraded);
    if (!events.relevant) continue;
    ASSERT_LT(++passes, 10) << "our own renames keep us busy";
    const auto result = installer.reconcile(node_.desired);
    EXPECT_FALSE(result.changed);
    EXPECT_FALSE(result.foreign);
    (void)installer.prepare(node_.desired);
  }
  EXPECT_GT(passes, 0) << "the renames of the other program must be seen";
  EXPECT_EQ(node_.conf(list), with_entry(version(2)));
}

}  // namespace
