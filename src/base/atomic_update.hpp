// Changing a file that other programs replace too, so that none of their versions
// is lost: the change is made only where the file is still what it was made from.
//
// The new file and the one in place change places in one step (renameat2(2),
// RENAME_EXCHANGE), and what came out is compared. When it is not what was
// expected, it goes back. Until then, some microseconds, the file holds a change
// of an older version: complete, but not the newest. A crash in that time leaves
// the newest version beside the file, and `recover_update` puts it back.
//
// A program that writes into the file instead of renaming is protected only until
// the exchange; and where the file system cannot exchange, all are protected only
// until a look just before the rename.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_file.hpp"
#include "base/result.hpp"
#include "base/spare.hpp"

namespace base {

/// renameat2(2) within one folder; tests pass another.
using RenameCall = std::function<int(int folder, const char* from, const char* to, unsigned flags)>;
int rename_in_folder(int folder, const char* from, const char* to, unsigned flags);

enum class Updated {
  changed,
  unchanged,
  overtaken,  ///< the file is not what it was: another program's version is there
};

/// As write_atomically, where the file's content is still `basis` (nullopt: there
/// is no file), or is `content` already. Its temporary files also are never seen
/// by a CNI runtime (".NAME.icn-XXXXXX-NEW-OLD", with checksums of both).
/// Where `spare` is what would be written, it is taken instead.
Result<Updated> update_atomically(const std::string& path, std::optional<std::string_view> basis,
                                  std::string_view content, const WriteOptions& options = {},
                                  const RenameCall& rename = rename_in_folder,
                                  Spare* spare = nullptr);

/// As remove_file, where the file's content is still `basis`.
Result<Updated> remove_unchanged(const std::string& path, std::string_view basis,
                                 const RenameCall& rename = rename_in_folder);

/// Tidies up what a crash in one of the two left beside `path`. Another program's
/// version comes back where the file still is as we left it; where it is not,
/// which of the two is newer is not known, and both stay.
struct Recovered {
  bool restored = false;
  std::vector<std::string> kept;  ///< paths of versions that stay beside the file
};
Result<Recovered> recover_update(const std::string& path,
                                 const RenameCall& rename = rename_in_folder);

}  // namespace base
