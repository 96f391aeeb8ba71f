// A configuration while it is being put together: values with the places they
// came from, and what was wrong with them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/settings.hpp"
#include "config/yaml.hpp"

namespace config {

/// Where a value stands, in both of the forms that the outcome has.
struct Place {
  Source source;
  Problem problem;  ///< without its message

  static Place in_file(const std::string& file, Mark mark, std::string key);
  static Place in_environment(std::string variable);
  static Place on_command_line(std::string flag);  ///< "--install-mode"
};

class Draft {
 public:
  Draft();

  void set(const Setting& setting, const Value& value, const Place& place);
  void set(std::string_view key, const Value& value, const Place& place);
  /// From the environment or the command line.
  void set_text(std::string_view key, std::string_view text, const Place& place);
  /// A value for `key` that could not be used.
  void reject(std::string_view key, const Place& place, std::string message);

  void complain(const Place& place, std::string message);
  void warn(const Place& place, std::string message);

  /// Of the value that counts. A problem's place for a default is its key alone.
  [[nodiscard]] const Place& place(std::string_view key) const;
  [[nodiscard]] const Config& config() const { return outcome_.loaded.config; }
  /// Something was wrong with one of these; what depends on them cannot be judged.
  [[nodiscard]] bool rejected(std::initializer_list<std::string_view> keys) const;

  Outcome take();

 private:
  Outcome outcome_;
  std::map<std::string, Place, std::less<>> places_;
  std::set<std::string, std::less<>> rejected_;
};

/// Adds what a file says. Complains about all that is wrong with it.
void read_yaml(const File& file, Draft& draft);

/// Adds ISTIO_CNI_* variables.
void read_own_environment(const std::map<std::string, std::string>& variables, Draft& draft);

/// A flag as it was given; the last of several counts.
struct GivenFlag {
  std::string name;  ///< without "--"
  std::string value;
};
/// Complains about what is no flag, or lacks its value. Booleans without one are "true".
std::vector<GivenFlag> parse_flags(const std::vector<std::string>& arguments, Draft& draft);
/// Adds those of our own.
void read_own_flags(const std::vector<GivenFlag>& flags, Draft& draft);

/// What contradicts itself, in the values that count.
void check_together(Draft& draft);

}  // namespace config
