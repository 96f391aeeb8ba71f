// The installation as the disk shows it, whatever the agent says or whether it
// runs at all.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"

namespace istio_cnictl {

using Time = std::chrono::system_clock::time_point;

struct PluginCopy {
  std::string path;
  bool present = false;
  bool executable = false;
  /// Equal to the file that the agent installs; nothing: that one is not to be had.
  std::optional<bool> current;
  std::string version;  ///< as the plugin itself says; "" when it does not
  std::optional<Time> written;

  bool operator==(const PluginCopy&) const = default;
};

struct DiskState {
  std::string mode;  ///< "chained", "owned", "standalone": as configured
  bool gate = false;
  std::string conf_dir;
  std::string found_in;  ///< what says that this is the folder
  std::string runtime;   ///< "containerd", ... or ""
  std::string conf_error;
  std::string first_file;  ///< what the runtime loads; "" for none
  std::string file;        ///< with our entry; "" for none
  int position = -1;       ///< of our entry in it
  int plugins = 0;
  bool gated = false;  ///< our entry lets no pod start yet
  std::optional<Time> written;

  std::string source;  ///< the file that the agent installs from
  std::vector<PluginCopy> copies;

  std::string kubeconfig;  ///< the plugin's
  bool kubeconfig_present = false;
  mode_t kubeconfig_mode = 0;

  bool recorded = false;  ///< the state folder has a record of an installation
  std::string record_error;
  std::vector<std::string> warnings;
};

/// What keeps the runtime from running our plugin for the next pod; empty: it
/// will. Pure. The kubeconfig counts only when `agent_answers` is false: the
/// agent looks pods up without it.
std::vector<std::string> problems_of(const DiskState& disk, bool agent_answers);

/// "chained in 10-calico.conflist, entry 2 of 2", or what is wrong. Pure.
std::string describe(const DiskState& disk);

/// Reads; never writes. Runs each installed plugin once, without a command, to
/// learn its version.
DiskState read_disk(const config::Config& config);

}  // namespace istio_cnictl
