// A YAML file as a tree whose nodes know their place.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace config {

struct Mark {
  int line = 0;  ///< from 1, as is column
  int column = 0;
};

struct Field;

struct YamlNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Mark mark;
  std::string text;    ///< of a scalar
  bool plain = false;  ///< a scalar without quotes, tag and block style
  std::vector<YamlNode> items;
  std::vector<Field> fields;  ///< as they come
};

struct Field {
  YamlNode key;  ///< a scalar
  YamlNode value;
};

struct YamlMistake {
  Mark mark;
  std::string message;
};

/// The one document of `text`; a null node when there is none. Aliases are
/// resolved. Nesting, nodes and what aliases add up to are bounded.
std::variant<YamlNode, YamlMistake> parse_yaml(std::string_view text);

}  // namespace config
