// Which versions of the plugin are installed, read out of the files: what runtimes
// execute need not be executed by the agent.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "install/record.hpp"

namespace istio_cni_node {

class PluginVersions {
 public:
  /// Of the plugin in each of these folders, where there is one; "unknown" for a
  /// program that is not ours. Files that are as they were are not read again.
  const std::set<std::string>& look(const std::vector<std::string>& bin_dirs);

 private:
  struct Seen {
    install::Identity identity;
    std::string version;
  };
  std::map<std::string, Seen> seen_;  ///< by path
  std::set<std::string> versions_;
};

/// The version that the program at `path` says is its own; "unknown" when it says
/// none, or cannot be read.
std::string plugin_version_of(const std::string& path);

/// Finds it in a file that is given piece by piece.
class VersionFinder {
 public:
  /// True once it is found.
  bool feed(std::string_view piece);
  /// "" when there was none.
  [[nodiscard]] const std::string& version() const { return version_; }

 private:
  std::string rest_;  ///< of the pieces before: where the words may begin
  std::string version_;
};

}  // namespace istio_cni_node
