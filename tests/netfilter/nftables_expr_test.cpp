#include "netfilter/nftables_expr.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>

namespace netfilter {
namespace {

using netlink::Bytes;
using netlink::MessageBuilder;
using redirect::Chain;
using redirect::Table;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::vector<std::uint8_t> list_bytes(const std::vector<Expr>& exprs) {
  MessageBuilder b;
  b.begin(1, 0);
  for (const Expr& expr : exprs) encode(b, expr);
  const Bytes all = b.bytes().subspan(sizeof(nlmsghdr));
  return {all.begin(), all.end()};
}

std::vector<Expr> one_of_each() {
  Lookup lookup;
  lookup.invert = true;
  lookup.set_id = 3;
  lookup.set_name = "__set0";
  return {MetaLoad{NFT_META_OIFNAME},
          MetaSet{NFT_META_MARK},
          Cmp{NFT_CMP_NEQ, {1, 2, 3}},
          Payload{NFT_PAYLOAD_NETWORK_HEADER, 12, 4},
          Bitwise{{255, 0, 0, 0}, {0, 0, 0, 0}},
          Counter{},
          ImmediateData{{0x3a, 0x99}},
          Verdict{NFT_JUMP, "istio-output"},
          Verdict{NF_DROP, ""},
          Verdict{NFT_RETURN, ""},
          Redir{NFT_REG_1, NF_NAT_RANGE_PROTO_SPECIFIED},
          TproxyTo{NFPROTO_IPV6},
          CtLoad{NFT_CT_STATE},
          CtSet{NFT_CT_ZONE},
          lookup,
          Unknown{"limit"}};
}

TEST(Codec, RoundTripsEveryExpression) {
  const auto exprs = one_of_each();
  const auto decoded = decode_list(list_bytes(exprs));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  ASSERT_EQ(*decoded, exprs);
  const auto& lookup = std::get<Lookup>((*decoded)[14]);
  EXPECT_EQ(lookup.set_name, "__set0");
  EXPECT_EQ(lookup.set_id, 3U);
}

TEST(Codec, ALookupIsEqualByItsPorts) {
  Lookup a, b;
  a.set_name = "__set0";
  b.set_name = "__set7";
  a.ports = b.ports = {53, 15008};
  EXPECT_EQ(Expr(a), Expr(b));
  b.ports = {53};
  EXPECT_NE(Expr(a), Expr(b));
}

TEST(Codec, CounterValuesDoNotMatter) {
  MessageBuilder b;
  b.begin(1, 0);
  {
    const auto element = b.nest(NFTA_LIST_ELEM);
    b.put_string(NFTA_EXPR_NAME, "counter");
    const auto data = b.nest(NFTA_EXPR_DATA);
    b.put_be64(NFTA_COUNTER_BYTES, 100);
    b.put_be64(NFTA_COUNTER_PACKETS, 7);
  }
  const auto decoded = decode_list(b.bytes().subspan(sizeof(nlmsghdr)));
  ASSERT_TRUE(decoded.ok());
  EXPECT_THAT(*decoded, ElementsAre(Expr(Counter{})));
}

TEST(Codec, UnexpectedAttributesMakeItUnknown) {
  MessageBuilder b;
  b.begin(1, 0);
  {
    const auto element = b.nest(NFTA_LIST_ELEM);
    b.put_string(NFTA_EXPR_NAME, "redir");
    const auto data = b.nest(NFTA_EXPR_DATA);
    b.put_be32(NFTA_REDIR_REG_PROTO_MIN, 1);
    b.put_be32(200, 1);
  }
  const auto decoded = decode_list(b.bytes().subspan(sizeof(nlmsghdr)));
  ASSERT_TRUE(decoded.ok());
  EXPECT_THAT(*decoded, ElementsAre(Expr(Unknown{"redir"})));
}

TEST(Codec, MissingAttributesMakeItUnknown) {
  for (const char* name :
       {"meta", "cmp", "payload", "bitwise", "redir", "tproxy", "ct", "lookup", "immediate"}) {
    MessageBuilder b;
    b.begin(1, 0);
    {
      const auto element = b.nest(NFTA_LIST_ELEM);
      b.put_string(NFTA_EXPR_NAME, name);
    }
    const auto decoded = decode_list(b.bytes().subspan(sizeof(nlmsghdr)));
    ASSERT_TRUE(decoded.ok()) << name;
    EXPECT_THAT(*decoded, ElementsAre(Expr(Unknown{name})));
  }
}

TEST(Codec, NoByteOfGarbageIsReadOutOfBounds) {
  const auto whole = list_bytes(one_of_each());
  // Every truncation and every single damaged byte: an answer, whatever it is.
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::uint8_t> part(whole.begin(),
                                         whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto result = decode_list(part);
    if (result) (void)describe(*result);
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const std::uint8_t value : std::initializer_list<std::uint8_t>{0, 1, 0x7f, 0xff}) {
      auto damaged = whole;
      damaged[at] = value;
      const auto result = decode_list(damaged);
      if (result) (void)describe(*result);
    }
  }
}

TEST(Codec, MalformedIsInvalidInput) {
  const std::vector<std::uint8_t> bad{8, 0, 1, 0, 200, 0, 1, 0};
  EXPECT_EQ(decode_list(bad).error().code, base::Errc::invalid_input);
  const std::vector<std::uint8_t> nameless{4, 0, 1, 0};
  EXPECT_EQ(decode_list(nameless).error().code, base::Errc::invalid_input);
}

// --- translation -------------------------------------------------------------

redirect::Rule rule(std::vector<redirect::Match> matches, redirect::Action action,
                    Table table = Table::nat, Chain chain = Chain::output_custom) {
  redirect::Rule out{};
  out.table = table;
  out.chain = chain;
  out.matches = std::move(matches);
  out.action = std::move(action);
  return out;
}

redirect::Cidr cidr(const char* text) { return *redirect::Cidr::parse(text); }

const Expr tcp_load = MetaLoad{NFT_META_L4PROTO};
const Expr tcp_cmp = Cmp{NFT_CMP_EQ, {6}};

TEST(Translate, PortNeedsTheProtocolOnce) {
  const auto out = translate(rule({redirect::MatchProtocol{redirect::Protocol::tcp},
                                   redirect::MatchDestinationPorts{{{15008}}, false}},
                                  redirect::Return{}));
  ASSERT_TRUE(out.ok());
  EXPECT_THAT(*out,
              ElementsAre(tcp_load, tcp_cmp, Expr(Payload{NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2}),
                          Expr(Cmp{NFT_CMP_EQ, {0x3a, 0xa0}}), Expr(Counter{}),
                          Expr(Verdict{NFT_RETURN, ""})));
}

TEST(Translate, PrefixLengths) {
  struct Case {
    const char* text;
    std::uint32_t length;
    bool masked;
  };
  for (const Case& c :
       {Case{"10.1.2.3/0", 4, true}, Case{"10.1.2.3/7", 4, true}, Case{"10.1.2.3/8", 1, false},
        Case{"10.1.2.3/24", 3, false}, Case{"10.1.2.3/31", 4, true}, Case{"10.1.2.3/32", 4, false},
        Case{"fd00::1/0", 16, true}, Case{"fd00::1/8", 1, false}, Case{"fd00::1/63", 16, true},
        Case{"fd00::1/64", 8, false}, Case{"fd00::1/120", 15, false},
        Case{"fd00::1/128", 16, false}}) {
    const auto out =
        translate(rule({redirect::MatchDestination{cidr(c.text), true}}, redirect::Return{}));
    ASSERT_TRUE(out.ok());
    ASSERT_THAT(*out, SizeIs(c.masked ? 7 : 6)) << c.text;
    EXPECT_EQ(std::get<Payload>((*out)[2]).length, c.length) << c.text;
    EXPECT_EQ(std::holds_alternative<Bitwise>((*out)[3]), c.masked) << c.text;
    const auto& cmp = std::get<Cmp>((*out)[c.masked ? 4 : 3]);
    EXPECT_EQ(cmp.op, std::uint32_t{NFT_CMP_NEQ});
    EXPECT_EQ(cmp.data.size(), c.length);
  }
}

TEST(Translate, RawTablePutsPortsFirst) {
  const std::vector<redirect::Match> matches{redirect::MatchDestination{cidr("10.0.0.1/32"), false},
                                             redirect::MatchProtocol{redirect::Protocol::udp},
                                             redirect::MatchDestinationPorts{{{53}}, false}};
  const auto raw = translate(rule(matches, redirect::CtZone{2}, Table::raw, Chain::output_dns));
  ASSERT_TRUE(raw.ok());
  EXPECT_EQ((*raw)[0], Expr(MetaLoad{NFT_META_L4PROTO}));
  EXPECT_EQ((*raw)[4], Expr(MetaLoad{NFT_META_NFPROTO}));
  const auto nat = translate(rule(matches, redirect::Return{}));
  ASSERT_TRUE(nat.ok());
  EXPECT_EQ((*nat)[0], Expr(MetaLoad{NFT_META_NFPROTO}));
}

TEST(Translate, SeveralPortsMakeASortedSet) {
  const auto out = translate(rule({redirect::MatchProtocol{redirect::Protocol::tcp},
                                   redirect::MatchDestinationPorts{{{15008}, {53}, {53}}, true}},
                                  redirect::Return{}));
  ASSERT_TRUE(out.ok());
  const auto& lookup = std::get<Lookup>((*out)[3]);
  EXPECT_THAT(lookup.ports, ElementsAre(53, 15008));
  EXPECT_TRUE(lookup.invert);
}

TEST(Translate, WhatHasNoForm) {
  const auto no_protocol =
      translate(rule({redirect::MatchDestinationPorts{{{53}}, false}}, redirect::Return{}));
  ASSERT_FALSE(no_protocol.ok());
  EXPECT_EQ(no_protocol.error().code, base::Errc::invalid_input);
  redirect::Owner unresolved;
  unresolved.text = "java";
  const auto owner = translate(rule({redirect::MatchGid{unresolved, false}}, redirect::Return{}));
  ASSERT_FALSE(owner.ok());
  EXPECT_THAT(owner.error().message, HasSubstr("java"));
  EXPECT_FALSE(translate(rule({}, redirect::Tproxy{{15006}, {1337}})).ok());
  EXPECT_FALSE(translate(rule({redirect::MatchIn{{"sixteen-bytes-xx"}}}, redirect::Return{})).ok());
  EXPECT_FALSE(translate(rule({redirect::MatchProtocol{redirect::Protocol::tcp},
                               redirect::MatchDestinationPorts{{}, false}},
                              redirect::Return{}))
                   .ok());
}

TEST(Describe, ReadsLikeNft) {
  const auto text = [](std::vector<redirect::Match> matches, redirect::Action action) {
    return describe(*translate(rule(std::move(matches), std::move(action))));
  };
  EXPECT_EQ(text({redirect::MatchOut{{"lo"}}, redirect::MatchProtocol{redirect::Protocol::tcp},
                  redirect::MatchDestination{cidr("127.0.0.1/32"), true},
                  redirect::MatchDestinationPorts{{{53}, {15008}}, true},
                  redirect::MatchUid{redirect::Owner::numeric(1337), false}},
                 redirect::Jump{Chain::in_redirect}),
            "oifname \"lo\" meta l4proto 6 meta nfproto 2 ip daddr != 127.0.0.1/32 "
            "dport != { 53, 15008 } skuid 1337 counter jump istio-in-redirect");
  EXPECT_EQ(text({redirect::MatchSource{cidr("fd00::/63")}}, redirect::Redirect{{15001}}),
            "meta nfproto 10 ip6 saddr & 0xfffffffffffffffe0000000000000000 fd00::/128 counter "
            "redirect to :15001");
  EXPECT_EQ(text({redirect::MatchMark{{5}, true}}, redirect::SaveMark{}),
            "mark != 5 counter ct mark set mark");
  EXPECT_EQ(text({redirect::MatchConnmark{{5}}}, redirect::RestoreMark{}),
            "ct mark 5 counter meta mark set ct mark");
  EXPECT_EQ(text({}, redirect::CtZone{2}), "counter ct zone set 2");
  EXPECT_EQ(describe({Unknown{"limit"}}), "<\"limit\">");
}

TEST(ModuleName, OnlyForModules) {
  EXPECT_EQ(module_name(Redir{}), "nft_redir");
  EXPECT_EQ(module_name(TproxyTo{NFPROTO_IPV4}), "nft_tproxy");
  EXPECT_EQ(module_name(Cmp{NFT_CMP_EQ, {}}), "");
}

}  // namespace
}  // namespace netfilter
