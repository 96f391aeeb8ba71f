#include "base/atomic_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::copy_atomically;
using base::Errc;
using base::remove_file;
using base::write_atomically;
using base::Written;
using test_support::entries;
using test_support::info;
using test_support::TempDir;
using testing::HasSubstr;
namespace fs = std::filesystem;

mode_t mode(const std::string& path) { return info(path).st_mode & 07777U; }

std::string content(const std::string& path) {
  auto text = base::read_file(path, std::size_t{64} << 20);
  return text ? *text : "cannot read: " + text.error().message;
}

/// Nothing of a file has been touched since `before`.
void expect_untouched(const std::string& path, const struct stat& before) {
  const auto after = info(path);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
  EXPECT_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
  EXPECT_EQ(after.st_mode, before.st_mode);
}

TEST(AtomicFile, NewFileHasTheModeWhateverTheUmask) {
  TempDir dir;
  const auto old = ::umask(0077);
  auto written = write_atomically(dir.path("f"), "text", {.mode = 0644});
  ::umask(old);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(*written, Written::changed);
  EXPECT_EQ(content(dir.path("f")), "text");
  EXPECT_EQ(mode(dir.path("f")), 0644U);
  EXPECT_EQ(*write_atomically(dir.path("secret"), "text", {.mode = 0600}), Written::changed);
  EXPECT_EQ(mode(dir.path("secret")), 0600U);
  EXPECT_EQ(entries(dir.path()), (std::vector<std::string>{"f", "secret"}));
}

TEST(AtomicFile, ExistingModeIsKept) {
  TempDir dir;
  const auto path = dir.write("f", "old", 0640);
  EXPECT_EQ(*write_atomically(path, "new", {.mode = 0600}), Written::changed);
  EXPECT_EQ(content(path), "new");
  EXPECT_EQ(mode(path), 0640U);
}

TEST(AtomicFile, ForcedModeReplacesTheExistingOne) {
  TempDir dir;
  const auto path = dir.write("f", "old", 0644);
  EXPECT_EQ(*write_atomically(path, "new", {.mode = 0600, .force_mode = true}), Written::changed);
  EXPECT_EQ(mode(path), 0600U);
  // equal content, another mode: the same file, its mode set
  const auto before = info(path);
  EXPECT_EQ(*write_atomically(path, "new", {.mode = 0640, .force_mode = true}), Written::changed);
  EXPECT_EQ(mode(path), 0640U);
  EXPECT_EQ(info(path).st_ino, before.st_ino);
  EXPECT_EQ(*write_atomically(path, "new", {.mode = 0640, .force_mode = true}), Written::unchanged);
}

TEST(AtomicFile, EqualContentIsNotWrittenAgain) {
  TempDir dir;
  for (const std::string& text : {std::string(), std::string("x"), std::string(65536, 'a'),
                                  std::string(200'000, 'b'), std::string("\0y", 2)}) {
    const auto path = dir.write("f", text, 0600);
    const auto before = info(path);
    EXPECT_EQ(*write_atomically(path, text, {.mode = 0644}), Written::unchanged);
    EXPECT_EQ(*copy_atomically(dir.write("source", text), path, {.mode = 0644}),
              Written::unchanged);
    expect_untouched(path, before);
  }
}

TEST(AtomicFile, EveryDifferenceIsNoticed) {
  TempDir dir;
  const std::string base(150'000, 'x');
  for (const std::size_t at : {std::size_t{0}, std::size_t{65535}, std::size_t{65536},
                               std::size_t{131072}, base.size() - 1}) {
    auto changed = base;
    changed[at] = 'y';
    const auto path = dir.write("f", base);
    EXPECT_EQ(*write_atomically(path, changed), Written::changed) << at;
    EXPECT_EQ(content(path), changed);
    const auto copy = dir.write("g", base);
    EXPECT_EQ(*copy_atomically(path, copy, {}), Written::changed) << at;
    EXPECT_EQ(content(copy), changed);
  }
  for (const std::string& other : {base + "x", base.substr(1), std::string()}) {
    const auto path = dir.write("f", base);
    EXPECT_EQ(*write_atomically(path, other), Written::changed);
    EXPECT_EQ(content(path), other);
  }
}

TEST(AtomicFile, OwnerAndGroupAreKept) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  TempDir dir;
  const auto path = dir.write("f", "old", 0640);
  ASSERT_EQ(::chown(path.c_str(), 1234, 4321), 0);
  ASSERT_EQ(::chmod(path.c_str(), 04750), 0);
  EXPECT_EQ(*write_atomically(path, "new"), Written::changed);
  EXPECT_EQ(info(path).st_uid, 1234U);
  EXPECT_EQ(info(path).st_gid, 4321U);
  EXPECT_EQ(mode(path), 04750U);
}

TEST(AtomicFile, WithoutTheRightToGiveAwayItBecomesOurs) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  TempDir dir;
  const auto path = dir.write("f", "old");
  ASSERT_EQ(::chown(path.c_str(), 1234, 4321), 0);
  ASSERT_EQ(::chmod(path.c_str(), 06755), 0);
  const auto child = ::fork();
  if (child == 0) {  // as the service's sandbox: root without CAP_CHOWN
    if (::prctl(PR_CAPBSET_DROP, CAP_CHOWN) != 0) ::_exit(1);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> caps{};
    if (::syscall(SYS_capget, &header, caps.data()) != 0) ::_exit(2);
    caps[0].effective &= ~(1U << CAP_CHOWN);
    caps[0].permitted &= ~(1U << CAP_CHOWN);
    if (::syscall(SYS_capset, &header, caps.data()) != 0) ::_exit(3);
    auto written = write_atomically(path, "new");
    ::_exit(written && *written == Written::changed ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  EXPECT_EQ(content(path), "new");
  EXPECT_EQ(info(path).st_uid, 0U);
  EXPECT_EQ(mode(path), 0755U) << "and no set-id bits for another user's file";
}

TEST(AtomicFile, SecurityLabelIsKept) {
  TempDir dir;
  const auto path = dir.write("f", "old");
  const std::string label("system_u:object_r:cni_conf_t:s0\0", 32);
  if (::setxattr(path.c_str(), "security.selinux", label.data(), label.size(), 0) != 0)
    GTEST_SKIP() << "cannot set a security label here: " << strerrordesc_np(errno);
  EXPECT_EQ(*write_atomically(path, "new"), Written::changed);
  std::string got(100, '\0');
  const auto length = ::getxattr(path.c_str(), "security.selinux", got.data(), got.size());
  ASSERT_GT(length, 0);
  got.resize(static_cast<std::size_t>(length));
  EXPECT_EQ(got, label);
}

TEST(AtomicFile, LinksAreFollowedAndStay) {
  TempDir dir;
  fs::create_directories(dir.path("real/deep"));
  fs::create_directories(dir.path("links"));
  const auto real = dir.write("real/deep/f", "old", 0600);
  fs::create_symlink("../real/deep/f", dir.path("links/relative"));
  fs::create_symlink(dir.path("links/relative"), dir.path("links/absolute"));
  fs::create_symlink("../real/new", dir.path("links/dangling"));
  fs::create_symlink("../none/new", dir.path("links/nowhere"));
  fs::create_symlink("loop", dir.path("links/loop"));

  EXPECT_EQ(*write_atomically(dir.path("links/absolute"), "new"), Written::changed);
  EXPECT_EQ(content(real), "new");
  EXPECT_EQ(mode(real), 0600U);
  EXPECT_TRUE(S_ISLNK(info(dir.path("links/absolute")).st_mode));
  EXPECT_TRUE(S_ISLNK(info(dir.path("links/relative")).st_mode));
  EXPECT_EQ(*write_atomically(dir.path("links/relative"), "new"), Written::unchanged);

  EXPECT_EQ(*write_atomically(dir.path("links/dangling"), "made"), Written::changed);
  EXPECT_EQ(content(dir.path("real/new")), "made");
  EXPECT_TRUE(S_ISLNK(info(dir.path("links/dangling")).st_mode));

  auto nowhere = write_atomically(dir.path("links/nowhere"), "x");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Errc::not_found);
  EXPECT_THAT(nowhere.error().message, HasSubstr("/none does not exist"));
  auto loop = write_atomically(dir.path("links/loop"), "x");
  ASSERT_FALSE(loop);
  EXPECT_EQ(loop.error().sys, ELOOP);
  EXPECT_EQ(entries(dir.path("real")), (std::vector<std::string>{"deep", "new"}));
  EXPECT_EQ(entries(dir.path("real/deep")), std::vector<std::string>{"f"});
}

TEST(AtomicFile, AFileWithoutAFolderInItsName) {
  TempDir dir;
  const auto here = fs::current_path();
  fs::current_path(dir.path());
  const auto written = write_atomically("plain", "x");
  const auto removed = remove_file("plain");
  fs::current_path(here);
  EXPECT_EQ(*written, Written::changed);
  EXPECT_EQ(*removed, Written::changed);
  EXPECT_TRUE(entries(dir.path()).empty());
}

TEST(AtomicFile, LeftOversOfACrashAreRemoved) {
  TempDir dir;
  const std::vector<std::string> ours{".f.icn-aB3xYz", ".f.icn-000000"};
  const std::vector<std::string> others{
      ".f.icn-aB3xY",  ".f.icn-aB3xYzz",  ".f.icn-aB3x.z", ".ff.icn-aB3xYz",
      "f.icn-aB3xYz",  ".g.icn-aB3xYz",   ".f.tmp-aB3xYz", ".f.",
      ".f.ICN-aB3xYz", "..f.icn-aB3xYz.", ".f.icn-aB3xYz~"};
  auto litter = [&] {
    for (const auto& name : ours) dir.write(name, "half");
  };
  for (const auto& name : others) dir.write(name, "not ours");
  auto expected = others;
  expected.push_back("f");
  std::sort(expected.begin(), expected.end());

  litter();
  EXPECT_EQ(*write_atomically(dir.path("f"), "x"), Written::changed);
  EXPECT_EQ(entries(dir.path()), expected);
  litter();
  EXPECT_EQ(*write_atomically(dir.path("f"), "x"), Written::unchanged);
  EXPECT_EQ(entries(dir.path()), expected);
  litter();
  EXPECT_EQ(*remove_file(dir.path("f")), Written::changed);
  std::erase(expected, "f");
  EXPECT_EQ(entries(dir.path()), expected);
  litter();
  EXPECT_EQ(*remove_file(dir.path("f")), Written::unchanged);
  EXPECT_EQ(entries(dir.path()), expected);
  // a folder of such a name is left alone and no reason to fail
  fs::create_directory(dir.path(".f.icn-folder"));
  EXPECT_EQ(*write_atomically(dir.path("f"), "x"), Written::changed);
}

TEST(AtomicFile, WhatIsNoFileIsRefused) {
  TempDir dir;
  fs::create_directory(dir.path("folder"));
  ASSERT_EQ(::mkfifo(dir.path("fifo").c_str(), 0600), 0);
  dir.write("file", "x");
  struct {
    std::string path;
    Errc code;
    const char* says;
  } const cases[] = {
      {dir.path("folder"), Errc::invalid_input, "folder is not a regular file"},
      {dir.path("fifo"), Errc::invalid_input, "fifo is not a regular file"},
      {dir.path("none/f"), Errc::not_found, "/none does not exist"},
      {dir.path("file/f"), Errc::not_found, "/file is not a folder"},
      {dir.path("folder/"), Errc::invalid_input, "is not the path of a file"},
      {dir.path(".."), Errc::invalid_input, "is not the path of a file"},
      {"", Errc::invalid_input, "is not the path of a file"},
  };
  for (const auto& one : cases) {
    auto written = write_atomically(one.path, "text");
    ASSERT_FALSE(written) << one.path;
    EXPECT_EQ(written.error().code, one.code) << one.path;
    EXPECT_THAT(written.error().message, HasSubstr(one.says));
    auto copied = copy_atomically(dir.path("file"), one.path, {});
    ASSERT_FALSE(copied) << one.path;
    EXPECT_EQ(copied.error().code, one.code) << one.path;
  }
  EXPECT_EQ(entries(dir.path()), (std::vector<std::string>{"fifo", "file", "folder"}));
}

TEST(AtomicFile, FailureInTheMiddleLeavesEverythingAsItWas) {
  // a limit on file size fails the write after the temporary file exists
  TempDir dir;
  const auto path = dir.write("f", "old", 0640);
  const auto big = dir.write("big", std::string(500'000, 'x'));
  const auto before = info(path);
  const auto child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(10);
    auto written = write_atomically(path, std::string(500'000, 'n'));
    if (written || written.error().sys != EFBIG) ::_exit(1);
    if (written.error().message.find(path) == std::string::npos) ::_exit(2);
    auto copied = copy_atomically(big, path, {});
    if (copied || copied.error().sys != EFBIG) ::_exit(3);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  expect_untouched(path, before);
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(entries(dir.path()), (std::vector<std::string>{"big", "f"}));
}

TEST(AtomicFile, ReadersNeverSeeAPart) {
  const auto dir = TempDir::fast();
  const auto path = dir.path("f");
  auto text = [](int round) {
    const auto number = std::to_string(round);
    std::string out;
    while (out.size() < 9000) out += number + " ";
    return out.substr(0, 8192 + static_cast<std::size_t>(round % 5)) + "#" + number;
  };
  ASSERT_TRUE(write_atomically(path, text(0)));
  std::atomic<bool> done = false;
  std::atomic<int> reads = 0;
  std::string bad;
  std::thread reader([&] {
    while (!done) {
      auto seen = base::read_file(path);
      ++reads;
      const auto mark = seen ? seen->rfind('#') : std::string::npos;
      if (mark == std::string::npos || *seen != text(std::atoi(seen->c_str() + mark + 1))) {
        bad = seen ? *seen : seen.error().message;
        return;
      }
    }
  });
  for (int round = 1; round <= 2000; ++round) {
    auto written = write_atomically(path, text(round));
    if (!written || *written != Written::changed) {
      ADD_FAILURE() << "round " << round;
      break;
    }
  }
  done = true;
  reader.join();
  EXPECT_EQ(bad, "");
  EXPECT_GT(reads, 100);
  EXPECT_EQ(content(path), text(2000));
}

TEST(AtomicFile, CopyOfABigFile) {
  TempDir dir;
  std::string bytes;
  unsigned state = 1;
  for (int i = 0; i < 5'000'001; ++i) {
    state = state * 1103515245U + 12345U;
    bytes.push_back(static_cast<char>(state >> 16U));
  }
  const auto from = dir.write("from", bytes, 0755);
  const auto to = dir.write("to", "old", 0700);
  auto copied = copy_atomically(from, to, {.mode = 0755, .force_mode = true});
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(*copied, Written::changed);
  EXPECT_EQ(content(to), bytes);
  EXPECT_EQ(mode(to), 0755U);
  EXPECT_EQ(*copy_atomically(from, to, {.mode = 0755, .force_mode = true}), Written::unchanged);
}

TEST(AtomicFile, CopyFromWhatIsNoFile) {
  TempDir dir;
  fs::create_directory(dir.path("folder"));
  auto missing = copy_atomically(dir.path("none"), dir.path("to"), {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("/none"));
  auto folder = copy_atomically(dir.path("folder"), dir.path("to"), {});
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, Errc::invalid_input);
  EXPECT_FALSE(fs::exists(dir.path("to")));
}

TEST(AtomicFile, ARunningProgramIsReplaced) {
  TempDir dir;
  fs::copy_file("/bin/sleep", dir.path("program"));
  const auto child = ::fork();
  if (child == 0) {
    ::execl(dir.path("program").c_str(), "program", "100", nullptr);
    ::_exit(1);
  }
  auto copied = copy_atomically("/bin/true", dir.path("program"), {.mode = 0755});
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(*copied, Written::changed);
}

/// Runs `body` in a mount namespace where dir/mount is a read-only file system
/// holding the file "program" with "bytes"; the exit status says which step failed.
template <typename Body>
int on_read_only(const TempDir& dir, Body body) {
  fs::create_directory(dir.path("mount"));
  const auto child = ::fork();
  if (child == 0) {
    const auto mount = dir.path("mount");
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", mount.c_str(), "tmpfs", 0, nullptr) != 0)
      ::_exit(77);
    if (!write_atomically(mount + "/program", "bytes", {.mode = 0555})) ::_exit(78);
    if (::mount(nullptr, mount.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) ::_exit(77);
    ::_exit(body(mount));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AtomicFile, ReadOnlyFolder) {
  TempDir dir;
  dir.write("equal", "bytes");
  dir.write("other", "other");
  const auto status = on_read_only(dir, [&](const std::string& mount) {
    const auto program = mount + "/program";
    auto equal = copy_atomically(dir.path("equal"), program, {.mode = 0755});
    if (!equal || *equal != Written::unchanged) return 1;
    auto same = write_atomically(program, "bytes");
    if (!same || *same != Written::unchanged) return 2;
    auto other = copy_atomically(dir.path("other"), program, {.mode = 0755});
    if (other || other.error().sys != EROFS) return 3;
    if (other.error().message.find("mount it writable") == std::string::npos) return 4;
    if (other.error().message.find(program) == std::string::npos) return 5;
    auto none = remove_file(mount + "/none");
    if (!none || *none != Written::unchanged) return 6;
    auto removed = remove_file(program);
    if (removed || removed.error().sys != EROFS) return 7;
    return 0;
  });
  if (status == 77) GTEST_SKIP() << "needs the right to mount in a namespace of its own";
  EXPECT_EQ(status, 0);
}

TEST(AtomicFile, WithoutPermission) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  TempDir dir;
  const auto path = dir.write("f", "old", 0644);
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  const auto child = ::fork();
  if (child == 0) {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(10);
    auto same = write_atomically(path, "old");
    if (!same || *same != Written::unchanged) ::_exit(1);
    auto denied = write_atomically(path, "new");
    if (denied || denied.error().sys != EACCES) ::_exit(2);
    if (denied.error().message.find("run as root") == std::string::npos) ::_exit(3);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  EXPECT_EQ(content(path), "old");
}

TEST(AtomicFile, Remove) {
  TempDir dir;
  const auto path = dir.write("f", "x");
  fs::create_symlink("f", dir.path("link"));
  fs::create_directory(dir.path("folder"));
  EXPECT_EQ(*remove_file(dir.path("link")), Written::changed);
  EXPECT_EQ(content(path), "x");  // the link goes, not its target
  EXPECT_EQ(*remove_file(path), Written::changed);
  EXPECT_EQ(*remove_file(path), Written::unchanged);
  EXPECT_EQ(*remove_file(dir.path("none/f")), Written::unchanged);
  auto folder = remove_file(dir.path("folder"));
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, Errc::invalid_input);
  EXPECT_EQ(entries(dir.path()), std::vector<std::string>{"folder"});
}

}  // namespace
