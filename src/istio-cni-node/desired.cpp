#include "istio-cni-node/desired.hpp"

#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

install::Mode mode_of(config::InstallMode mode) {
  switch (mode) {
    case config::InstallMode::owned:
      return install::Mode::owned;
    case config::InstallMode::standalone:
      return install::Mode::standalone;
    case config::InstallMode::chained:
      break;
  }
  return install::Mode::chained;
}

}  // namespace

install::Desired desired_installation(const config::Config& config, const install::CniDirs& found,
                                      std::optional<std::string> plugin_kubeconfig) {
  install::Desired desired;
  const auto& wanted = config.install;
  desired.mode = mode_of(wanted.mode);
  desired.gate = wanted.gate;
  desired.conf_dir =
      config.host_root + (wanted.cni_conf_dir.empty() ? found.conf_dir : wanted.cni_conf_dir);
  desired.conf_name = wanted.cni_conf_name;
  desired.owned_name = wanted.owned_conf_name;
  desired.standalone_name =
      wanted.cni_conf_name.empty() ? wanted.standalone_conf_name : wanted.cni_conf_name;
  desired.own_file_mode = wanted.conf_group_read ? 0640 : 0600;
  for (const auto& dir : wanted.cni_bin_dirs.empty() ? found.bin_dirs : wanted.cni_bin_dirs)
    desired.bin_dirs.push_back(config.host_root + dir);
  desired.plugin_binary = wanted.plugin_binary;
  // the run directory is the same path for us and for the host
  desired.kubeconfig_path = base::cat(config.run_dir, "/istio-cni-kubeconfig");
  desired.kubeconfig = std::move(plugin_kubeconfig);
  desired.kubeconfig_mode = wanted.kubeconfig_mode;
  desired.entry.log_level = std::string(logging::to_string(config.plugin.log_level));
  desired.entry.run_dir = config.run_dir;
  desired.entry.exclude_namespaces = config.plugin.exclude_namespaces;
  desired.entry.agent_namespace = config.plugin.agent_namespace;
  desired.entry.backend = config.plugin.backend;
  desired.entry.timeout = config.plugin.timeout;
  return desired;
}

}  // namespace istio_cni_node
