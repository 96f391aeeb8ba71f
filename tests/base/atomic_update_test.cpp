#include "base/atomic_update.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::cat;
using base::recover_update;
using base::remove_unchanged;
using base::RenameCall;
using base::update_atomically;
using base::Updated;
using test_support::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

/// The system call, and what other programs do just before the first, the second
/// ... of them.
class Meddled {
 public:
  explicit Meddled(std::vector<std::function<void()>> before) : before_(std::move(before)) {}

  RenameCall call() {
    return [this](int folder, const char* from, const char* to, unsigned flags) {
      if (calls_ < before_.size()) before_[calls_]();
      ++calls_;
      if (const int cause = refused_[flags]; cause != 0) {
        errno = cause;
        return -1;
      }
      return base::rename_in_folder(folder, from, to, flags);
    };
  }
  /// As on a file system without it.
  void refuse(unsigned flags, int cause) { refused_[flags] = cause; }
  [[nodiscard]] std::size_t calls() const { return calls_; }

 private:
  std::vector<std::function<void()>> before_;
  std::map<unsigned, int> refused_;
  std::size_t calls_ = 0;
};

class AtomicUpdate : public testing::Test {
 protected:
  AtomicUpdate() = default;
  explicit AtomicUpdate(TempDir (*folder)()) : dir_(folder()) {}
  [[nodiscard]] std::string content() const {
    auto text = base::read_file(file_);
    return text ? *text : "none";
  }
  [[nodiscard]] std::vector<std::string> entries() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_.path()))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  /// As other programs do it.
  void peer(const std::string& text, mode_t mode = 0644) const {
    fs::rename(dir_.write("peer", text, mode), file_);
  }
  [[nodiscard]] std::function<void()> peers(const std::string& text) const {
    return [this, text] { peer(text); };
  }
  void in_place(const std::string& text) const { dir_.write("f", text); }
  static mode_t mode(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
  }
  static ino_t inode(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }

  TempDir dir_;
  std::string file_ = dir_.path("f");
};

TEST_F(AtomicUpdate, ChangesWhatIsStillTheBasis) {
  dir_.write("f", "old", 0640);
  const bool root = ::geteuid() == 0;
  ASSERT_TRUE(!root || ::chown(file_.c_str(), 12, 34) == 0);
  EXPECT_EQ(*update_atomically(file_, "old", "new", {.mode = 0600}), Updated::changed);
  EXPECT_EQ(content(), "new");
  EXPECT_EQ(mode(file_), 0640U);
  if (root) {
    struct stat info {};
    ASSERT_EQ(::stat(file_.c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 12U);
    EXPECT_EQ(info.st_gid, 34U);
  }
  EXPECT_EQ(*update_atomically(file_, "new", "new"), Updated::unchanged);
  EXPECT_EQ(*update_atomically(file_, "older", "new"), Updated::unchanged) << "as is wanted";
  EXPECT_EQ(*update_atomically(file_, std::nullopt, "new", {.mode = 0600, .force_mode = true}),
            Updated::changed);
  EXPECT_EQ(mode(file_), 0600U);
  EXPECT_THAT(entries(), ElementsAre("f"));
}

TEST_F(AtomicUpdate, MakesAFileWhereThereIsNone) {
  EXPECT_EQ(*update_atomically(file_, std::nullopt, "new", {.mode = 0604}), Updated::changed);
  EXPECT_EQ(content(), "new");
  EXPECT_EQ(mode(file_), 0604U);
  EXPECT_THAT(entries(), ElementsAre("f"));
}

TEST_F(AtomicUpdate, ADifferentBasisIsLeftAlone) {
  EXPECT_EQ(*update_atomically(file_, "old", "new"), Updated::overtaken);
  EXPECT_EQ(content(), "none");
  peer("other");
  const auto before = inode(file_);
  EXPECT_EQ(*update_atomically(file_, "old", "new"), Updated::overtaken);
  EXPECT_EQ(*update_atomically(file_, std::nullopt, "new"), Updated::overtaken);
  EXPECT_EQ(content(), "other");
  EXPECT_EQ(inode(file_), before);
  EXPECT_THAT(entries(), ElementsAre("f"));
}

TEST_F(AtomicUpdate, ErrorsAreThoseOfTheFile) {
  fs::create_directory(file_);
  auto folder = update_atomically(file_, "old", "new");
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("f is not a regular file"));
  auto nowhere = update_atomically(dir_.path("none/f"), std::nullopt, "new");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, base::Errc::not_found);
  EXPECT_EQ(*remove_unchanged(dir_.path("none/f"), "old"), Updated::unchanged);
  EXPECT_EQ(*remove_unchanged(file_, "old"), Updated::overtaken);
}

TEST_F(AtomicUpdate, ALinkIsFollowedAndStays) {
  fs::create_directory(dir_.path("real"));
  dir_.write("real/f", "old");
  fs::create_symlink("real/f", file_);
  Meddled meddled({[&] { dir_.write("real/f", "peer's"); }});
  EXPECT_EQ(*update_atomically(file_, "old", "new", {}, meddled.call()), Updated::overtaken);
  EXPECT_EQ(content(), "peer's");
  EXPECT_EQ(*update_atomically(file_, "peer's", "new"), Updated::changed);
  EXPECT_TRUE(fs::is_symlink(file_));
  EXPECT_EQ(content(), "new");
}

TEST_F(AtomicUpdate, WhatOthersDoJustBeforeTheExchangeStays) {
  struct Case {
    const char* what;
    std::function<void()> change;
    std::string content;
  };
  const std::vector<Case> cases{
      {"another version", peers("peer's"), "peer's"},
      {"of the same length", peers("OLD"), "OLD"},
      {"an empty one", peers(""), ""},
      {"another mode", [&] { peer("old", 0600); }, "old"},
      {"removed", [&] { fs::remove(file_); }, "none"},
      {"moved away", [&] { fs::rename(file_, dir_.path("away")); }, "none"},
      {"a link",
       [&] {
         dir_.write("target", "target's");
         fs::create_symlink("target", dir_.path("link"));
         fs::rename(dir_.path("link"), file_);
       },
       "target's"},
      {"written in place", [&] { in_place("in place"); }, "in place"},
      {"cut off in place", [&] { in_place(""); }, ""}};
  for (const auto& [what, change, expected] : cases) {
    SCOPED_TRACE(what);
    peer("old");
    ino_t after = 0;
    Meddled meddled({[&, &change = change] {
      change();
      after = inode(file_);
    }});
    const auto updated = update_atomically(file_, "old", "new", {}, meddled.call());
    ASSERT_TRUE(updated) << updated.error().message;
    EXPECT_EQ(*updated, Updated::overtaken);
    EXPECT_EQ(content(), expected);
    EXPECT_EQ(inode(file_), after) << "theirs, and no copy";
    for (const auto* name : {"away", "target", "f"}) fs::remove(dir_.path(name));
    EXPECT_THAT(entries(), IsEmpty());
  }
}

TEST_F(AtomicUpdate, TheNewestOfMoreVersionsStays) {
  for (std::size_t more = 1; more <= 5; ++more) {
    peer("old");
    std::vector<std::function<void()>> changes;
    for (std::size_t i = 1; i <= more; ++i) changes.push_back(peers(cat("version ", i)));
    Meddled meddled(changes);
    EXPECT_EQ(*update_atomically(file_, "old", "new", {}, meddled.call()), Updated::overtaken);
    EXPECT_EQ(content(), cat("version ", more));
    EXPECT_GE(meddled.calls(), more);
    EXPECT_THAT(entries(), ElementsAre("f"));
  }
}

TEST_F(AtomicUpdate, ARemovalBeforeTheWayBackStays) {
  peer("old");
  Meddled meddled({peers("peer's"), [&] { fs::remove(file_); }});
  EXPECT_EQ(*update_atomically(file_, "old", "new", {}, meddled.call()), Updated::overtaken);
  EXPECT_THAT(entries(), IsEmpty());
}

TEST_F(AtomicUpdate, WhatWasMovedAwayInsteadOfTheirsIsNotTheOnlyVersion) {
  peer("old");
  Meddled meddled({peers("peer's"), [&] { fs::rename(file_, dir_.path("away")); }});
  EXPECT_EQ(*update_atomically(file_, "old", "new", {}, meddled.call()), Updated::overtaken);
  EXPECT_EQ(content(), "peer's");
  EXPECT_THAT(entries(), ElementsAre("away", "f"));
}

TEST_F(AtomicUpdate, WhatCannotGoBackIsNamed) {
  peer("old");
  Meddled meddled({peers("peer's"), [&] { meddled.refuse(RENAME_EXCHANGE, EIO); }});
  const auto updated = update_atomically(file_, "old", "new", {}, meddled.call());
  ASSERT_FALSE(updated);
  ASSERT_EQ(entries().size(), 2U);
  const auto beside = dir_.path(entries().front());
  EXPECT_THAT(updated.error().message, HasSubstr(beside));
  EXPECT_EQ(*base::read_file(beside), "peer's");
  const auto recovered = recover_update(file_);
  ASSERT_TRUE(recovered);
  EXPECT_TRUE(recovered->restored);
  EXPECT_EQ(content(), "peer's");
  EXPECT_THAT(entries(), ElementsAre("f"));
}

TEST_F(AtomicUpdate, AFileThatAppearsMeanwhileStays) {
  for (const int cause : {0, EINVAL}) {
    Meddled meddled({peers("peer's")});
    meddled.refuse(RENAME_NOREPLACE, cause);
    EXPECT_EQ(*update_atomically(file_, std::nullopt, "new", {}, meddled.call()),
              Updated::overtaken);
    EXPECT_EQ(content(), "peer's");
    EXPECT_THAT(entries(), ElementsAre("f"));
    fs::remove(file_);
  }
}

TEST_F(AtomicUpdate, WithoutTheExchangeALookJustBeforeProtects) {
  for (const int cause : {EINVAL, ENOSYS, EPERM}) {
    peer("old");
    for (const bool meddle : {true, false}) {
      Meddled meddled({[&] {
        if (meddle) peer("peer's");
      }});
      meddled.refuse(RENAME_EXCHANGE, cause);
      meddled.refuse(RENAME_NOREPLACE, cause);
      const auto updated =
          update_atomically(file_, meddle ? "old" : "peer's", "new", {}, meddled.call());
      ASSERT_TRUE(updated) << updated.error().message;
      EXPECT_EQ(*updated, meddle ? Updated::overtaken : Updated::changed);
      EXPECT_EQ(content(), meddle ? "peer's" : "new");
      EXPECT_THAT(entries(), ElementsAre("f"));
    }
    Meddled meddled({});
    meddled.refuse(RENAME_NOREPLACE, cause);
    EXPECT_EQ(*remove_unchanged(file_, "new", meddled.call()), Updated::changed);
    EXPECT_EQ(*update_atomically(file_, std::nullopt, "new", {}, meddled.call()), Updated::changed);
    EXPECT_EQ(content(), "new");
    EXPECT_THAT(entries(), ElementsAre("f"));
  }
}

TEST_F(AtomicUpdate, RemovesWhatIsStillTheBasis) {
  EXPECT_EQ(*remove_unchanged(file_, "old"), Updated::unchanged);
  peer("other");
  EXPECT_EQ(*remove_unchanged(file_, "old"), Updated::overtaken);
  EXPECT_EQ(content(), "other");
  EXPECT_EQ(*remove_unchanged(file_, "other"), Updated::changed);
  EXPECT_THAT(entries(), IsEmpty());
  dir_.write("target", "old");
  fs::create_symlink("target", file_);
  EXPECT_EQ(*remove_unchanged(file_, "old"), Updated::changed);
  EXPECT_THAT(entries(), ElementsAre("target")) << "the link goes, not its target";
}

TEST_F(AtomicUpdate, WhatOthersPutInThePlaceOfARemovedFileStays) {
  peer("old");
  Meddled once({peers("peer's")});
  EXPECT_EQ(*remove_unchanged(file_, "old", once.call()), Updated::overtaken);
  EXPECT_EQ(content(), "peer's");
  peer("old");
  Meddled twice({peers("peer's"), peers("newer")});
  EXPECT_EQ(*remove_unchanged(file_, "old", twice.call()), Updated::overtaken);
  EXPECT_EQ(content(), "newer");
  Meddled gone({[&] { fs::remove(file_); }});
  EXPECT_EQ(*remove_unchanged(file_, "newer", gone.call()), Updated::overtaken);
  EXPECT_THAT(entries(), IsEmpty());
}

// --- killed

/// Kills itself at one moment: before the first call it is 0, after that 1, ...
RenameCall until(int moment, Meddled& meddled, int& now) {
  return [moment, &now, call = meddled.call()](int folder, const char* from, const char* to,
                                               unsigned flags) {
    if (now++ == moment) ::raise(SIGKILL);
    const int result = call(folder, from, to, flags);
    const int cause = errno;
    if (now++ == moment) ::raise(SIGKILL);
    errno = cause;
    return result;
  };
}

/// True when it was killed.
template <typename Body>
bool killed(const Body& body) {
  const auto child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

TEST_F(AtomicUpdate, KilledAtEveryMomentTheNewestVersionIsStillThere) {
  enum Way { written, from_spare, removed };
  for (const auto way : {written, from_spare, removed}) {
    for (std::size_t versions = 0; versions <= 3; ++versions) {
      bool more = true;
      for (int moment = 0; more; ++moment) {
        SCOPED_TRACE(
            cat("way ", static_cast<int>(way), ", ", versions, " versions, moment ", moment));
        for (const auto& entry : entries()) fs::remove(dir_.path(entry));
        base::Spare spare;
        peer("new");
        if (way == from_spare) (void)spare.prepare(file_, "new");
        peer("version 0");
        std::vector<std::function<void()>> changes;
        for (std::size_t i = 1; i <= versions; ++i) changes.push_back(peers(cat("version ", i)));
        more = killed([&] {
          Meddled meddled(changes);
          int now = 0;
          const auto call = until(moment, meddled, now);
          (void)(way == removed ? remove_unchanged(file_, "version 0", call)
                                : update_atomically(file_, "version 0", "new", {}, call, &spare));
        });
        // what the other program has written until then: one version per call
        const auto newest = std::min(versions, static_cast<std::size_t>(moment + 1) / 2);
        const auto expected = cat("version ", newest);
        const auto recovered = recover_update(file_);
        ASSERT_TRUE(recovered) << recovered.error().message;
        EXPECT_EQ(entries().size(),
                  recovered->kept.size() + static_cast<std::size_t>(content() != "none"));
        if (newest == 0) {
          EXPECT_THAT(recovered->kept, IsEmpty());
          EXPECT_FALSE(recovered->restored);
          EXPECT_THAT(content(), testing::AnyOf("version 0", "new", "none"));
        } else if (content() != expected) {
          ASSERT_EQ(recovered->kept.size(), 1U);
          EXPECT_EQ(*base::read_file(recovered->kept.front()), expected);
        }
        if (newest == 1) {
          EXPECT_EQ(content(), expected) << "it comes back by itself";
        }
      }
    }
  }
}

TEST_F(AtomicUpdate, AVersionBesideANewerOneIsKeptAndNamed) {
  peer("old");
  ASSERT_TRUE(killed([&] {
    Meddled meddled({peers("peer's")});
    int now = 0;
    (void)update_atomically(file_, "old", "new", {}, until(1, meddled, now));
  }));
  EXPECT_EQ(content(), "new");
  peer("newest");
  for (int i = 0; i < 2; ++i) {
    const auto recovered = recover_update(file_);
    ASSERT_TRUE(recovered);
    EXPECT_FALSE(recovered->restored);
    ASSERT_EQ(recovered->kept.size(), 1U);
    EXPECT_EQ(*base::read_file(recovered->kept.front()), "peer's");
    EXPECT_EQ(content(), "newest");
    EXPECT_EQ(*update_atomically(file_, "newest", "changed"), Updated::changed);
    EXPECT_EQ(*update_atomically(file_, "changed", "newest"), Updated::changed);
  }
}

TEST_F(AtomicUpdate, OnlyItsOwnLeftOversAreTouched) {
  const std::vector<std::string> others{
      ".f.icn-aB3xYz-",    ".f.icn-aB3xYz-x",  ".f.icn-aB3xYz-1-2-3", ".g.icn-aB3xYz-1-2",
      ".f.icn-aB3x.z-1-2", "f.icn-aB3xYz-1-2", ".f.icn-aB3xYz1-2"};
  for (const auto& name : others) dir_.write(name, "not ours");
  dir_.write(".f.icn-aB3xYz", "half");
  auto expected = others;
  std::sort(expected.begin(), expected.end());
  const auto recovered = recover_update(file_);
  ASSERT_TRUE(recovered);
  EXPECT_THAT(recovered->kept, IsEmpty());
  EXPECT_EQ(entries(), expected);
  EXPECT_TRUE(recover_update(dir_.path("none/f")));
}

// --- at the same time

class AtomicUpdateRace : public AtomicUpdate {
 protected:
  AtomicUpdateRace() : AtomicUpdate(&TempDir::fast) {}
};

/// Two versions shortly after one another, again and again, and of each pair the
/// second must stay.
TEST_F(AtomicUpdateRace, LosesNoVersion) {
  constexpr int pairs = 600;
  constexpr std::string_view mark = " changed";
  using Clock = std::chrono::steady_clock;
  peer("0");
  std::atomic<bool> done = false;
  std::atomic<int> overtaken = 0;
  std::thread updater([&] {
    while (!done) {
      const auto there = base::read_file(file_);
      if (!there || there->ends_with(mark)) continue;
      const auto updated = update_atomically(file_, *there, cat(*there, mark));
      if (updated && *updated == Updated::overtaken) ++overtaken;
    }
  });
  std::minstd_rand random(std::random_device{}());
  std::uniform_int_distribution<int> microseconds(0, 150);
  int lost = 0;
  for (int i = 1; i <= pairs && lost == 0; ++i) {
    peer(cat("first ", i));
    const auto pause = Clock::now() + std::chrono::microseconds(microseconds(random));
    while (Clock::now() < pause) continue;
    const auto second = cat("second ", i);
    peer(second);
    const auto end = Clock::now() + std::chrono::seconds(5);
    while (content() != cat(second, mark) && Clock::now() < end) continue;
    if (content() != cat(second, mark)) lost = i;
  }
  done = true;
  updater.join();
  EXPECT_EQ(lost, 0) << content();
  EXPECT_GT(overtaken, 0) << "they never met";
  RecordProperty("overtaken", overtaken);
  EXPECT_THAT(entries(), ElementsAre("f"));
}

}  // namespace
