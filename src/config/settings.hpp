// The table of settings, which everything about a setting comes from: reading,
// printing, comparing, its documentation, its variable and its flag.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"

namespace config {

enum class Kind {
  text,
  word,     ///< one of a few
  boolean,  ///< "true" or "false" for Setting::set
  number,
  mode,  ///< text as well as a number in YAML
  list,  ///< of text
};

/// A scalar, or a list's elements.
struct Value {
  std::string text;
  std::vector<std::string> items;
};

struct Setting {
  std::string key;  ///< "install.mode"; "run_dir" has no section
  Kind kind = Kind::text;
  std::vector<std::string> words;  ///< Kind::word
  /// Parses and stores, or says what is wrong and what is allowed.
  std::function<base::Status(Config&, const Value&)> set;
  /// The value as YAML, on one line; set() takes what a YAML parser reads from it.
  std::function<std::string(const Config&)> print;
  bool restart = false;  ///< a reload cannot apply it
  /// Sentences for the shipped file, one line each.
  std::vector<std::string> help;

  [[nodiscard]] std::string section() const;   ///< "install", or ""
  [[nodiscard]] std::string name() const;      ///< "mode"
  [[nodiscard]] std::string variable() const;  ///< "ISTIO_CNI_INSTALL_MODE"
  [[nodiscard]] std::string flag() const;      ///< "install-mode"
};

/// In the order of the shipped file; the settings of a section stand together.
const std::vector<Setting>& settings();
const Setting* find_setting(std::string_view key);

/// What the shipped file says about a section.
std::string_view section_help(std::string_view section);
bool is_section(std::string_view name);

/// A value from the environment or the command line, where everything is text:
/// lists are separated by commas, booleans spelled as Go has them.
base::Result<Value> value_of_text(const Setting& setting, std::string_view text);

}  // namespace config
