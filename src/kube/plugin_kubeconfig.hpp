// The kubeconfig that the agent writes for the plugin.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "kube/config.hpp"

namespace kube {

/// A kubeconfig in JSON, which the plugin reads fastest: cluster "local", user
/// "istio-cni", context "istio-cni-context". Everything is inline.
base::Result<std::string> inline_kubeconfig(const ClientConfig& client);

/// The same from the kubeconfig `text`, of which `client` was parsed (without
/// what its credential plugin answers). With `on_host`, the files that it names
/// are named again, absolute, so that what the host rotates stays current;
/// without, and for files in a folder that only pods have, their content is
/// inline. `path` is the kubeconfig's own, as the host names it. A credential
/// plugin is carried over as it is.
base::Result<std::string> derived_kubeconfig(std::string_view text, const std::string& path,
                                             const ClientConfig& client, bool on_host);

}  // namespace kube
