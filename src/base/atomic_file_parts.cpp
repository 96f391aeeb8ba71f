#include "base/atomic_file_parts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "base/strings.hpp"

namespace base::detail {
namespace {

constexpr std::string_view temporary_mark = ".icn-";
constexpr std::size_t random_length = 6;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr const char* label_name = "security.selinux";

/// A link's target, or nullopt where `path` is none.
std::optional<std::string> link_target(const std::string& path) {
  std::array<char, 4096> buffer{};
  const auto length = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (length < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

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

}  // namespace

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

Result<std::string> temporary_name(const Place& place) {
  std::array<unsigned char, random_length> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return system_error("get random bytes", errno);
  auto name = cat(".", place.name, temporary_mark);
  for (auto byte : random) name.push_back(alphabet[byte % alphabet.size()]);
  return name;
}

std::vector<std::string> names_in(const Place& place) {
  std::vector<std::string> names;
  // a new description: the position in the folder must not be shared
  const int fd = ::openat(place.folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return names;
  std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd), ::closedir);
  if (folder == nullptr) {
    ::close(fd);
    return names;
  }
  while (const auto* entry = ::readdir(folder.get())) names.emplace_back(entry->d_name);
  return names;
}

std::optional<std::string_view> behind_temporary(std::string_view entry, std::string_view name) {
  if (entry.size() < 1 + name.size() + temporary_mark.size() + random_length) return std::nullopt;
  if (!entry.starts_with('.') || entry.substr(1, name.size()) != name) return std::nullopt;
  entry.remove_prefix(1 + name.size());
  if (!entry.starts_with(temporary_mark)) return std::nullopt;
  entry.remove_prefix(temporary_mark.size());
  if (entry.substr(0, random_length).find_first_not_of(alphabet) != std::string_view::npos)
    return std::nullopt;
  return entry.substr(random_length);
}

void remove_left_overs(const Place& place) {
  for (const auto& name : names_in(place))
    if (behind_temporary(name, place.name) == "") ::unlinkat(place.folder.get(), name.c_str(), 0);
}

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

Result<Temporary> Temporary::create(const Place& place) {
  constexpr int attempts = 100;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    auto name = temporary_name(place);
    if (!name) return std::move(name).error();
    UniqueFd fd(::openat(place.folder.get(), name->c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd.valid()) return Temporary(place, std::move(*name), std::move(fd));
    if (errno != EEXIST) break;
  }
  return write_error("create a file beside", place.path, errno);
}

Temporary::~Temporary() {
  if (!name_.empty()) ::unlinkat(place_->folder.get(), name_.c_str(), 0);
}

Status Temporary::flush() {
  if (::fsync(fd()) != 0) return write_error("flush", place_->path, errno);
  ::posix_fadvise(fd(), 0, 0, POSIX_FADV_DONTNEED);
  return success();
}

Status Temporary::commit() {
  if (auto status = flush(); !status) return status;
  const int folder = place_->folder.get();
  if (::renameat(folder, name_.c_str(), folder, place_->name.c_str()) != 0)
    return write_error("replace", place_->path, errno);
  name_.clear();
  return sync_folder(*place_);
}

Status Temporary::rename_to(std::string name) {
  const int folder = place_->folder.get();
  if (::renameat(folder, name_.c_str(), folder, name.c_str()) != 0)
    return write_error("rename the new file of", place_->path, errno);
  name_ = std::move(name);
  return success();
}

Status carry_attributes(const Existing& existing, int to, const WriteOptions& options,
                        const std::string& path) {
  mode_t mode = options.mode;
  if (existing.fd.valid()) {
    struct stat now {};
    if (::fstat(to, &now) != 0) return write_error("examine", path, errno);
    // before fchmod: a change of owner clears the set-id bits
    const bool other = now.st_uid != existing.info.st_uid || now.st_gid != existing.info.st_gid;
    const bool kept = !other || ::fchown(to, existing.info.st_uid, existing.info.st_gid) == 0;
    // without CAP_CHOWN, as in the service's sandbox, the file becomes ours
    if (!kept && errno != EPERM) return write_error("keep the owner of", path, errno);
    if (auto status = carry_label(existing.fd.get(), to, path); !status) return status;
    if (!options.force_mode) mode = existing.info.st_mode;
    // nobody's program becomes one that runs as us
    if (!kept) mode &= 0777;
  }
  if (::fchmod(to, mode & permission_bits) != 0) return write_error("set the mode of", path, errno);
  return success();
}

bool has_attributes(const Existing& existing, int to, const WriteOptions& options) {
  struct stat now {};
  if (::fstat(to, &now) != 0) return false;
  const bool replaces = existing.fd.valid();
  const mode_t mode = replaces && !options.force_mode ? existing.info.st_mode : options.mode;
  if ((now.st_mode & permission_bits) != (mode & permission_bits)) return false;
  if (now.st_uid != (replaces ? existing.info.st_uid : ::geteuid()) ||
      now.st_gid != (replaces ? existing.info.st_gid : ::getegid()))
    return false;
  const auto label = replaces ? label_of(existing.fd.get()) : std::nullopt;
  return !label || label == label_of(to);
}

Result<Written> carry_mode(const Existing& existing, const WriteOptions& options,
                           const std::string& path) {
  if (!options.force_mode ||
      (existing.info.st_mode & permission_bits) == (options.mode & permission_bits))
    return Written::unchanged;
  if (::fchmod(existing.fd.get(), options.mode & permission_bits) != 0)
    return write_error("set the mode of", path, errno);
  if (::fsync(existing.fd.get()) != 0) return write_error("flush", path, errno);
  return Written::changed;
}

}  // namespace base::detail
