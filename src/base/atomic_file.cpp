#include "base/atomic_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "base/file_content.hpp"
#include "base/strings.hpp"

namespace base {
namespace {

using detail::FileSource;
using detail::TextSource;
using detail::write_error;

constexpr std::string_view temporary_mark = ".icn-";
constexpr std::size_t random_length = 6;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr mode_t permission_bits = 07777;
constexpr const char* label_name = "security.selinux";

/// Where a path's file really is, its links followed.
struct Place {
  UniqueFd folder;
  std::string folder_path;
  std::string name;
  std::string path;  ///< as given, unless a link led elsewhere
};

/// A link's target, or nullopt where `path` is none.
std::optional<std::string> link_target(const std::string& path) {
  std::array<char, 4096> buffer{};
  const auto length = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (length < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

Result<Place> find_place(const std::string& path, bool follow) {
  constexpr int most_links = 40;  // as the kernel
  std::string current = path;
  for (int links = 0; links <= most_links; ++links) {
    Place place;
    const auto slash = current.rfind('/');
    place.folder_path = slash == std::string::npos ? std::string(".")
                        : slash == 0               ? std::string("/")
                                                   : current.substr(0, slash);
    place.name = slash == std::string::npos ? current : current.substr(slash + 1);
    if (place.name.empty() || place.name == "." || place.name == "..")
      return Error{Errc::invalid_input, cat(quote(current), " is not the path of a file")};
    if (follow) {
      if (auto target = link_target(current)) {
        current = target->starts_with('/') ? *target : cat(place.folder_path, "/", *target);
        continue;
      }
    }
    place.folder.reset(::open(place.folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    place.path = current;
    if (place.folder.valid()) return place;
    const int cause = errno;
    if (cause == ENOENT || cause == ENOTDIR)
      return Error{Errc::not_found,
                   cat("cannot write ", path, ": the folder ", place.folder_path,
                       cause == ENOENT ? " does not exist" : " is not a folder"),
                   cause};
    return write_error("open folder", place.folder_path, cause);
  }
  return write_error("follow the links of", path, ELOOP);
}

Status sync_folder(const Place& place) {
  // EINVAL: a file system that has nothing to flush for a folder
  if (::fsync(place.folder.get()) != 0 && errno != EINVAL)
    return write_error("flush folder", place.folder_path, errno);
  return success();
}

bool is_temporary_of(std::string_view entry, std::string_view name) {
  if (entry.size() != 1 + name.size() + temporary_mark.size() + random_length) return false;
  if (!entry.starts_with('.') || entry.substr(1, name.size()) != name) return false;
  entry.remove_prefix(1 + name.size());
  return entry.starts_with(temporary_mark) &&
         entry.find_first_not_of(alphabet, temporary_mark.size()) == std::string_view::npos;
}

/// What a crash left. Best effort: a left-over does no harm.
void remove_left_overs(const Place& place) {
  // a new description: the position in the folder must not be shared
  const int fd = ::openat(place.folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd), ::closedir);
  if (folder == nullptr) {
    ::close(fd);
    return;
  }
  std::vector<std::string> names;
  while (const auto* entry = ::readdir(folder.get()))
    if (is_temporary_of(entry->d_name, place.name)) names.emplace_back(entry->d_name);
  for (const auto& name : names) ::unlinkat(place.folder.get(), name.c_str(), 0);
}

/// The file that is to be replaced; fd is invalid where there is none.
struct Existing {
  UniqueFd fd;
  struct stat info {};
};

Result<Existing> open_existing(const Place& place) {
  Existing existing;
  existing.fd.reset(::openat(place.folder.get(), place.name.c_str(),
                             O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!existing.fd.valid()) {
    if (errno == ENOENT) return existing;
    if (errno == ENXIO || errno == ENODEV)
      return Error{Errc::invalid_input, cat(place.path, " is not a regular file"), errno};
    return write_error("open", place.path, errno);
  }
  if (::fstat(existing.fd.get(), &existing.info) != 0)
    return write_error("examine", place.path, errno);
  if (!S_ISREG(existing.info.st_mode))
    return Error{Errc::invalid_input, cat(place.path, " is not a regular file")};
  return existing;
}

/// The new file until it has its name; unlinked when it never gets it.
class Temporary {
 public:
  static Result<Temporary> create(const Place& place) {
    constexpr int attempts = 100;
    for (int attempt = 0; attempt < attempts; ++attempt) {
      std::array<unsigned char, random_length> random{};
      if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
        return system_error("get random bytes", errno);
      auto name = cat(".", place.name, temporary_mark);
      for (auto byte : random) name.push_back(alphabet[byte % alphabet.size()]);
      UniqueFd fd(::openat(place.folder.get(), name.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (fd.valid()) return Temporary(place, std::move(name), std::move(fd));
      if (errno != EEXIST) break;
    }
    return write_error("create a file beside", place.path, errno);
  }
  Temporary(Temporary&& other) noexcept
      : place_(other.place_), name_(std::move(other.name_)), fd_(std::move(other.fd_)) {
    other.name_.clear();
  }
  Temporary& operator=(Temporary&&) = delete;
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!name_.empty()) ::unlinkat(place_->folder.get(), name_.c_str(), 0);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }

  Status commit() {
    if (::fsync(fd()) != 0) return write_error("flush", place_->path, errno);
    ::posix_fadvise(fd(), 0, 0, POSIX_FADV_DONTNEED);
    const int folder = place_->folder.get();
    if (::renameat(folder, name_.c_str(), folder, place_->name.c_str()) != 0)
      return write_error("replace", place_->path, errno);
    name_.clear();
    return sync_folder(*place_);
  }

 private:
  Temporary(const Place& place, std::string name, UniqueFd fd)
      : place_(&place), name_(std::move(name)), fd_(std::move(fd)) {}

  const Place* place_;
  std::string name_;
  UniqueFd fd_;
};

std::optional<std::string> label_of(int fd) {
  std::array<char, 1024> buffer{};
  const auto length = ::fgetxattr(fd, label_name, buffer.data(), buffer.size());
  if (length < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

Status carry_label(int from, int to, const std::string& path) {
  const auto label = label_of(from);
  if (!label || label_of(to) == label) return success();
  if (::fsetxattr(to, label_name, label->data(), label->size(), 0) == 0) return success();
  const int cause = errno;
  // without SELinux a label is a left-over that nobody reads
  if (cause == EOPNOTSUPP || ::access("/sys/fs/selinux/enforce", F_OK) != 0) return success();
  return write_error("keep the SELinux label of", path, cause);
}

Status carry_attributes(const Existing& existing, int to, const WriteOptions& options,
                        const std::string& path) {
  mode_t mode = options.mode;
  if (existing.fd.valid()) {
    struct stat now {};
    if (::fstat(to, &now) != 0) return write_error("examine", path, errno);
    // before fchmod: a change of owner clears the set-id bits
    if ((now.st_uid != existing.info.st_uid || now.st_gid != existing.info.st_gid) &&
        ::fchown(to, existing.info.st_uid, existing.info.st_gid) != 0)
      return write_error("keep the owner of", path, errno);
    if (auto status = carry_label(existing.fd.get(), to, path); !status) return status;
    if (!options.force_mode) mode = existing.info.st_mode;
  }
  if (::fchmod(to, mode & permission_bits) != 0) return write_error("set the mode of", path, errno);
  return success();
}

template <typename Source>
Result<Written> replace_at(const Place& place, const Source& source, const WriteOptions& options) {
  const auto& path = place.path;
  auto existing = open_existing(place);
  if (!existing) return std::move(existing).error();
  remove_left_overs(place);

  if (existing->fd.valid()) {
    auto equal = source.equals(existing->fd.get(), existing->info.st_size, path);
    if (!equal) return std::move(equal).error();
    if (*equal) {
      if (!options.force_mode ||
          (existing->info.st_mode & permission_bits) == (options.mode & permission_bits))
        return Written::unchanged;
      if (::fchmod(existing->fd.get(), options.mode & permission_bits) != 0)
        return write_error("set the mode of", path, errno);
      if (::fsync(existing->fd.get()) != 0) return write_error("flush", path, errno);
      return Written::changed;
    }
  }

  auto temporary = Temporary::create(place);
  if (!temporary) return std::move(temporary).error();
  if (auto status = carry_attributes(*existing, temporary->fd(), options, path); !status)
    return std::move(status).error();
  if (auto status = source.write_to(temporary->fd(), path); !status)
    return std::move(status).error();
  if (auto status = temporary->commit(); !status) return std::move(status).error();
  return Written::changed;
}

template <typename Source>
Result<Written> replace(const std::string& path, const Source& source,
                        const WriteOptions& options) {
  auto place = find_place(path, true);
  if (!place) return std::move(place).error();
  auto written = replace_at(*place, source, options);
  if (!written && place->path != path) return std::move(written).error().wrap(path);
  return written;
}

}  // namespace

Result<Written> write_atomically(const std::string& path, std::string_view content,
                                 const WriteOptions& options) {
  return replace(path, TextSource(content), options);
}

Result<Written> copy_atomically(const std::string& from, const std::string& to,
                                const WriteOptions& options) {
  auto source = FileSource::open(from);
  if (!source) return std::move(source).error();
  return replace(to, *source, options);
}

Result<Written> remove_file(const std::string& path) {
  auto place = find_place(path, false);
  if (!place) {
    if (place.error().code == Errc::not_found) return Written::unchanged;
    return std::move(place).error();
  }
  remove_left_overs(*place);
  if (::unlinkat(place->folder.get(), place->name.c_str(), 0) != 0) {
    const int cause = errno;
    // a read-only file system answers before it looks
    const bool missing =
        ::faccessat(place->folder.get(), place->name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno == ENOENT;
    if (missing) return Written::unchanged;
    if (cause == EISDIR)
      return Error{Errc::invalid_input, cat(path, " is a folder, not a file"), cause};
    return write_error("remove", path, cause);
  }
  if (auto status = sync_folder(*place); !status) return std::move(status).error();
  return Written::changed;
}

}  // namespace base
