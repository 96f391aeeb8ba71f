// Where the API server is and how to log in: a kubeconfig file, or the service
// account of the pod we run in.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "kube/config.hpp"
#include "kube/exec.hpp"

namespace kube {

/// A kubeconfig with its files read, and its credential plugin not yet run.
struct Kubeconfig {
  ClientConfig client;
  std::optional<ExecConfig> exec;  ///< absent when the file has a token itself
};

using ReadFile = std::function<base::Result<std::string>(const std::string& path)>;

/// `text` is the content of the kubeconfig `path`, in YAML or JSON. `path` names
/// it in errors, and its folder is what relative file names begin from; it need
/// not exist. `read` is called for the files the current context refers to.
///
/// Follows client-go's rules: a *-data field wins over the file, tokenFile over
/// token when it can be read. Errors: Errc::invalid_input, naming file and
/// field; Errc::unsupported for proxy-url, username/password, auth-provider,
/// and exec with provideClusterInfo or interactiveMode Always; those of `read`.
base::Result<Kubeconfig> parse_kubeconfig(std::string_view text, const std::string& path,
                                          const ReadFile& read);

/// Reads `path` (at most 1 MiB, as each file it names) and runs its credential
/// plugin, if it has one, within the deadline.
base::Result<ClientConfig> load_kubeconfig(const std::string& path, base::Deadline deadline);

/// The pod's own service account. `host` and `port` are the values of
/// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, null when unset.
/// Errors: Errc::not_found when we do not run in a pod.
base::Result<ClientConfig> in_cluster_config(
    const char* host, const char* port,
    const std::string& dir = "/var/run/secrets/kubernetes.io/serviceaccount");

}  // namespace kube
