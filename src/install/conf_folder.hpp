// The configuration folder as a CNI runtime sees it, and which of its files are
// ours. All but `read` is pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cni/conflist.hpp"
#include "install/record.hpp"

namespace install {

struct ConfFile {
  std::string name;
  std::string content;
  Identity identity;
  std::optional<cni::Network> network;  ///< nothing when no runtime can load it
  std::string problem;                  ///< why not
  bool broken = false;                  ///< no network, and not even JSON: empty or cut off
  bool settled = true;                  ///< a broken one that nobody is writing any more

  [[nodiscard]] bool has_our_entry() const { return network && network->our_position() >= 0; }
  /// `content` is not what the file holds: no regular file, or too large.
  [[nodiscard]] bool unread() const { return !network && !broken && content.empty(); }
};

struct ConfFolder {
  std::string path;
  bool exists = false;
  std::vector<ConfFile> files;      ///< bytewise sorted, as a runtime does
  std::vector<std::string> others;  ///< names that no runtime looks at

  /// A missing folder is an empty one.
  static base::Result<ConfFolder> read(const std::string& path);

  [[nodiscard]] const ConfFile* find(std::string_view name) const;
  /// What the runtime loads, or nullptr.
  [[nodiscard]] const ConfFile* first() const;
  /// As after a write or a removal.
  void put(const std::string& name, std::string content, Identity identity);
  void drop(std::string_view name);
};

/// Fills all but `identity`.
ConfFile examine(std::string name, std::string content);

/// Made by us, as its content says: derived, or a gate.
bool is_marked(const cni::Network& network);
/// Nothing in it but our plugin, or marked: may be overwritten and deleted where
/// we have made it.
bool is_own(const cni::Network& network);

/// Our entry is there once, equal to `entry` as JSON, and after the plugin that
/// makes the interface. A list like that is left alone even where with_entry
/// would write it differently (others behind it, or other white space): another
/// agent that also wants to be last, or that formats the file, is no enemy.
bool entry_is_good(const ConfFile& file, const cni::PluginEntry& entry);

/// Who rewrote this file, as far as it tells; "" else.
std::string guess_peer(const ConfFile& file);

}  // namespace install
