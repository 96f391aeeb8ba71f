// The addresses of the calling thread's network namespace.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "redirect/types.hpp"

namespace netns {

struct LocalAddress {
  redirect::Ip ip;
  unsigned ifindex = 0;
};
using LocalAddresses = std::vector<LocalAddress>;

/// All addresses in the kernel's order (RTM_GETADDR): IPv4 first, then IPv6. On
/// a point-to-point link the local one.
base::Result<LocalAddresses> local_addresses();

struct HostIp {
  redirect::Ip ip;
  bool ipv6 = false;  ///< IPv6 is to be programmed
};

/// The namespace's own address: the first that is neither loopback nor
/// link-local. Single stack: its family decides `ipv6`. `dual_stack`: any IPv6
/// address after it does. Errc::not_found when there is none.
base::Result<HostIp> choose_host_ip(const LocalAddresses& addresses, bool dual_stack);

}  // namespace netns
