// Where tests may expect base::Spare to work, and what it has ready.
#pragma once

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace test_support {

/// Not so in a container's own file system, for one.
inline bool keeps_spares(const std::string& folder) {
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return false;
  return info.f_type == TMPFS_MAGIC || info.f_type == EXT4_SUPER_MAGIC ||
         info.f_type == XFS_SUPER_MAGIC;
}

/// Inodes of the files without a name that a process ("self", a number) has in a folder.
inline std::vector<ino_t> nameless(const std::string& folder, const std::string& process = "self") {
  std::vector<ino_t> inodes;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + process + "/fd", gone)) {
    const auto path = std::filesystem::read_symlink(entry.path(), gone).string();
    struct stat info {};
    if (!gone && path.starts_with(folder + "/#") && ::stat(entry.path().c_str(), &info) == 0)
      inodes.push_back(info.st_ino);
  }
  return inodes;
}

}  // namespace test_support
