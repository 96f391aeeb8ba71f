#include "netfilter/xtables_table.hpp"

#include <netinet/in.h>
// after <netinet/in.h>: both define struct in_addr
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>

#include "base/strings.hpp"

namespace netfilter {
namespace {

using base::Errc;
using base::Error;
using redirect::Family;

static_assert(XtBlob::hooks == NF_INET_NUMHOOKS);
static_assert(sizeof(xt_entry_match) == xt_extension_header);
static_assert(sizeof(xt_entry_target) == xt_extension_header);
static_assert(inv_in == IPT_INV_VIA_IN);
static_assert(inv_in == IP6T_INV_VIA_IN);
static_assert(inv_out == IPT_INV_VIA_OUT);
static_assert(inv_out == IP6T_INV_VIA_OUT);
static_assert(inv_source == IPT_INV_SRCIP);
static_assert(inv_source == IP6T_INV_SRCIP);
static_assert(inv_destination == IPT_INV_DSTIP);
static_assert(inv_destination == IP6T_INV_DSTIP);
static_assert(inv_proto == XT_INV_PROTO);

constexpr std::array<std::string_view, XtBlob::hooks> hook_names = {
    "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};

constexpr std::size_t verdict_offset = offsetof(xt_standard_target, verdict);
constexpr std::size_t error_name_offset = offsetof(xt_error_target, errorname);

constexpr XtLayout layout_v4 = {
    .entry_size = sizeof(ipt_entry),
    .nfcache = offsetof(ipt_entry, nfcache),
    .target_offset = offsetof(ipt_entry, target_offset),
    .next_offset = offsetof(ipt_entry, next_offset),
    .comefrom = offsetof(ipt_entry, comefrom),
    .counters = offsetof(ipt_entry, counters),
    .source = offsetof(ipt_entry, ip) + offsetof(ipt_ip, src),
    .destination = offsetof(ipt_entry, ip) + offsetof(ipt_ip, dst),
    .source_mask = offsetof(ipt_entry, ip) + offsetof(ipt_ip, smsk),
    .destination_mask = offsetof(ipt_entry, ip) + offsetof(ipt_ip, dmsk),
    .address_size = sizeof(in_addr),
    .in_name = offsetof(ipt_entry, ip) + offsetof(ipt_ip, iniface),
    .out_name = offsetof(ipt_entry, ip) + offsetof(ipt_ip, outiface),
    .in_mask = offsetof(ipt_entry, ip) + offsetof(ipt_ip, iniface_mask),
    .out_mask = offsetof(ipt_entry, ip) + offsetof(ipt_ip, outiface_mask),
    .proto = offsetof(ipt_entry, ip) + offsetof(ipt_ip, proto),
    .flags = offsetof(ipt_entry, ip) + offsetof(ipt_ip, flags),
    .invflags = offsetof(ipt_entry, ip) + offsetof(ipt_ip, invflags),
    .goto_flag = IPT_F_GOTO,
    .proto_flag = 0,
};

constexpr XtLayout layout_v6 = {
    .entry_size = sizeof(ip6t_entry),
    .nfcache = offsetof(ip6t_entry, nfcache),
    .target_offset = offsetof(ip6t_entry, target_offset),
    .next_offset = offsetof(ip6t_entry, next_offset),
    .comefrom = offsetof(ip6t_entry, comefrom),
    .counters = offsetof(ip6t_entry, counters),
    .source = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, src),
    .destination = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, dst),
    .source_mask = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, smsk),
    .destination_mask = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, dmsk),
    .address_size = sizeof(in6_addr),
    .in_name = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, iniface),
    .out_name = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, outiface),
    .in_mask = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, iniface_mask),
    .out_mask = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, outiface_mask),
    .proto = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, proto),
    .flags = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, flags),
    .invflags = offsetof(ip6t_entry, ipv6) + offsetof(ip6t_ip6, invflags),
    .goto_flag = IP6T_F_GOTO,
    .proto_flag = IP6T_F_PROTO,
};

Error bad(std::size_t offset, std::string_view what) {
  return {Errc::invalid_input, base::cat("table entry at offset ", offset, ": ", what)};
}

/// The text of a fixed-size field, or nullopt when it does not end.
std::optional<std::string_view> field_text(ByteView bytes, std::size_t offset, std::size_t size) {
  const char* text = reinterpret_cast<const char*>(bytes.data() + offset);
  const void* end = std::memchr(text, 0, size);
  if (end == nullptr) return std::nullopt;
  return std::string_view(text, static_cast<std::size_t>(static_cast<const char*>(end) - text));
}

XtExtension extension_at(ByteView entry, std::size_t offset) {
  const auto size = load<std::uint16_t>(entry, offset);
  XtExtension out;
  out.offset = offset;
  out.name =
      field_text(entry, offset + sizeof(std::uint16_t), XT_EXTENSION_MAXNAMELEN).value_or("");
  out.revision = load<std::uint8_t>(entry, offset + xt_extension_header - 1);
  out.data = entry.subspan(offset + xt_extension_header, size - xt_extension_header);
  return out;
}

base::Status check_extension(ByteView entry, std::size_t at, std::size_t offset, std::size_t end) {
  if (end - offset < xt_extension_header) return bad(at, "match or target is cut off");
  const auto size = load<std::uint16_t>(entry, offset);
  if (size < xt_extension_header || size > end - offset) {
    return bad(at, "match or target has an impossible size");
  }
  if (!field_text(entry, offset + sizeof(std::uint16_t), XT_EXTENSION_MAXNAMELEN)) {
    return bad(at, "name of a match or target does not end");
  }
  return base::success();
}

/// The entry at `offset`, with every size inside it checked.
base::Result<ByteView> checked_entry(const XtLayout& layout, ByteView blob, std::size_t offset) {
  if (blob.size() - offset < layout.entry_size) return bad(offset, "cut off");
  const ByteView rest = blob.subspan(offset);
  const std::size_t target = load<std::uint16_t>(rest, layout.target_offset);
  const std::size_t next = load<std::uint16_t>(rest, layout.next_offset);
  if (target < layout.entry_size || target > next || next > rest.size()) {
    return bad(offset, "impossible offsets");
  }
  if (next != xt_align(next)) return bad(offset, "size is not aligned");
  const ByteView entry = rest.first(next);
  std::size_t position = layout.entry_size;
  while (position < target) {
    if (auto ok = check_extension(entry, offset, position, target); !ok) return ok.error();
    position += load<std::uint16_t>(entry, position);
  }
  if (auto ok = check_extension(entry, offset, target, next); !ok) return ok.error();
  const XtExtension found = extension_at(entry, target);
  if (found.name == XT_STANDARD_TARGET &&
      found.data.size() < sizeof(xt_standard_target) - xt_extension_header) {
    return bad(offset, "verdict is cut off");
  }
  if (found.name == XT_ERROR_TARGET &&
      (found.data.size() < sizeof(xt_error_target) - xt_extension_header ||
       !field_text(entry, target + error_name_offset, XT_FUNCTION_MAXNAMELEN))) {
    return bad(offset, "chain name is cut off");
  }
  return entry;
}

struct RawEntry {
  std::size_t offset;
  ByteView bytes;
  std::string_view target;
  std::int32_t verdict;         // of a standard target
  std::string_view error_name;  // of an ERROR target
  [[nodiscard]] bool is_error() const { return target == XT_ERROR_TARGET; }
  [[nodiscard]] bool is_standard() const { return target == XT_STANDARD_TARGET; }
};

base::Result<std::vector<RawEntry>> split_entries(Family family, const XtBlob& blob) {
  const XtLayout& layout = xt_layout(family);
  std::vector<RawEntry> out;
  const ByteView bytes = blob.entries;
  for (std::size_t offset = 0; offset < bytes.size();) {
    auto entry = checked_entry(layout, bytes, offset);
    if (!entry) return entry.error();
    RawEntry raw{offset, *entry, xt_target(family, *entry).name, 0, {}};
    const auto target = load<std::uint16_t>(*entry, layout.target_offset);
    if (raw.is_standard()) {
      raw.verdict = load<std::int32_t>(*entry, target + verdict_offset);
    } else if (raw.is_error()) {
      raw.error_name = *field_text(*entry, target + error_name_offset, XT_FUNCTION_MAXNAMELEN);
    }
    out.push_back(raw);
    offset += entry->size();
  }
  if (out.size() != blob.num_entries) {
    return Error{Errc::invalid_input, base::cat("table holds ", out.size(), " entries, not the ",
                                                blob.num_entries, " announced")};
  }
  if (out.empty() || !out.back().is_error()) {
    return Error{Errc::invalid_input, "table does not end with an ERROR entry"};
  }
  return out;
}

/// A standard or ERROR entry that matches every packet.
Bytes plain_entry(Family family, std::string_view target, std::size_t target_size) {
  const XtLayout& layout = xt_layout(family);
  const std::size_t aligned = xt_align(target_size);
  Bytes entry(layout.entry_size + aligned);
  store(entry, layout.target_offset, static_cast<std::uint16_t>(layout.entry_size));
  store(entry, layout.next_offset, static_cast<std::uint16_t>(entry.size()));
  store(entry, layout.entry_size, static_cast<std::uint16_t>(aligned));
  std::memcpy(entry.data() + layout.entry_size + sizeof(std::uint16_t), target.data(),
              target.size());
  return entry;
}

Bytes verdict_entry(Family family, std::int32_t verdict) {
  Bytes entry = plain_entry(family, XT_STANDARD_TARGET, sizeof(xt_standard_target));
  store(entry, xt_layout(family).entry_size + verdict_offset, verdict);
  return entry;
}

Bytes error_entry(Family family, std::string_view name) {
  Bytes entry = plain_entry(family, XT_ERROR_TARGET, sizeof(xt_error_target));
  std::memcpy(entry.data() + xt_layout(family).entry_size + error_name_offset, name.data(),
              name.size());
  return entry;
}

}  // namespace

const XtLayout& xt_layout(Family family) { return family == Family::v4 ? layout_v4 : layout_v6; }

std::size_t xt_align(std::size_t size) {
  constexpr std::size_t unit = alignof(_xt_align);
  return (size + unit - 1) / unit * unit;
}

std::vector<XtExtension> xt_matches(Family family, ByteView entry) {
  const XtLayout& layout = xt_layout(family);
  const std::size_t end = load<std::uint16_t>(entry, layout.target_offset);
  std::vector<XtExtension> out;
  for (std::size_t position = layout.entry_size; position < end;) {
    out.push_back(extension_at(entry, position));
    position += load<std::uint16_t>(entry, position);
  }
  return out;
}

XtExtension xt_target(Family family, ByteView entry) {
  return extension_at(entry, load<std::uint16_t>(entry, xt_layout(family).target_offset));
}

base::Result<XtTable> XtTable::parse(Family family, const XtBlob& blob) {
  auto split = split_entries(family, blob);
  if (!split) return std::move(split).error();
  const std::vector<RawEntry>& raw = *split;

  XtTable table(family);
  std::map<std::size_t, std::string> user_starts;  // offset of the first rule -> chain
  std::map<std::size_t, unsigned> hook_starts;
  for (unsigned hook = 0; hook < XtBlob::hooks; ++hook) {
    if ((blob.valid_hooks & (1U << hook)) == 0) continue;
    if (blob.hook_entry[hook] > blob.underflow[hook] ||
        !hook_starts.emplace(blob.hook_entry[hook], hook).second) {
      return Error{Errc::invalid_input, base::cat("impossible offsets of hook ", hook)};
    }
  }

  std::vector<XtChain> user_chains;
  std::optional<XtChain> current;
  std::size_t hooks_done = 0;
  // A user chain ends with a RETURN that every packet meets; it is no rule.
  auto finish_user_chain = [&](std::size_t offset) -> base::Status {
    if (!current) return base::success();
    if (current->hook) return bad(offset, base::cat("chain ", current->name, " has no policy"));
    const XtRule* last = current->rules.empty() ? nullptr : &current->rules.back();
    if (last == nullptr || last->flow != XtRule::Flow::opaque) {
      return bad(offset, base::cat("chain ", base::quote(current->name), " has no end"));
    }
    const XtExtension target = xt_target(family, last->entry);
    const XtLayout& layout = xt_layout(family);
    if (target.name != XT_STANDARD_TARGET || load<std::int32_t>(target.data, 0) != XT_RETURN ||
        target.offset != layout.entry_size) {
      return bad(offset, base::cat("chain ", base::quote(current->name), " has no end"));
    }
    current->rules.pop_back();
    user_chains.push_back(std::move(*current));
    current.reset();
    return base::success();
  };

  for (std::uint32_t i = 0; i < raw.size(); ++i) {
    const RawEntry& entry = raw[i];
    if (auto hook = hook_starts.find(entry.offset); hook != hook_starts.end()) {
      if (auto done = finish_user_chain(entry.offset); !done) return std::move(done).error();
      current.emplace();
      current->name = hook_names[hook->second];
      current->hook = hook->second;
    }
    if (entry.is_error()) {
      if (auto done = finish_user_chain(entry.offset); !done) return std::move(done).error();
      if (i + 1 == raw.size()) break;
      current.emplace();
      current->name = entry.error_name;
      if (current->name.empty()) return bad(entry.offset, "chain without a name");
      user_starts.emplace(entry.offset + entry.bytes.size(), current->name);
      continue;
    }
    if (!current) return bad(entry.offset, "rule outside of every chain");
    if (current->hook && entry.offset == blob.underflow[*current->hook]) {
      if (!entry.is_standard() || entry.verdict >= 0) return bad(entry.offset, "not a policy");
      current->policy = entry.verdict;
      current->policy_origin = i;
      ++hooks_done;
      table.chains_.push_back(std::move(*current));
      current.reset();
      continue;
    }
    XtRule rule;
    rule.entry.assign(entry.bytes.begin(), entry.bytes.end());
    rule.origin = i;
    if (entry.is_standard() && entry.verdict >= 0) {
      const bool next =
          static_cast<std::size_t>(entry.verdict) == entry.offset + entry.bytes.size();
      rule.flow = next ? XtRule::Flow::fall_through : XtRule::Flow::jump;
    }
    current->rules.push_back(std::move(rule));
  }
  if (hooks_done != hook_starts.size()) {
    return Error{Errc::invalid_input, "a built-in chain does not start at an entry"};
  }
  // By hook, whatever their order in the blob.
  std::sort(table.chains_.begin(), table.chains_.end(),
            [](const XtChain& a, const XtChain& b) { return *a.hook < *b.hook; });
  std::move(user_chains.begin(), user_chains.end(), std::back_inserter(table.chains_));

  std::map<std::string_view, int> names;
  for (XtChain& chain : table.chains_) {
    if (++names[chain.name] > 1) {
      return Error{Errc::invalid_input, base::cat("two chains ", base::quote(chain.name))};
    }
    for (XtRule& rule : chain.rules) {
      if (rule.flow != XtRule::Flow::jump) continue;
      const RawEntry& entry = raw[*rule.origin];
      auto target = user_starts.find(static_cast<std::size_t>(entry.verdict));
      if (target == user_starts.end()) return bad(entry.offset, "jump to no chain");
      rule.chain = target->second;
    }
  }
  return table;
}

base::Result<XtImage> XtTable::serialise() const {
  const XtLayout& layout = xt_layout(family_);
  const std::size_t head_size = error_entry(family_, "").size();
  const std::size_t foot_size = verdict_entry(family_, XT_RETURN).size();

  std::map<std::string_view, std::size_t> starts;  // user chain -> offset of its first rule
  std::size_t total = 0;
  for (const XtChain& chain : chains_) {
    if (!chain.hook) {
      total += head_size;
      if (chain.name.empty() || chain.name.size() >= XT_FUNCTION_MAXNAMELEN) {
        return Error{Errc::invalid_input,
                     base::cat("chain name ", base::quote(chain.name), " is empty or too long")};
      }
      starts.emplace(chain.name, total);
    }
    for (const XtRule& rule : chain.rules) total += rule.entry.size();
    total += foot_size;
  }
  total += head_size;
  if (total > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    return Error{Errc::invalid_input, "table is too large"};
  }

  XtImage image;
  XtBlob& blob = image.blob;
  blob.entries.reserve(total);
  auto append = [&](const Bytes& entry, std::optional<std::uint32_t> origin) {
    blob.entries.insert(blob.entries.end(), entry.begin(), entry.end());
    image.origins.push_back(origin);
  };
  for (const XtChain& chain : chains_) {
    if (chain.hook) {
      blob.valid_hooks |= 1U << *chain.hook;
      blob.hook_entry[*chain.hook] = static_cast<std::uint32_t>(blob.entries.size());
    } else {
      append(error_entry(family_, chain.name), std::nullopt);
    }
    for (const XtRule& rule : chain.rules) {
      const std::size_t offset = blob.entries.size();
      append(rule.entry, rule.origin);
      std::size_t verdict = offset + rule.entry.size();
      if (rule.flow == XtRule::Flow::jump) {
        auto target = starts.find(rule.chain);
        if (target == starts.end()) {
          return Error{Errc::invalid_input,
                       base::cat("chain ", base::quote(chain.name), " jumps to the missing chain ",
                                 base::quote(rule.chain))};
        }
        verdict = target->second;
      } else if (rule.flow == XtRule::Flow::opaque) {
        continue;
      }
      store(blob.entries,
            offset + load<std::uint16_t>(rule.entry, layout.target_offset) + verdict_offset,
            static_cast<std::int32_t>(verdict));
    }
    if (chain.hook) {
      blob.underflow[*chain.hook] = static_cast<std::uint32_t>(blob.entries.size());
      append(verdict_entry(family_, chain.policy), chain.policy_origin);
    } else {
      append(verdict_entry(family_, XT_RETURN), std::nullopt);
    }
  }
  append(error_entry(family_, XT_ERROR_TARGET), std::nullopt);
  blob.num_entries = static_cast<std::uint32_t>(image.origins.size());
  return image;
}

const XtChain* XtTable::find(std::string_view name) const {
  auto it = std::find_if(chains_.begin(), chains_.end(),
                         [&](const XtChain& chain) { return chain.name == name; });
  return it == chains_.end() ? nullptr : &*it;
}

XtChain* XtTable::find(std::string_view name) {
  return const_cast<XtChain*>(std::as_const(*this).find(name));
}

XtChain& XtTable::add_chain(std::string name) {
  auto place = std::find_if(chains_.begin(), chains_.end(),
                            [&](const XtChain& chain) { return !chain.hook && name < chain.name; });
  XtChain chain;
  chain.name = std::move(name);
  return *chains_.insert(place, std::move(chain));
}

}  // namespace netfilter
