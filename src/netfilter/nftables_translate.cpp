// From a rule to what nft would compile it to.
#include <endian.h>
#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>

#include <algorithm>
#include <optional>

#include "base/overloaded.hpp"
#include "base/strings.hpp"
#include "netfilter/nftables_expr.hpp"

namespace netfilter {
namespace {

using base::Overloaded;
using redirect::Family;

// NF_CT_STATE_INVALID_BIT and NF_CT_STATE_BIT() in nf_conntrack_common.h
constexpr std::uint32_t ct_invalid = 1;
constexpr std::uint32_t ct_established = 1U << (IP_CT_ESTABLISHED % IP_CT_IS_REPLY + 1);
constexpr std::uint32_t ct_related = 1U << (IP_CT_RELATED % IP_CT_IS_REPLY + 1);

template <typename T>
Data bytes_of(T value) {
  const netlink::Bytes bytes = netlink::as_bytes(value);
  return {bytes.begin(), bytes.end()};
}

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

}  // namespace

base::Result<std::vector<Expr>> translate(const redirect::Rule& rule) {
  return Translator(rule).run();
}

}  // namespace netfilter
