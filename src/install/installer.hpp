// Keeps the plugin installed: binary, kubeconfig, and our entry in the network
// configuration, in this order; takes them out in the opposite one.
//
// One thread. Every write is atomic and synced (base/atomic_file.hpp), so that
// a crash between any two of them leaves a node whose lists name only plugins
// that exist. What another program renames over a list meanwhile is not lost
// (base/atomic_update.hpp): the change is made again, from that.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_update.hpp"
#include "base/result.hpp"
#include "cni/conflist.hpp"

namespace install {

enum class Mode { chained, owned, standalone };

/// What should be there. Paths as this process sees them (host_root included);
/// `entry` holds paths as the host sees them.
struct Desired {
  Mode mode = Mode::chained;
  bool gate = false;  ///< owned mode only
  std::string conf_dir;
  std::string conf_name;   ///< chained: "" is the file the runtime loads first
  std::string owned_name;  ///< owned mode, and a chained single .conf's own list
  std::string standalone_name;
  mode_t own_file_mode = 0600;
  std::vector<std::string> bin_dirs;
  std::string plugin_binary;  ///< the source
  std::string kubeconfig_path;
  std::optional<std::string> kubeconfig;  ///< nullopt: no credential yet, an old file stays
  mode_t kubeconfig_mode = 0600;
  cni::PluginEntry entry;

  bool operator==(const Desired&) const = default;
};

/// Which step failed; names for istio_cni_installs_total{result}.
enum class Step { binary, kubeconfig, conf };

struct Failure {
  Step step;
  base::Error error;
};

/// What one pass found and did.
struct Pass {
  bool ready = false;  ///< the runtime's first list runs our plugin (and no gate)
  std::string file;    ///< the file that has our entry, its name only; "" for none
  int position = -1;   ///< of our entry in the list
  std::size_t plugins = 0;
  std::string derived_from;  ///< owned: the primary's file
  bool gated = false;
  bool changed = false;     ///< something was written
  bool foreign = false;     ///< somebody else had undone or preempted our entry
  std::string peer;         ///< who, when the file tells: "Cilium", "Calico", "AKS", ... or ""
  std::string waiting_for;  ///< "no CNI network configuration in /etc/cni/net.d yet"
  std::vector<std::string> warnings;
  std::optional<Failure> failure;
  /// Not zero: a file was found half written or cut off; unless something
  /// happens before, look again after this time, as then it is healed or skipped.
  std::chrono::milliseconds look_again{0};
};

/// "istio-cni in 10-calico.conflist" etc. for status; one clause, no full stop.
std::string describe(const Desired& desired, const Pass& pass);

/// `state_dir` holds the record of what was installed where (record.json,
/// written before each change it announces), so that uninstall undoes exactly that.
class Installer {
 public:
  explicit Installer(std::string state_dir, base::RenameCall rename = base::rename_in_folder);
  ~Installer();

  /// Brings the disk to `desired`. Cheap when nothing is to be done: reads only.
  /// When paths or the mode changed since the record, the old places are undone
  /// after the new ones stand.
  Pass reconcile(const Desired& desired);

  /// For after a pass, when nothing waits for its result any more: gets ready what a
  /// program that rewrites the list would have it replaced by, as flushing that then is
  /// what takes the time (base/spare.hpp). True when something was written for it.
  bool prepare(const Desired& desired);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Undoes what the record says: lists first, then kubeconfig, and the binary
/// last, and only where no list of that folder names our plugin any more. Runs
/// through all of it and returns every failure. Idempotent; without a record,
/// nothing; neither where another installer's plugin has taken the place of ours, as
/// entry and kubeconfig are then its own. `done`: what was taken out, for people, one line each.
struct Uninstalled {
  std::vector<std::string> done;
  std::vector<base::Error> failures;
  bool left_to_another = false;  ///< whose plugin is in the place of ours: nothing was undone
};
Uninstalled uninstall(const std::string& state_dir,
                      const base::RenameCall& rename = base::rename_in_folder);

/// Back-off against a peer that keeps reverting us. Pure but for the random
/// number it is given.
class ReversionGuard {
 public:
  using Clock = std::chrono::steady_clock;
  /// After a pass that found our entry undone. How long to wait before the
  /// next write: 0 up to 10 reversions in 5 s, then growing with jitter to 1 s.
  /// `random` in [0, 1].
  std::chrono::milliseconds reverted(Clock::time_point now, double random);
  /// True once per series of reversions: the warning is due.
  bool warn_now();

 private:
  std::vector<Clock::time_point> recent_;
  int over_ = 0;
  bool warned_ = false;
};

}  // namespace install
