// Expressions in words, for messages.
#include <endian.h>
#include <linux/netfilter.h>

#include <algorithm>
#include <cstring>

#include "base/overloaded.hpp"
#include "base/strings.hpp"
#include "netfilter/nftables_expr.hpp"

namespace netfilter {
namespace {

using base::Overloaded;
using redirect::Family;

std::string hex(const Data& data) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "0x";
  for (const std::uint8_t byte : data) {
    text.push_back(digits[byte >> 4U]);
    text.push_back(digits[byte & 15U]);
  }
  return text;
}

std::string meta_name(std::uint32_t key) {
  switch (key) {
    case NFT_META_IIFNAME:
      return "iifname";
    case NFT_META_OIFNAME:
      return "oifname";
    case NFT_META_L4PROTO:
      return "meta l4proto";
    case NFT_META_NFPROTO:
      return "meta nfproto";
    case NFT_META_SKUID:
      return "skuid";
    case NFT_META_SKGID:
      return "skgid";
    case NFT_META_MARK:
      return "mark";
    default:
      return base::cat("meta ", key);
  }
}

std::string ct_name(std::uint32_t key) {
  switch (key) {
    case NFT_CT_STATE:
      return "ct state";
    case NFT_CT_MARK:
      return "ct mark";
    case NFT_CT_ZONE:
      return "ct zone";
    default:
      return base::cat("ct ", key);
  }
}

std::uint32_t host_integer(const Data& data) {
  std::uint32_t value = 0;
  if (!data.empty()) std::memcpy(&value, data.data(), std::min(data.size(), sizeof value));
  return value;
}

std::uint16_t network_port(const Data& data) {
  std::uint16_t value = 0;
  if (!data.empty()) std::memcpy(&value, data.data(), std::min(data.size(), sizeof value));
  return be16toh(value);
}

/// What a register holds, so that the value compared with it can be shown in
/// the same terms.
struct Loaded {
  std::string name = "register";
  enum class Kind { bytes, integer, port, name, address } kind = Kind::bytes;
};

std::string value_text(const Loaded& loaded, const Data& data) {
  switch (loaded.kind) {
    case Loaded::Kind::integer:
      if (data.size() <= 4) return base::cat(host_integer(data));
      break;
    case Loaded::Kind::port:
      if (data.size() == 2) return base::cat(network_port(data));
      break;
    case Loaded::Kind::name: {
      std::string text(data.begin(), std::find(data.begin(), data.end(), std::uint8_t{0}));
      return base::quote(text);
    }
    case Loaded::Kind::address: {
      redirect::Cidr cidr;
      cidr.address.family = loaded.name.starts_with("ip6") ? Family::v6 : Family::v4;
      if (data.size() > (cidr.address.family == Family::v4 ? 4U : 16U)) break;
      std::copy(data.begin(), data.end(), cidr.address.bytes.begin());
      cidr.bits = static_cast<std::uint8_t>(data.size() * 8);
      return cidr.to_string();
    }
    case Loaded::Kind::bytes:
      break;
  }
  return hex(data);
}

Loaded describe_load(const Payload& e) {
  using Kind = Loaded::Kind;
  if (e.base == NFT_PAYLOAD_TRANSPORT_HEADER && e.length == 2) {
    if (e.offset == source_port) return {"sport", Kind::port};
    if (e.offset == destination_port) return {"dport", Kind::port};
  }
  if (e.base == NFT_PAYLOAD_NETWORK_HEADER) {
    if (e.offset == v4_destination && e.length <= 4) return {"ip daddr", Kind::address};
    if (e.offset == v4_source && e.length <= 4) return {"ip saddr", Kind::address};
    if (e.offset == v6_destination) return {"ip6 daddr", Kind::address};
    if (e.offset == v6_source) return {"ip6 saddr", Kind::address};
  }
  return {base::cat("payload ", e.base, ':', e.offset, '+', e.length), Kind::bytes};
}

}  // namespace

std::string describe(const std::vector<Expr>& exprs) {
  using Kind = Loaded::Kind;
  std::vector<std::string> words;
  Loaded loaded;
  std::string mask;
  Data immediate;
  for (const Expr& expr : exprs) {
    std::visit(
        Overloaded{
            [&](const MetaLoad& e) {
              const bool name = e.key == NFT_META_IIFNAME || e.key == NFT_META_OIFNAME;
              loaded = {meta_name(e.key), name ? Kind::name : Kind::integer};
            },
            [&](const CtLoad& e) {
              loaded = {ct_name(e.key), Kind::integer};
            },
            [&](const Payload& e) { loaded = describe_load(e); },
            [&](const Bitwise& e) {
              mask = base::cat(" & ", hex(e.mask));
              if (std::any_of(e.flip.begin(), e.flip.end(), [](auto byte) { return byte != 0; })) {
                mask.append(base::cat(" ^ ", hex(e.flip)));
              }
            },
            [&](const Cmp& e) {
              constexpr std::string_view signs[] = {"", "!= ", "< ", "<= ", "> ", ">= "};
              words.push_back(base::cat(loaded.name, mask, ' ', e.op < 6 ? signs[e.op] : "? ",
                                        value_text(loaded, e.data)));
              mask.clear();
            },
            [&](const Lookup& e) {
              std::vector<std::string> ports;
              for (const auto port : e.ports) ports.push_back(base::cat(port));
              words.push_back(base::cat(loaded.name, mask, e.invert ? " != { " : " { ",
                                        base::join(ports, ", "), " }"));
              mask.clear();
            },
            [&](const Counter&) { words.emplace_back("counter"); },
            [&](const ImmediateData& e) {
              immediate = e.data;
              loaded = {};
            },
            [&](const Verdict& e) {
              switch (e.code) {
                case NFT_RETURN:
                  words.emplace_back("return");
                  break;
                case NF_ACCEPT:
                  words.emplace_back("accept");
                  break;
                case NF_DROP:
                  words.emplace_back("drop");
                  break;
                case NFT_JUMP:
                  words.push_back(base::cat("jump ", e.chain));
                  break;
                case NFT_GOTO:
                  words.push_back(base::cat("goto ", e.chain));
                  break;
                default:
                  words.push_back(base::cat("verdict ", e.code));
                  break;
              }
            },
            [&](const Redir&) {
              words.push_back(base::cat("redirect to :", network_port(immediate)));
            },
            [&](const TproxyTo& e) {
              words.push_back(base::cat("tproxy ", e.family == NFPROTO_IPV6 ? "ip6" : "ip",
                                        " to :", network_port(immediate)));
            },
            [&](const MetaSet& e) {
              words.push_back(base::cat(
                  "meta ", meta_name(e.key), " set ",
                  loaded.kind == Kind::integer ? loaded.name : base::cat(host_integer(immediate))));
            },
            [&](const CtSet& e) {
              words.push_back(base::cat(
                  ct_name(e.key), " set ",
                  loaded.kind == Kind::integer ? loaded.name : base::cat(host_integer(immediate))));
            },
            [&](const Unknown& e) { words.push_back(base::cat('<', base::quote(e.name), '>')); },
        },
        expr);
  }
  return base::join(words, " ");
}

}  // namespace netfilter
