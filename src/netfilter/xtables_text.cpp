// Entries of a table in words close to iptables-save's, for messages.
#include <arpa/inet.h>
#include <netinet/in.h>
// after <netinet/in.h>: both define struct in_addr
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_TPROXY.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "base/strings.hpp"
#include "netfilter/xtables_rule.hpp"

namespace netfilter {
namespace {

using redirect::Family;

/// A name from the kernel, safe to print.
std::string printable(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c <= ' ' || c > '~'; }, '?');
  return out;
}

std::string_view negation(bool negate) { return negate ? "! " : ""; }

std::string hex(std::uint32_t value) {
  std::array<char, 8> digits{};
  auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return base::cat("0x", std::string_view(digits.data(), end));
}

std::string interface_text(ByteView entry, std::size_t name_at, std::size_t mask_at) {
  std::string name;
  for (std::size_t i = 0; i < IFNAMSIZ && entry[mask_at + i] != 0; ++i) {
    if (entry[name_at + i] == 0) return name;
    name.push_back(static_cast<char>(entry[name_at + i]));
  }
  return name.empty() ? name : name + "+";
}

std::string address_text(Family family, ByteView entry, std::size_t address_at,
                         std::size_t mask_at) {
  const XtLayout& layout = xt_layout(family);
  int bits = 0;
  for (std::size_t i = 0; i < layout.address_size; ++i) bits += std::popcount(entry[mask_at + i]);
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family == Family::v4 ? AF_INET : AF_INET6, entry.data() + address_at, text.data(),
            static_cast<socklen_t>(text.size()));
  return base::cat(std::string_view(text.data()), "/", bits);
}

template <typename Port>
std::string range_text(const Port (&range)[2]) {
  return range[0] == range[1] ? base::cat(range[0]) : base::cat(range[0], ":", range[1]);
}

template <typename Info>
std::string ports_text(ByteView data, int inv_source_port, int inv_destination_port) {
  const auto info = load<Info>(data, 0);
  std::string out;
  auto add = [&](std::string_view option, const auto& range, bool negate) {
    if (range[0] == 0 && range[1] == 0xffff && !negate) return;
    out += base::cat(" ", negation(negate), option, " ", range_text(range));
  };
  add("--sport", info.spts, (info.invflags & inv_source_port) != 0);
  add("--dport", info.dpts, (info.invflags & inv_destination_port) != 0);
  return out;
}

/// Name and, for what we write ourselves, the parameters.
std::string match_text(const XtExtension& match) {
  const ByteView data = match.data;
  std::string out = base::cat(" -m ", printable(match.name));
  auto is = [&](std::string_view name, int revision, std::size_t size) {
    return match.name == name && match.revision == revision && data.size() >= size;
  };
  if (is("tcp", 0, sizeof(xt_tcp))) {
    out += ports_text<xt_tcp>(data, XT_TCP_INV_SRCPT, XT_TCP_INV_DSTPT);
  } else if (is("udp", 0, sizeof(xt_udp))) {
    out += ports_text<xt_udp>(data, XT_UDP_INV_SRCPT, XT_UDP_INV_DSTPT);
  } else if (is("multiport", 1, sizeof(xt_multiport_v1))) {
    const auto info = load<xt_multiport_v1>(data, 0);
    constexpr std::array<std::string_view, 3> options = {"--sports ", "--dports ", "--ports "};
    out += base::cat(" ", negation(info.invert != 0),
                     options[std::min<std::size_t>(info.flags, options.size() - 1)]);
    for (std::size_t i = 0; i < std::min<std::size_t>(info.count, XT_MULTI_PORTS); ++i) {
      const bool in_range = i > 0 && info.pflags[i - 1] != 0;
      out += base::cat(i == 0 ? "" : in_range ? ":" : ",", info.ports[i]);
    }
  } else if (is("owner", 1, sizeof(xt_owner_match_info))) {
    const auto info = load<xt_owner_match_info>(data, 0);
    auto add = [&](int flag, std::string_view option, std::uint32_t min, std::uint32_t max) {
      if ((info.match & flag) == 0) return;
      out += base::cat(" ", negation((info.invert & flag) != 0), option, " ", min);
      if (max != min) out += base::cat("-", max);
    };
    add(XT_OWNER_UID, "--uid-owner", info.uid_min, info.uid_max);
    add(XT_OWNER_GID, "--gid-owner", info.gid_min, info.gid_max);
  } else if (is("mark", 1, sizeof(xt_mark_mtinfo1)) ||
             is("connmark", 1, sizeof(xt_connmark_mtinfo1))) {
    static_assert(sizeof(xt_mark_mtinfo1) == sizeof(xt_connmark_mtinfo1));
    const auto info = load<xt_mark_mtinfo1>(data, 0);
    out += base::cat(" ", negation(info.invert != 0), "--mark ", hex(info.mark));
    if (info.mask != full_mask) out += base::cat("/", hex(info.mask));
  } else if (is("conntrack", 3, sizeof(xt_conntrack_mtinfo3))) {
    const auto info = load<xt_conntrack_mtinfo3>(data, 0);
    if ((info.match_flags & XT_CONNTRACK_STATE) != 0) {
      std::vector<std::string> states;
      auto add = [&](int bit, std::string_view name) {
        if ((info.state_mask & bit) != 0) states.emplace_back(name);
      };
      add(XT_CONNTRACK_STATE_INVALID, "INVALID");
      add(XT_CONNTRACK_STATE_BIT(IP_CT_NEW), "NEW");
      add(XT_CONNTRACK_STATE_BIT(IP_CT_RELATED), "RELATED");
      add(XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED), "ESTABLISHED");
      add(XT_CONNTRACK_STATE_UNTRACKED, "UNTRACKED");
      out += base::cat(" ", negation((info.invert_flags & XT_CONNTRACK_STATE) != 0), "--ctstate ",
                       base::join(states, ","));
    }
  }
  return out;
}

std::string verdict_text(int verdict) {
  switch (verdict) {
    case XT_RETURN:
      return "RETURN";
    case -NF_ACCEPT - 1:
      return "ACCEPT";
    case -NF_DROP - 1:
      return "DROP";
    default:
      return base::cat("verdict ", verdict);
  }
}

std::string target_text(const XtExtension& target, Family family) {
  const ByteView data = target.data;
  std::string out = base::cat(" -j ", printable(target.name));
  auto is = [&](std::string_view name, int revision, std::size_t size) {
    return target.name == name && target.revision == revision && data.size() >= size;
  };
  if (family == Family::v4 && is("REDIRECT", 0, sizeof(nf_nat_ipv4_multi_range_compat))) {
    const auto info = load<nf_nat_ipv4_multi_range_compat>(data, 0);
    out += base::cat(" --to-ports ", ntohs(info.range[0].min.tcp.port));
  } else if (family == Family::v6 && is("REDIRECT", 0, sizeof(nf_nat_range))) {
    out += base::cat(" --to-ports ", ntohs(load<nf_nat_range>(data, 0).min_proto.tcp.port));
  } else if (is("TPROXY", 1, sizeof(xt_tproxy_target_info_v1))) {
    const auto info = load<xt_tproxy_target_info_v1>(data, 0);
    out += base::cat(" --on-port ", ntohs(info.lport), " --tproxy-mark ", hex(info.mark_value), "/",
                     hex(info.mark_mask));
  } else if (is("MARK", 2, sizeof(xt_mark_tginfo2))) {
    const auto info = load<xt_mark_tginfo2>(data, 0);
    out += base::cat(" --set-xmark ", hex(info.mark), "/", hex(info.mask));
  } else if (is("CONNMARK", 1, sizeof(xt_connmark_tginfo1)) ||
             is("CONNMARK", 2, sizeof(xt_connmark_tginfo2))) {
    const int mode = target.revision == 1 ? load<xt_connmark_tginfo1>(data, 0).mode
                                          : load<xt_connmark_tginfo2>(data, 0).mode;
    out += mode == XT_CONNMARK_SAVE      ? " --save-mark"
           : mode == XT_CONNMARK_RESTORE ? " --restore-mark"
                                         : " --set-xmark";
  } else if (target.name == "CT" && data.size() >= offsetof(xt_ct_target_info, ct)) {
    const auto flags = load<std::uint16_t>(data, offsetof(xt_ct_target_info, flags));
    if ((flags & XT_CT_NOTRACK) != 0) out += " --notrack";
    const auto zone = load<std::uint16_t>(data, offsetof(xt_ct_target_info, zone));
    if (zone != 0) out += base::cat(" --zone ", zone);
  }
  return out;
}

}  // namespace

std::string describe_rule(const XtRule& rule, Family family) {
  const XtLayout& layout = xt_layout(family);
  const ByteView entry = rule.entry;
  const std::uint8_t inv = entry[layout.invflags];
  std::string out;
  auto add_address = [&](std::string_view option, std::size_t address, std::size_t mask,
                         std::uint8_t flag) {
    const ByteView bits = entry.subspan(mask, layout.address_size);
    const bool any = std::all_of(bits.begin(), bits.end(), [](auto byte) { return byte == 0; });
    if (any && (inv & flag) == 0) return;
    out += base::cat(" ", negation((inv & flag) != 0), option, " ",
                     address_text(family, entry, address, mask));
  };
  auto add_interface = [&](std::string_view option, std::size_t name, std::size_t mask,
                           std::uint8_t flag) {
    const std::string text = interface_text(entry, name, mask);
    if (text.empty()) return;
    out += base::cat(" ", negation((inv & flag) != 0), option, " ", printable(text));
  };
  add_address("-s", layout.source, layout.source_mask, inv_source);
  add_address("-d", layout.destination, layout.destination_mask, inv_destination);
  add_interface("-i", layout.in_name, layout.in_mask, inv_in);
  add_interface("-o", layout.out_name, layout.out_mask, inv_out);
  if (const auto proto = load<std::uint16_t>(entry, layout.proto); proto != 0) {
    out += base::cat(" ", negation((inv & inv_proto) != 0), "-p ");
    out += proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : base::cat(proto);
  }
  for (const XtExtension& match : xt_matches(family, entry)) out += match_text(match);

  const XtExtension target = xt_target(family, entry);
  switch (rule.flow) {
    case XtRule::Flow::jump:
      out += (entry[layout.flags] & layout.goto_flag) != 0 ? " -g " : " -j ";
      out += printable(rule.chain);
      break;
    case XtRule::Flow::fall_through:
      break;
    case XtRule::Flow::opaque:
      out += target.name == XT_STANDARD_TARGET
                 ? base::cat(" -j ", verdict_text(load<int>(target.data, 0)))
                 : target_text(target, family);
      break;
  }
  return out.empty() ? "(any packet)" : out.substr(1);
}

}  // namespace netfilter
