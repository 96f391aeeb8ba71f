#include "base/spare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/atomic_update.hpp"
#include "base/file.hpp"
#include "support/spares.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::Spare;
using base::update_atomically;
using base::Updated;
using base::WriteOptions;
using test_support::entries;
using test_support::info;
using test_support::nameless;
using test_support::TempDir;
using testing::ElementsAre;
namespace fs = std::filesystem;

static_assert(std::is_nothrow_move_constructible_v<Spare> && std::is_move_assignable_v<Spare>);
static_assert(!std::is_copy_constructible_v<Spare> && !std::is_copy_assignable_v<Spare>);

constexpr int skip = 77;

class SpareTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test_support::keeps_spares(dir_.path()))
      GTEST_SKIP() << dir_.path() << " is of a kind that keeps no spare";
    dir_.write("f", "ours");
  }
  [[nodiscard]] std::string content() const {
    auto text = base::read_file(file_);
    return text ? *text : "none";
  }
  /// As other programs do it.
  void peer(const std::string& text, mode_t mode = 0644) const {
    fs::rename(dir_.write("peer", text, mode), file_);
  }
  /// Our content comes back; true when that is the spare.
  bool comes_back(Spare& spare, const std::string& ours = "ours",
                  const WriteOptions& options = {}) {
    const auto waiting = nameless(dir_.path());
    EXPECT_EQ(waiting.size(), spare.ready() ? 1U : 0U);
    const auto there = base::read_file(file_);
    const auto basis = there ? std::optional<std::string_view>(*there) : std::nullopt;
    EXPECT_EQ(*update_atomically(file_, basis, ours, options, base::rename_in_folder, &spare),
              Updated::changed);
    EXPECT_EQ(content(), ours);
    EXPECT_THAT(entries(dir_.path()), ElementsAre("f"));
    const bool used = !waiting.empty() && waiting.front() == info(file_).st_ino;
    EXPECT_EQ(spare.ready(), !waiting.empty() && !used);
    return used;
  }

  TempDir dir_ = TempDir::fast();
  std::string file_ = dir_.path("f");
};

TEST_F(SpareTest, ComesInForTheSameContent) {
  Spare spare;
  EXPECT_FALSE(spare.ready());
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  EXPECT_TRUE(spare.ready());
  EXPECT_FALSE(spare.prepare(file_, "ours")) << "it is there already";
  EXPECT_THAT(entries(dir_.path()), ElementsAre("f"));

  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // more than a tick of its clock
  peer("theirs");
  const auto theirs = info(file_);
  EXPECT_TRUE(comes_back(spare));
  const auto now = info(file_);
  EXPECT_EQ(now.st_nlink, 1U);
  EXPECT_GE(std::pair(now.st_mtim.tv_sec, now.st_mtim.tv_nsec),
            std::pair(theirs.st_mtim.tv_sec, theirs.st_mtim.tv_nsec))
      << "not that of its preparation";

  peer("theirs");
  EXPECT_FALSE(comes_back(spare)) << "it is used up";
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs");
  Spare moved(std::move(spare));
  EXPECT_TRUE(comes_back(moved));
}

TEST_F(SpareTest, StaysWhenSomethingElseIsWanted) {
  Spare spare;
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs, new");
  EXPECT_FALSE(spare.prepare(file_, "ours, new")) << "the file is another's just now";
  EXPECT_TRUE(spare.ready());
  EXPECT_FALSE(comes_back(spare, "ours, new"));
  EXPECT_TRUE(spare.prepare(file_, "ours, new"));
  peer("theirs, new");
  EXPECT_TRUE(comes_back(spare, "ours, new"));
}

TEST_F(SpareTest, StaysWhereTheAttributesAreOthers) {
  Spare spare;
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs", 0600);
  EXPECT_FALSE(comes_back(spare));
  EXPECT_EQ(info(file_).st_mode & 07777U, 0600U);
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs", 0600);
  EXPECT_TRUE(comes_back(spare));
  EXPECT_EQ(info(file_).st_mode & 07777U, 0600U);

  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs", 0600);
  EXPECT_FALSE(comes_back(spare, "ours", {.mode = 0640, .force_mode = true}));
  EXPECT_EQ(info(file_).st_mode & 07777U, 0640U);
}

TEST_F(SpareTest, StaysWhereTheOwnerIsAnother) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: gives files to others";
  Spare spare;
  for (const auto& [user, group] : {std::pair{12, -1}, std::pair{-1, 34}}) {
    peer("ours");
    ASSERT_TRUE(spare.prepare(file_, "ours"));
    for (const bool prepared : {false, true}) {
      EXPECT_EQ(prepared && spare.prepare(file_, "ours"), prepared);
      peer("theirs");
      ASSERT_EQ(::chown(file_.c_str(), static_cast<uid_t>(user), static_cast<gid_t>(group)), 0);
      EXPECT_EQ(comes_back(spare), prepared);
      EXPECT_EQ(info(file_).st_uid, user < 0 ? 0U : 12U);
      EXPECT_EQ(info(file_).st_gid, group < 0 ? 0U : 34U);
    }
    // a new one would be ours
    ASSERT_TRUE(spare.prepare(file_, "ours"));
    fs::remove(file_);
    EXPECT_FALSE(comes_back(spare));
    EXPECT_EQ(info(file_).st_uid, 0U);
    spare.drop();
  }
}

TEST_F(SpareTest, StaysWhereTheLabelIsAnother) {
  Spare spare;
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs");
  const std::string label("system_u:object_r:cni_conf_t:s0\0", 32);
  if (::setxattr(file_.c_str(), "security.selinux", label.data(), label.size(), 0) != 0)
    GTEST_SKIP() << "cannot set a security label here: " << strerrordesc_np(errno);
  EXPECT_FALSE(comes_back(spare));
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs");
  ASSERT_EQ(::setxattr(file_.c_str(), "security.selinux", label.data(), label.size(), 0), 0);
  EXPECT_TRUE(comes_back(spare));
  std::string got(100, '\0');
  const auto length = ::getxattr(file_.c_str(), "security.selinux", got.data(), got.size());
  ASSERT_GT(length, 0);
  got.resize(static_cast<std::size_t>(length));
  EXPECT_EQ(got, label);
}

TEST_F(SpareTest, ComesInForAFileThatIsGone) {
  Spare spare;
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  fs::remove(file_);
  EXPECT_FALSE(comes_back(spare, "ours", {.mode = 0600}));
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  fs::remove(file_);
  EXPECT_TRUE(comes_back(spare, "ours", {.mode = 0600}));
  EXPECT_EQ(info(file_).st_mode & 07777U, 0600U);
}

TEST_F(SpareTest, BelongsToItsFolder) {
  const auto folder = dir_.path("folder");
  const auto file = folder + "/f";
  fs::create_directory(folder);
  dir_.write("folder/f", "ours");
  Spare spare;
  ASSERT_TRUE(spare.prepare(file, "ours"));
  // another in its place
  fs::rename(folder, dir_.path("old"));
  fs::create_directory(folder);
  dir_.write("folder/f", "theirs");
  EXPECT_EQ(*update_atomically(file, "theirs", "ours", {}, base::rename_in_folder, &spare),
            Updated::changed);
  EXPECT_EQ(*base::read_file(file), "ours");
  EXPECT_THAT(entries(folder), ElementsAre("f"));
  EXPECT_TRUE(spare.ready());
  EXPECT_TRUE(spare.prepare(file, "ours"));
  EXPECT_TRUE(nameless(dir_.path("old")).empty());
  EXPECT_EQ(nameless(folder).size(), 1U);
  // none
  fs::remove_all(folder);
  EXPECT_FALSE(spare.prepare(file, "ours"));
  EXPECT_FALSE(spare.ready()) << "nothing keeps the folder's file system";
}

TEST_F(SpareTest, NeverStandsForANewerVersion) {
  Spare spare;
  ASSERT_TRUE(spare.prepare(file_, "ours"));
  peer("theirs");
  bool first = true;
  const auto meddled = [&](int folder, const char* from, const char* to, unsigned flags) {
    if (std::exchange(first, false)) peer("newer");
    return base::rename_in_folder(folder, from, to, flags);
  };
  EXPECT_EQ(*update_atomically(file_, "theirs", "ours", {}, meddled, &spare), Updated::overtaken);
  EXPECT_EQ(content(), "newer");
  EXPECT_THAT(entries(dir_.path()), ElementsAre("f"));
}

TEST_F(SpareTest, LeavesNothingToACrash) {
  const auto child = ::fork();
  if (child == 0) {
    Spare spare;
    if (!spare.prepare(file_, "ours") || nameless(dir_.path()).size() != 1) ::_exit(1);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_THAT(entries(dir_.path()), ElementsAre("f"));
  EXPECT_EQ(content(), "ours");
}

/// The exit status of `body` in a child with mounts of its own.
template <typename Body>
int with_own_mounts(const Body& body) {
  const auto child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      ::_exit(skip);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// The slow way, from `ours` through the other program's version.
bool works_without(const std::string& file, Spare& spare) {
  if (!base::write_atomically(file, "theirs")) return false;
  const auto updated =
      update_atomically(file, "theirs", "ours", {}, base::rename_in_folder, &spare);
  const auto now = base::read_file(file);
  return updated && *updated == Updated::changed && now && *now == "ours";
}

TEST_F(SpareTest, IsNotThereWhereAFlushMayNotReachIt) {
  const int result = with_own_mounts([this] {
    const auto mount = dir_.path("mount");
    fs::create_directory(mount);
    // which has such files, but is not known
    if (::mount("none", mount.c_str(), "ramfs", 0, nullptr) != 0) return skip;
    const auto file = mount + "/f";
    if (!base::write_atomically(file, "ours")) return 1;
    Spare spare;
    if (spare.prepare(file, "ours") || spare.ready()) return 2;
    return works_without(file, spare) ? 0 : 3;
  });
  if (result == skip) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(result, 0);
}

TEST_F(SpareTest, IsGivenUpWhereItGetsNoName) {
  const int result = with_own_mounts([this] {
    Spare spare;
    if (!spare.prepare(file_, "ours")) return 1;
    if (::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) return skip;
    if (!works_without(file_, spare)) return 2;
    if (spare.ready() || entries(dir_.path()).size() != 1) return 3;
    // not for nothing with every pass
    return spare.prepare(file_, "ours") ? 4 : 0;
  });
  if (result == skip) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(result, 0);
}

}  // namespace
