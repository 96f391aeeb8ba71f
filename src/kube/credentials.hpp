// The agent's credential: where it is, when it changes, when it expires, and
// what of it the plugin gets.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "kube/config.hpp"

namespace kube {

/// Where a credential may come from.
struct CredentialPlace {
  enum class Kind { kubeconfig, in_cluster };
  Kind kind = Kind::kubeconfig;
  std::string path;  ///< for us: the kubeconfig, or the service account's folder
  std::string what;  ///< for people: "kubelet (kubeadm)", "configured", "service account"
  /// Where the host's root is for us, "" when it is ours. Below it, a kubeconfig
  /// and the links on the way name files as the host does.
  std::string root = {};
};

/// A configured path (absolute) alone when it is not ""; else the first that
/// exists of: /etc/istio-cni-node/kubeconfig; the kubelet's own, as kubeadm, k3s,
/// RKE2, MicroK8s and the clouds (/var/lib/kubelet/kubeconfig) place it; the
/// service account when KUBERNETES_SERVICE_HOST is set.
/// `root` is put before every path ("" for the real one; a folder in tests, or
/// /host in a container). A configured path and the service account are looked
/// for without it as well, because a container may have its own.
/// Errc::not_found lists what was looked for.
base::Result<CredentialPlace> find_credential(
    const std::string& configured, const std::string& root,
    const std::function<std::optional<std::string>(const std::string&)>& getenv);

/// One reading of a credential. Immutable.
struct Credential {
  CredentialPlace place;
  ClientConfig client;
  /// Of the client certificate, the token (a JWT's exp) and a credential plugin's
  /// answer, the earliest; absent when none says.
  std::optional<std::chrono::system_clock::time_point> expires;
  /// From the certificate's subject or the token: system:node:NAME gives NAME,
  /// anything else nothing.
  std::optional<std::string> node_name;
  /// What the plugin falls back to when the agent does not answer: a kubeconfig
  /// in JSON. It refers to the credential's files where the host rotates them,
  /// and carries the data inline where they exist in our container only.
  std::string plugin_kubeconfig;
  std::uint64_t generation = 0;  ///< grows with every change of content
};

/// Reads a credential again when a file it depends on has changed, appeared or
/// gone (device, inode, size, mtime, of the file a link leads to), when its exec
/// plugin's answer is about to expire, after an error, and after rejected(). A
/// file that was changed just before it was read is read once more, because the
/// clock of its mtime ticks slowly. Content that is equal then is no change: the
/// same object is returned. Not thread-safe; an exec plugin makes current()
/// block (see kube/exec.hpp), so that callers with an event loop use it from
/// another thread.
class CredentialSource {
 public:
  CredentialSource(CredentialPlace place,
                   std::function<std::optional<std::string>(const std::string&)> getenv);
  ~CredentialSource();

  /// The last good reading is not returned when the files are bad now: errors
  /// are those of load_kubeconfig and in_cluster_config, and Errc::invalid_input
  /// for a client certificate that does not belong to its key, an empty ca.crt,
  /// and a KUBERNETES_SERVICE_PROTOCOL that is neither http nor https.
  base::Result<std::shared_ptr<const Credential>> current(base::Deadline deadline);

  /// The API server said 401 to this generation: the next current() reads
  /// everything again, and exec plugins run again. An older generation than the
  /// last is ignored.
  void rejected(std::uint64_t generation);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kube
