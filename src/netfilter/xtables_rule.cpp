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

#include "base/overloaded.hpp"
#include "base/strings.hpp"

namespace netfilter {
namespace {

using base::Errc;
using base::Error;
using redirect::Family;

Error invalid(std::string message) { return {Errc::invalid_input, std::move(message)}; }

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
        base::Overloaded{
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

}  // namespace netfilter
