// Host names to addresses, in a binary that may be fully static.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
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

}  // namespace kube
