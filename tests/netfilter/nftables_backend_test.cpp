// The kernel's view: what the backend programs is what `nft` makes of the
// printed commands. Everything runs in namespaces of its own.
#include <endian.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <regex>

#include "netfilter/backend.hpp"
#include "netfilter/nftables_expr.hpp"
#include "netlink/socket.hpp"
#include "redirect/config.hpp"
#include "redirect/render.hpp"
#include "support/netns_child.hpp"

namespace netfilter {
namespace {

using redirect::Chain;
using redirect::Families;
using redirect::Rule;
using redirect::Ruleset;
using redirect::Table;
using support::in_new_netns;
using support::shell;
using support::shell_with_input;
using testing::HasSubstr;
using namespace std::string_literals;

#define REQUIRE_NFT() \
  ICN_REQUIRE_ROOT(); \
  if (std::system("nft --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs nft"

Rule rule(Table table, Chain chain, std::vector<redirect::Match> matches, redirect::Action action) {
  Rule out{};
  out.table = table;
  out.chain = chain;
  out.matches = std::move(matches);
  out.action = std::move(action);
  return out;
}

redirect::Cidr cidr(const char* text) { return *redirect::Cidr::parse(text); }
const redirect::Match tcp = redirect::MatchProtocol{redirect::Protocol::tcp};
const redirect::Match udp = redirect::MatchProtocol{redirect::Protocol::udp};

redirect::Match dport(std::uint16_t port, bool negate = false) {
  return redirect::MatchDestinationPorts{{{port}}, negate};
}

/// Every match and every action at least once.
Ruleset everything() {
  using namespace redirect;
  Ruleset set;
  set.ipv6 = true;
  auto& r = set.rules;
  const auto uid = Owner::numeric(1337);
  const auto nat = Table::nat;
  const auto mangle = Table::mangle;
  const auto raw = Table::raw;
  r.push_back(rule(nat, Chain::prerouting, {MatchIn{{"eth0"}}}, Return{}));
  r.push_back(rule(nat, Chain::prerouting, {tcp}, Jump{Chain::inbound}));
  r.push_back(rule(nat, Chain::inbound, {tcp, dport(15008)}, Return{}));
  r.push_back(rule(nat, Chain::redirect, {tcp}, Redirect{{15001}}));
  r.push_back(rule(nat, Chain::in_redirect, {tcp}, Redirect{{15006}}));
  r.push_back(rule(nat, Chain::output, {}, Jump{Chain::output_custom}));
  for (const char* text : {"10.0.0.0/8", "10.32.0.0/11", "0.0.0.0/0", "10.1.0.0/16", "10.1.2.0/24",
                           "10.1.2.3/32", "10.1.2.7/30", "::/0", "2001:db8::/32", "2001:db8::/33",
                           "fd00::/8", "fd00::1:2:3/120", "fd00::1:2:3/127", "::1/128"}) {
    r.push_back(rule(nat, Chain::output_custom, {MatchDestination{cidr(text), false}}, Return{}));
    r.push_back(rule(nat, Chain::output_custom, {MatchDestination{cidr(text), true}},
                     Jump{Chain::redirect}));
    r.push_back(rule(nat, Chain::output_custom, {MatchSource{cidr(text)}}, Return{}));
  }
  r.push_back(rule(nat, Chain::output_custom,
                   {MatchOut{{"lo"}}, MatchDestination{cidr("127.0.0.1/32"), true}, tcp,
                    MatchDestinationPorts{{{53}, {15008}}, true}, MatchUid{uid, false}},
                   Jump{Chain::in_redirect}));
  r.push_back(rule(nat, Chain::output_custom,
                   {MatchOut{{"lo"}}, MatchDestination{cidr("::1/128"), true}, tcp,
                    MatchDestinationPorts{{{15008}}, true}, MatchGid{uid, false}},
                   Jump{Chain::in_redirect}));
  r.push_back(rule(nat, Chain::output_custom, {MatchOut{{"a.very-long_nic"}}}, Return{}));
  r.push_back(rule(nat, Chain::output_custom,
                   {MatchOut{{"lo"}}, tcp, dport(53, true), MatchUid{uid, true}}, Return{}));
  r.push_back(rule(nat, Chain::output_custom,
                   {MatchGid{Owner::numeric(1), true}, MatchGid{Owner::numeric(202), true}},
                   Return{}));
  r.push_back(rule(nat, Chain::output_custom, {udp, dport(32000)}, Return{}));
  r.push_back(rule(nat, Chain::output_custom, {}, Jump{Chain::output_dns}));
  r.push_back(rule(nat, Chain::output_dns,
                   {tcp, dport(53), MatchDestination{cidr("10.0.0.53/32"), false}},
                   Redirect{{15053}}));
  r.push_back(rule(nat, Chain::output_dns,
                   {udp, dport(53), MatchDestination{cidr("fd00::53/128"), false}},
                   Redirect{{15053}}));
  r.push_back(rule(nat, Chain::prerouting, {MatchIn{{"eth1"}}}, Accept{}));
  r.back().insert_at = 1;
  r.push_back(rule(mangle, Chain::prerouting, {MatchCtState{CtState::invalid}}, Jump{Chain::drop}));
  r.back().nft_tcp_only = true;
  r.push_back(rule(mangle, Chain::prerouting, {tcp}, Jump{Chain::inbound}));
  r.push_back(rule(mangle, Chain::drop, {}, Drop{}));
  r.push_back(rule(mangle, Chain::divert, {}, SetMark{{1337}}));
  r.push_back(rule(mangle, Chain::divert, {}, Accept{}));
  r.push_back(rule(mangle, Chain::tproxy, {MatchDestination{cidr("127.0.0.1/32"), true}, tcp},
                   Tproxy{{15006}, {1337}}));
  r.push_back(rule(mangle, Chain::tproxy, {MatchDestination{cidr("::1/128"), true}, tcp},
                   Tproxy{{15006}, {1337}}));
  r.push_back(rule(mangle, Chain::inbound,
                   {tcp, dport(80), MatchCtState{CtState::related_established}},
                   Jump{Chain::divert}));
  r.push_back(rule(mangle, Chain::inbound, {tcp, dport(80)}, Jump{Chain::tproxy}));
  r.push_back(
      rule(mangle, Chain::inbound, {tcp, MatchIn{{"lo"}}, MatchMark{{1338}, true}}, Return{}));
  r.back().insert_at = 1;
  r.push_back(rule(mangle, Chain::prerouting, {tcp, MatchMark{{1337}, false}}, SaveMark{}));
  r.push_back(rule(mangle, Chain::output, {tcp, MatchConnmark{{1337}}}, RestoreMark{}));
  r.push_back(rule(raw, Chain::output, {}, Jump{Chain::output_dns}));
  r.push_back(rule(raw, Chain::prerouting, {}, Jump{Chain::inbound}));
  r.push_back(rule(raw, Chain::output_dns, {udp, dport(53), MatchUid{uid, false}}, CtZone{1}));
  r.push_back(rule(raw, Chain::output_dns, {udp, MatchSourcePort{{15053}}, MatchGid{uid, false}},
                   CtZone{2}));
  r.push_back(rule(raw, Chain::output_dns,
                   {udp, dport(53), MatchDestination{cidr("10.0.0.53/32"), false}}, CtZone{2}));
  r.push_back(rule(raw, Chain::inbound,
                   {udp, MatchSourcePort{{53}}, MatchSource{cidr("fd00::53/128")}}, CtZone{1}));
  return set;
}

Ruleset simple() {
  Ruleset set;
  set.rules.push_back(rule(Table::nat, Chain::output, {tcp}, redirect::Jump{Chain::redirect}));
  set.rules.push_back(rule(Table::nat, Chain::redirect, {tcp}, redirect::Redirect{{15001}}));
  set.rules.push_back(rule(Table::nat, Chain::redirect, {udp, dport(53)}, redirect::Return{}));
  return set;
}

redirect::Config config(bool tproxy, bool ipv6, bool dns) {
  redirect::Config c;
  if (tproxy) c.mode = redirect::Mode::tproxy;
  c.ipv6 = ipv6;
  c.redirect_dns = c.capture_all_dns = dns;
  c.drop_invalid = true;
  c.inbound_ports_include.all = true;
  c.inbound_ports_exclude = {{15020}, {15021}, {15090}};
  c.outbound_ports_exclude = {{15020}};
  c.outbound_ranges_include.all = true;
  return c;
}

std::string text(const base::Status& status) { return status ? "ok" : status.error().message; }

/// nft's listing, and its listing of the bytecode without handles and numbers
/// of anonymous sets.
std::string listing() {
  std::string bytecode = shell("nft --debug=netlink list ruleset");
  bytecode = std::regex_replace(bytecode, std::regex("(inet \\S+ \\S+)( [0-9]+)+"), "$1");
  bytecode = std::regex_replace(bytecode, std::regex("__set[0-9]+"), "__set");
  return shell("nft list ruleset") + bytecode;
}

std::uint32_t generation() {
  auto socket = netlink::Socket::make(NETLINK_NETFILTER);
  netlink::MessageBuilder request;
  request.begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, NLM_F_ACK);
  request.header(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, 0});
  const auto replies = socket->talk(request);
  if (!replies || replies->empty()) return 0;
  const auto attributes = netlink::attributes_after((*replies)[0].payload, sizeof(nfgenmsg));
  return attributes ? attributes->be32(NFTA_GEN_ID).value_or(0) : 0;
}

std::string differences(const Ruleset& ruleset) {
  const auto result = make_nftables()->compare(ruleset);
  if (!result) return "error: " + result.error().message;
  std::string out = result->absent ? "absent\n" : "";
  for (const auto& line : result->differences) out += line + "\n";
  return out;
}

void expect_same_as_nft(const Ruleset& ruleset) {
  const std::string ours = in_new_netns([&] {
    std::string out = text(make_nftables()->apply(ruleset)) + "\n";
    out += differences(ruleset);
    return out + listing();
  });
  const std::string reference = in_new_netns([&] {
    std::string out = "ok\n" + shell_with_input("nft -f -", redirect::nft_commands(ruleset));
    out += differences(ruleset);
    return out + listing();
  });
  EXPECT_EQ(ours, reference);
  EXPECT_THAT(ours, HasSubstr("istio-proxy"));
}

TEST(NftablesBackend, EveryMatchAndActionAsNft) {
  REQUIRE_NFT();
  expect_same_as_nft(everything());
}

TEST(NftablesBackend, BuiltRulesetsAsNft) {
  REQUIRE_NFT();
  for (const bool tproxy : {false, true}) {
    for (const bool ipv6 : {false, true}) {
      for (const bool dns : {false, true}) {
        expect_same_as_nft(redirect::build_ruleset(config(tproxy, ipv6, dns)));
      }
    }
  }
}

TEST(NftablesBackend, ThousandsOfPortsAndRules) {
  REQUIRE_NFT();
  EXPECT_EQ(
      in_new_netns([] {
        Ruleset set = simple();
        redirect::MatchDestinationPorts many;
        many.negate = true;
        for (std::uint16_t port = 1; port <= 5000; ++port) many.ports.push_back({port});
        set.rules.push_back(rule(Table::nat, Chain::redirect, {tcp, many}, redirect::Return{}));
        for (std::uint16_t port = 1; port <= 5000; ++port) {
          set.rules.push_back(
              rule(Table::nat, Chain::redirect, {tcp, dport(port)}, redirect::Return{}));
        }
        std::string out = text(make_nftables()->apply(set)) + "\n";
        return out + differences(set);
      }),
      "ok\n");
}

TEST(NftablesBackend, RepeatingChangesNothing) {
  REQUIRE_NFT();
  EXPECT_EQ(in_new_netns([]() -> std::string {
              auto backend = make_nftables();
              const Ruleset set = everything();
              std::string out = text(backend->apply(set));
              const auto before = generation();
              out += text(backend->apply(set));
              return out + (before != 0 && before == generation() ? "" : " written again");
            }),
            "okok");
}

TEST(NftablesBackend, ReplacesAndLeavesOthersAlone) {
  REQUIRE_NFT();
  EXPECT_EQ(in_new_netns([]() -> std::string {
              shell_with_input("nft -f -",
                               "table inet other { chain c { tcp dport 1 accept; } }\n"
                               "table ip istio-proxy-nat { chain c { tcp dport 1 accept; } }\n");
              const std::string others = shell("nft list ruleset");
              auto backend = make_nftables();
              std::string out = text(backend->apply(everything()));
              out += text(backend->apply(simple()));
              out += differences(simple());
              const std::string now = shell("nft list ruleset");
              if (now.find("mangle") != std::string::npos) out += "stale table";
              if (now.find("istio-in-redirect") != std::string::npos) out += "stale chain";
              out += text(backend->remove(simple()));
              out += text(backend->remove(simple()));
              out += differences(Ruleset{});
              return out + (shell("nft list ruleset") == others ? "" : "others changed");
            }),
            "okokokokabsent\n");
}

TEST(NftablesBackend, AnEmptyRulesetRemovesOurs) {
  REQUIRE_NFT();
  EXPECT_EQ(in_new_netns([] {
              auto backend = make_nftables();
              std::string out = text(backend->apply(simple()));
              out += text(backend->apply(Ruleset{}));
              return out + shell("nft list ruleset");
            }),
            "okok");
}

TEST(NftablesBackend, OnlyTheFamiliesWanted) {
  REQUIRE_NFT();
  Ruleset set = simple();
  set.rules.push_back(rule(Table::nat, Chain::output,
                           {redirect::MatchDestination{cidr("::1/128"), false}},
                           redirect::Return{}));
  set.rules.back().families = Families{false, true};
  const std::string out = in_new_netns([&] {
    std::string made = text(make_nftables()->apply(set));
    return made + differences(set) + shell("nft list ruleset");
  });
  EXPECT_THAT(out, testing::Not(HasSubstr("::1")));
}

TEST(NftablesBackend, AChainOnlyJumpedToExists) {
  REQUIRE_NFT();
  Ruleset set;
  set.rules.push_back(rule(Table::nat, Chain::output, {}, redirect::Jump{Chain::output_dns}));
  EXPECT_EQ(in_new_netns([&] {
              std::string made = text(make_nftables()->apply(set));
              return made + differences(set);
            }),
            "ok");
}

/// The differences after `command` disturbed simple().
std::string after(const std::string& command) {
  return in_new_netns([&] {
    std::string out = text(make_nftables()->apply(simple()));
    out += "\n" + shell(command);
    out += differences(simple());
    // whatever it was, applying again repairs it
    out += text(make_nftables()->apply(simple()));
    return out + differences(simple());
  });
}

TEST(NftablesBackend, CompareFindsEveryChange) {
  REQUIRE_NFT();
  EXPECT_EQ(after("true"), "ok\nok");
  EXPECT_EQ(after("nft flush chain inet istio-proxy-nat output"),
            "ok\nistio-proxy-nat output rule 1: expected \"meta l4proto tcp counter jump "
            "istio-redirect\", found none\nok");
  EXPECT_EQ(after("nft add rule inet istio-proxy-nat output tcp dport 80 counter accept"),
            "ok\nistio-proxy-nat output rule 2: expected none, found \"meta l4proto 6 dport 80 "
            "counter accept\"\nok");
  EXPECT_EQ(after("nft flush chain inet istio-proxy-nat istio-redirect; nft add rule inet "
                  "istio-proxy-nat istio-redirect meta l4proto tcp counter redirect to :15002; nft "
                  "add rule inet istio-proxy-nat istio-redirect udp dport 53 counter return"),
            "ok\nistio-proxy-nat istio-redirect rule 1: expected \"meta l4proto tcp counter "
            "redirect to :15001\", found \"meta l4proto 6 counter redirect to :15002\"\nok");
  EXPECT_EQ(after("nft delete table inet istio-proxy-nat"),
            "ok\nabsent\nistio-proxy-nat: table is missing\nok");
  EXPECT_EQ(after("nft add chain inet istio-proxy-nat extra"),
            "ok\nistio-proxy-nat extra: unexpected chain\nok");
  EXPECT_EQ(after("nft add table inet istio-proxy-raw"),
            "ok\nistio-proxy-raw: unexpected table\nok");
  EXPECT_EQ(after("nft 'add table inet istio-proxy-nat { flags dormant; }'"),
            "ok\nistio-proxy-nat: the table is dormant\nok");
  EXPECT_EQ(after("nft 'add chain inet istio-proxy-nat output { policy drop; }'"),
            "ok\nistio-proxy-nat output: expected policy accept, found another\nok");
  EXPECT_EQ(after("nft delete table inet istio-proxy-nat; nft -f - <<'E'\n"
                  "table inet istio-proxy-nat {\n"
                  "chain output { type nat hook output priority -99;\n"
                  "meta l4proto tcp counter jump istio-redirect; }\n"
                  "chain istio-redirect { meta l4proto tcp counter redirect to :15001\n"
                  "udp dport 53 limit rate 1/second counter return; }\n"
                  "}\nE\n"),
            "ok\nistio-proxy-nat output: expected type nat hook output priority -100, found type "
            "nat hook output priority -99\n"
            "istio-proxy-nat istio-redirect rule 2: expected \"udp dport 53 counter return\", "
            "found \"meta l4proto 17 dport 53 <\"limit\"> counter return\"\nok");
}

TEST(NftablesBackend, CompareFindsAChangedSet) {
  REQUIRE_NFT();
  const auto with = [](std::vector<redirect::Port> ports) {
    Ruleset set = simple();
    set.rules.push_back(rule(Table::nat, Chain::output,
                             {tcp, redirect::MatchDestinationPorts{std::move(ports), true}},
                             redirect::Return{}));
    return set;
  };
  const std::string out = in_new_netns([&] {
    std::string made = text(make_nftables()->apply(with({{53}, {15008}})));
    return made + differences(with({{15008}, {53}})) + differences(with({{53}, {15009}}));
  });
  EXPECT_EQ(out,
            "okistio-proxy-nat output rule 2: expected \"meta l4proto tcp tcp dport != { 53, 15009 "
            "} counter return\", found \"meta l4proto 6 dport != { 53, 15008 } counter return\"\n");
}

TEST(NftablesBackend, RefusalsNameTheRule) {
  REQUIRE_NFT();
  // The kernel refuses `redirect` outside chains of type nat.
  Ruleset set;
  set.rules.push_back(rule(Table::raw, Chain::output, {tcp}, redirect::Redirect{{15001}}));
  const std::string out = in_new_netns([&] {
    const auto status = make_nftables()->apply(set);
    std::string made = text(status);
    return made + " | " + shell("nft list ruleset");
  });
  EXPECT_THAT(out, HasSubstr("istio-proxy-raw output rule 1"));
  EXPECT_THAT(out, testing::EndsWith(" | ")) << "nothing may be left behind";
}

TEST(NftablesBackend, OffsetsOfExtendedAcksFindTheExpression) {
  // What the translation of refusals into "the kernel lacks redir" rests on.
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([]() -> std::string {
              netlink::MessageBuilder b;
              std::uint32_t seq = 0;
              const auto begin = [&](int type, std::uint8_t family, std::uint16_t resource) {
                b.begin(static_cast<std::uint16_t>(type), NLM_F_CREATE, seq++);
                b.header(nfgenmsg{family, NFNETLINK_V0, resource});
              };
              constexpr int nftables = NFNL_SUBSYS_NFTABLES << 8;
              begin(NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, htobe16(NFNL_SUBSYS_NFTABLES));
              begin(nftables | NFT_MSG_NEWTABLE, NFPROTO_INET, 0);
              b.put_string(NFTA_TABLE_NAME, "t");
              begin(nftables | NFT_MSG_NEWCHAIN, NFPROTO_INET, 0);
              b.put_string(NFTA_CHAIN_TABLE, "t");
              b.put_string(NFTA_CHAIN_NAME, "c");
              begin(nftables | NFT_MSG_NEWRULE, NFPROTO_INET, 0);
              b.put_string(NFTA_RULE_TABLE, "t");
              b.put_string(NFTA_RULE_CHAIN, "c");
              std::size_t offset = 0;
              {
                const auto list = b.nest(NFTA_RULE_EXPRESSIONS);
                encode(b, Counter{});
                offset = b.offset();
                encode(b, Unknown{"no-such"});
              }
              begin(NFNL_MSG_BATCH_END, AF_UNSPEC, htobe16(NFNL_SUBSYS_NFTABLES));
              auto socket = netlink::Socket::make(NETLINK_NETFILTER);
              const auto acks = socket->batch(b.bytes());
              if (!acks || acks->size() != 1) return "no answer";
              const auto& ack = acks->front();
              if (ack.seq != 3 || ack.error != ENOENT) return "another answer";
              // older kernels tell no offset
              return ack.offset == offset || ack.offset == 0 ? "ok" : "another offset";
            }),
            "ok");
}

TEST(NftablesBackend, MoreRefusalsThanTheSocketHolds) {
  REQUIRE_NFT();
  Ruleset set;
  for (int i = 0; i < 5000; ++i) {
    set.rules.push_back(rule(Table::raw, Chain::output, {tcp}, redirect::Redirect{{15001}}));
  }
  const std::string out = in_new_netns([&] { return text(make_nftables()->apply(set)); });
  EXPECT_THAT(out, HasSubstr("istio-proxy-raw output rule 1 "));
}

TEST(NftablesBackend, WithoutCapabilities) {
  REQUIRE_NFT();
  const std::string out = in_new_netns([]() -> std::string {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return "setuid";
    std::string made = text(probe_nftables()) + "\n";
    made += text(make_nftables()->apply(simple())) + "\n";
    return made + text(make_nftables()->remove(simple()));
  });
  EXPECT_THAT(out, testing::ContainsRegex("CAP_NET_ADMIN.*\n.*CAP_NET_ADMIN.*\n.*CAP_NET_ADMIN"));
}

TEST(NftablesBackend, Probe) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([] { return text(probe_nftables()); }), "ok");
}

TEST(NftablesBackend, TimesForTheRecord) {
  REQUIRE_NFT();
  const std::string out = in_new_netns([] {
    const Ruleset set = redirect::build_ruleset(config(false, true, true));
    auto backend = make_nftables();
    std::string times;
    const auto timed = [&](const char* name, const auto& what) {
      const auto start = std::chrono::steady_clock::now();
      const bool ok = what();
      const auto span = std::chrono::duration_cast<std::chrono::microseconds>(
          std::chrono::steady_clock::now() - start);
      times += name + (ok ? " "s : " FAILED "s) + std::to_string(span.count()) + " us; ";
    };
    timed("first apply", [&] { return backend->apply(set).ok(); });
    timed("compare", [&] { return backend->compare(set)->equal(); });
    timed("apply again", [&] { return backend->apply(set).ok(); });
    timed("remove", [&] { return backend->remove(set).ok(); });
    timed("apply", [&] { return backend->apply(set).ok(); });
    return times;
  });
  EXPECT_THAT(out, testing::Not(HasSubstr("FAILED")));
  RecordProperty("times", out);
  std::printf("%s\n", out.c_str());
}

}  // namespace
}  // namespace netfilter
