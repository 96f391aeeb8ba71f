// inotify on the folders of the installation. Folders that do not exist yet,
// appear later, or are replaced are followed through all folders above them, and
// those of symbolic links on the way. inotify(7) does not report mounts: the
// mount table (proc(5), mountinfo) is watched as well.
//
// Not reported: writes into a file that is kept open afterwards, and into the
// target of a link inside a watched folder. The caller's own slow rescan is for
// these.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace install {

class Watcher {
 public:
  Watcher(Watcher&&) noexcept;
  Watcher& operator=(Watcher&&) noexcept;
  ~Watcher();

  /// Errors: Errc::io when the kernel gives no inotify instance; the caller
  /// then rescans on a timer.
  static base::Result<Watcher> make();

  /// Replaces the set of watched paths (folders, or single files through their
  /// folder). A path that cannot be watched now is watched through its parents.
  void watch(const std::vector<std::string>& paths);

  /// Readable when something happened (then call `take`); stays the same, and is
  /// owned by the watcher.
  [[nodiscard]] int fd() const;

  /// Takes all pending events. `relevant`: a watched path, or something in a
  /// watched folder, may have changed (temporary files of our own do not
  /// count). `degraded`: an overflow or a lost watch happened; watches have
  /// been set up again and everything must be looked at.
  struct Events {
    bool relevant = false;
    bool degraded = false;
  };
  Events take();

  /// Paths that could not be watched even through a parent (limits reached):
  /// rescan on a timer while this is not empty. Tried again with every `take`.
  [[nodiscard]] const std::vector<std::string>& unwatched() const;

 private:
  struct Impl;
  explicit Watcher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace install
