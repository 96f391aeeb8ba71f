// The plugin and its credential.
#include <utility>

#include "base/atomic_file.hpp"
#include "base/strings.hpp"
#include "install/steps.hpp"

namespace install {
namespace {

using base::cat;
using base::Errc;
using base::Error;

constexpr mode_t readable_and_executable = 0555;

std::string target_in(const std::string& folder) { return cat(folder, "/", cni::plugin_type); }

/// Each copy is in place, as far as can be told without the source.
bool all_installed(const Desired& desired, const Record& record) {
  for (const auto& folder : desired.bin_dirs) {
    const auto target = target_in(folder);
    const auto there = identity_at(target);
    if (!there || there->size <= 0 || record.find_binary(target) == nullptr) return false;
  }
  return true;
}

void announce_copy(Record& record, const std::string& target,
                   const std::optional<std::string>& there, const std::string& coming) {
  std::vector<std::string> fingerprints{coming};
  for (auto& binary : record.binaries) {
    if (binary.path != target) continue;
    // until the copy is done, the one that is there is ours as well
    if (there && contains(binary.fingerprints, *there)) add_once(fingerprints, *there);
    binary.fingerprints = std::move(fingerprints);
    return;
  }
  record.binaries.push_back({target, std::move(fingerprints)});
}

}  // namespace

base::Status ensure_folder(const std::string& path, mode_t mode, Store& store) {
  auto missing = missing_folders(path, 2);
  if (!missing) return std::move(missing).error();
  if (missing->empty()) return base::success();
  auto record = store.record();
  for (const auto& folder : *missing) add_once(record.created_dirs, folder);
  if (auto status = store.save(std::move(record)); !status) return status;
  for (const auto& folder : *missing)
    if (auto status = make_folder(folder, mode); !status) return status;
  return base::success();
}

base::Status BinaryStep::run(const Desired& desired, Store& store, bool adopt, Pass& pass) {
  const auto source = identity_at(desired.plugin_binary);
  if (!source) {
    const auto problem = cat("the plugin ", desired.plugin_binary,
                             " is missing; install the package again, or correct "
                             "install.plugin_binary");
    if (!all_installed(desired, store.record())) return Error{Errc::not_found, problem};
    // what is installed goes on working
    pass.warnings.push_back(cat(problem, "; its installed copies stay"));
    return base::success();
  }
  if (source != source_) {
    auto print = fingerprint(desired.plugin_binary);
    if (!print) return std::move(print).error();
    source_fingerprint_ = std::move(*print);
    source_ = source;
    good_.clear();
  }
  if (source->size == 0)
    return Error{Errc::invalid_input, cat("the plugin ", desired.plugin_binary, " is empty")};
  for (const auto& folder : desired.bin_dirs)
    if (auto status = one(folder, desired, store, adopt, pass); !status) return status;
  return base::success();
}

base::Status BinaryStep::one(const std::string& folder, const Desired& desired, Store& store,
                             bool adopt, Pass& pass) {
  const auto target = target_in(folder);
  const auto there = identity_at(target);
  if (const auto known = good_.find(target);
      there && known != good_.end() && known->second == *there)
    return base::success();

  std::vector<std::string> ours{source_fingerprint_};
  if (const auto* binary = store.record().find_binary(target))
    ours.insert(ours.end(), binary->fingerprints.begin(), binary->fingerprints.end());
  std::optional<std::string> print;
  if (auto found = fingerprint(target, ours))
    print = std::move(*found);
  else if (found.error().code != Errc::not_found)
    return std::move(found).error();
  const bool equal = print == source_fingerprint_;
  if (!equal || adopt) {
    auto record = store.record();
    announce_copy(record, target, print, source_fingerprint_);
    if (auto status = store.save(std::move(record)); !status) return status;
  }
  if (!equal || (there->mode & readable_and_executable) != readable_and_executable) {
    if (auto status = ensure_folder(folder, 0755, store); !status) return status;
    auto written = base::copy_atomically(desired.plugin_binary, target, {0755, true});
    if (!written) return std::move(written).error();
    pass.changed = true;
  }
  if (const auto now = identity_at(target)) good_[target] = *now;
  return base::success();
}

base::Status KubeconfigStep::run(const Desired& desired, Store& store, Pass& pass) {
  if (!desired.kubeconfig) return base::success();
  const auto& path = desired.kubeconfig_path;
  if (good_ && path_ == path && content_ == *desired.kubeconfig && identity_at(path) == good_ &&
      (good_->mode & base::permission_bits) == desired.kubeconfig_mode &&
      contains(store.record().kubeconfigs, path))
    return base::success();
  auto record = store.record();
  add_once(record.kubeconfigs, path);
  if (auto status = store.save(std::move(record)); !status) return status;
  const auto slash = path.rfind('/');
  if (slash != std::string::npos && slash != 0)
    if (auto status = ensure_folder(path.substr(0, slash), 0700, store); !status) return status;
  auto written = base::write_atomically(path, *desired.kubeconfig, {desired.kubeconfig_mode, true});
  if (!written) return std::move(written).error();
  if (*written == base::Written::changed) pass.changed = true;
  path_ = path;
  content_ = *desired.kubeconfig;
  good_ = identity_at(path);
  return base::success();
}

}  // namespace install
