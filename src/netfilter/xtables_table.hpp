// One legacy xtables table (x_tables) as a value: the kernel's blob of entries
// taken apart into chains and put together again. Pure: bytes in, bytes out.
//
// Layout source: <linux/netfilter_ipv4/ip_tables.h>,
// <linux/netfilter_ipv6/ip6_tables.h>, <linux/netfilter/x_tables.h>. All fields
// are in host byte order unless the kernel header says __be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "redirect/types.hpp"

namespace netfilter {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// Reads a T at `offset`; the caller has checked the bounds. The blob is not
/// aligned for T in general, hence the copy.
template <typename T>
T load(ByteView bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <typename T>
void store(Bytes& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// Where ipt_entry and ip6t_entry keep what they have in common.
struct XtLayout {
  std::size_t entry_size;  ///< sizeof(ipt_entry); the matches begin here
  std::size_t nfcache;
  std::size_t target_offset;  ///< u16
  std::size_t next_offset;    ///< u16
  std::size_t comefrom;
  std::size_t counters;  ///< xt_counters
  std::size_t source, destination, source_mask, destination_mask;
  std::size_t address_size;
  std::size_t in_name, out_name, in_mask, out_mask;  ///< IFNAMSIZ bytes each
  std::size_t proto;                                 ///< u16
  std::size_t flags, invflags;                       ///< u8
  std::uint8_t goto_flag;
  std::uint8_t proto_flag;  ///< must be set for `proto` to count; 0 for IPv4
};
const XtLayout& xt_layout(redirect::Family family);

// XtLayout::invflags: those that both families share have the same values in
// <linux/netfilter_ipv4/ip_tables.h> and <linux/netfilter_ipv6/ip6_tables.h>.
inline constexpr std::uint8_t inv_in = 0x01;
inline constexpr std::uint8_t inv_out = 0x02;
inline constexpr std::uint8_t inv_source = 0x08;
inline constexpr std::uint8_t inv_destination = 0x10;
inline constexpr std::uint8_t inv_proto = 0x40;

/// XT_ALIGN: sizes of matches and targets are multiples of this.
std::size_t xt_align(std::size_t size);
/// sizeof(xt_entry_match) == sizeof(xt_entry_target): size, name, revision.
inline constexpr std::size_t xt_extension_header = 32;

/// One match or the target of an entry; views into the entry's bytes.
struct XtExtension {
  std::string_view name;
  std::uint8_t revision = 0;
  std::size_t offset = 0;  ///< of its header within the entry
  ByteView data;           ///< behind the header
};

/// The matches of a well-formed entry (see XtTable::parse), and its target.
std::vector<XtExtension> xt_matches(redirect::Family family, ByteView entry);
XtExtension xt_target(redirect::Family family, ByteView entry);

/// What IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES say, and IPT_SO_SET_REPLACE takes.
struct XtBlob {
  static constexpr std::size_t hooks = 5;  // NF_INET_NUMHOOKS
  std::uint32_t valid_hooks = 0;
  std::array<std::uint32_t, hooks> hook_entry{};
  std::array<std::uint32_t, hooks> underflow{};
  std::uint32_t num_entries = 0;
  Bytes entries;
};

struct XtRule {
  /// Where control goes, if the target is a standard verdict that holds an offset.
  enum class Flow : std::uint8_t {
    opaque,       ///< an extension target or a final verdict; `entry` says it all
    jump,         ///< to the user chain `chain` (goto: by the flag in `entry`)
    fall_through  ///< no target: the next rule
  };
  /// Header, matches and target. The verdict of a jump or a fall-through is
  /// meaningless here and written anew by serialise().
  Bytes entry;
  Flow flow = Flow::opaque;
  std::string chain;
  /// Number of the entry in the blob it was parsed from, for its counters.
  std::optional<std::uint32_t> origin;
};

struct XtChain {
  std::string name;
  std::optional<unsigned> hook;  ///< NF_INET_*; empty: a user chain
  std::int32_t policy = 0;       ///< built-in: raw verdict, such as -NF_ACCEPT - 1
  std::optional<std::uint32_t> policy_origin;
  std::vector<XtRule> rules;
};

/// A serialised table, with the old entry that gives each new one its counters.
struct XtImage {
  XtBlob blob;
  std::vector<std::optional<std::uint32_t>> origins;  ///< one for each entry
};

class XtTable {
 public:
  /// Without any chain, not even built-in ones.
  explicit XtTable(redirect::Family family) : family_(family) {}

  /// Trusts no offset and no size. Errc::invalid_input says what is wrong and where.
  static base::Result<XtTable> parse(redirect::Family family, const XtBlob& blob);

  /// Errc::invalid_input for a jump to a chain that is not there, or for an
  /// entry or a table too large for the kernel's fields.
  [[nodiscard]] base::Result<XtImage> serialise() const;

  [[nodiscard]] redirect::Family family() const { return family_; }
  [[nodiscard]] const std::vector<XtChain>& chains() const { return chains_; }
  [[nodiscard]] std::vector<XtChain>& chains() { return chains_; }
  /// nullptr when there is none.
  [[nodiscard]] const XtChain* find(std::string_view name) const;
  [[nodiscard]] XtChain* find(std::string_view name);

  /// Adds a user chain at its place in the order of names, where
  /// iptables-legacy puts it (its look-up by binary search relies on it).
  XtChain& add_chain(std::string name);

 private:
  redirect::Family family_;
  std::vector<XtChain> chains_;  ///< built-in ones first, by hook
};

}  // namespace netfilter
