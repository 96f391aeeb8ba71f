#include "netns/routes.hpp"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.hpp"
#include "netlink/message.hpp"
#include "netlink/socket.hpp"

namespace netns {

using base::Errc;
using base::Error;
using base::Result;
using base::Status;
using netlink::MessageBuilder;
using netlink::Reply;
using netlink::Socket;
using redirect::Family;
using redirect::PolicyRoute;
using redirect::Ruleset;

namespace {

constexpr std::array<std::uint8_t, 16> passthrough_v6{0, 0, 0, 0, 0, 0, 0, 0,
                                                      0, 0, 0, 0, 0, 0, 0, 6};
// Every network namespace numbers its interfaces from 1, lo first (LOOPBACK_IFINDEX,
// include/net/flow.h).
constexpr unsigned loopback = 1;
constexpr std::string_view passthrough_text = "address ::6/128 on lo";

std::uint8_t kernel_family(Family family) {
  return family == Family::v4 ? std::uint8_t{AF_INET} : std::uint8_t{AF_INET6};
}

std::vector<Family> families(const Ruleset& ruleset) {
  if (ruleset.ipv6) return {Family::v4, Family::v6};
  return {Family::v4};
}

std::string family_text(Family family) { return family == Family::v4 ? "IPv4 " : "IPv6 "; }

std::string rule_text(Family family, const PolicyRoute& route) {
  return base::cat(family_text(family), "policy rule fwmark ", route.mark.value, " lookup ",
                   route.table);
}

std::string route_text(Family family, const PolicyRoute& route) {
  return base::cat("route local ", family == Family::v4 ? "0.0.0.0/0" : "::/0", " dev lo in table ",
                   route.table);
}

/// A rtnetlink refusal in words; `family` matters for what may be disabled.
Error failed(const Error& cause, std::string_view verb, const std::string& what, Family family) {
  const int sys = cause.sys;
  if (family == Family::v6 &&
      (sys == EACCES || sys == EOPNOTSUPP || sys == EAFNOSUPPORT || sys == EPFNOSUPPORT)) {
    return {Errc::unsupported,
            base::cat(verb, ' ', what,
                      ": IPv6 is not available in this network namespace "
                      "(net.ipv6.conf.lo.disable_ipv6 or a kernel without IPv6): ",
                      cause.message),
            sys};
  }
  Error error = Error(cause).wrap(base::cat(verb, ' ', what));
  if (sys == ENETDOWN || sys == ENODEV) error.message += "; is interface lo up?";
  return error;
}

template <typename Header>
Result<std::vector<Reply>> dump(Socket& socket, std::uint16_t type, const Header& header,
                                std::string_view what) {
  MessageBuilder request;
  request.begin(type, NLM_F_DUMP);
  request.header(header);
  auto replies = socket.talk(request);
  if (!replies) return Error(replies.error()).wrap(what);
  return replies;
}

// --- the three objects: address, rule, route ---------------------------------

void passthrough_message(MessageBuilder& request, std::uint16_t type, int flags) {
  request.begin(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
  ifaddrmsg header{};
  header.ifa_family = AF_INET6;
  header.ifa_prefixlen = 128;
  header.ifa_index = loopback;
  request.header(header);
  request.put(IFA_LOCAL, passthrough_v6);
  request.put(IFA_ADDRESS, passthrough_v6);
}

void rule_message(MessageBuilder& request, std::uint16_t type, int flags, Family family,
                  const PolicyRoute& route) {
  request.begin(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
  fib_rule_hdr header{};
  header.family = kernel_family(family);
  header.action = FR_ACT_TO_TBL;
  header.table =
      route.table < 256 ? static_cast<std::uint8_t>(route.table) : std::uint8_t{RT_TABLE_UNSPEC};
  request.header(header);
  request.put_u32(FRA_FWMARK, route.mark.value);
  request.put_u32(FRA_FWMASK, UINT32_MAX);
  request.put_u32(FRA_TABLE, route.table);
}

void route_message(MessageBuilder& request, std::uint16_t type, int flags, Family family,
                   const PolicyRoute& route) {
  request.begin(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
  rtmsg header{};
  header.rtm_family = kernel_family(family);
  header.rtm_table =
      route.table < 256 ? static_cast<std::uint8_t>(route.table) : std::uint8_t{RT_TABLE_UNSPEC};
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_HOST;
  header.rtm_type = RTN_LOCAL;
  request.header(header);
  request.put_u32(RTA_TABLE, route.table);
  request.put_u32(RTA_OIF, loopback);
}

Result<bool> has_passthrough(Socket& socket) {
  ifaddrmsg header{};
  header.ifa_family = AF_INET6;
  const auto replies = dump(socket, RTM_GETADDR, header, "list addresses");
  if (!replies) return replies.error();
  for (const Reply& reply : *replies) {
    const auto found = netlink::header_of<ifaddrmsg>(reply.payload);
    if (!found || found->ifa_family != AF_INET6 || found->ifa_index != loopback) continue;
    const auto attributes = netlink::attributes_after(reply.payload, sizeof(ifaddrmsg));
    if (!attributes) return attributes.error();
    const netlink::Attribute* ip = attributes->find(IFA_ADDRESS);
    if (ip != nullptr && found->ifa_prefixlen == 128 &&
        std::equal(ip->payload.begin(), ip->payload.end(), passthrough_v6.begin(),
                   passthrough_v6.end())) {
      return true;
    }
  }
  return false;
}

Result<bool> has_rule(Socket& socket, Family family, const PolicyRoute& route) {
  fib_rule_hdr header{};
  header.family = kernel_family(family);
  const auto replies = dump(socket, RTM_GETRULE, header, "list policy rules");
  if (!replies) return replies.error();
  for (const Reply& reply : *replies) {
    const auto found = netlink::header_of<fib_rule_hdr>(reply.payload);
    if (!found || found->family != header.family || found->action != FR_ACT_TO_TBL) continue;
    const auto attributes = netlink::attributes_after(reply.payload, sizeof(fib_rule_hdr));
    if (!attributes) return attributes.error();
    // A rule with a further selector is narrower than ours.
    const bool narrow =
        found->src_len != 0 || found->dst_len != 0 || found->tos != 0 ||
        (found->flags & FIB_RULE_INVERT) != 0 || attributes->find(FRA_IIFNAME) != nullptr ||
        attributes->find(FRA_OIFNAME) != nullptr || attributes->find(FRA_UID_RANGE) != nullptr ||
        attributes->find(FRA_IP_PROTO) != nullptr || attributes->find(FRA_SPORT_RANGE) != nullptr ||
        attributes->find(FRA_DPORT_RANGE) != nullptr;
    if (!narrow && attributes->u32(FRA_FWMARK) == route.mark.value &&
        attributes->u32(FRA_FWMASK).value_or(UINT32_MAX) == UINT32_MAX &&
        attributes->u32(FRA_TABLE) == route.table) {
      return true;
    }
  }
  return false;
}

Result<bool> has_route(Socket& socket, Family family, const PolicyRoute& route) {
  rtmsg header{};
  header.rtm_family = kernel_family(family);
  const auto replies = dump(socket, RTM_GETROUTE, header, "list routes");
  if (!replies) return replies.error();
  for (const Reply& reply : *replies) {
    const auto found = netlink::header_of<rtmsg>(reply.payload);
    if (!found || found->rtm_family != header.rtm_family || found->rtm_type != RTN_LOCAL ||
        found->rtm_dst_len != 0 || found->rtm_src_len != 0) {
      continue;
    }
    const auto attributes = netlink::attributes_after(reply.payload, sizeof(rtmsg));
    if (!attributes) return attributes.error();
    if (attributes->u32(RTA_TABLE).value_or(found->rtm_table) == route.table &&
        attributes->u32(RTA_OIF) == loopback) {
      return true;
    }
  }
  return false;
}

/// `tolerated`: errno values that mean the wanted state is there already.
Status change(Socket& socket, const MessageBuilder& request, std::string_view verb,
              const std::string& what, Family family, std::initializer_list<int> tolerated) {
  const auto reply = socket.talk(request);
  if (reply || std::find(tolerated.begin(), tolerated.end(), reply.error().sys) != tolerated.end())
    return base::success();
  return failed(reply.error(), verb, what, family);
}

Status add_policy_route(Socket& socket, Family family, const PolicyRoute& route) {
  // The kernel keeps as many equal rules as one adds (before 4.17 without a
  // word), hence the look first.
  const auto present = has_rule(socket, family, route);
  if (!present) return failed(present.error(), "check", rule_text(family, route), family);
  if (!*present) {
    MessageBuilder request;
    rule_message(request, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family, route);
    auto status = change(socket, request, "add", rule_text(family, route), family, {EEXIST});
    if (!status) return status;
  }
  MessageBuilder request;
  route_message(request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, family, route);
  return change(socket, request, "add", route_text(family, route), family, {EEXIST});
}

bool nothing_to_do(const Ruleset& ruleset) {
  return !ruleset.add_v6_passthrough_address && !ruleset.policy_route;
}

}  // namespace

Status apply_routes(const Ruleset& ruleset) {
  if (nothing_to_do(ruleset)) return base::success();
  auto socket = Socket::make(NETLINK_ROUTE);
  if (!socket) return socket.error();
  if (ruleset.add_v6_passthrough_address) {
    MessageBuilder request;
    passthrough_message(request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    auto status =
        change(*socket, request, "add", std::string(passthrough_text), Family::v6, {EEXIST});
    if (!status) return status;
  }
  if (!ruleset.policy_route) return base::success();
  for (const Family family : families(ruleset)) {
    auto status = add_policy_route(*socket, family, *ruleset.policy_route);
    if (!status) return status;
  }
  return base::success();
}

Result<std::vector<std::string>> compare_routes(const Ruleset& ruleset) {
  std::vector<std::string> differences;
  if (nothing_to_do(ruleset)) return differences;
  auto socket = Socket::make(NETLINK_ROUTE);
  if (!socket) return socket.error();
  const auto note = [&](const Result<bool>& present, const std::string& what) -> Status {
    if (!present) return present.error();
    if (!*present) differences.push_back(base::cat(what, ": missing"));
    return base::success();
  };
  if (ruleset.add_v6_passthrough_address) {
    auto status = note(has_passthrough(*socket), std::string(passthrough_text));
    if (!status) return status.error();
  }
  if (!ruleset.policy_route) return differences;
  const PolicyRoute& route = *ruleset.policy_route;
  for (const Family family : families(ruleset)) {
    auto status = note(has_rule(*socket, family, route), rule_text(family, route));
    if (status) {
      status = note(has_route(*socket, family, route), route_text(family, route));
    }
    if (!status) return status.error();
  }
  return differences;
}

Status remove_routes(const Ruleset& ruleset) {
  if (nothing_to_do(ruleset)) return base::success();
  auto socket = Socket::make(NETLINK_ROUTE);
  if (!socket) return socket.error();
  if (ruleset.policy_route) {
    const PolicyRoute& route = *ruleset.policy_route;
    for (const Family family : families(ruleset)) {
      MessageBuilder drop_route;
      route_message(drop_route, RTM_DELROUTE, 0, family, route);
      auto status = change(*socket, drop_route, "delete", route_text(family, route), family,
                           {ESRCH, ENOENT, EAFNOSUPPORT, EOPNOTSUPP});
      if (!status) return status;
      MessageBuilder drop_rule;
      rule_message(drop_rule, RTM_DELRULE, 0, family, route);
      status = change(*socket, drop_rule, "delete", rule_text(family, route), family,
                      {ENOENT, EAFNOSUPPORT, EOPNOTSUPP});
      if (!status) return status;
    }
  }
  if (!ruleset.add_v6_passthrough_address) return base::success();
  MessageBuilder request;
  passthrough_message(request, RTM_DELADDR, 0);
  return change(*socket, request, "delete", std::string(passthrough_text), Family::v6,
                {EADDRNOTAVAIL, ENODEV, EAFNOSUPPORT, EOPNOTSUPP});
}

}  // namespace netns
