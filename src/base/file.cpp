#include "base/file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace base {

Result<std::string> read_fd(int fd, std::string_view name, std::size_t limit) {
  std::string content;
  char buffer[16384];
  for (;;) {
    auto got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(cat("read ", name), errno);
    if (got == 0) return content;
    if (content.size() + static_cast<std::size_t>(got) > limit)
      return Error{Errc::invalid_input, cat(name, " is larger than ", limit, " bytes")};
    content.append(buffer, static_cast<std::size_t>(got));
  }
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    auto error = system_error(cat("open ", path), errno);
    if (error.sys == ENOENT || error.sys == ENOTDIR) error.code = Errc::not_found;
    return error;
  }
  return read_fd(fd.get(), path, limit);
}

}  // namespace base
