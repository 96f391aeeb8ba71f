#include "netfilter/xtables_rule.hpp"

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
#include <cstddef>
#include <limits>
#include <optional>

#include "base/strings.hpp"

namespace netfilter {
namespace {

using base::Errc;
using base::Error;
using redirect::Family;

// The flags that both families share have the same values in both headers.
constexpr std::uint8_t inv_in = IPT_INV_VIA_IN;
constexpr std::uint8_t inv_out = IPT_INV_VIA_OUT;
constexpr std::uint8_t inv_source = IPT_INV_SRCIP;
constexpr std::uint8_t inv_destination = IPT_INV_DSTIP;
constexpr std::uint8_t inv_proto = XT_INV_PROTO;

constexpr std::uint32_t full_mask = 0xffffffff;

Error invalid(std::string message) { return {Errc::invalid_input, std::move(message)}; }

template <typename... Fs>
struct Overload : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overload(Fs...) -> Overload<Fs...>;

struct Visible {
  std::string_view name;
  std::uint8_t revision;
  bool target;
  std::size_t size;
};

#define ICN_END_OF(type, member) (offsetof(type, member) + sizeof(type::member))

// How much of a payload says something. Behind it is padding, in which iptables
// leaves garbage at times, or a pointer of the kernel (CT), which kernels before
// 4.11 hand out. No payload of these has padding elsewhere.
constexpr std::array<Visible, 10> visible_sizes = {{
    {"udp", 0, false, ICN_END_OF(xt_udp, invflags)},
    {"owner", 1, false, ICN_END_OF(xt_owner_match_info, invert)},
    {"conntrack", 3, false, ICN_END_OF(xt_conntrack_mtinfo3, repldst_port_high)},
    {"mark", 1, false, ICN_END_OF(xt_mark_mtinfo1, invert)},
    {"connmark", 1, false, ICN_END_OF(xt_connmark_mtinfo1, invert)},
    {"CONNMARK", 1, true, ICN_END_OF(xt_connmark_tginfo1, mode)},
    {"CONNMARK", 2, true, ICN_END_OF(xt_connmark_tginfo2, mode)},
    {"TPROXY", 1, true, ICN_END_OF(xt_tproxy_target_info_v1, lport)},
    {"CT", 1, true, ICN_END_OF(xt_ct_target_info_v1, timeout)},
    {"CT", 2, true, ICN_END_OF(xt_ct_target_info_v1, timeout)},
}};

#undef ICN_END_OF

std::size_t visible_size(std::string_view name, std::uint8_t revision, bool target,
                         std::size_t size) {
  auto it = std::find_if(visible_sizes.begin(), visible_sizes.end(), [&](const Visible& v) {
    return v.name == name && v.revision == revision && v.target == target;
  });
  return it == visible_sizes.end() ? size : std::min(it->size, size);
}

/// A match or target, header and payload, padded as the kernel wants it. All
/// padding is zero: that of `info` is not copied, the compiler may fill it.
template <typename Info>
Bytes extension(std::string_view name, std::uint8_t revision, bool target, const Info& info) {
  Bytes out(xt_align(xt_extension_header + sizeof info));
  store(out, 0, static_cast<std::uint16_t>(out.size()));
  std::memcpy(out.data() + sizeof(std::uint16_t), name.data(), name.size());
  out[xt_extension_header - 1] = revision;
  std::memcpy(out.data() + xt_extension_header, &info,
              visible_size(name, revision, target, sizeof info));
  return out;
}

template <typename Info>
Bytes match_bytes(std::string_view name, std::uint8_t revision, const Info& info) {
  return extension(name, revision, false, info);
}

template <typename Info>
Bytes target_bytes(std::string_view name, std::uint8_t revision, const Info& info) {
  return extension(name, revision, true, info);
}

class EntryBuilder {
 public:
  explicit EntryBuilder(Family family)
      : family_(family), layout_(xt_layout(family)), head_(layout_.entry_size) {}

  base::Result<XtRule> build(const redirect::Rule& rule) {
    for (const redirect::Match& match : rule.matches) {
      if (auto ok = std::visit([this](const auto& m) { return add(m); }, match); !ok) {
        return std::move(ok).error();
      }
    }
    XtRule out;
    auto target = make_target(rule.action, out);
    if (!target) return std::move(target).error();

    out.entry = std::move(head_);
    for (const Bytes& match : matches_) {
      out.entry.insert(out.entry.end(), match.begin(), match.end());
    }
    const std::size_t target_offset = out.entry.size();
    out.entry.insert(out.entry.end(), target->begin(), target->end());
    if (out.entry.size() > std::numeric_limits<std::uint16_t>::max()) {
      return invalid("rule has more matches than an entry can hold");
    }
    store(out.entry, layout_.target_offset, static_cast<std::uint16_t>(target_offset));
    store(out.entry, layout_.next_offset, static_cast<std::uint16_t>(out.entry.size()));
    return out;
  }

 private:
  void invert(bool negate, std::uint8_t flag) {
    if (negate) head_[layout_.invflags] = static_cast<std::uint8_t>(head_[layout_.invflags] | flag);
  }

  base::Status add_interface(const std::string& name, std::size_t name_at, std::size_t mask_at) {
    if (name.empty() || name.size() >= IFNAMSIZ) {
      return invalid(base::cat("interface name ", base::quote(name), " is empty or too long"));
    }
    std::memcpy(head_.data() + name_at, name.data(), name.size());
    // The final NUL is compared too: an exact name, not a prefix.
    std::memset(head_.data() + mask_at, 0xff, name.size() + 1);
    return base::success();
  }

  base::Status add_address(const redirect::Cidr& cidr, std::size_t address_at,
                           std::size_t mask_at) {
    if (cidr.address.family != family_) {
      return invalid(base::cat("address ", cidr.to_string(), " is of the other IP family"));
    }
    const redirect::Cidr masked = cidr.masked();
    const auto mask = cidr.mask();
    std::memcpy(head_.data() + address_at, masked.address.bytes.data(), layout_.address_size);
    std::memcpy(head_.data() + mask_at, mask.data(), layout_.address_size);
    return base::success();
  }

  base::Status add(const redirect::MatchIn& m) {
    return add_interface(m.name.name, layout_.in_name, layout_.in_mask);
  }
  base::Status add(const redirect::MatchOut& m) {
    return add_interface(m.name.name, layout_.out_name, layout_.out_mask);
  }
  base::Status add(const redirect::MatchSource& m) {
    return add_address(m.cidr, layout_.source, layout_.source_mask);
  }
  base::Status add(const redirect::MatchDestination& m) {
    invert(m.negate, inv_destination);
    return add_address(m.cidr, layout_.destination, layout_.destination_mask);
  }
  base::Status add(const redirect::MatchProtocol& m) {
    protocol_ = m.protocol;
    store(head_, layout_.proto, static_cast<std::uint16_t>(m.protocol));
    head_[layout_.flags] = static_cast<std::uint8_t>(head_[layout_.flags] | layout_.proto_flag);
    return base::success();
  }

  /// Source and destination port of one rule share one tcp or udp match.
  base::Status add_port(redirect::Port port, bool source, bool negate) {
    if (!protocol_) return invalid("port match without a protocol");
    if (source ? have_source_port_ : have_destination_port_) {
      return invalid("two port matches of the same direction");
    }
    (source ? have_source_port_ : have_destination_port_) = true;
    return *protocol_ == redirect::Protocol::tcp
               ? set_port<xt_tcp>("tcp", port, source, negate,
                                  source ? XT_TCP_INV_SRCPT : XT_TCP_INV_DSTPT)
               : set_port<xt_udp>("udp", port, source, negate,
                                  source ? XT_UDP_INV_SRCPT : XT_UDP_INV_DSTPT);
  }

  template <typename Info>
  base::Status set_port(std::string_view name, redirect::Port port, bool source, bool negate,
                        int flag) {
    if (!port_match_) {
      Info any{};
      any.spts[1] = any.dpts[1] = std::numeric_limits<std::uint16_t>::max();
      port_match_ = matches_.size();
      matches_.push_back(match_bytes(name, 0, any));
    }
    Bytes& bytes = matches_[*port_match_];
    auto info = load<Info>(bytes, xt_extension_header);
    auto& range = source ? info.spts : info.dpts;
    range[0] = range[1] = port.value;
    if (negate) info.invflags = static_cast<std::uint8_t>(info.invflags | flag);
    store(bytes, xt_extension_header, info);
    return base::success();
  }

  base::Status add(const redirect::MatchSourcePort& m) { return add_port(m.port, true, false); }

  base::Status add(const redirect::MatchDestinationPorts& m) {
    if (!protocol_) return invalid("port match without a protocol");
    if (m.ports.size() == 1) return add_port(m.ports.front(), false, m.negate);
    if (m.ports.empty() || m.ports.size() > XT_MULTI_PORTS) {
      return invalid(base::cat("a multiport match takes 1 to ", XT_MULTI_PORTS, " ports, not ",
                               m.ports.size()));
    }
    xt_multiport_v1 info{};
    info.flags = XT_MULTIPORT_DESTINATION;
    info.count = static_cast<std::uint8_t>(m.ports.size());
    std::transform(m.ports.begin(), m.ports.end(), info.ports,
                   [](redirect::Port port) { return port.value; });
    info.invert = m.negate;
    matches_.push_back(match_bytes("multiport", 1, info));
    return base::success();
  }

  base::Status add_owner(const redirect::Owner& owner, bool group, bool negate) {
    if (!owner.id) {
      return invalid(
          base::cat(group ? "group " : "user ", base::quote(owner.text), " has no numeric id"));
    }
    xt_owner_match_info info{};
    info.match = group ? XT_OWNER_GID : XT_OWNER_UID;
    info.invert = negate ? info.match : std::uint8_t{0};
    (group ? info.gid_min : info.uid_min) = *owner.id;
    (group ? info.gid_max : info.uid_max) = *owner.id;
    matches_.push_back(match_bytes("owner", 1, info));
    return base::success();
  }
  base::Status add(const redirect::MatchUid& m) { return add_owner(m.owner, false, m.negate); }
  base::Status add(const redirect::MatchGid& m) { return add_owner(m.owner, true, m.negate); }

  base::Status add(const redirect::MatchCtState& m) {
    xt_conntrack_mtinfo3 info{};
    info.match_flags = XT_CONNTRACK_STATE;
    info.state_mask =
        m.state == redirect::CtState::invalid
            ? XT_CONNTRACK_STATE_INVALID
            : XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) | XT_CONNTRACK_STATE_BIT(IP_CT_RELATED);
    matches_.push_back(match_bytes("conntrack", 3, info));
    return base::success();
  }
  base::Status add(const redirect::MatchMark& m) {
    xt_mark_mtinfo1 info{};
    info.mark = m.mark.value;
    info.mask = full_mask;
    info.invert = m.negate;
    matches_.push_back(match_bytes("mark", 1, info));
    return base::success();
  }
  base::Status add(const redirect::MatchConnmark& m) {
    xt_connmark_mtinfo1 info{};
    info.mark = m.mark.value;
    info.mask = full_mask;
    matches_.push_back(match_bytes("connmark", 1, info));
    return base::success();
  }

  static Bytes verdict(int value) {
    Bytes out(xt_align(sizeof(xt_standard_target)));
    store(out, 0, static_cast<std::uint16_t>(out.size()));
    store(out, offsetof(xt_standard_target, verdict), value);
    return out;
  }

  Bytes redirect_target(redirect::Port port) const {
    if (family_ == Family::v4) {
      nf_nat_ipv4_multi_range_compat info{};
      info.rangesize = 1;
      info.range[0].flags = NF_NAT_RANGE_PROTO_SPECIFIED;
      info.range[0].min.tcp.port = info.range[0].max.tcp.port = htons(port.value);
      return target_bytes("REDIRECT", 0, info);
    }
    nf_nat_range info{};
    info.flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    info.min_proto.tcp.port = info.max_proto.tcp.port = htons(port.value);
    return target_bytes("REDIRECT", 0, info);
  }

  static Bytes connmark_target(std::uint8_t mode) {
    xt_connmark_tginfo2 info{};
    info.ctmask = info.nfmask = full_mask;
    info.mode = mode;
    return target_bytes("CONNMARK", 2, info);
  }

  base::Result<Bytes> make_target(const redirect::Action& action, XtRule& out) const {
    using Made = base::Result<Bytes>;
    return std::visit(
        Overload{
            [](const redirect::Return&) -> Made { return verdict(XT_RETURN); },
            [](const redirect::Accept&) -> Made { return verdict(-NF_ACCEPT - 1); },
            [](const redirect::Drop&) -> Made { return verdict(-NF_DROP - 1); },
            [&](const redirect::Jump& jump) -> Made {
              if (redirect::is_builtin(jump.chain)) return invalid("jump to a built-in chain");
              out.flow = XtRule::Flow::jump;
              out.chain = redirect::iptables_name(jump.chain);
              return verdict(0);
            },
            [&](const redirect::Redirect& to) -> Made { return redirect_target(to.port); },
            [&](const redirect::Tproxy& to) -> Made {
              if (!protocol_) return invalid("TPROXY without a protocol");
              xt_tproxy_target_info_v1 info{};
              info.mark_mask = full_mask;
              info.mark_value = to.mark.value;
              info.lport = htons(to.port.value);
              return target_bytes("TPROXY", 1, info);
            },
            [](const redirect::SetMark& set) -> Made {
              xt_mark_tginfo2 info{};
              info.mark = set.mark.value;
              info.mask = full_mask;
              return target_bytes("MARK", 2, info);
            },
            [](const redirect::SaveMark&) -> Made { return connmark_target(XT_CONNMARK_SAVE); },
            [](const redirect::RestoreMark&) -> Made {
              return connmark_target(XT_CONNMARK_RESTORE);
            },
            [](const redirect::CtZone& ct) -> Made {
              xt_ct_target_info_v1 info{};
              info.zone = ct.zone;
              return target_bytes("CT", 2, info);
            },
        },
        action);
  }

  Family family_;
  const XtLayout& layout_;
  Bytes head_;
  std::vector<Bytes> matches_;
  std::optional<redirect::Protocol> protocol_;
  std::optional<std::size_t> port_match_;  ///< index in matches_
  bool have_source_port_ = false;
  bool have_destination_port_ = false;
};

void clear(Bytes& bytes, std::size_t from, std::size_t to) {
  if (from < to) std::fill(bytes.data() + from, bytes.data() + to, std::uint8_t{0});
}

/// Brings one extension into the form in which equal ones have equal bytes.
void normalise_extension(Bytes& entry, const XtExtension& ext, bool target) {
  const std::size_t data = ext.offset + xt_extension_header;
  const std::size_t end = data + ext.data.size();
  // Behind the name is whatever its writer left there.
  clear(entry, ext.offset + sizeof(std::uint16_t) + ext.name.size(), data - 1);
  clear(entry, data + visible_size(ext.name, ext.revision, target, ext.data.size()), end);
  if (!target) return;
  if (ext.name == "CT" && ext.revision == 2) {
    entry[data - 1] = 1;  // differs in the flags it accepts
  } else if (ext.name == "CONNMARK" && ext.revision == 2 &&
             ext.data.size() >= sizeof(xt_connmark_tginfo2)) {  // as 1, with shifts
    const auto info = load<xt_connmark_tginfo2>(ext.data, 0);
    if (info.shift_bits == 0) {
      entry[data - 1] = 1;
      clear(entry, data + offsetof(xt_connmark_tginfo2, shift_dir), end);
      entry[data + offsetof(xt_connmark_tginfo1, mode)] = info.mode;
    }
  }
}

Bytes normalised(const XtRule& rule, Family family) {
  const XtLayout& layout = xt_layout(family);
  Bytes entry = rule.entry;
  clear(entry, layout.nfcache, layout.nfcache + sizeof(std::uint32_t));
  clear(entry, layout.comefrom, layout.comefrom + sizeof(std::uint32_t));
  clear(entry, layout.counters, layout.counters + sizeof(xt_counters));
  for (const XtExtension& match : xt_matches(family, rule.entry)) {
    normalise_extension(entry, match, false);
  }
  const XtExtension target = xt_target(family, rule.entry);
  normalise_extension(entry, target, true);
  if (target.name == XT_STANDARD_TARGET) {
    const std::size_t verdict = target.offset + offsetof(xt_standard_target, verdict);
    const std::size_t from = rule.flow == XtRule::Flow::opaque ? verdict + sizeof(int) : verdict;
    clear(entry, from, target.offset + xt_extension_header + target.data.size());
  }
  return entry;
}

// --- text for messages ---------------------------------------------------

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

base::Result<XtRule> encode_rule(const redirect::Rule& rule, Family family) {
  return EntryBuilder(family).build(rule);
}

std::vector<XtExtensionId> extensions_of(const XtRule& rule, Family family) {
  std::vector<XtExtensionId> out;
  auto module = [](std::string_view name) -> std::string {
    if (name == "tcp" || name == "udp") return "xt_tcpudp";
    if (name == "MARK" || name == "CONNMARK") return base::cat("xt_", base::to_lower(name));
    return base::cat("xt_", name);
  };
  for (const XtExtension& match : xt_matches(family, rule.entry)) {
    out.push_back({std::string(match.name), match.revision, false, module(match.name)});
  }
  const XtExtension target = xt_target(family, rule.entry);
  if (target.name != XT_STANDARD_TARGET) {
    out.push_back({std::string(target.name), target.revision, true, module(target.name)});
  }
  return out;
}

bool same_rule(const XtRule& a, const XtRule& b, Family family) {
  return a.flow == b.flow && a.chain == b.chain && a.entry.size() == b.entry.size() &&
         normalised(a, family) == normalised(b, family);
}

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
