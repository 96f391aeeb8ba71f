// Entering and telling apart network namespaces (network_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <compare>
#include <functional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace netns {

/// What identifies a namespace: two files that show the same one have the same.
struct NsId {
  dev_t dev = 0;
  ino_t ino = 0;
  auto operator<=>(const NsId&) const = default;
};

/// Opens a namespace file such as /proc/PID/ns/net or a bind mount of one.
/// Errors name the path: Errc::not_found when it does not exist,
/// Errc::invalid_input when it is no network namespace.
base::Result<base::UniqueFd> open_netns(const std::string& path);

base::Result<NsId> ns_id(int fd);

/// The namespace of the calling thread.
base::Result<NsId> own_ns();

/// The namespace of PID 1 as this process sees it: the host's, or a
/// container's. Errc::io with EACCES where ptrace rights are lacking.
base::Result<NsId> host_ns();

/// Moves the calling thread, for good. For programs with a single thread.
base::Status enter_netns(int fd);

/// Runs `body` on a thread of its own that is moved into the namespace and ends
/// afterwards, so the caller's thread never leaves its namespace. Waits for it.
/// An exception of `body` is turned into an error.
base::Status run_in_netns(int fd, const std::function<base::Status()>& body);

}  // namespace netns
