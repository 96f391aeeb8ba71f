#include "install/installer.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/atomic_file.hpp"
#include "base/strings.hpp"
#include "install/steps.hpp"
#include "install/undo.hpp"

namespace install {
namespace {

using base::cat;

/// Plugins and kubeconfigs of an earlier configuration.
void undo_old_paths(const Desired& desired, Record& record, Pass& pass) {
  auto done = [&pass](Undone undone) {
    if (!undone)
      pass.warnings.push_back(undone.error().message);
    else if (!undone->empty())
      pass.changed = true;
    return undone.ok();
  };
  std::erase_if(record.kubeconfigs, [&](const std::string& path) {
    if (path == desired.kubeconfig_path || !desired.kubeconfig) return false;
    auto removed = base::remove_file(path);
    return done(removed ? Undone(std::string("removed")) : Undone(removed.error()));
  });
  std::vector<std::string> other_folders;
  for (const auto& place : record.places)
    if (place.conf_dir != desired.conf_dir) other_folders.push_back(place.conf_dir);
  std::erase_if(record.binaries, [&](const Binary& binary) {
    for (const auto& folder : desired.bin_dirs)
      if (binary.path == cat(folder, "/", cni::plugin_type)) return false;
    const auto named = names_our_plugin(other_folders);
    return named && named->empty() && done(remove_binary(binary));
  });
}

}  // namespace

struct Installer::Impl {
  Impl(std::string state_dir, base::RenameCall rename_call)
      : store(std::move(state_dir)), rename(std::move(rename_call)), conf(rename) {}

  Pass reconcile(const Desired& desired) {
    Pass pass;
    std::string damage;
    const auto found = store.load(damage);
    if (!found) return failed(desired, Step::conf, found.error(), std::move(pass));
    if (*found == Store::Found::damaged) {
      pass.warnings.push_back(cat("a new record of the installation is begun: ", damage));
      adopt = adopt || store.record() == Record{};
    }
    if (!std::exchange(recovered, true)) recover(desired, pass);
    // Who takes us out begins with the entry, and a pod that starts without it is not
    // redirected. So it goes back first while there is a plugin for it: with a wrong one,
    // or none for a moment, the pod's start fails at worst, and is tried again.
    const bool entry_first = !adopt && stood == desired && plugins_are_there(desired);
    if (entry_first && !entry(desired, pass)) return pass;
    if (auto status = binaries.run(desired, store, adopt, pass); !status)
      return failed(desired, Step::binary, status.error(), std::move(pass));
    if (auto status = kubeconfig.run(desired, store, pass); !status)
      return failed(desired, Step::kubeconfig, status.error(), std::move(pass));
    if (!entry_first && !entry(desired, pass)) return pass;
    stood = desired;
    adopt = false;
    if (!store.record().target.empty()) {
      auto record = store.record();
      undo_old_paths(desired, record, pass);
      if (auto status = store.save(std::move(record)); !status)
        pass.warnings.push_back(status.error().message);
    }
    return pass;
  }

  /// False: the pass has failed.
  bool entry(const Desired& desired, Pass& pass) {
    auto status = conf.run(desired, store, adopt, pass);
    if (status) return true;
    recovered = false;  // it may have had to leave something
    pass.failure = Failure{Step::conf, status.error()};
    pass.ready = false;
    return false;
  }

  static bool plugins_are_there(const Desired& desired) {
    return std::all_of(desired.bin_dirs.begin(), desired.bin_dirs.end(),
                       [](const std::string& folder) {
                         return ::access(cat(folder, "/", cni::plugin_type).c_str(), X_OK) == 0;
                       });
  }

  /// What a killed one left, before anything is decided by what is there.
  void recover(const Desired& desired, Pass& pass) {
    auto record = store.record();
    record.place(desired.conf_dir);
    for (const auto& place : record.places) {
      auto said = recover_lists(place, rename);
      std::move(said.begin(), said.end(), std::back_inserter(pass.warnings));
    }
  }

  Pass failed(const Desired& desired, Step step, base::Error error, Pass pass) {
    conf.look(desired, store, pass);
    pass.failure = Failure{step, std::move(error)};
    return pass;
  }

  Store store;
  base::RenameCall rename;
  BinaryStep binaries;
  KubeconfigStep kubeconfig;
  ConfStep conf;
  bool adopt = false;  ///< the record was lost: what looks like ours is ours
  bool recovered = false;
  std::optional<Desired> stood;  ///< what the last pass that succeeded brought about
};

Installer::Installer(std::string state_dir, base::RenameCall rename)
    : impl_(std::make_unique<Impl>(std::move(state_dir), std::move(rename))) {}

Installer::~Installer() = default;

Pass Installer::reconcile(const Desired& desired) { return impl_->reconcile(desired); }

bool Installer::prepare(const Desired& desired) {
  return impl_->conf.prepare(desired, impl_->store);
}

}  // namespace install
