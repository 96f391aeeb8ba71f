// The variables and flags of the known DaemonSet agent, so that an existing
// DaemonSet or command line goes on working.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/draft.hpp"

namespace config {

struct KnownFlag {
  std::string_view name;  ///< without "--"
  bool boolean = false;   ///< may stand without a value
  std::string_view help;
};
/// Those that are not flags of our own too.
std::vector<KnownFlag> known_flags();

class KnownNames {
 public:
  KnownNames(const std::map<std::string, std::string>& variables,
             const std::vector<GivenFlag>& flags);

  /// In this order, with our own variables between them: flags outrank them.
  void read_environment(Draft& draft) const;
  void read_flags(Draft& draft) const;
  /// After all values are there: a path as a container sees it is taken apart
  /// into host_root and the host's path.
  static void resolve_mounts(Draft& draft);

 private:
  struct Given {
    std::string text;
    Place place;
    bool flag = false;
  };
  using Level = std::map<std::size_t, Given>;  // by row of the table

  void read(const Level& level, bool flags, Draft& draft) const;
  void read_install_mode(bool flags, Draft& draft) const;
  void read_repair_mode(bool flags, Draft& draft) const;
  /// The flag's value, else the variable's.
  [[nodiscard]] const Given* find(std::string_view variable) const;

  Level environment_;
  Level flags_;
};

}  // namespace config
