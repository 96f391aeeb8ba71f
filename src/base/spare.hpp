// The new version of a file, written and flushed before it is needed.
//
// Replacing a file takes as long as the disk needs to flush what replaces it. Where it
// is known what another program's version will be replaced by, because the last one
// was, a spare waits: a file in the same folder that has no name yet (open(2),
// O_TMPFILE). So nobody sees it, and a crash leaves nothing behind. When it is needed,
// it gets its name (linkat(2)), and is durable already.
//
// While a spare waits, its file system cannot be unmounted or made read-only: whoever
// keeps one ends with the machine's services, before that happens.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/atomic_file.hpp"
#include "base/fd.hpp"

namespace base {

namespace detail {
struct Existing;
struct Place;
class Temporary;
}  // namespace detail

class Spare {
 public:
  /// Gets one ready for the file at `path`, whose content is `content`: the same
  /// content, mode, owner, group and label, flushed. True when it was made now; false
  /// when a fitting one is there already, when the file holds something else by now
  /// (no time for this), and where none can be: `update_atomically` does without.
  bool prepare(const std::string& path, std::string_view content);
  void drop();
  [[nodiscard]] bool ready() const { return fd_.valid(); }

  /// For update_atomically. The spare under the name of a temporary file, if it is what
  /// would be written: for this folder, with this content and the attributes that a
  /// replacement of `existing` gets. It is used up by that.
  std::optional<detail::Temporary> take(const detail::Place& place,
                                        const detail::Existing& existing, std::string_view content,
                                        const WriteOptions& options);

 private:
  struct Folder {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const Folder&) const = default;
  };
  static std::optional<Folder> folder_of(const detail::Place& place);

  UniqueFd fd_;
  std::string content_;
  std::optional<Folder> folder_;   ///< where it can get its name
  std::optional<Folder> refused_;  ///< where that failed: not tried again
};

}  // namespace base
