// From configuration to what should be installed. Pure.
#pragma once

#include <optional>
#include <string>

#include "config/config.hpp"
#include "install/discover.hpp"
#include "install/installer.hpp"

namespace istio_cni_node {

/// `found` is used for what the configuration leaves open. `plugin_kubeconfig`:
/// nothing while there is no credential.
install::Desired desired_installation(const config::Config& config, const install::CniDirs& found,
                                      std::optional<std::string> plugin_kubeconfig);

}  // namespace istio_cni_node
