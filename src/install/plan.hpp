// Where our entry belongs. Pure: folder, settings and record in, a choice out.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "install/conf_folder.hpp"
#include "install/installer.hpp"
#include "install/record.hpp"

namespace install {

enum class Action {
  nothing,  ///< there is no network yet
  hold,     ///< somebody is writing, or the source is broken: all stays as it is
  edit,     ///< `file` gets our entry
  heal,     ///< `file` had our entry and is broken: its last good content comes back
  own,      ///< `file` is made by us, with `content`
};

struct Choice {
  Action action = Action::nothing;
  std::string file;
  std::string content;     ///< own: what belongs there
  std::string source;      ///< own: the file it is made from, "" for none
  bool unsettled = false;  ///< hold: look again soon
  std::string reason;      ///< nothing, hold: what is waited for
  std::vector<std::string> warnings;
  std::optional<base::Error> error;  ///< it cannot be done
};

/// The settings that decide on the target; another value means that our own
/// configuration moved it, and no peer.
std::string chosen_by(const Desired& desired);

/// The name of our own list made from a single file in chained mode: the first
/// free one that sorts before `source` of: owned_name, "00-istio-cni.conflist",
/// "!00-istio-cni.conflist" ('!' sorts before all letters and digits). Nothing
/// when none does.
std::optional<std::string> derived_name(const Desired& desired, const ConfFolder& folder,
                                        const std::vector<std::string>& own,
                                        const std::string& source);

/// `place`: what the record says of this folder. `had_last_good`: is a last good
/// copy of that file kept?
Choice choose(const Desired& desired, const ConfFolder& folder, const Place& place,
              const std::function<bool(const std::string&)>& had_last_good);

}  // namespace install
