// Where the container runtime of this node looks for CNI configuration and
// plugins.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace install {

struct CniDirs {
  std::string conf_dir;               ///< as the host names it, without `root`
  std::vector<std::string> bin_dirs;  ///< never empty
  std::string found_in;               ///< the file that says so, or "the usual places"
  /// "k3s", "RKE2", "MicroK8s", "CRI-O", "containerd", or "" when there is none.
  std::string runtime = {};
};

/// What one file says about the CNI folders; absent parts are nullopt/empty.
/// Slashes at the end of a path are dropped.
struct RuntimeDirs {
  std::optional<std::string> conf_dir;
  std::vector<std::string> bin_dirs;
  std::vector<std::string> imports;  ///< containerd's `imports`, patterns as written
};

/// Pure. containerd's configuration, versions 1, 2 and 3 (containerd 1.x and
/// 2.x). A file without a version is version 1, except that the sections of all
/// versions count in it: drop-ins need no version. Of `bin_dirs` and its
/// predecessor `bin_dir` in one file both count. Errors (Errc::invalid_input)
/// name file, line and column: text that is not TOML, or exceeds 256 KiB, 8 KiB a
/// line or a hundred levels; a value of the wrong type.
base::Result<RuntimeDirs> parse_containerd(std::string_view toml, std::string_view file);

/// Pure. CRI-O's: `network_dir`, `plugin_dirs` and its predecessor `plugin_dir`
/// of [crio.network]. Errors as above.
base::Result<RuntimeDirs> parse_crio(std::string_view toml, std::string_view file);

/// Looks, below `root`: k3s, RKE2, MicroK8s (their own containerd), CRI-O,
/// containerd; the first that is in use wins (its socket exists; else its
/// configuration does). k3s and RKE2 share one socket: of two configurations the
/// younger counts, because both write theirs at every start.
///
/// A configuration that cannot be read falls back to the runtime's usual places.
/// What a good one leaves open is what containerd or CRI-O themselves take
/// then, which for k3s is not where it puts its own. No runtime at all gives
/// /etc/cni/net.d and /opt/cni/bin. `warnings` gets what was ignored.
///
/// containerd's imports are followed as containerd 2 does: breadth first, later
/// files win key by key, each file is read once. Folders that k3s and MicroK8s
/// number anew with every upgrade are named through their `current` link when it
/// leads there, so that what is found stays right. Links are followed as the
/// host follows them (base::resolve_below).
CniDirs discover(const std::string& root, std::vector<std::string>& warnings);

}  // namespace install
