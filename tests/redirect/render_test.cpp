// Text of rulesets, against expectations written by hand.
#include "redirect/render.hpp"

#include <gtest/gtest.h>

#include "redirect/config.hpp"

namespace {

using redirect::Config;
using redirect::Family;

Config captured() {
  Config config;
  config.inbound_ports_include = {true, {}};
  config.inbound_ports_exclude = {redirect::Port{15020}};
  config.outbound_ranges_include = {true, {}};
  return config;
}

TEST(Render, RedirectPod) {
  const auto ruleset = redirect::build_ruleset(captured());
  EXPECT_EQ(redirect::iptables_restore_text(ruleset, Family::v4),
            "* nat\n"
            "-N ISTIO_INBOUND\n-N ISTIO_REDIRECT\n-N ISTIO_IN_REDIRECT\n-N ISTIO_OUTPUT\n"
            "-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN\n"
            "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n"
            "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n"
            "-A PREROUTING -p tcp -j ISTIO_INBOUND\n"
            "-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN\n"
            "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n"
            "-A OUTPUT -j ISTIO_OUTPUT\n"
            "-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN\n"
            "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner "
            "1337 -j ISTIO_IN_REDIRECT\n"
            "-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN\n"
            "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n"
            "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner "
            "1337 -j ISTIO_IN_REDIRECT\n"
            "-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN\n"
            "-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN\n"
            "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n"
            "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"
            "COMMIT\n");
  EXPECT_EQ(redirect::iptables_restore_text(ruleset, Family::v6), "");
}

TEST(Render, NothingIncludedStillHasTheTargets) {
  const auto text = redirect::nft_commands(redirect::build_ruleset(Config{}));
  EXPECT_NE(text.find("istio-in-redirect meta l4proto tcp counter redirect to :15006"),
            std::string::npos);
  EXPECT_EQ(text.find("hook prerouting"), std::string::npos);
}

std::string nft_lines(const Config& config, const std::string& needle) {
  std::string out;
  const auto text = redirect::nft_commands(redirect::build_ruleset(config));
  std::size_t from = 0;
  while (from < text.size()) {
    const auto to = text.find('\n', from);
    const auto line = text.substr(from, to - from);
    if (line.find(needle) != std::string::npos) out += line + "\n";
    from = to + 1;
  }
  return out;
}

TEST(Render, CaptureAllDns) {
  auto config = captured();
  config.redirect_dns = config.capture_all_dns = true;
  EXPECT_EQ(
      nft_lines(config, "nat istio-output-dns "),
      "add rule inet istio-proxy-nat istio-output-dns meta l4proto tcp tcp dport 53 counter "
      "redirect to :15053\n"
      "add rule inet istio-proxy-nat istio-output-dns udp dport 53 counter redirect to :15053\n");
  EXPECT_EQ(nft_lines(config, "raw istio-inbound "),
            "add rule inet istio-proxy-raw istio-inbound udp sport 53 counter ct zone set 1\n");
}

TEST(Render, DnsWithoutServersIsOffWithAWarning) {
  auto config = captured();
  config.redirect_dns = true;
  const auto ruleset = redirect::build_ruleset(config);
  EXPECT_EQ(ruleset.warnings.size(), 1U);
  EXPECT_EQ(redirect::nft_commands(ruleset),
            redirect::nft_commands(redirect::build_ruleset(captured())));
}

TEST(Render, TproxyPortList) {
  Config config;
  config.mode = redirect::Mode::tproxy;
  config.ipv6 = true;
  config.inbound_ports_include = {false, {redirect::Port{32000}}};
  const auto ruleset = redirect::build_ruleset(config);
  EXPECT_EQ(nft_lines(config, "mangle istio-inbound "),
            "add rule inet istio-proxy-mangle istio-inbound meta l4proto tcp ct state "
            "related,established tcp dport 32000 counter jump istio-divert\n"
            "add rule inet istio-proxy-mangle istio-inbound meta l4proto tcp tcp dport 32000 "
            "counter jump istio-tproxy\n"
            "insert rule inet istio-proxy-mangle istio-inbound index 0 meta l4proto tcp mark 1337 "
            "counter return\n"
            "insert rule inet istio-proxy-mangle istio-inbound index 1 iifname lo meta l4proto tcp "
            "ip saddr 127.0.0.6/32 counter return\n"
            "insert rule inet istio-proxy-mangle istio-inbound index 1 iifname lo meta l4proto tcp "
            "ip6 saddr ::6/128 counter return\n"
            "insert rule inet istio-proxy-mangle istio-inbound index 2 iifname lo meta l4proto tcp "
            "mark != 1338 counter return\n");
  EXPECT_NE(redirect::iptables_restore_text(ruleset, Family::v4)
                .find("-A ISTIO_INBOUND -p tcp --dport 32000 -m conntrack --ctstate "
                      "RELATED,ESTABLISHED -j ISTIO_DIVERT\n"),
            std::string::npos);
  EXPECT_EQ(ruleset.policy_route, (redirect::PolicyRoute{redirect::Mark{1337}, 133}));
  EXPECT_TRUE(ruleset.add_v6_passthrough_address);
}

TEST(Render, ExcludedRangesSplitByFamily) {
  auto config = captured();
  config.ipv6 = true;
  config.outbound_ranges_exclude = redirect::parse_cidrs("fd00::/8,10.0.0.0/8").value();
  const auto ruleset = redirect::build_ruleset(config);
  EXPECT_NE(redirect::iptables_restore_text(ruleset, Family::v4).find("-d 10.0.0.0/8 -j RETURN"),
            std::string::npos);
  EXPECT_EQ(redirect::iptables_restore_text(ruleset, Family::v4).find("fd00"), std::string::npos);
  EXPECT_NE(redirect::iptables_restore_text(ruleset, Family::v6).find("-d fd00::/8 -j RETURN"),
            std::string::npos);
}

TEST(Resolve, InsertsStandWhereAPacketMeetsThem) {
  auto config = captured();
  config.reroute_interfaces = redirect::parse_interfaces("eth1,eth2").value();
  const auto ruleset = redirect::build_ruleset(config);
  const auto chains = redirect::resolve(ruleset, redirect::Table::nat, Family::v4);
  ASSERT_FALSE(chains.empty());
  ASSERT_EQ(chains[0].chain, redirect::Chain::prerouting);
  std::string order;
  for (const auto* rule : chains[0].rules)
    order += redirect::iptables_rule_text(*rule, Family::v4) + "\n";
  EXPECT_EQ(order,
            "-I PREROUTING 1 -i eth2 -j ISTIO_REDIRECT\n-I PREROUTING 1 -i eth1 -j ISTIO_REDIRECT\n"
            "-I PREROUTING 1 -i eth2 -j RETURN\n-I PREROUTING 1 -i eth1 -j RETURN\n"
            "-A PREROUTING -p tcp -j ISTIO_INBOUND\n");
}

}  // namespace
