// The plugin's and istio-cnictl's end of agent.sock. Blocking, bounded by deadlines, and never a
// reason for ADD to fail: every error here means "look it up yourself". Never
// SIGPIPE.
#pragma once

#include <string>

#include "agent/protocol.hpp"
#include "base/deadline.hpp"
#include "base/fd.hpp"

namespace agent {

class Connection {
 public:
  /// Waits while the agent's queue of clients is full; once the deadline has
  /// passed it is one try without waiting. Errc::not_found no socket,
  /// Errc::unavailable nobody listens, Errc::timeout the queue stayed full,
  /// Errc::refused the file is no socket, or its owner or whoever listens
  /// (SO_PEERCRED) is neither root nor our own user.
  static base::Result<Connection> open(const std::string& path, base::Deadline deadline);

  /// The answer's own error (the pod is not to be had) is in Answer; errors
  /// here are those of the connection: timeout, unavailable (it broke),
  /// invalid_input (nonsense, or a lookup longer than max_request). After one of
  /// them the connection is of no more use.
  base::Result<Answer> ask(const Lookup& lookup, base::Deadline deadline);
  /// For istio-cnictl; the same errors. An agent that does not know the question
  /// closes the connection.
  base::Result<Status> ask(const StatusQuery& query, base::Deadline deadline);
  base::Result<PodPage> ask(const PodsQuery& query, base::Deadline deadline);

  /// Sent without waiting; lost when the agent is gone or its queue is full.
  void tell(const Outcome& outcome);

 private:
  base::Result<std::string> converse(const std::string& request, base::Deadline deadline);
  explicit Connection(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

}  // namespace agent
