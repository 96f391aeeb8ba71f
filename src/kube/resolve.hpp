// Host names to addresses, in a binary that may be fully static.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"

namespace kube {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// True for the text form of an IPv4 or IPv6 address (no brackets, no zone).
bool is_ip_literal(const std::string& host);

/// Never empty. An IP literal is not looked up. A name is looked up in
/// /etc/hosts and DNS only, whatever nsswitch.conf says: other modules would
/// have to be loaded from the host, which a static binary cannot do safely.
/// That choice holds for the whole process from the first call on.
/// A lookup that outlives the deadline goes on in a detached thread that owns
/// its data and keeps no exit waiting. Errors: Errc::unavailable, Errc::timeout.
base::Result<std::vector<Address>> resolve(const std::string& host, std::uint16_t port,
                                           base::Deadline deadline);

/// The same lookup for a caller with an event loop: waits for nothing.
class Lookup {
 public:
  /// `host` is a name. Errors: Errc::unavailable, Errc::io.
  static base::Result<Lookup> start(const std::string& host, std::uint16_t port);

  /// Readable once the lookup is done; owned by this object.
  [[nodiscard]] int fd() const;
  /// The outcome, once; nothing useful before fd() is readable.
  base::Result<std::vector<Address>> take();

 private:
  struct Shared;
  explicit Lookup(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace kube
