#include "netfilter/nftables_expr.hpp"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/strings.hpp"

namespace netfilter {

using netlink::Attributes;
using netlink::Bytes;
using netlink::MessageBuilder;
using redirect::Family;

namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

// struct iphdr and struct ipv6hdr
constexpr std::uint32_t v4_source = 12, v4_destination = 16;
constexpr std::uint32_t v6_source = 8, v6_destination = 24;
// both in struct tcphdr and in struct udphdr
constexpr std::uint32_t source_port = 0, destination_port = 2;

// NF_CT_STATE_INVALID_BIT and NF_CT_STATE_BIT() in nf_conntrack_common.h
constexpr std::uint32_t ct_invalid = 1;
constexpr std::uint32_t ct_established = 1U << (IP_CT_ESTABLISHED % IP_CT_IS_REPLY + 1);
constexpr std::uint32_t ct_related = 1U << (IP_CT_RELATED % IP_CT_IS_REPLY + 1);

template <typename T>
Data bytes_of(T value) {
  const Bytes bytes = netlink::as_bytes(value);
  return {bytes.begin(), bytes.end()};
}

void put_data(MessageBuilder& builder, std::uint16_t type, const Data& data) {
  const auto nest = builder.nest(type);
  builder.put(NFTA_DATA_VALUE, data);
}

void encode_body(MessageBuilder& b, const Expr& expr) {
  std::visit(Overloaded{
                 [&](const MetaLoad& e) {
                   b.put_be32(NFTA_META_KEY, e.key);
                   b.put_be32(NFTA_META_DREG, e.reg);
                 },
                 [&](const MetaSet& e) {
                   b.put_be32(NFTA_META_KEY, e.key);
                   b.put_be32(NFTA_META_SREG, e.reg);
                 },
                 [&](const Cmp& e) {
                   b.put_be32(NFTA_CMP_SREG, e.reg);
                   b.put_be32(NFTA_CMP_OP, e.op);
                   put_data(b, NFTA_CMP_DATA, e.data);
                 },
                 [&](const Payload& e) {
                   b.put_be32(NFTA_PAYLOAD_DREG, e.reg);
                   b.put_be32(NFTA_PAYLOAD_BASE, e.base);
                   b.put_be32(NFTA_PAYLOAD_OFFSET, e.offset);
                   b.put_be32(NFTA_PAYLOAD_LEN, e.length);
                 },
                 [&](const Bitwise& e) {
                   b.put_be32(NFTA_BITWISE_SREG, e.reg);
                   b.put_be32(NFTA_BITWISE_DREG, e.reg);
                   b.put_be32(NFTA_BITWISE_OP, NFT_BITWISE_BOOL);
                   b.put_be32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(e.mask.size()));
                   put_data(b, NFTA_BITWISE_MASK, e.mask);
                   put_data(b, NFTA_BITWISE_XOR, e.flip);
                 },
                 [&](const Counter&) {},
                 [&](const ImmediateData& e) {
                   b.put_be32(NFTA_IMMEDIATE_DREG, e.reg);
                   put_data(b, NFTA_IMMEDIATE_DATA, e.data);
                 },
                 [&](const Verdict& e) {
                   b.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
                   const auto data = b.nest(NFTA_IMMEDIATE_DATA);
                   const auto verdict = b.nest(NFTA_DATA_VERDICT);
                   b.put_be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(e.code));
                   if (!e.chain.empty()) b.put_string(NFTA_VERDICT_CHAIN, e.chain);
                 },
                 [&](const Redir& e) {
                   b.put_be32(NFTA_REDIR_REG_PROTO_MIN, e.reg_port_min);
                   b.put_be32(NFTA_REDIR_FLAGS, e.flags);
                 },
                 [&](const TproxyTo& e) {
                   b.put_be32(NFTA_TPROXY_FAMILY, e.family);
                   b.put_be32(NFTA_TPROXY_REG_PORT, e.reg_port);
                 },
                 [&](const CtLoad& e) {
                   b.put_be32(NFTA_CT_KEY, e.key);
                   b.put_be32(NFTA_CT_DREG, e.reg);
                 },
                 [&](const CtSet& e) {
                   b.put_be32(NFTA_CT_KEY, e.key);
                   b.put_be32(NFTA_CT_SREG, e.reg);
                 },
                 [&](const Lookup& e) {
                   b.put_be32(NFTA_LOOKUP_SREG, e.reg);
                   b.put_string(NFTA_LOOKUP_SET,
                                e.set_name.empty() ? anonymous_set_name : e.set_name);
                   b.put_be32(NFTA_LOOKUP_SET_ID, e.set_id);
                   if (e.invert) b.put_be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
                 },
                 [&](const Unknown&) {},
             },
             expr);
}

// --- decoding ------------------------------------------------------------

/// Collects what a decoder reads; one missing or odd value spoils the result.
class Fields {
 public:
  explicit Fields(const Attributes& attributes) : attributes_(attributes) {}

  std::uint32_t be32(std::uint16_t type) {
    const auto value = attributes_.be32(type);
    ok_ = ok_ && value.has_value();
    ++used_;
    return value.value_or(0);
  }
  std::uint32_t be32_or(std::uint16_t type, std::uint32_t fallback) {
    return has(type) ? be32(type) : fallback;
  }
  Data data(std::uint16_t type) {
    ++used_;
    const auto inner = attributes_.nested(type);
    malformed_ = malformed_ || !inner;
    const netlink::Attribute* value = inner ? inner->find(NFTA_DATA_VALUE) : nullptr;
    ok_ = ok_ && value != nullptr;
    return value == nullptr ? Data{} : Data(value->payload.begin(), value->payload.end());
  }
  std::string string(std::uint16_t type) {
    ++used_;
    const auto text = attributes_.string(type);
    ok_ = ok_ && text.has_value();
    return std::string(text.value_or(""));
  }
  [[nodiscard]] bool has(std::uint16_t type) const { return attributes_.find(type) != nullptr; }
  void require(bool condition) { ok_ = ok_ && condition; }
  void ignore(std::uint16_t type) { used_ += has(type) ? 1 : 0; }

  /// `expr` if all was there and nothing else was.
  base::Result<Expr> result(std::string_view name, Expr expr) const {
    if (malformed_) {
      return base::Error{base::Errc::invalid_input, base::cat("malformed expression ", name)};
    }
    if (!ok_ || used_ != attributes_.size()) return Expr(Unknown{std::string(name)});
    return expr;
  }

 private:
  const Attributes& attributes_;
  bool ok_ = true;
  bool malformed_ = false;
  std::size_t used_ = 0;
};

base::Result<Expr> decode_immediate(const Attributes& attributes) {
  Fields f(attributes);
  const std::uint32_t reg = f.be32(NFTA_IMMEDIATE_DREG);
  if (reg != NFT_REG_VERDICT) {
    return f.result("immediate", ImmediateData{f.data(NFTA_IMMEDIATE_DATA), reg});
  }
  const auto data = attributes.nested(NFTA_IMMEDIATE_DATA);
  if (!data) return data.error();
  const auto verdict = data->nested(NFTA_DATA_VERDICT);
  if (!verdict) return verdict.error();
  Fields v(*verdict);
  const auto code = static_cast<std::int32_t>(v.be32(NFTA_VERDICT_CODE));
  std::string chain = v.has(NFTA_VERDICT_CHAIN) ? v.string(NFTA_VERDICT_CHAIN) : std::string();
  return v.result("immediate", Verdict{code, std::move(chain)});
}

base::Result<Expr> decode_body(std::string_view name, const Attributes& attributes) {
  Fields f(attributes);
  if (name == "meta") {
    const std::uint32_t key = f.be32(NFTA_META_KEY);
    if (f.has(NFTA_META_SREG)) return f.result(name, MetaSet{key, f.be32(NFTA_META_SREG)});
    return f.result(name, MetaLoad{key, f.be32(NFTA_META_DREG)});
  }
  if (name == "cmp") {
    const std::uint32_t op = f.be32(NFTA_CMP_OP);
    Data data = f.data(NFTA_CMP_DATA);
    return f.result(name, Cmp{op, std::move(data), f.be32(NFTA_CMP_SREG)});
  }
  if (name == "payload") {
    const std::uint32_t base = f.be32(NFTA_PAYLOAD_BASE);
    const std::uint32_t offset = f.be32(NFTA_PAYLOAD_OFFSET);
    const std::uint32_t length = f.be32(NFTA_PAYLOAD_LEN);
    return f.result(name, Payload{base, offset, length, f.be32(NFTA_PAYLOAD_DREG)});
  }
  if (name == "bitwise") {
    const std::uint32_t reg = f.be32(NFTA_BITWISE_SREG);
    f.require(f.be32(NFTA_BITWISE_DREG) == reg);
    f.require(f.be32_or(NFTA_BITWISE_OP, NFT_BITWISE_BOOL) == NFT_BITWISE_BOOL);
    Data mask = f.data(NFTA_BITWISE_MASK);
    Data flip = f.data(NFTA_BITWISE_XOR);
    const std::uint32_t length = f.be32(NFTA_BITWISE_LEN);
    f.require(length == mask.size() && length == flip.size());
    return f.result(name, Bitwise{std::move(mask), std::move(flip), reg});
  }
  if (name == "counter") {
    f.ignore(NFTA_COUNTER_BYTES);
    f.ignore(NFTA_COUNTER_PACKETS);
    f.ignore(NFTA_COUNTER_PAD);
    return f.result(name, Counter{});
  }
  if (name == "immediate") return decode_immediate(attributes);
  if (name == "redir") {
    const std::uint32_t reg = f.be32(NFTA_REDIR_REG_PROTO_MIN);
    // The kernel dumps the maximum as well; sent alone the minimum stands for both.
    if (f.has(NFTA_REDIR_REG_PROTO_MAX)) f.require(f.be32(NFTA_REDIR_REG_PROTO_MAX) == reg);
    return f.result(name, Redir{reg, f.be32_or(NFTA_REDIR_FLAGS, 0)});
  }
  if (name == "tproxy") {
    const std::uint32_t family = f.be32(NFTA_TPROXY_FAMILY);
    return f.result(name, TproxyTo{family, f.be32(NFTA_TPROXY_REG_PORT)});
  }
  if (name == "ct") {
    const std::uint32_t key = f.be32(NFTA_CT_KEY);
    if (f.has(NFTA_CT_SREG)) return f.result(name, CtSet{key, f.be32(NFTA_CT_SREG)});
    return f.result(name, CtLoad{key, f.be32(NFTA_CT_DREG)});
  }
  if (name == "lookup") {
    Lookup lookup;
    lookup.reg = f.be32(NFTA_LOOKUP_SREG);
    lookup.set_name = f.string(NFTA_LOOKUP_SET);
    lookup.set_id = f.be32_or(NFTA_LOOKUP_SET_ID, 0);
    lookup.invert = (f.be32_or(NFTA_LOOKUP_FLAGS, 0) & NFT_LOOKUP_F_INV) != 0;
    return f.result(name, std::move(lookup));
  }
  return Expr(Unknown{std::string(name)});
}

// --- translation -----------------------------------------------------------

/// The order in which nft's printed form names the matches.
int rank(const redirect::Match& match, redirect::Table table) {
  const bool raw = table == redirect::Table::raw;
  return std::visit(Overloaded{
                        [](const redirect::MatchIn&) { return 0; },
                        [](const redirect::MatchOut&) { return 0; },
                        [](const redirect::MatchProtocol&) { return 1; },
                        [raw](const redirect::MatchSource&) { return raw ? 5 : 2; },
                        [raw](const redirect::MatchDestination&) { return raw ? 5 : 2; },
                        [](const redirect::MatchCtState&) { return 3; },
                        [](const redirect::MatchSourcePort&) { return 4; },
                        [](const redirect::MatchDestinationPorts&) { return 4; },
                        [](const redirect::MatchUid&) { return 6; },
                        [](const redirect::MatchGid&) { return 6; },
                        [](const redirect::MatchMark&) { return 7; },
                        [](const redirect::MatchConnmark&) { return 7; },
                    },
                    match);
}

class Translator {
 public:
  explicit Translator(const redirect::Rule& rule) : rule_(rule) {}

  base::Result<std::vector<Expr>> run() {
    for (const auto& match : rule_.matches) {
      if (const auto* p = std::get_if<redirect::MatchProtocol>(&match)) protocol_ = p->protocol;
    }
    if (rule_.nft_tcp_only) {
      protocol_ = protocol_.value_or(redirect::Protocol::tcp);
      protocol();
    }
    std::vector<const redirect::Match*> ordered;
    for (const auto& match : rule_.matches) ordered.push_back(&match);
    std::stable_sort(ordered.begin(), ordered.end(),
                     [this](const redirect::Match* a, const redirect::Match* b) {
                       return rank(*a, rule_.table) < rank(*b, rule_.table);
                     });
    for (const auto* match : ordered) {
      std::visit([this](const auto& m) { add(m); }, *match);
    }
    action();
    if (!problem_.empty()) return base::Error{base::Errc::invalid_input, problem_};
    return std::move(out_);
  }

 private:
  void compare(bool negate, Data data) {
    out_.emplace_back(Cmp{negate ? NFT_CMP_NEQ : NFT_CMP_EQ, std::move(data)});
  }
  void load_meta(std::uint32_t key) { out_.emplace_back(MetaLoad{key}); }

  void interface(std::uint32_t key, const redirect::IfName& name) {
    Data data(name.name.begin(), name.name.end());
    if (data.size() >= IFNAMSIZ) return fail("interface name too long");
    data.resize(IFNAMSIZ);
    load_meta(key);
    compare(false, std::move(data));
  }

  void protocol() {
    if (protocol_done_) return;
    if (!protocol_) return fail("port match without a protocol");
    protocol_done_ = true;
    load_meta(NFT_META_L4PROTO);
    compare(false, {static_cast<std::uint8_t>(*protocol_)});
  }

  void address(const redirect::Cidr& cidr, bool source, bool negate) {
    const bool v4 = cidr.address.family == Family::v4;
    // An inet table sees both families.
    if (nfproto_ != cidr.address.family) {
      nfproto_ = cidr.address.family;
      load_meta(NFT_META_NFPROTO);
      compare(false, {v4 ? std::uint8_t{NFPROTO_IPV4} : std::uint8_t{NFPROTO_IPV6}});
    }
    const std::uint32_t offset =
        v4 ? (source ? v4_source : v4_destination) : (source ? v6_source : v6_destination);
    const std::uint32_t full = v4 ? 4 : 16;
    const auto masked = cidr.masked().address.bytes;
    // nft loads only the bytes of a byte-aligned prefix.
    const bool aligned = cidr.bits != 0 && cidr.bits % 8 == 0;
    const std::uint32_t length = aligned ? cidr.bits / 8U : full;
    out_.emplace_back(Payload{NFT_PAYLOAD_NETWORK_HEADER, offset, length});
    if (!aligned) {
      const auto mask = cidr.mask();
      out_.emplace_back(Bitwise{Data(mask.begin(), mask.begin() + full), Data(full)});
    }
    compare(negate, Data(masked.begin(), masked.begin() + length));
  }

  void load_port(std::uint32_t offset) {
    protocol();
    out_.emplace_back(Payload{NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2});
  }

  void owner(std::uint32_t key, const redirect::Owner& owner, bool negate) {
    if (!owner.id) return fail(base::cat("owner ", base::quote(owner.text), " is not resolved"));
    load_meta(key);
    compare(negate, bytes_of(*owner.id));
  }

  void add(const redirect::MatchIn& m) { interface(NFT_META_IIFNAME, m.name); }
  void add(const redirect::MatchOut& m) { interface(NFT_META_OIFNAME, m.name); }
  void add(const redirect::MatchSource& m) { address(m.cidr, true, false); }
  void add(const redirect::MatchDestination& m) { address(m.cidr, false, m.negate); }
  void add(const redirect::MatchProtocol& m) {
    // Where the printed form leaves `meta l4proto` to the port match, nft puts
    // it directly before the port.
    const bool implied =
        m.protocol == redirect::Protocol::udp || rule_.chain == redirect::Chain::output_dns;
    if (!implied || !has_port()) protocol();
  }
  void add(const redirect::MatchSourcePort& m) {
    load_port(source_port);
    compare(false, bytes_of(htobe16(m.port.value)));
  }
  void add(const redirect::MatchDestinationPorts& m) {
    if (m.ports.empty()) return fail("port match without a port");
    load_port(destination_port);
    if (m.ports.size() == 1) return compare(m.negate, bytes_of(htobe16(m.ports[0].value)));
    Lookup lookup;
    for (const auto port : m.ports) lookup.ports.push_back(port.value);
    std::sort(lookup.ports.begin(), lookup.ports.end());
    lookup.ports.erase(std::unique(lookup.ports.begin(), lookup.ports.end()), lookup.ports.end());
    lookup.invert = m.negate;
    out_.emplace_back(std::move(lookup));
  }
  void add(const redirect::MatchUid& m) { owner(NFT_META_SKUID, m.owner, m.negate); }
  void add(const redirect::MatchGid& m) { owner(NFT_META_SKGID, m.owner, m.negate); }
  void add(const redirect::MatchCtState& m) {
    const std::uint32_t mask =
        m.state == redirect::CtState::invalid ? ct_invalid : ct_established | ct_related;
    out_.emplace_back(CtLoad{NFT_CT_STATE});
    out_.emplace_back(Bitwise{bytes_of(mask), Data(sizeof mask)});
    compare(true, Data(sizeof mask));
  }
  void add(const redirect::MatchMark& m) {
    load_meta(NFT_META_MARK);
    compare(m.negate, bytes_of(m.mark.value));
  }
  void add(const redirect::MatchConnmark& m) {
    out_.emplace_back(CtLoad{NFT_CT_MARK});
    compare(false, bytes_of(m.mark.value));
  }

  [[nodiscard]] bool has_port() const {
    return std::any_of(rule_.matches.begin(), rule_.matches.end(), [](const auto& match) {
      return std::holds_alternative<redirect::MatchSourcePort>(match) ||
             std::holds_alternative<redirect::MatchDestinationPorts>(match);
    });
  }

  void verdict(std::int32_t code, std::string_view chain = "") {
    out_.emplace_back(Verdict{code, std::string(chain)});
  }
  void set_mark(redirect::Mark mark) {
    out_.emplace_back(ImmediateData{bytes_of(mark.value)});
    out_.emplace_back(MetaSet{NFT_META_MARK});
  }

  void action() {
    if (!std::holds_alternative<redirect::Tproxy>(rule_.action)) out_.emplace_back(Counter{});
    std::visit(
        Overloaded{
            [this](const redirect::Return&) { verdict(NFT_RETURN); },
            [this](const redirect::Accept&) { verdict(NF_ACCEPT); },
            [this](const redirect::Drop&) { verdict(NF_DROP); },
            [this](const redirect::Jump& a) { verdict(NFT_JUMP, redirect::nft_name(a.chain)); },
            [this](const redirect::Redirect& a) {
              out_.emplace_back(ImmediateData{bytes_of(htobe16(a.port.value))});
              out_.emplace_back(Redir{NFT_REG_1, NF_NAT_RANGE_PROTO_SPECIFIED});
            },
            [this](const redirect::Tproxy& a) {
              if (!nfproto_) return fail("tproxy without an address match that tells the family");
              out_.emplace_back(ImmediateData{bytes_of(htobe16(a.port.value))});
              out_.emplace_back(TproxyTo{*nfproto_ == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6});
              set_mark(a.mark);
              out_.emplace_back(Counter{});
              verdict(NF_ACCEPT);
            },
            [this](const redirect::SetMark& a) { set_mark(a.mark); },
            [this](const redirect::SaveMark&) {
              load_meta(NFT_META_MARK);
              out_.emplace_back(CtSet{NFT_CT_MARK});
            },
            [this](const redirect::RestoreMark&) {
              out_.emplace_back(CtLoad{NFT_CT_MARK});
              out_.emplace_back(MetaSet{NFT_META_MARK});
            },
            [this](const redirect::CtZone& a) {
              out_.emplace_back(ImmediateData{bytes_of(a.zone)});
              out_.emplace_back(CtSet{NFT_CT_ZONE});
            },
        },
        rule_.action);
  }

  void fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  const redirect::Rule& rule_;
  std::optional<redirect::Protocol> protocol_;
  bool protocol_done_ = false;
  std::optional<Family> nfproto_;
  std::string problem_;
  std::vector<Expr> out_;
};

// --- text ------------------------------------------------------------------

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

std::string_view kernel_name(const Expr& expr) {
  return std::visit(Overloaded{
                        [](const MetaLoad&) -> std::string_view { return "meta"; },
                        [](const MetaSet&) -> std::string_view { return "meta"; },
                        [](const Cmp&) -> std::string_view { return "cmp"; },
                        [](const Payload&) -> std::string_view { return "payload"; },
                        [](const Bitwise&) -> std::string_view { return "bitwise"; },
                        [](const Counter&) -> std::string_view { return "counter"; },
                        [](const ImmediateData&) -> std::string_view { return "immediate"; },
                        [](const Verdict&) -> std::string_view { return "immediate"; },
                        [](const Redir&) -> std::string_view { return "redir"; },
                        [](const TproxyTo&) -> std::string_view { return "tproxy"; },
                        [](const CtLoad&) -> std::string_view { return "ct"; },
                        [](const CtSet&) -> std::string_view { return "ct"; },
                        [](const Lookup&) -> std::string_view { return "lookup"; },
                        [](const Unknown& e) -> std::string_view { return e.name; },
                    },
                    expr);
}

std::string_view module_name(const Expr& expr) {
  const std::string_view name = kernel_name(expr);
  if (name == "redir") return "nft_redir";
  if (name == "tproxy") return "nft_tproxy";
  if (name == "ct") return "nft_ct";
  if (name == "counter") return "nft_counter";  // part of nf_tables since Linux 5.18
  return "";
}

void encode(MessageBuilder& builder, const Expr& expr) {
  const auto element = builder.nest(NFTA_LIST_ELEM);
  builder.put_string(NFTA_EXPR_NAME, kernel_name(expr));
  const auto data = builder.nest(NFTA_EXPR_DATA);
  encode_body(builder, expr);
}

base::Result<Expr> decode(Bytes list_element) {
  const auto attributes = Attributes::parse(list_element);
  if (!attributes) return attributes.error();
  const auto name = attributes->string(NFTA_EXPR_NAME);
  if (!name) return base::Error{base::Errc::invalid_input, "nftables expression without a name"};
  const auto body = attributes->nested(NFTA_EXPR_DATA);
  if (!body) return base::Error(body.error()).wrap(base::cat("expression ", base::quote(*name)));
  return decode_body(*name, *body);
}

base::Result<std::vector<Expr>> decode_list(Bytes list) {
  const auto elements = Attributes::parse(list);
  if (!elements) return elements.error();
  std::vector<Expr> exprs;
  for (const auto& element : *elements) {
    auto expr = decode(element.payload);
    if (!expr) return expr.error();
    exprs.push_back(*std::move(expr));
  }
  return exprs;
}

base::Result<std::vector<Expr>> translate(const redirect::Rule& rule) {
  return Translator(rule).run();
}

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
