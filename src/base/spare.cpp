#include "base/spare.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/atomic_file_parts.hpp"
#include "base/strings.hpp"

namespace base {
namespace {

using detail::TextSource;

/// Known to flush a file that has no name. Btrfs, for one, skips it, and would have to
/// write it after the file got its place.
bool flushes_nameless(int folder) {
  struct statfs info {};
  if (::fstatfs(folder, &info) != 0) return false;
  switch (info.f_type) {
    case EXT4_SUPER_MAGIC:  // of ext2 and ext3 too
    case XFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<Spare::Folder> Spare::folder_of(const detail::Place& place) {
  struct stat info {};
  if (::fstat(place.folder.get(), &info) != 0) return std::nullopt;
  return Folder{info.st_dev, info.st_ino};
}

void Spare::drop() {
  fd_.reset();
  content_.clear();
  folder_.reset();
}

bool Spare::prepare(const std::string& path, std::string_view content) {
  const auto place = detail::find_place(path, true);
  const auto folder = place ? folder_of(*place) : std::nullopt;
  if (folder != folder_) drop();
  if (!folder || folder == refused_ || !flushes_nameless(place->folder.get())) return false;
  const auto existing = detail::open_existing(*place);
  if (!existing || !existing->fd.valid()) return false;
  if (ready() && content == content_ && detail::has_attributes(*existing, fd_.get(), {}))
    return false;
  const TextSource source(content);
  const auto stands = source.equals(existing->fd.get(), existing->info.st_size, path);
  if (!stands || !*stands) return false;

  drop();
  UniqueFd fd(::openat(place->folder.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  // another's file may stay out of our reach: then there is nothing to be gained
  if (!fd.valid() || !detail::carry_attributes(*existing, fd.get(), {}, path) ||
      !detail::has_attributes(*existing, fd.get(), {}) || !source.write_to(fd.get(), path) ||
      ::fsync(fd.get()) != 0)
    return false;
  fd_ = std::move(fd);
  content_ = content;
  folder_ = folder;
  return true;
}

std::optional<detail::Temporary> Spare::take(const detail::Place& place,
                                             const detail::Existing& existing,
                                             std::string_view content,
                                             const WriteOptions& options) {
  if (!ready() || content != content_ || folder_of(place) != folder_ ||
      !detail::has_attributes(existing, fd_.get(), options))
    return std::nullopt;
  auto name = detail::temporary_name(place);
  if (!name) return std::nullopt;
  const auto folder = std::exchange(folder_, std::nullopt);
  auto fd = std::move(fd_);  // the kernel gives such a file its first name only once
  drop();
  const auto from = cat("/proc/self/fd/", fd.get());
  if (::linkat(AT_FDCWD, from.c_str(), place.folder.get(), name->c_str(), AT_SYMLINK_FOLLOW) != 0) {
    // a rule of this machine (a sandbox, no /proc), unless the disk is full
    if (errno != ENOSPC && errno != EDQUOT) refused_ = folder;
    return std::nullopt;
  }
  // else it would be as old as its preparation, and older than what it replaces
  (void)::utimensat(place.folder.get(), name->c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return detail::Temporary::named(place, std::move(*name), std::move(fd));
}

}  // namespace base
