// nftables expressions as values: what the kernel's nf_tables executes for one
// rule. Numbers are those of <linux/netfilter/nf_tables.h>. The translation
// yields what nft 1.0.6 compiles from the printed commands, so that `nft list
// ruleset` shows the same text whoever programmed the rule.
#pragma once

#include <linux/netfilter/nf_tables.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "netlink/message.hpp"
#include "redirect/ruleset.hpp"

namespace netfilter {

using Data = std::vector<std::uint8_t>;

/// packet metadata -> register
struct MetaLoad {
  std::uint32_t key;  ///< NFT_META_*
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const MetaLoad&) const = default;
};
/// register -> packet metadata
struct MetaSet {
  std::uint32_t key;
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const MetaSet&) const = default;
};
struct Cmp {
  std::uint32_t op;  ///< NFT_CMP_*
  Data data;         ///< as in the register: network order for packet bytes, host order else
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const Cmp&) const = default;
};
struct Payload {
  std::uint32_t base;  ///< NFT_PAYLOAD_*_HEADER
  std::uint32_t offset;
  std::uint32_t length;
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const Payload&) const = default;
};
// Payload::offset of what we look at: in struct iphdr, in struct ipv6hdr, and in
// struct tcphdr and struct udphdr alike
inline constexpr std::uint32_t v4_source = 12, v4_destination = 16;
inline constexpr std::uint32_t v6_source = 8, v6_destination = 24;
inline constexpr std::uint32_t source_port = 0, destination_port = 2;

/// reg = (reg & mask) ^ flip
struct Bitwise {
  Data mask;
  Data flip;
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const Bitwise&) const = default;
};
/// Packets and bytes are not part of the value.
struct Counter {
  bool operator==(const Counter&) const = default;
};
struct ImmediateData {
  Data data;
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const ImmediateData&) const = default;
};
struct Verdict {
  std::int32_t code;  ///< NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_JUMP...
  std::string chain;  ///< for NFT_JUMP and NFT_GOTO
  bool operator==(const Verdict&) const = default;
};
/// NAT to a port of this host.
struct Redir {
  std::uint32_t reg_port_min = NFT_REG_1;
  std::uint32_t flags = 0;  ///< NF_NAT_RANGE_*
  bool operator==(const Redir&) const = default;
};
struct TproxyTo {
  std::uint32_t family;  ///< NFPROTO_IPV4, NFPROTO_IPV6
  std::uint32_t reg_port = NFT_REG_1;
  bool operator==(const TproxyTo&) const = default;
};
struct CtLoad {
  std::uint32_t key;  ///< NFT_CT_*
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const CtLoad&) const = default;
};
struct CtSet {
  std::uint32_t key;
  std::uint32_t reg = NFT_REG_1;
  bool operator==(const CtSet&) const = default;
};
/// Membership in an anonymous set of ports. Two are equal when their ports are:
/// the kernel gives the set its name.
struct Lookup {
  std::vector<std::uint16_t> ports;  ///< host byte order, sorted, without duplicates
  bool invert = false;
  std::uint32_t reg = NFT_REG_1;
  std::uint32_t set_id = 0;  ///< within one batch, chosen by the sender
  std::string set_name;      ///< as dumped; decode() leaves `ports` to the caller
  bool operator==(const Lookup& other) const {
    return ports == other.ports && invert == other.invert && reg == other.reg;
  }
};
/// Any expression this module does not make: never equal to one it makes.
struct Unknown {
  std::string name;
  bool operator==(const Unknown&) const = default;
};

using Expr = std::variant<MetaLoad, MetaSet, Cmp, Payload, Bitwise, Counter, ImmediateData, Verdict,
                          Redir, TproxyTo, CtLoad, CtSet, Lookup, Unknown>;

/// Name template that makes the kernel number the anonymous set.
inline constexpr std::string_view anonymous_set_name = "__set%d";

/// The kernel's name of the expression: "meta", "redir"...
std::string_view kernel_name(const Expr& expr);
/// The module that offers it where it is not part of nf_tables itself, or "".
std::string_view module_name(const Expr& expr);

/// Appends an NFTA_LIST_ELEM. An Unknown is sent as its bare name.
void encode(netlink::MessageBuilder& builder, const Expr& expr);

/// Reads the payload of an NFTA_LIST_ELEM. Attributes this module does not know
/// make the result Unknown; Errc::invalid_input for malformed ones.
base::Result<Expr> decode(netlink::Bytes list_element);

/// The payload of NFTA_RULE_EXPRESSIONS.
base::Result<std::vector<Expr>> decode_list(netlink::Bytes list);

/// The expressions of a rule. Errc::invalid_input for a rule that has no
/// nftables form: an owner that is not resolved, a port without a protocol.
base::Result<std::vector<Expr>> translate(const redirect::Rule& rule);

/// One line for a message, close to nft's own words.
std::string describe(const std::vector<Expr>& exprs);

}  // namespace netfilter
