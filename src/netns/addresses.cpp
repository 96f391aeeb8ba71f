#include "netns/addresses.hpp"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/strings.hpp"
#include "netlink/message.hpp"
#include "netlink/socket.hpp"

namespace netns {

using redirect::Family;
using redirect::Ip;

namespace {

/// ::ffff:a.b.c.d as a.b.c.d
Ip unmapped(const Ip& ip) {
  constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (ip.family != Family::v6 || !std::equal(prefix.begin(), prefix.end(), ip.bytes.begin())) {
    return ip;
  }
  Ip v4;
  std::copy_n(ip.bytes.begin() + prefix.size(), 4, v4.bytes.begin());
  return v4;
}

/// Link-local unicast (RFC 3927, RFC 4291 2.5.6) or multicast (RFC 5771,
/// RFC 4291 2.7 with scope 2).
bool is_link_local(const Ip& ip) {
  const auto& b = ip.bytes;
  if (ip.family == Family::v4) {
    return (b[0] == 169 && b[1] == 254) || (b[0] == 224 && b[1] == 0 && b[2] == 0);
  }
  return (b[0] == 0xfe && (b[1] & 0xc0U) == 0x80) || (b[0] == 0xff && (b[1] & 0x0fU) == 0x02);
}

}  // namespace

base::Result<LocalAddresses> local_addresses() {
  auto socket = netlink::Socket::make(NETLINK_ROUTE);
  if (!socket) return socket.error();
  netlink::MessageBuilder request;
  request.begin(RTM_GETADDR, NLM_F_DUMP);
  request.header(ifaddrmsg{});
  const auto replies = socket->talk(request);
  if (!replies) return base::Error(replies.error()).wrap("list addresses");
  LocalAddresses addresses;
  for (const auto& reply : *replies) {
    const auto header = netlink::header_of<ifaddrmsg>(reply.payload);
    if (reply.type != RTM_NEWADDR || !header) continue;
    const auto attributes = netlink::attributes_after(reply.payload, sizeof(ifaddrmsg));
    if (!attributes) return base::Error(attributes.error()).wrap("list addresses");
    // With a peer, IFA_ADDRESS is the other end.
    const netlink::Attribute* found = attributes->find(IFA_LOCAL);
    if (found == nullptr) found = attributes->find(IFA_ADDRESS);
    Ip ip;
    ip.family = header->ifa_family == AF_INET6 ? Family::v6 : Family::v4;
    const std::size_t size = ip.family == Family::v4 ? 4 : 16;
    if (found == nullptr || found->payload.size() != size) continue;
    std::copy_n(found->payload.begin(), size, ip.bytes.begin());
    addresses.push_back({ip, header->ifa_index});
  }
  return addresses;
}

base::Result<HostIp> choose_host_ip(const LocalAddresses& addresses, bool dual_stack) {
  std::optional<HostIp> chosen;
  for (const LocalAddress& address : addresses) {
    const Ip ip = unmapped(address.ip);
    if (ip.is_loopback() || is_link_local(ip)) continue;
    if (!chosen) chosen = HostIp{ip, false};
    chosen->ipv6 = ip.family == Family::v6;
    if (!dual_stack || chosen->ipv6) break;
  }
  if (!chosen) {
    return base::Error{base::Errc::not_found,
                       base::cat("no valid local IP address among ", addresses.size(),
                                 " (loopback and link-local ones do not count)")};
  }
  return *chosen;
}

}  // namespace netns
