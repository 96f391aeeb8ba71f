// One execution of the plugin, from the runtime's request to its answer.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/protocol.hpp"
#include "base/deadline.hpp"
#include "base/result.hpp"
#include "cni/netconf.hpp"
#include "cni/protocol.hpp"
#include "log/log.hpp"
#include "netns/addresses.hpp"
#include "pod/pod.hpp"
#include "redirect/decide.hpp"
#include "redirection/program.hpp"

namespace istio_cni {

struct PodRequest {
  std::string name_space;
  std::string name;
  std::string uid;  ///< empty when the runtime did not say
};

/// The world outside: the agent, the API server, the namespace, the kernel. One
/// real implementation (edges.cpp); fakes in tests.
class Edges {
 public:
  virtual ~Edges() = default;

  /// Can a pod be looked up at all: the agent's socket takes a connection, or else
  /// the kubeconfig is present and sound? Connects nowhere else.
  virtual base::Status lookup_ready(const cni::Netconf& conf, base::Deadline deadline) = 0;
  /// What the agent says: one question, nothing retried. Errors are those of
  /// agent::Connection; that the pod is not to be had is in the answer.
  virtual base::Result<agent::Answer> ask_agent(const cni::Netconf& conf, const PodRequest& pod,
                                                base::Deadline deadline) = 0;
  /// The pod from the API server, by the kubeconfig, which is read only here;
  /// retried inside the deadline; `failed` hears of each failed attempt.
  virtual base::Result<pod::Pod> find_pod(
      const cni::Netconf& conf, const PodRequest& pod, base::Deadline deadline,
      const std::function<void(int attempt, const base::Error&)>& failed) = 0;

  /// Opens the pod's namespace and keeps it. Errc::refused when `path` is the
  /// namespace of this process or of PID 1; Errc::not_found when it cannot be opened.
  virtual base::Status open_namespace(const std::string& path) = 0;
  /// Moves this process into the namespace that was opened.
  virtual base::Status enter_namespace() = 0;

  // From here on: inside the pod's namespace.
  virtual base::Result<netns::HostIp> host_ip(bool dual_stack) = 0;
  virtual redirection::Kernel& kernel() = 0;

  /// Numeric ids of users and groups given by name (the host's databases).
  virtual base::Status resolve_owners(redirect::Config& config) = 0;

  /// Tells the agent how the command ended: over the connection of ask_agent, else
  /// a new one. Never waits; lost when there is no agent or it is busy.
  virtual void tell(const cni::Netconf& conf, const agent::Outcome& outcome) = 0;
};

std::unique_ptr<Edges> make_edges();

struct Outcome {
  std::string out;  ///< all that goes to stdout
  std::string err;  ///< "about" text for people, to stderr
  int exit_status = 0;
  std::string run_dir = {};  ///< of the configuration; "" when that could not be read
};

/// Environment and stdin in, stdout and exit status out. `read_stdin` is called
/// for every command but VERSION. The pod comes from the agent if it answers
/// within 3 s and a third of the command's time, else from the API server in what
/// is left. Every ADD, CHECK and DEL whose configuration could be read is told to
/// the agent.
Outcome run(const cni::Getenv& getenv, const std::function<base::Result<std::string>()>& read_stdin,
            Edges& edges, logging::Logger& log);

}  // namespace istio_cni
