#include "istio-cnictl/disk.hpp"

#include <sys/stat.h>

#include "base/atomic_file.hpp"
#include "base/rooted.hpp"
#include "base/strings.hpp"
#include "cni/conflist.hpp"
#include "install/conf_folder.hpp"
#include "install/discover.hpp"
#include "install/record.hpp"
#include "istio-cnictl/first_line.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

Time time_of(const timespec& when) {
  return Time(std::chrono::seconds(when.tv_sec) + std::chrono::microseconds(when.tv_nsec / 1000));
}

/// "CNI plugin istio-cni 0.1.0" is its first line.
std::string version_of(const std::string& path) {
  constexpr std::string_view start = "CNI plugin istio-cni ";
  const auto line = first_line_of(path);
  return line.starts_with(start) ? printable(line.substr(start.size()), 60) : std::string();
}

void read_folder(DiskState& disk) {
  auto folder = install::ConfFolder::read(disk.conf_dir);
  if (!folder) {
    disk.conf_error = folder.error().message;
    return;
  }
  if (!folder->exists) {
    disk.conf_error = cat(disk.conf_dir, " does not exist");
    return;
  }
  const auto* first = folder->first();
  if (first != nullptr) disk.first_file = first->name;
  const auto* ours = first != nullptr && first->has_our_entry() ? first : nullptr;
  for (const auto& file : folder->files)
    if (ours == nullptr && file.has_our_entry()) ours = &file;
  if (ours == nullptr) return;
  disk.file = ours->name;
  disk.position = ours->network->our_position();
  disk.plugins = static_cast<int>(ours->network->plugin_types.size());
  disk.gated = ours->network->gate;
  disk.written = time_of(ours->identity.modified);
}

void read_copies(const std::vector<std::string>& dirs, DiskState& disk) {
  const auto source = install::fingerprint(disk.source);
  for (const auto& dir : dirs) {
    PluginCopy copy;
    copy.path = cat(dir, '/', cni::plugin_type);
    struct stat info {};
    if (::stat(copy.path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) {
      copy.present = true;
      copy.executable = (info.st_mode & 0111U) != 0;
      copy.written = time_of(info.st_mtim);
      const auto print = install::fingerprint(copy.path);
      if (source && print) copy.current = *source == *print;
      // what another user may write is not to be run as root
      if (copy.executable && info.st_uid == 0 && (info.st_mode & 0022U) == 0)
        copy.version = version_of(copy.path);
    }
    disk.copies.push_back(std::move(copy));
  }
}

}  // namespace

DiskState read_disk(const config::Config& config) {
  DiskState disk;
  disk.mode = config::to_string(config.install.mode);
  disk.gate = config.install.gate;
  const auto found = install::discover(config.host_root, disk.warnings);
  const bool told = !config.install.cni_conf_dir.empty();
  disk.conf_dir =
      base::resolve_below(config.host_root, told ? config.install.cni_conf_dir : found.conf_dir);
  disk.found_in = told ? "the configuration" : found.found_in;
  disk.runtime = found.runtime;
  read_folder(disk);

  disk.source = config.install.plugin_binary;
  std::vector<std::string> dirs;
  for (const auto& dir :
       config.install.cni_bin_dirs.empty() ? found.bin_dirs : config.install.cni_bin_dirs)
    dirs.push_back(base::resolve_below(config.host_root, dir));
  read_copies(dirs, disk);

  disk.kubeconfig = cat(config.run_dir, "/istio-cni-kubeconfig");
  struct stat info {};
  if (::stat(disk.kubeconfig.c_str(), &info) == 0) {
    disk.kubeconfig_present = true;
    disk.kubeconfig_mode = info.st_mode & base::permission_bits;
  }
  install::Store store(config.state_dir);
  std::string damage;
  auto record = store.load(damage);
  disk.recorded = record && *record == install::Store::Found::good;
  if (!record) disk.record_error = record.error().message;
  if (!damage.empty()) disk.record_error = damage;
  return disk;
}

}  // namespace istio_cnictl
