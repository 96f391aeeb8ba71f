#include "netfilter/nftables_expr.hpp"

#include <optional>

#include "base/overloaded.hpp"
#include "base/strings.hpp"

namespace netfilter {

using base::Overloaded;
using netlink::Attributes;
using netlink::MessageBuilder;

namespace {

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

base::Result<Expr> decode(netlink::Bytes list_element) {
  const auto attributes = Attributes::parse(list_element);
  if (!attributes) return attributes.error();
  const auto name = attributes->string(NFTA_EXPR_NAME);
  if (!name) return base::Error{base::Errc::invalid_input, "nftables expression without a name"};
  const auto body = attributes->nested(NFTA_EXPR_DATA);
  if (!body) return base::Error(body.error()).wrap(base::cat("expression ", base::quote(*name)));
  return decode_body(*name, *body);
}

base::Result<std::vector<Expr>> decode_list(netlink::Bytes list) {
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
}  // namespace netfilter
