// The agent's end of agent.sock. On the io_context's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "agent/protocol.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"

namespace boost::asio {
class io_context;
}

namespace istio_cni_node {

/// Called on the io_context's thread, never after the server's end. `answer` may
/// be called at once or later, once, also when the client or the server is gone
/// (then it does nothing); not calling it leaves the client to its own deadline.
class LookupHandler {
 public:
  virtual ~LookupHandler() = default;
  virtual void lookup(const agent::Lookup& lookup, std::function<void(agent::Answer)> answer) = 0;
  virtual void outcome(const agent::Outcome& outcome) = 0;
  virtual agent::Status status() = 0;
  virtual agent::PodPage pods(const agent::PodsQuery& query) = 0;
};

struct LookupLimits {
  std::size_t clients = 512;              ///< more wait in the listen queue
  std::chrono::milliseconds idle{60000};  ///< a silent or unanswered client is closed
  std::chrono::milliseconds send{1000};   ///< a client that does not read is closed
};

/// A client is whoever is root, or our own user when we are not; others are
/// closed unheard. One that sends what is no message is closed. Questions of one
/// client are answered in turn, those of all clients at the same time.
class LookupServer {
 public:
  /// `listening`: a listening socket from systemd, or an invalid fd: then `path` is made
  /// (mode 0600, backlog 4096; a stale file is replaced, a live one is an error).
  static base::Result<LookupServer> start(boost::asio::io_context& io, base::UniqueFd listening,
                                          const std::string& path, LookupLimits limits,
                                          LookupHandler& handler);
  LookupServer(LookupServer&&) noexcept;
  LookupServer& operator=(LookupServer&&) noexcept;
  /// Closes the clients. A socket from systemd, and the file, stay.
  ~LookupServer();

  struct Counts {
    std::uint64_t accepted = 0;   ///< clients
    std::uint64_t refused = 0;    ///< neither root nor our own user
    std::uint64_t malformed = 0;  ///< messages that were none; the client was closed
  };
  [[nodiscard]] const Counts& counts() const;

 private:
  struct Impl;
  explicit LookupServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace istio_cni_node
