// From a file's tree to settings.
#include <map>
#include <variant>

#include "base/strings.hpp"
#include "config/draft.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"

namespace config {
namespace {

using base::cat;
using base::quote;

std::string_view article(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::null:
      return "empty";
    case YamlNode::Kind::scalar:
      return "a single value";
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
  }
  return "";
}

std::vector<std::string> names_in(std::string_view section) {
  std::vector<std::string> names;
  for (const auto& setting : settings()) {
    if (setting.section() == section) names.push_back(setting.name());
    if (section.empty() && !setting.section().empty() &&
        (names.empty() || names.back() != setting.section()))
      names.push_back(setting.section());
  }
  return names;
}

std::string below(const std::string& key) {
  const auto dot = key.find('.');
  return dot == std::string::npos
             ? cat(key, ", at the top level")
             : cat(key, ", that is ", key.substr(dot + 1), ": below ", key.substr(0, dot), ":");
}

/// What to write instead of `name` in `section`.
std::string suggestion(std::string_view section, std::string_view name) {
  if (find_setting(name) != nullptr) return cat("; did you mean ", below(std::string(name)), "?");
  std::vector<std::string> elsewhere;
  for (const auto& setting : settings())
    if (setting.section() != section && setting.name() == name) elsewhere.push_back(setting.key);
  if (elsewhere.size() == 1) return cat("; did you mean ", below(elsewhere.front()), "?");
  if (!elsewhere.empty()) return cat("; did you mean ", alternatives(elsewhere), "?");

  const auto here = names_in(section);
  auto meant = nearest(name, here);
  if (!meant.empty())
    return cat("; did you mean ", section.empty() ? "" : cat(section, "."), meant, "?");
  // another section's key, mistyped; or with its section in its name
  for (const auto& setting : settings()) {
    const auto leaf = setting.name();
    if (nearest(name, {setting.key, setting.flag(), leaf}).empty()) continue;
    return cat("; did you mean ", below(setting.key), "?");
  }
  return cat("; known here: ", alternatives(here));
}

class FileReader {
 public:
  FileReader(const std::string& file, Draft& draft) : file_(file), draft_(draft) {}

  void read(const YamlNode& root) {
    if (root.kind == YamlNode::Kind::null) return;
    if (root.kind != YamlNode::Kind::map) {
      complain(root.mark, "",
               cat("is ", article(root.kind), "; a map is expected: one \"key: value\" a line"));
      return;
    }
    read_map("", root);
  }

 private:
  void complain(Mark mark, std::string key, std::string message) {
    draft_.complain(Place::in_file(file_, mark, std::move(key)), std::move(message));
  }

  void read_map(const std::string& section, const YamlNode& map) {
    std::map<std::string_view, int> seen;
    for (const auto& [key, value] : map.fields) {
      const auto full = section.empty() ? key.text : cat(section, ".", key.text);
      if (const auto [first, fresh] = seen.emplace(key.text, key.mark.line); !fresh) {
        complain(key.mark, printable(full),
                 cat("is given twice, first in line ", first->second, "; keep one of them"));
        continue;
      }
      // "install.mode" as one key is not that setting, although it reads like it
      const bool dotted = key.text.find('.') != std::string::npos;
      const auto* setting = dotted ? nullptr : find_setting(full);
      if (setting != nullptr) {
        read_value(*setting, key, value);
      } else if (section.empty() && is_section(key.text)) {
        read_section(key, value);
      } else {
        complain(key.mark, printable(full), cat("unknown key", suggestion(section, key.text)));
      }
    }
  }

  void read_section(const YamlNode& key, const YamlNode& value) {
    // a section whose settings are all commented out is null
    if (value.kind == YamlNode::Kind::null) return;
    if (value.kind == YamlNode::Kind::map) {
      read_map(key.text, value);
      return;
    }
    complain(value.mark, key.text,
             cat("is ", article(value.kind), "; a map is expected, of ",
                 alternatives(names_in(key.text))));
  }

  void read_value(const Setting& setting, const YamlNode& key, const YamlNode& node) {
    // null has no place of its own
    const auto place = Place::in_file(
        file_, node.kind == YamlNode::Kind::null ? key.mark : node.mark, setting.key);
    Value value;
    if (auto wrong = setting.kind == Kind::list ? read_list(setting, node, value)
                                                : read_scalar(setting, node, value);
        !wrong.empty()) {
      draft_.reject(setting.key, place, std::move(wrong));
      return;
    }
    draft_.set(setting, value, place);
  }

  std::string read_list(const Setting& setting, const YamlNode& node, Value& value) {
    const auto example = [&](std::string_view item) {
      return cat("; a list is expected: ", setting.name(), ": [", item, "]");
    };
    if (node.kind == YamlNode::Kind::null) return cat("has no value", example(""));
    if (node.kind == YamlNode::Kind::scalar)
      return cat("is a single value", example(yaml_text(node.text)));
    if (node.kind == YamlNode::Kind::map) return cat("is a map", example("..."));
    for (const auto& item : node.items) {
      if (item.kind != YamlNode::Kind::scalar)
        return cat("has ",
                   item.kind == YamlNode::Kind::null ? "an empty element" : article(item.kind),
                   " in line ", item.mark.line, "; every element must be text");
      value.items.push_back(item.text);
    }
    return {};
  }

  std::string read_scalar(const Setting& setting, const YamlNode& node, Value& value) {
    const bool boolean = setting.kind == Kind::boolean;
    const bool number = setting.kind == Kind::number;
    const std::string_view wanted = boolean  ? "true or false"
                                    : number ? "a number"
                                    : setting.kind == Kind::mode
                                        ? "an octal number such as \"0600\""
                                        : "text";
    if (node.kind == YamlNode::Kind::null)
      return cat("has no value; expected: ",
                 setting.kind == Kind::word ? alternatives(setting.words) : std::string(wanted),
                 setting.kind == Kind::text ? " (\"\" for none)" : "");
    if (node.kind != YamlNode::Kind::scalar)
      return cat("is ", article(node.kind), "; expected: ",
                 setting.kind == Kind::word ? alternatives(setting.words) : std::string(wanted));
    if (boolean && node.text != "true" && node.text != "false") return not_boolean(node.text);
    if ((boolean || number) && !node.plain)
      return cat(quote(node.text), " is quoted, and so text; write it without quotes");
    // what YAML 1.1 programs make of an unquoted off
    if (setting.kind == Kind::word && node.plain && node.text == "false")
      for (const auto& word : setting.words)
        if (word == "off") return "is false; write \"off\" with its quotes";
    value.text = node.text;
    return {};
  }

  /// YAML 1.1 knew many spellings; guessing which version was meant would be worse.
  static std::string not_boolean(std::string_view text) {
    const auto lower = base::to_lower(text);
    const bool yes = lower == "yes" || lower == "on" || lower == "y" || lower == "true";
    const bool no = lower == "no" || lower == "off" || lower == "n" || lower == "false";
    return cat(quote(text), " is neither true nor false",
               yes  ? "; write true"
               : no ? "; write false"
                    : "");
  }

  const std::string& file_;
  Draft& draft_;
};

}  // namespace

void read_yaml(const File& file, Draft& draft) {
  const auto parsed = parse_yaml(file.text);
  if (const auto* mistake = std::get_if<YamlMistake>(&parsed)) {
    draft.complain(Place::in_file(file.name, mistake->mark, ""), mistake->message);
    return;
  }
  FileReader(file.name, draft).read(std::get<YamlNode>(parsed));
}

}  // namespace config
