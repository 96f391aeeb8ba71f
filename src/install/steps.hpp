// The steps of one pass, each with what it remembers from the last one.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/atomic_update.hpp"
#include "base/spare.hpp"
#include "install/conf_folder.hpp"
#include "install/installer.hpp"
#include "install/plan.hpp"
#include "install/record.hpp"

namespace install {

/// The plugin in each folder.
class BinaryStep {
 public:
  /// `adopt`: a plugin that is right already counts as ours.
  base::Status run(const Desired& desired, Store& store, bool adopt, Pass& pass);

 private:
  base::Status one(const std::string& folder, const Desired& desired, Store& store, bool adopt,
                   Pass& pass);

  std::optional<Identity> source_;
  std::string source_fingerprint_;
  /// A target that was found equal to the source.
  std::map<std::string, Identity> good_;
};

/// The plugin's credential.
class KubeconfigStep {
 public:
  base::Status run(const Desired& desired, Store& store, Pass& pass);

 private:
  std::string path_;
  std::string content_;
  std::optional<Identity> good_;
};

/// Our entry in the network configuration, and the end of what stood elsewhere.
class ConfStep {
 public:
  explicit ConfStep(base::RenameCall rename) : rename_(std::move(rename)) {}

  base::Status run(const Desired& desired, Store& store, bool adopt, Pass& pass);
  /// Only looks: what is there after an earlier step failed.
  void look(const Desired& desired, const Store& store, Pass& pass);
  /// As Installer::prepare.
  bool prepare(const Desired& desired, Store& store);

 private:
  using Clock = std::chrono::steady_clock;
  struct Broken {
    Identity identity;
    Clock::time_point first;  ///< it was seen broken
    Clock::time_point since;  ///< it is as it is now
  };

  /// Tells which broken files are broken for good.
  void settle(ConfFolder& folder);
  static base::Status announce(const Desired& desired, const Choice& choice, Store& store);
  static bool undone_by_others(const Desired& desired, const ConfFolder& folder,
                               const Choice& choice, const std::string& wanted, Store& store,
                               Pass& pass);
  /// False: somebody changed the folder meanwhile.
  base::Result<bool> attempt(const Desired& desired, Store& store, bool adopt, Pass& pass);
  /// False: not written, as the file is not the one that was read.
  base::Result<bool> write(const Desired& desired, const Choice& choice, const std::string& wanted,
                           ConfFolder& folder, Pass& pass);
  void undo_elsewhere(const Desired& desired, const Choice& choice, ConfFolder& folder,
                      Record& record, Pass& pass);
  static void report(const Desired& desired, const Choice& choice, const ConfFolder& folder,
                     const std::string& target, Pass& pass);

  base::RenameCall rename_;
  base::Spare spare_;  ///< of the target
  std::map<std::string, Broken> broken_;
  std::string preempted_by_;
  bool seen_ = false;  ///< preempted_by_ is known
};

/// Makes what is missing of `path` (two levels at most), recorded first.
base::Status ensure_folder(const std::string& path, mode_t mode, Store& store);

}  // namespace install
