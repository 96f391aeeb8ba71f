// What atomic_file.cpp, atomic_update.cpp and spare.cpp are made of.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/atomic_file.hpp"
#include "base/fd.hpp"
#include "base/file_content.hpp"
#include "base/result.hpp"

namespace base::detail {

/// Where a path's file really is, its links followed.
struct Place {
  UniqueFd folder;
  std::string folder_path;
  std::string name;
  std::string path;  ///< as given, unless a link led elsewhere
};

Result<Place> find_place(const std::string& path, bool follow);
Status sync_folder(const Place& place);

/// ".NAME.icn-XXXXXX", random.
Result<std::string> temporary_name(const Place& place);
/// All entries of the folder; empty when it cannot be read.
std::vector<std::string> names_in(const Place& place);
/// The part of a name behind that of a temporary file of `name`: "" for one that
/// is being written; nullopt for what is no temporary file.
std::optional<std::string_view> behind_temporary(std::string_view entry, std::string_view name);
/// What a crash left of files that were being written. Best effort: a left-over
/// does no harm.
void remove_left_overs(const Place& place);

/// The file that is to be replaced; fd is invalid where there is none.
struct Existing {
  UniqueFd fd;
  struct stat info {};
};

/// Errc::invalid_input: not a regular file.
Result<Existing> open_existing(const Place& place);

/// The new file until it has its name; unlinked when it never gets it.
class Temporary {
 public:
  static Result<Temporary> create(const Place& place);
  /// A file that has this name in the place's folder already.
  static Temporary named(const Place& place, std::string name, UniqueFd fd) {
    return {place, std::move(name), std::move(fd)};
  }
  Temporary(Temporary&& other) noexcept
      : place_(other.place_), name_(std::exchange(other.name_, {})), fd_(std::move(other.fd_)) {}
  Temporary& operator=(Temporary&&) = delete;
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

  Status flush();
  /// Flushes it, gives it the place's name, and flushes the folder.
  Status commit();
  Status rename_to(std::string name);
  /// Its name is not its own any more.
  std::string give_up_name() { return std::exchange(name_, {}); }

 private:
  Temporary(const Place& place, std::string name, UniqueFd fd)
      : place_(&place), name_(std::move(name)), fd_(std::move(fd)) {}

  const Place* place_;
  std::string name_;
  UniqueFd fd_;
};

/// Owner, group, label and mode of what is replaced.
Status carry_attributes(const Existing& existing, int to, const WriteOptions& options,
                        const std::string& path);
/// There is nothing that carry_attributes would change (without `existing`: `to` is
/// this process's own).
bool has_attributes(const Existing& existing, int to, const WriteOptions& options);

/// For equal content: sets the mode where that is wanted.
Result<Written> carry_mode(const Existing& existing, const WriteOptions& options,
                           const std::string& path);

/// A new file with this content and the attributes of `existing`.
template <typename Source>
Result<Temporary> write_temporary(const Place& place, const Existing& existing,
                                  const Source& source, const WriteOptions& options) {
  auto temporary = Temporary::create(place);
  if (!temporary) return temporary;
  if (auto status = carry_attributes(existing, temporary->fd(), options, place.path); !status)
    return std::move(status).error();
  if (auto status = source.write_to(temporary->fd(), place.path); !status)
    return std::move(status).error();
  return temporary;
}

}  // namespace base::detail
