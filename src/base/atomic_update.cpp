#include "base/atomic_update.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "base/atomic_file_parts.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"

namespace base {
namespace {

using detail::Existing;
using detail::Place;
using detail::Temporary;
using detail::TextSource;
using detail::write_error;

// --- names: a left-over tells what it is by its content

constexpr std::string_view no_file = "none";
constexpr std::size_t largest_left_over = std::size_t{16} << 20;

/// FNV-1a, 64 bits: against accidents, not attacks.
std::string checksum(std::string_view content) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : content) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  std::string out(16, '0');
  for (auto at = out.rbegin(); at != out.rend(); ++at, hash >>= 4) *at = digits[hash & 15];
  return out;
}

/// "-NEW-OLD"
std::string marks(std::string_view left, std::string_view basis) {
  return cat("-", left, "-", basis);
}

struct Marks {
  std::string left;   ///< of what we put in the place
  std::string basis;  ///< of what was there before
};

std::optional<Marks> marks_of(std::string_view entry, std::string_view name) {
  const auto behind = detail::behind_temporary(entry, name);
  if (!behind) return std::nullopt;
  const auto parts = split(*behind, '-');
  if (parts.size() != 3 || !parts[0].empty()) return std::nullopt;
  return Marks{std::string(parts[1]), std::string(parts[2])};
}

/// nullopt: it cannot be read.
std::optional<std::string> mark_at(const Place& place, const std::string& name) {
  const UniqueFd fd(
      ::openat(place.folder.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return errno == ENOENT ? std::optional(std::string(no_file)) : std::nullopt;
  const auto content = read_fd(fd.get(), name, largest_left_over);
  if (!content) return std::nullopt;
  return checksum(*content);
}

// --- files

std::string beside(const Place& place, const std::string& name) {
  return cat(place.folder_path, "/", name);
}

void unlink(const Place& place, const std::string& name) {
  ::unlinkat(place.folder.get(), name.c_str(), 0);
}

/// A file, whatever its name is. While this lives, its inode is not used again.
class Held {
 public:
  Held(const Place& place, const std::string& name)
      : fd_(::openat(place.folder.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)) {}

  [[nodiscard]] bool is(const Held& other) const {
    struct stat mine {};
    struct stat theirs {};
    return look(mine) && other.look(theirs) && mine.st_dev == theirs.st_dev &&
           mine.st_ino == theirs.st_ino;
  }
  [[nodiscard]] bool unlinked() const {
    struct stat info {};
    return look(info) && info.st_nlink == 0;
  }

 private:
  bool look(struct stat& info) const { return fd_.valid() && ::fstat(fd_.get(), &info) == 0; }

  UniqueFd fd_;
};

bool same_attributes(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid;
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/// Nobody has touched the file, as far as can be told without reading it.
bool untouched(const Place& place, const Existing& existing) {
  struct stat now {};
  const auto& before = existing.info;
  return ::fstatat(place.folder.get(), place.name.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
         now.st_dev == before.st_dev && now.st_ino == before.st_ino &&
         now.st_size == before.st_size && same_attributes(now, before) &&
         same_time(now.st_mtim, before.st_mtim) && same_time(now.st_ctim, before.st_ctim);
}

/// What is there now under `name` is what the change was made from.
bool is_basis(const Place& place, const std::string& name, const Existing& existing,
              const TextSource& basis) {
  const UniqueFd fd(
      ::openat(place.folder.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || !same_attributes(info, existing.info))
    return false;
  const auto equal = basis.equals(fd.get(), info.st_size, place.path);
  return equal && *equal;
}

bool unsupported(int cause) {
  // EPERM: a system call filter; other reasons for it show again in what is done instead
  return cause == EINVAL || cause == ENOSYS || cause == EOPNOTSUPP || cause == EPERM;
}

Result<Updated> changed(const Place& place) {
  if (auto status = detail::sync_folder(place); !status) return std::move(status).error();
  return Updated::changed;
}

Error left_beside(const Place& place, const std::string& name, int cause) {
  auto error = write_error("put back", place.path, cause);
  error.message.append(cat("; another program's version of it is in ", beside(place, name)));
  return error;
}

/// `taken` is the name of what came out of the place when `put` went in, and is
/// newer: it goes back. What then comes out instead of `put` was put there
/// meanwhile, and is newer still.
Result<Updated> give_back(const Place& place, const std::string& taken, Held put,
                          const RenameCall& rename) {
  constexpr int attempts = 1000;
  const int folder = place.folder.get();
  int cause = EAGAIN;
  for (int i = 0; i < attempts; ++i) {
    Held back(place, taken);
    if (rename(folder, taken.c_str(), place.name.c_str(), RENAME_EXCHANGE) == 0) {
      if (Held(place, taken).is(put)) {
        unlink(place, taken);
        return Updated::overtaken;
      }
      put = std::move(back);
      continue;
    }
    cause = errno;
    if (cause != ENOENT) break;
    if (put.unlinked()) {  // the newest wish: no file
      unlink(place, taken);
      return Updated::overtaken;
    }
    // moved away, by a program that took ours for this one
    if (rename(folder, taken.c_str(), place.name.c_str(), RENAME_NOREPLACE) == 0)
      return Updated::overtaken;
    cause = errno;
    if (cause != EEXIST) break;
  }
  return left_beside(place, taken, cause);
}

Result<Updated> exchange(const Place& place, Temporary temporary, const Existing& existing,
                         const TextSource& basis, const RenameCall& rename) {
  const int folder = place.folder.get();
  Held ours(place, temporary.name());
  // here most changes of others show, and the file never holds an old version's change
  if (!untouched(place, existing)) return Updated::overtaken;
  if (rename(folder, temporary.name().c_str(), place.name.c_str(), RENAME_EXCHANGE) == 0) {
    const auto taken = temporary.give_up_name();
    if (!is_basis(place, taken, existing, basis))
      return give_back(place, taken, std::move(ours), rename);
    unlink(place, taken);
    return changed(place);
  }
  if (errno == ENOENT) return Updated::overtaken;
  if (!unsupported(errno)) return write_error("replace", place.path, errno);
  if (!untouched(place, existing)) return Updated::overtaken;
  if (rename(folder, temporary.name().c_str(), place.name.c_str(), 0) != 0)
    return write_error("replace", place.path, errno);
  (void)temporary.give_up_name();
  return changed(place);
}

/// Where there was no file.
Result<Updated> create(const Place& place, Temporary temporary, const RenameCall& rename) {
  const int folder = place.folder.get();
  const auto* from = temporary.name().c_str();
  const auto* to = place.name.c_str();
  if (rename(folder, from, to, RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) return Updated::overtaken;
    if (!unsupported(errno)) return write_error("create", place.path, errno);
    if (::linkat(folder, from, folder, to, 0) == 0) return changed(place);
    if (errno == EEXIST) return Updated::overtaken;
    // a file system without hard links either
    if (::faccessat(folder, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return Updated::overtaken;
    if (rename(folder, from, to, 0) != 0) return write_error("create", place.path, errno);
  }
  (void)temporary.give_up_name();
  return changed(place);
}

/// The new file, flushed: the spare, or one that is written now.
Result<Temporary> flushed(const Place& place, const Existing& existing, std::string_view content,
                          const WriteOptions& options, Spare* spare) {
  if (spare != nullptr)
    if (auto taken = spare->take(place, existing, content, options)) return std::move(*taken);
  auto temporary = detail::write_temporary(place, existing, TextSource(content), options);
  if (!temporary) return temporary;
  if (auto status = temporary->flush(); !status) return std::move(status).error();
  return temporary;
}

Result<Updated> update_at(const Place& place, std::optional<std::string_view> basis,
                          std::string_view content, const WriteOptions& options,
                          const RenameCall& rename, Spare* spare) {
  auto existing = detail::open_existing(place);
  if (!existing) return std::move(existing).error();
  detail::remove_left_overs(place);

  const TextSource wanted(content);
  const TextSource old(basis.value_or(""));
  if (existing->fd.valid()) {
    auto equal = wanted.equals(existing->fd.get(), existing->info.st_size, place.path);
    if (!equal) return std::move(equal).error();
    if (*equal) {
      auto mode = detail::carry_mode(*existing, options, place.path);
      if (!mode) return std::move(mode).error();
      return *mode == Written::changed ? Updated::changed : Updated::unchanged;
    }
    if (!basis) return Updated::overtaken;
    equal = old.equals(existing->fd.get(), existing->info.st_size, place.path);
    if (!equal) return std::move(equal).error();
    if (!*equal) return Updated::overtaken;
  } else if (basis) {
    return Updated::overtaken;
  }

  auto temporary = flushed(place, *existing, content, options, spare);
  if (!temporary) return std::move(temporary).error();
  if (!basis) return create(place, std::move(*temporary), rename);
  // from here on its name may stand for another file
  if (auto status =
          temporary->rename_to(cat(temporary->name(), marks(checksum(content), checksum(*basis))));
      !status)
    return std::move(status).error();
  return exchange(place, std::move(*temporary), *existing, old, rename);
}

/// What was taken away is not what was to be removed.
Result<Updated> return_file(const Place& place, const std::string& taken,
                            const RenameCall& rename) {
  if (rename(place.folder.get(), taken.c_str(), place.name.c_str(), RENAME_NOREPLACE) == 0)
    return Updated::overtaken;
  if (errno != EEXIST) return left_beside(place, taken, errno);
  unlink(place, taken);  // a newer one is there already
  return Updated::overtaken;
}

Result<Updated> remove_at(const Place& place, std::string_view basis, const RenameCall& rename) {
  const int folder = place.folder.get();
  const TextSource old(basis);
  const auto still = [&](const std::string& name) -> Result<bool> {
    const UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0)
      return write_error("look at", place.path, errno);
    return S_ISREG(info.st_mode) ? old.equals(fd.get(), info.st_size, place.path) : false;
  };
  auto there = still(place.name);
  if (!there && there.error().sys == ENOENT) return Updated::unchanged;
  if (!there) return std::move(there).error();
  if (!*there) return Updated::overtaken;

  auto taken = temporary_name(place);
  if (!taken) return std::move(taken).error();
  taken->append(marks(no_file, checksum(basis)));
  if (rename(folder, place.name.c_str(), taken->c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == ENOENT) return Updated::overtaken;
    if (!unsupported(errno)) return write_error("remove", place.path, errno);
    if (::unlinkat(folder, place.name.c_str(), 0) != 0)
      return write_error("remove", place.path, errno);
    return changed(place);
  }
  there = still(*taken);
  if (!there || !*there) return return_file(place, *taken, rename);
  unlink(place, *taken);
  return changed(place);
}

}  // namespace

int rename_in_folder(int folder, const char* from, const char* to, unsigned flags) {
  return ::renameat2(folder, from, folder, to, flags);
}

Result<Updated> update_atomically(const std::string& path, std::optional<std::string_view> basis,
                                  std::string_view content, const WriteOptions& options,
                                  const RenameCall& rename, Spare* spare) {
  auto place = detail::find_place(path, true);
  if (!place) return std::move(place).error();
  auto updated = update_at(*place, basis, content, options, rename, spare);
  if (!updated && place->path != path) return std::move(updated).error().wrap(path);
  return updated;
}

Result<Updated> remove_unchanged(const std::string& path, std::string_view basis,
                                 const RenameCall& rename) {
  auto place = detail::find_place(path, false);
  if (!place) {
    if (place.error().code == Errc::not_found) return Updated::unchanged;
    return std::move(place).error();
  }
  detail::remove_left_overs(*place);
  return remove_at(*place, basis, rename);
}

Result<Recovered> recover_update(const std::string& path, const RenameCall& rename) {
  Recovered recovered;
  auto place = detail::find_place(path, true);
  if (!place) {
    if (place.error().code == Errc::not_found) return recovered;
    return std::move(place).error();
  }
  detail::remove_left_overs(*place);
  for (const auto& name : detail::names_in(*place)) {
    const auto marks = marks_of(name, place->name);
    if (!marks) continue;
    const auto mark = mark_at(*place, name);
    if (mark == marks->left || mark == marks->basis) {
      unlink(*place, name);
      continue;
    }
    Held put(*place, place->name);
    if (mark_at(*place, place->name) != marks->left) {
      recovered.kept.push_back(beside(*place, name));
      continue;
    }
    auto restored = marks->left == no_file ? return_file(*place, name, rename)
                                           : give_back(*place, name, std::move(put), rename);
    if (!restored) return std::move(restored).error();
    recovered.restored = true;
  }
  if (recovered.restored)
    if (auto status = detail::sync_folder(*place); !status) return std::move(status).error();
  return recovered;
}

}  // namespace base
