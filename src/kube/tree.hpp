// A document of maps, lists and scalars, read from YAML or JSON within bounds.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace kube {

/// Kept minimal and in source order; of duplicated keys `find` takes the last,
/// so that no document costs more than its length to build.
struct Tree {
  struct Field;
  enum class Kind { null, boolean, number, text, list, map };

  Kind kind = Kind::null;
  /// YAML scalars are text, quoted or not; JSON keeps the three apart.
  std::string scalar;
  std::vector<Tree> items;
  std::vector<Field> fields;

  [[nodiscard]] const Tree* find(std::string_view key) const;
};

/// A std::pair would need Tree to be complete within itself.
struct Tree::Field {
  std::string key;
  Tree value;
};

inline constexpr std::size_t max_tree_depth = 100;
/// Scalar bytes and 32 for each node, with every alias counted as often as used.
inline constexpr std::size_t max_tree_weight = std::size_t{4} << 20;

/// The first YAML document of `text`; one whose first character is "{" is read
/// as JSON. Errors (Errc::invalid_input) tell line and column, without the
/// name of the document. YAML merge keys ("<<") are refused.
base::Result<Tree> parse_tree(std::string_view text);

}  // namespace kube
