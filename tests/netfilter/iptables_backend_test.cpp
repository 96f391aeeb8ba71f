// The iptables backend against this machine's kernel, each test in a network
// namespace of its own; iptables-legacy serves as the reference.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/strings.hpp"
#include "netfilter/backend.hpp"
#include "netfilter/xtables_socket.hpp"
#include "redirect/config.hpp"
#include "redirect/render.hpp"
#include "support/netns_child.hpp"

namespace {

using namespace redirect;
using netfilter::Bytes;
using netfilter::Comparison;

struct Sample {
  std::string text;  ///< without the "-A"
  Rule rule;
};

const MatchProtocol tcp{Protocol::tcp};
const MatchProtocol udp{Protocol::udp};

Cidr cidr(std::string_view text) {
  auto out = Cidr::parse(text);
  EXPECT_TRUE(out.ok());
  return *out;
}

/// Every match and every action, in the words of iptables.
std::vector<Sample> samples(Family family) {
  const bool v4 = family == Family::v4;
  const std::string host = v4 ? "127.0.0.1/32" : "::1/128";
  const std::string passthrough = v4 ? "127.0.0.6/32" : "::6/128";
  const std::string net = v4 ? "10.1.2.3/12" : "fd00:1:2::3/33";
  const Families families{v4, !v4};
  std::vector<Sample> out;
  auto add = [&](Table table, Chain chain, const std::string& matches,
                 const std::vector<Match>& list, const std::string& target, Action action,
                 std::optional<unsigned> insert_at = {}) {
    out.push_back(
        {matches + " -j " + target, Rule{table, chain, list, action, families, insert_at, false}});
  };
  using M = std::vector<Match>;
  const Owner uid = Owner::numeric(1337);
  add(Table::nat, Chain::prerouting, "-i eth7", M{MatchIn{{"eth7"}}}, "RETURN", Return{});
  add(Table::nat, Chain::output, "-o fifteen.bytes-x", M{MatchOut{{"fifteen.bytes-x"}}}, "RETURN",
      Return{});
  add(Table::nat, Chain::prerouting, "-i cali0", M{MatchIn{{"cali0"}}}, "RETURN", Return{}, 1);
  add(Table::nat, Chain::prerouting, "-i cali0 -d " + net,
      M{MatchIn{{"cali0"}}, MatchDestination{cidr(net), false}}, "ISTIO_REDIRECT",
      Jump{Chain::redirect}, 1);
  add(Table::nat, Chain::inbound, "-p tcp --dport 15008",
      M{tcp, MatchDestinationPorts{{{15008}}, false}}, "RETURN", Return{});
  add(Table::nat, Chain::redirect, "-p tcp", M{tcp}, "REDIRECT --to-ports 15001",
      Redirect{{15001}});
  add(Table::nat, Chain::in_redirect, "-p tcp", M{tcp}, "REDIRECT --to-ports 15006",
      Redirect{{15006}});
  add(Table::nat, Chain::prerouting, "-p tcp", M{tcp}, "ISTIO_INBOUND", Jump{Chain::inbound});
  add(Table::nat, Chain::output, "", M{}, "ISTIO_OUTPUT", Jump{Chain::output_custom});
  add(Table::nat, Chain::output_custom, "-p udp --dport 15020",
      M{udp, MatchDestinationPorts{{{15020}}, false}}, "RETURN", Return{});
  add(Table::nat, Chain::output_custom, "-o lo -s " + passthrough,
      M{MatchOut{{"lo"}}, MatchSource{cidr(passthrough)}}, "RETURN", Return{});
  add(Table::nat, Chain::output_custom,
      "-o lo ! -d " + host + " -p tcp -m multiport ! --dports 53,15008 -m owner --uid-owner 1337",
      M{MatchOut{{"lo"}}, MatchDestination{cidr(host), true}, tcp,
        MatchDestinationPorts{{{53}, {15008}}, true}, MatchUid{uid, false}},
      "ISTIO_IN_REDIRECT", Jump{Chain::in_redirect});
  add(Table::nat, Chain::output_custom,
      "-o lo ! -d " + host + " -p tcp ! --dport 15008 -m owner --gid-owner 1337",
      M{MatchOut{{"lo"}}, MatchDestination{cidr(host), true}, tcp,
        MatchDestinationPorts{{{15008}}, true}, MatchGid{uid, false}},
      "ISTIO_IN_REDIRECT", Jump{Chain::in_redirect});
  add(Table::nat, Chain::output_custom, "-m owner ! --uid-owner 1337", M{MatchUid{uid, true}},
      "RETURN", Return{});
  add(Table::nat, Chain::output_custom,
      "-m owner ! --gid-owner 888 -m owner ! --gid-owner 4294967294",
      M{MatchGid{Owner::numeric(888), true}, MatchGid{Owner::numeric(4294967294U), true}}, "RETURN",
      Return{});
  add(Table::nat, Chain::output_custom,
      "-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,65535",
      M{tcp,
        MatchDestinationPorts{
            {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {65535}},
            false}},
      "ISTIO_REDIRECT", Jump{Chain::redirect});
  add(Table::nat, Chain::output_custom, "-p udp --sport 7 --dport 9",
      M{udp, MatchSourcePort{{7}}, MatchDestinationPorts{{{9}}, false}}, "ACCEPT", Accept{});
  add(Table::nat, Chain::output_custom, "-p tcp --sport 7 ! --dport 9",
      M{tcp, MatchSourcePort{{7}}, MatchDestinationPorts{{{9}}, true}}, "RETURN", Return{});
  add(Table::nat, Chain::output_custom, "-p udp --dport 0",
      M{udp, MatchDestinationPorts{{{0}}, false}}, "REDIRECT --to-port 15053", Redirect{{15053}});

  add(Table::mangle, Chain::prerouting, "-m conntrack --ctstate INVALID",
      M{MatchCtState{CtState::invalid}}, "ISTIO_DROP", Jump{Chain::drop});
  add(Table::mangle, Chain::drop, "", M{}, "DROP", Drop{});
  add(Table::mangle, Chain::divert, "", M{}, "MARK --set-mark 1337", SetMark{{1337}});
  add(Table::mangle, Chain::divert, "", M{}, "ACCEPT", Accept{});
  add(Table::mangle, Chain::tproxy, "! -d " + host + " -p tcp",
      M{MatchDestination{cidr(host), true}, tcp},
      "TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006", Tproxy{{15006}, {1337}});
  add(Table::mangle, Chain::prerouting, "-p tcp", M{tcp}, "ISTIO_INBOUND", Jump{Chain::inbound});
  add(Table::mangle, Chain::inbound, "-p tcp --dport 80 -m conntrack --ctstate RELATED,ESTABLISHED",
      M{tcp, MatchDestinationPorts{{{80}}, false}, MatchCtState{CtState::related_established}},
      "ISTIO_DIVERT", Jump{Chain::divert});
  add(Table::mangle, Chain::inbound, "-p tcp", M{tcp}, "ISTIO_TPROXY", Jump{Chain::tproxy});
  add(Table::mangle, Chain::prerouting, "-p tcp -m mark --mark 1337",
      M{tcp, MatchMark{{1337}, false}}, "CONNMARK --save-mark", SaveMark{});
  add(Table::mangle, Chain::output, "-p tcp -m connmark --mark 1337", M{tcp, MatchConnmark{{1337}}},
      "CONNMARK --restore-mark", RestoreMark{});
  add(Table::mangle, Chain::inbound, "-p tcp -m mark --mark 4294967295",
      M{tcp, MatchMark{{4294967295U}, false}}, "RETURN", Return{}, 1);
  add(Table::mangle, Chain::inbound, "-p tcp -i lo -m mark ! --mark 1338",
      M{tcp, MatchIn{{"lo"}}, MatchMark{{1338}, true}}, "RETURN", Return{}, 2);

  add(Table::raw, Chain::output, "", M{}, "ISTIO_OUTPUT_DNS", Jump{Chain::output_dns});
  add(Table::raw, Chain::output_dns, "-p udp --dport 53 -m owner --uid-owner 1337",
      M{udp, MatchDestinationPorts{{{53}}, false}, MatchUid{uid, false}}, "CT --zone 1", CtZone{1});
  add(Table::raw, Chain::output_dns, "-p udp --sport 15053 -m owner --gid-owner 1337",
      M{udp, MatchSourcePort{{15053}}, MatchGid{uid, false}}, "CT --zone 2", CtZone{2});
  add(Table::raw, Chain::prerouting, "", M{}, "ISTIO_INBOUND", Jump{Chain::inbound});
  add(Table::raw, Chain::inbound, "-s " + net + " -p udp --sport 53",
      M{MatchSource{cidr(net)}, udp, MatchSourcePort{{53}}}, "CT --zone 65535", CtZone{65535});
  return out;
}

Ruleset sample_ruleset() {
  Ruleset ruleset;
  ruleset.ipv6 = true;
  for (Family family : {Family::v4, Family::v6}) {
    for (Sample& sample : samples(family)) ruleset.rules.push_back(std::move(sample.rule));
  }
  return ruleset;
}

std::string sample_text(Family family) {
  std::string out;
  for (Table table : {Table::mangle, Table::nat, Table::raw}) {
    out += "*" + std::string(iptables_name(table)) + "\n";
    for (Chain chain : {Chain::inbound, Chain::redirect, Chain::in_redirect, Chain::output_custom,
                        Chain::output_dns, Chain::divert, Chain::tproxy, Chain::drop}) {
      bool used = false;
      for (const Sample& sample : samples(family)) {
        const auto* jump = std::get_if<Jump>(&sample.rule.action);
        used = used || (sample.rule.table == table &&
                        (sample.rule.chain == chain || (jump != nullptr && jump->chain == chain)));
      }
      if (used) out += "-N " + std::string(iptables_name(chain)) + "\n";
    }
    for (const Sample& sample : samples(family)) {
      if (sample.rule.table != table) continue;
      const std::string chain(iptables_name(sample.rule.chain));
      out += sample.rule.insert_at
                 ? "-I " + chain + " " + std::to_string(*sample.rule.insert_at) + " "
                 : "-A " + chain + " ";
      out += sample.text + "\n";
    }
    out += "COMMIT\n";
  }
  return out;
}

Ruleset default_ruleset() {
  Config config;
  config.inbound_ports_include.all = true;
  config.outbound_ranges_include.all = true;
  config.outbound_ports_exclude = {{15020}};
  return build_ruleset(config);
}

/// iptables-save output without comments and, unless asked for by options,
/// without the counters of policies.
std::string save(Family family, const std::string& options = "") {
  const std::string text = support::shell(
      std::string(family == Family::v4 ? "iptables" : "ip6tables") + "-legacy-save" + options);
  std::string out;
  for (std::string_view line : base::split_nonempty(text, '\n')) {
    if (line.starts_with('#')) continue;
    if (options.empty() && line.starts_with(':')) line = line.substr(0, line.find(" ["));
    out.append(line).append("\n");
  }
  return out;
}

std::string restore(Family family, const std::string& text) {
  return support::shell_with_input(
      std::string(family == Family::v4 ? "iptables" : "ip6tables") + "-legacy-restore --noflush",
      text);
}

/// Runs `body` in a fresh namespace; expectations inside count.
void in_namespace(const std::function<void()>& body) {
  std::fflush(stdout);  // or the child prints it again
  EXPECT_EQ(support::in_new_netns([&]() -> std::string {
              body();
              std::fflush(stdout);
              return testing::Test::HasFailure() ? "failed, see above" : "passed";
            }),
            "passed");
}

/// save() of a fresh namespace that iptables-restore has filled.
std::string reference(Family family, const std::string& text) {
  std::fflush(stdout);
  return support::in_new_netns([&] {
    const std::string said = restore(family, text);
    return said.empty() ? save(family) : said;
  });
}

void apply(const Ruleset& ruleset) {
  auto done = netfilter::make_iptables()->apply(ruleset);
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message);
}

void remove(const Ruleset& ruleset) {
  auto done = netfilter::make_iptables()->remove(ruleset);
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message);
}

Comparison compare(const Ruleset& ruleset) {
  auto done = netfilter::make_iptables()->compare(ruleset);
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message);
  return done.ok() ? *done : Comparison{};
}

std::string lines(const Comparison& comparison) { return base::join(comparison.differences, "\n"); }

Bytes raw_table(Family family, std::string_view table) {
  auto socket = netfilter::XtSocket::open(family);
  if (!socket) return {};
  auto blob = socket->read(table);
  return blob ? blob->entries : Bytes{};
}

class IptablesBackend : public testing::Test {
 protected:
  void SetUp() override {
    ICN_REQUIRE_ROOT();
    if (support::shell("iptables-legacy-save --version").find("legacy") == std::string::npos) {
      GTEST_SKIP() << "needs iptables-legacy as the reference";
    }
  }
};

TEST_F(IptablesBackend, EveryMatchAndActionIsWhatIptablesWrites) {
  std::string expected[2];
  for (Family family : {Family::v4, Family::v6}) {
    expected[family == Family::v6] = reference(family, sample_text(family));
  }
  in_namespace([&] {
    apply(sample_ruleset());
    for (Family family : {Family::v4, Family::v6}) {
      EXPECT_GT(save(family).size(), 1000U);
      EXPECT_EQ(save(family), expected[family == Family::v6]);
    }
    EXPECT_EQ(lines(compare(sample_ruleset())), "");
  });
}

TEST_F(IptablesBackend, RulesOfIptablesCompareEqual) {
  in_namespace([&] {
    for (Family family : {Family::v4, Family::v6}) {
      EXPECT_EQ(restore(family, sample_text(family)), "");
    }
    const Comparison found = compare(sample_ruleset());
    EXPECT_EQ(lines(found), "");
    EXPECT_FALSE(found.absent);
  });
}

TEST_F(IptablesBackend, BuiltRulesetsAreWhatIptablesMakesOfTheirText) {
  Config base;
  base.inbound_ports_include.all = true;
  base.inbound_ports_exclude = {{15020}, {15090}};
  base.outbound_ranges_include.all = true;
  base.outbound_ports_exclude = {{15020}};
  base.exclude_interfaces = {{"eth9"}};
  base.reroute_interfaces = {{"tap0"}};
  base.ipv6 = true;
  std::vector<Config> configs(4, base);
  configs[1].redirect_dns = configs[1].capture_all_dns = true;
  configs[1].drop_invalid = true;
  configs[2].mode = Mode::tproxy;
  configs[3].inbound_ports_include = {false, {{80}, {443}}};
  configs[3].outbound_ranges_include = {false, {cidr("10.0.0.0/8"), cidr("fd00::/8")}};
  configs[3].outbound_ranges_exclude = {cidr("10.9.0.0/16")};
  configs[3].owner_groups_include = {false, {Owner::numeric(7), Owner::numeric(8)}};
  for (const Config& config : configs) {
    const Ruleset ruleset = build_ruleset(config);
    std::string expected[2];
    for (Family family : {Family::v4, Family::v6}) {
      expected[family == Family::v6] = reference(family, iptables_restore_text(ruleset, family));
    }
    in_namespace([&] {
      apply(ruleset);
      for (Family family : {Family::v4, Family::v6}) {
        EXPECT_EQ(save(family), expected[family == Family::v6]);
      }
      EXPECT_EQ(lines(compare(ruleset)), "");
    });
  }
}

TEST_F(IptablesBackend, RulesAndCountersOfOthersAreKept) {
  in_namespace([&] {
    const std::string theirs =
        "*nat\n:PREROUTING ACCEPT [1:2]\n:OUTPUT ACCEPT [11:660]\n:THEIRS - [0:0]\n:zz - [0:0]\n"
        "[3:180] -A PREROUTING -p tcp -m tcp --dport 99 -m comment --comment \"not ours\" -j "
        "THEIRS\n"
        "[5:300] -A OUTPUT -d 192.0.2.0/24 -j THEIRS\n"
        "[7:420] -A OUTPUT -g zz\n"
        "[9:540] -A THEIRS -p tcp -m tcp --sport 1:5 -j DNAT --to-destination 192.0.2.1:80\n"
        "[2:120] -A THEIRS -s 192.0.2.7/32\n"
        "[1:60] -A zz -m limit --limit 5/sec -j RETURN\nCOMMIT\n";
    EXPECT_EQ(support::shell_with_input("iptables-legacy-restore -c", theirs), "");
    const std::string before = save(Family::v4, " -c");
    apply(default_ruleset());
    const std::string both = save(Family::v4, " -c");
    std::string without_ours;
    for (std::string_view line : base::split_nonempty(both, '\n')) {
      if (line.find("ISTIO_") == std::string_view::npos) without_ours += std::string(line) + "\n";
    }
    EXPECT_EQ(without_ours, before);
    EXPECT_LT(both.find("--dport 99"), both.find("-A PREROUTING -p tcp -j ISTIO_INBOUND"));
    remove(default_ruleset());
    EXPECT_EQ(save(Family::v4, " -c"), before);
  });
}

TEST_F(IptablesBackend, InsertsGoBeforeAndAppendsAfterTheRulesOfOthers) {
  in_namespace([&] {
    EXPECT_EQ(restore(Family::v4, "*nat\n-A PREROUTING -i theirs -j ACCEPT\nCOMMIT\n"), "");
    Config config;
    config.inbound_ports_include.all = true;
    config.reroute_interfaces = {{"tap0"}};
    apply(build_ruleset(config));
    const std::string text = save(Family::v4);
    EXPECT_LT(text.find("-i tap0"), text.find("-i theirs"));
    EXPECT_LT(text.find("-i theirs"), text.find("-A PREROUTING -p tcp"));
  });
}

TEST_F(IptablesBackend, ApplyingAgainWritesNothing) {
  in_namespace([&] {
    const Ruleset ruleset = sample_ruleset();
    apply(ruleset);
    // Counters of our own rules would be lost by any commit.
    EXPECT_EQ(support::shell("ip6tables-legacy -t nat -Z ; iptables-legacy -t nat -Z; "
                             "iptables-legacy -t raw -D ISTIO_OUTPUT_DNS 1; "
                             "iptables-legacy -t raw -I ISTIO_OUTPUT_DNS -c 5 500 -p udp --dport "
                             "53 -m owner --uid-owner 1337 -j CT --zone 1; "
                             "iptables-legacy -t nat -A OUTPUT -p udp -j ACCEPT"),
              "");
    std::vector<Bytes> before;
    for (Family family : {Family::v4, Family::v6}) {
      for (std::string_view table : {"nat", "mangle", "raw"}) {
        before.push_back(raw_table(family, table));
        EXPECT_FALSE(before.back().empty());
      }
    }
    apply(ruleset);
    std::size_t i = 0;
    for (Family family : {Family::v4, Family::v6}) {
      for (std::string_view table : {"nat", "mangle", "raw"}) {
        EXPECT_EQ(raw_table(family, table), before[i++]) << table;
      }
    }
  });
}

TEST_F(IptablesBackend, AnotherRulesetReplaces) {
  in_namespace([&] {
    apply(sample_ruleset());
    const Ruleset next = default_ruleset();
    apply(next);
    EXPECT_EQ(lines(compare(next)), "");
    EXPECT_EQ(save(Family::v4).find("ISTIO_TPROXY"), std::string::npos);
    EXPECT_EQ(save(Family::v6).find("ISTIO_"), std::string::npos);
    EXPECT_FALSE(compare(sample_ruleset()).equal());
  });
}

TEST_F(IptablesBackend, RemoveCleansWhateverWasThere) {
  in_namespace([&] {
    remove(default_ruleset());
    EXPECT_EQ(support::shell("cat /proc/net/ip_tables_names"), "");
    apply(sample_ruleset());
    remove(sample_ruleset());
    for (Family family : {Family::v4, Family::v6}) {
      EXPECT_EQ(save(family).find("-A"), std::string::npos) << save(family);
      EXPECT_EQ(save(family).find("ISTIO_"), std::string::npos) << save(family);
    }
    EXPECT_TRUE(compare(sample_ruleset()).absent);
    // Chains of another ruleset go too, and with them the jumps of others there.
    EXPECT_EQ(restore(Family::v4,
                      "*nat\n-N ISTIO_OLD\n-N mine\n-A OUTPUT -j ISTIO_OLD\n-A mine -j ISTIO_OLD\n"
                      "-A OUTPUT -j mine\nCOMMIT\n"),
              "");
    remove(default_ruleset());
    EXPECT_EQ(save(Family::v4).find("ISTIO_"), std::string::npos);
    EXPECT_NE(save(Family::v4).find(":mine"), std::string::npos);
  });
}

TEST_F(IptablesBackend, CompareSaysWhatDiffers) {
  struct Case {
    std::string command;
    std::vector<std::string> says;
  };
  const std::vector<Case> cases = {
      {"-D ISTIO_OUTPUT 1", {"nat ISTIO_OUTPUT rule 1", "--dport 15020"}},
      {"-R ISTIO_REDIRECT 1 -p tcp -j REDIRECT --to-ports 15009",
       {"nat ISTIO_REDIRECT rule 1", "15001", "15009"}},
      {"-A ISTIO_INBOUND -p udp -j ACCEPT",
       {"nat ISTIO_INBOUND rule 3: unexpected", "-p udp -j ACCEPT"}},
      {"-F ISTIO_IN_REDIRECT", {"nat ISTIO_IN_REDIRECT rule 1", "found none"}},
      {"-N ISTIO_STRANGE", {"nat ISTIO_STRANGE: unexpected chain"}},
      {"-F OUTPUT", {"nat OUTPUT rule 1", "ISTIO_OUTPUT", "found none"}},
      {"-A PREROUTING -p tcp -j ISTIO_IN_REDIRECT", {"nat PREROUTING rule 2: unexpected"}},
  };
  for (const Case& one : cases) {
    in_namespace([&] {
      const Ruleset ruleset = default_ruleset();
      apply(ruleset);
      EXPECT_EQ(lines(compare(ruleset)), "");
      EXPECT_EQ(support::shell("iptables-legacy -t nat " + one.command), "");
      const Comparison found = compare(ruleset);
      EXPECT_FALSE(found.absent);
      EXPECT_EQ(found.differences.size(), 1U) << lines(found);
      for (const std::string& part : one.says) {
        EXPECT_NE(lines(found).find(part), std::string::npos) << lines(found);
      }
      apply(ruleset);  // puts it right
      EXPECT_EQ(lines(compare(ruleset)), "");
    });
  }
}

TEST_F(IptablesBackend, CompareSeesThatNothingIsThere) {
  in_namespace([&] {
    Comparison found = compare(default_ruleset());
    EXPECT_TRUE(found.absent);
    EXPECT_EQ(lines(found), "nat: table is missing");
    EXPECT_EQ(support::shell("cat /proc/net/ip_tables_names"), "");
    EXPECT_EQ(support::shell("iptables-legacy -t nat -A OUTPUT -j ACCEPT"), "");
    found = compare(default_ruleset());
    EXPECT_TRUE(found.absent);
    EXPECT_FALSE(found.equal());
  });
}

TEST_F(IptablesBackend, WrongRulesetWritesNothing) {
  in_namespace([&] {
    Ruleset ruleset = default_ruleset();
    Rule bad = ruleset.rules.front();
    bad.matches = {MatchUid{Owner{"istio-proxy", {}}, false}};
    ruleset.rules.push_back(bad);
    auto done = netfilter::make_iptables()->apply(ruleset);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, base::Errc::invalid_input);
    EXPECT_NE(done.error().message.find("istio-proxy"), std::string::npos);
    EXPECT_EQ(support::shell("cat /proc/net/ip_tables_names"), "");
  });
}

TEST_F(IptablesBackend, KernelWithoutAnExtensionIsNamed) {
  in_namespace([&] {
    auto socket = netfilter::XtSocket::open(Family::v4);
    ASSERT_TRUE(socket.ok());
    auto missing = socket->check({"owner", 77, false, "xt_owner"});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, base::Errc::unsupported);
    EXPECT_EQ(missing.error().message,
              "kernel lacks the xtables match owner revision 77 (module xt_owner)");
    EXPECT_FALSE(socket->check({"NOSUCH", 0, true, "xt_NOSUCH"}).ok());
    auto table = socket->read("nosuch");
    ASSERT_FALSE(table.ok());
    EXPECT_EQ(table.error().code, base::Errc::unsupported);
    EXPECT_EQ(table.error().message,
              "kernel has no ip_tables table nosuch (module iptable_nosuch)");
  });
}

TEST_F(IptablesBackend, WithoutCapabilityTheErrorNamesIt) {
  in_namespace([&] {
    ASSERT_EQ(::setresuid(65534, 65534, 65534), 0);
    auto done = netfilter::make_iptables()->apply(default_ruleset());
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().sys, EPERM);
    EXPECT_NE(done.error().message.find("CAP_NET_ADMIN"), std::string::npos)
        << done.error().message;
  });
}

TEST_F(IptablesBackend, LegacyRulesPresent) {
  in_namespace([&] {
    auto present = [] {
      auto out = netfilter::legacy_rules_present();
      EXPECT_TRUE(out.ok());
      return out.ok() && *out;
    };
    EXPECT_FALSE(present());
    EXPECT_EQ(support::shell("cat /proc/net/ip_tables_names"), "");
    EXPECT_EQ(save(Family::v4), "");
    EXPECT_EQ(support::shell("iptables-legacy -t nat -L >/dev/null"), "");
    EXPECT_FALSE(present());
    EXPECT_EQ(support::shell("ip6tables-legacy -t filter -A INPUT -p 255"), "");
    EXPECT_TRUE(present());
    EXPECT_EQ(support::shell("ip6tables-legacy -t filter -F; iptables-legacy -t raw -N x"), "");
    EXPECT_TRUE(present());
  });
}

TEST_F(IptablesBackend, Probe) {
  in_namespace([&] {
    auto ok = netfilter::probe_iptables();
    EXPECT_TRUE(ok.ok()) << (ok.ok() ? "" : ok.error().message);
    EXPECT_EQ(support::shell("iptables-legacy-save | grep -c -e -A"), "0\n\n[exit 1]\n");
  });
}

TEST_F(IptablesBackend, SurvivesAnotherWriter) {
  in_namespace([&] {
    const Ruleset ruleset = default_ruleset();
    auto* other = ::popen(
        "for i in 1 2 3 4 5 6 7 8 9 10; do for n in 1 2 3; do iptables-legacy -t nat -A PREROUTING "
        "-p udp --dport $i -j ACCEPT; done; done",
        "r");
    for (int i = 0; i < 40; ++i) {
      apply(ruleset);
      remove(ruleset);
    }
    apply(ruleset);
    // It does not retry as we do, so it may fail; only we must not.
    ::pclose(other);
    apply(ruleset);
    EXPECT_EQ(lines(compare(ruleset)), "");
  });
}

}  // namespace
