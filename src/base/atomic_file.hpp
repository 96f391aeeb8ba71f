// Replacing a file so that a reader, or a machine that loses power, sees the old
// content or the new and never less.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace base {

/// What chmod(2) sets of st_mode.
inline constexpr mode_t permission_bits = 07777;

struct WriteOptions {
  /// Permission bits of a new file (the umask is not applied); of an existing
  /// one only when `force_mode`.
  mode_t mode = 0644;
  bool force_mode = false;
};

enum class Written { changed, unchanged };

/// Temporary file in the same folder (".NAME.icn-XXXXXX", never seen by a CNI
/// runtime), fsync, rename, fsync of the folder. An existing file's mode, owner,
/// group and security.selinux label are carried over. Equal content (and, with
/// force_mode, equal mode) is not written again; where only the mode differs the
/// file stays and its mode is set. A symbolic link is followed, so that the link
/// stays. Temporary files that an earlier crash left beside it are removed: only
/// one writer at a time may work on one file.
///
/// On error nothing has changed; the message names the path. Errc::not_found:
/// the folder does not exist; Errc::invalid_input: the path is not that of a
/// regular file. (One exception: when the last step, the fsync of the folder,
/// fails, the new content is there, but may not survive a loss of power.)
Result<Written> write_atomically(const std::string& path, std::string_view content,
                                 const WriteOptions& options = {});

/// The same for a copy of a file's bytes, in bounded memory; compares before it
/// copies, so that a target that is right already may stand on a read-only file
/// system; drops the pages it touched from the page cache (posix_fadvise).
/// Errc::not_found also when `from` is missing; Errc::unavailable when `from` was
/// written to meanwhile.
Result<Written> copy_atomically(const std::string& from, const std::string& to,
                                const WriteOptions& options);

/// Unlinks (a symbolic link itself, not what it points to) and fsyncs the
/// folder. A missing file or folder is success (unchanged).
Result<Written> remove_file(const std::string& path);

}  // namespace base
