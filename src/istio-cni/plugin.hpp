// One execution of the plugin, from the runtime's request to its answer.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "cni/netconf.hpp"
#include "cni/protocol.hpp"
#include "log/log.hpp"
#include "netfilter/backend.hpp"
#include "netns/addresses.hpp"
#include "pod/pod.hpp"
#include "redirect/decide.hpp"

namespace istio_cni {

struct PodRequest {
  std::string name_space;
  std::string name;
  std::string uid;  ///< empty when the runtime did not say
};

/// The world outside: the API server, the namespace, the kernel. One real
/// implementation (edges.cpp); fakes in tests.
class Edges {
 public:
  virtual ~Edges() = default;

  /// Can a pod be looked up at all (kubeconfig present and sound)? Connects nowhere.
  virtual base::Status lookup_ready(const cni::Netconf& conf, base::Deadline deadline) = 0;
  /// The pod, retried inside the deadline; `failed` hears of each failed attempt.
  virtual base::Result<pod::Pod> find_pod(
      const cni::Netconf& conf, const PodRequest& pod, base::Deadline deadline,
      const std::function<void(int attempt, const base::Error&)>& failed) = 0;

  /// Errc::refused when `path` is the namespace of this process or of PID 1;
  /// Errc::not_found when it cannot be opened.
  virtual base::Status check_namespace(const std::string& path) = 0;
  /// Moves this process into the namespace, after the same check.
  virtual base::Status enter_namespace(const std::string& path) = 0;

  // From here on: inside the pod's namespace.
  virtual base::Result<netns::HostIp> host_ip(bool dual_stack) = 0;
  virtual base::Result<bool> legacy_rules_present() = 0;
  virtual base::Status probe_nftables() = 0;
  virtual netfilter::Backend& nftables() = 0;
  virtual netfilter::Backend& iptables() = 0;
  virtual base::Status apply_routes(const redirect::Ruleset& ruleset) = 0;
  virtual base::Result<std::vector<std::string>> compare_routes(
      const redirect::Ruleset& ruleset) = 0;

  /// Numeric ids of users and groups given by name (the host's databases).
  virtual base::Status resolve_owners(redirect::Config& config) = 0;
};

std::unique_ptr<Edges> make_edges();

struct Outcome {
  std::string out;  ///< all that goes to stdout
  std::string err;  ///< "about" text for people, to stderr
  int exit_status = 0;
};

/// Environment and stdin in, stdout and exit status out. `read_stdin` is called
/// for every command but VERSION.
Outcome run(const cni::Getenv& getenv, const std::function<base::Result<std::string>()>& read_stdin,
            Edges& edges, logging::Logger& log);

}  // namespace istio_cni
