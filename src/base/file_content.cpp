#include "base/file_content.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/strings.hpp"

namespace base::detail {
namespace {

constexpr std::size_t chunk = std::size_t{64} * 1024;

/// Up to a full buffer; fewer bytes only at the end of the file.
Result<std::size_t> read_chunk(int fd, char* buffer, std::size_t size, off_t offset,
                               const std::string& path) {
  std::size_t have = 0;
  while (have < size) {
    const auto got = ::pread(fd, buffer + have, size - have, offset + static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(cat("read ", path), errno);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const auto put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return write_error("write", path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return success();
}

}  // namespace

Error write_error(std::string_view what, const std::string& path, int errno_value) {
  auto error = system_error(cat(what, " ", path), errno_value);
  switch (errno_value) {
    case EROFS:
      error.message.append("; mount it writable, or configure a folder that is");
      break;
    case EACCES:
    case EPERM:
      error.message.append(
          "; run as root, and look at the folder's owner, mode and attributes (lsattr) and at the "
          "audit log");
      break;
    case ENOSPC:
    case EDQUOT:
      error.message.append("; free space on that file system");
      break;
    default:
      break;
  }
  return error;
}

Result<bool> TextSource::equals(int fd, off_t size, const std::string& path) const {
  if (size < 0 || static_cast<std::size_t>(size) != text_.size()) return false;
  std::vector<char> buffer(std::min(chunk, text_.size() + 1));
  std::size_t offset = 0;
  for (;;) {
    auto got = read_chunk(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset), path);
    if (!got) return std::move(got).error();
    if (*got == 0) return offset == text_.size();
    if (text_.substr(offset, *got) != std::string_view(buffer.data(), *got)) return false;
    offset += *got;
  }
}

Status TextSource::write_to(int fd, const std::string& path) const {
  return write_all(fd, text_, path);
}

Result<FileSource> FileSource::open(const std::string& path) {
  FileSource source(path, UniqueFd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
  if (!source.fd_.valid()) {
    auto error = system_error(cat("open ", path), errno);
    if (error.sys == ENOENT || error.sys == ENOTDIR) error.code = Errc::not_found;
    return error;
  }
  if (::fstat(source.fd_.get(), &source.info_) != 0)
    return system_error(cat("examine ", path), errno);
  if (!S_ISREG(source.info_.st_mode))
    return Error{Errc::invalid_input, cat(path, " is not a regular file")};
  return source;
}

FileSource::~FileSource() {
  if (fd_.valid()) ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
}

Result<bool> FileSource::equals(int fd, off_t size, const std::string& path) const {
  if (size != info_.st_size) return false;
  std::vector<char> ours(chunk);
  std::vector<char> theirs(chunk);
  bool equal = true;
  for (off_t offset = 0; equal;) {
    auto mine = read_chunk(fd_.get(), ours.data(), chunk, offset, path_);
    if (!mine) return std::move(mine).error();
    auto other = read_chunk(fd, theirs.data(), chunk, offset, path);
    if (!other) return std::move(other).error();
    equal = *mine == *other && std::memcmp(ours.data(), theirs.data(), *mine) == 0;
    if (*mine == 0) break;
    offset += static_cast<off_t>(*mine);
  }
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return equal;
}

Status FileSource::write_to(int fd, const std::string& path) const {
  std::vector<char> buffer(chunk);
  for (off_t offset = 0;;) {
    auto got = read_chunk(fd_.get(), buffer.data(), chunk, offset, path_);
    if (!got) return std::move(got).error();
    if (*got == 0) break;
    if (auto status = write_all(fd, {buffer.data(), *got}, path); !status) return status;
    offset += static_cast<off_t>(*got);
    // written out piece by piece, so that a big file never fills the cache
    ::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  }
  struct stat now {};
  if (::fstat(fd_.get(), &now) != 0) return system_error(cat("examine ", path_), errno);
  if (now.st_size != info_.st_size || now.st_mtim.tv_sec != info_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != info_.st_mtim.tv_nsec)
    return Error{Errc::unavailable,
                 cat(path_, " changed while it was copied; try again when it is complete")};
  return success();
}

}  // namespace base::detail
