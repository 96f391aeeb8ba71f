// Where the bytes of a file that is written come from. For atomic_file.cpp.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace base::detail {

/// An Errc::io error that says what to do about it.
Error write_error(std::string_view what, const std::string& path, int errno_value);

class TextSource {
 public:
  explicit TextSource(std::string_view text) : text_(text) {}

  /// Whether the file `fd` of `size` bytes holds the same; `path` is for messages.
  [[nodiscard]] Result<bool> equals(int fd, off_t size, const std::string& path) const;
  [[nodiscard]] Status write_to(int fd, const std::string& path) const;

 private:
  std::string_view text_;
};

/// A file, read in pieces; what it read leaves the page cache with it.
class FileSource {
 public:
  static Result<FileSource> open(const std::string& path);
  FileSource(FileSource&&) = default;
  FileSource& operator=(FileSource&&) = delete;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  ~FileSource();

  [[nodiscard]] Result<bool> equals(int fd, off_t size, const std::string& path) const;
  /// Errc::unavailable when the source was written to meanwhile.
  [[nodiscard]] Status write_to(int fd, const std::string& path) const;

 private:
  FileSource(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
  struct stat info_ {};
};

}  // namespace base::detail
