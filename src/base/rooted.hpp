// Paths of a host whose file system is mounted below a folder of ours.
#pragma once

#include <string>
#include <string_view>

namespace base {

/// Where the host's `path` (absolute) is for us when the host's root is at
/// `root`: symbolic links on the way, absolute ones too, are followed as the
/// host follows them, and never lead out of `root`. What does not exist is kept
/// as written, so that opening the result says what is missing. With `root` ""
/// or "/" this is `path` itself. After 40 links, as the kernel's limit is, the
/// rest is left to the kernel.
std::string resolve_below(std::string_view root, std::string_view path);

}  // namespace base
