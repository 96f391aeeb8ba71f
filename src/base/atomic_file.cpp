#include "base/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/atomic_file_parts.hpp"
#include "base/strings.hpp"

namespace base {
namespace {

using detail::FileSource;
using detail::Place;
using detail::TextSource;
using detail::write_error;

template <typename Source>
Result<Written> replace_at(const Place& place, const Source& source, const WriteOptions& options) {
  auto existing = detail::open_existing(place);
  if (!existing) return std::move(existing).error();
  detail::remove_left_overs(place);

  if (existing->fd.valid()) {
    auto equal = source.equals(existing->fd.get(), existing->info.st_size, place.path);
    if (!equal) return std::move(equal).error();
    if (*equal) return detail::carry_mode(*existing, options, place.path);
  }
  auto temporary = detail::write_temporary(place, *existing, source, options);
  if (!temporary) return std::move(temporary).error();
  if (auto status = temporary->commit(); !status) return std::move(status).error();
  return Written::changed;
}

template <typename Source>
Result<Written> replace(const std::string& path, const Source& source,
                        const WriteOptions& options) {
  auto place = detail::find_place(path, true);
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
  auto place = detail::find_place(path, false);
  if (!place) {
    if (place.error().code == Errc::not_found) return Written::unchanged;
    return std::move(place).error();
  }
  detail::remove_left_overs(*place);
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
  if (auto status = detail::sync_folder(*place); !status) return std::move(status).error();
  return Written::changed;
}

}  // namespace base
