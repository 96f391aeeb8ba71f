// XtTable and the rule encoder: pure, no kernel.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "netfilter/xtables_rule.hpp"
#include "netfilter/xtables_table.hpp"

namespace {

using namespace redirect;
using netfilter::Bytes;
using netfilter::ByteView;
using netfilter::XtBlob;
using netfilter::XtChain;
using netfilter::XtImage;
using netfilter::XtRule;
using netfilter::XtTable;

constexpr int accept_policy = -1 - 1;  // -NF_ACCEPT - 1
constexpr int drop_policy = -0 - 1;    // -NF_DROP - 1

Rule make(Chain chain, std::vector<Match> matches, Action action) {
  return Rule{Table::nat, chain, std::move(matches), action, {}, {}, false};
}

XtRule encoded(const Rule& rule, Family family) {
  auto out = netfilter::encode_rule(rule, family);
  EXPECT_TRUE(out.ok()) << (out.ok() ? "" : out.error().message);
  return out.ok() ? std::move(*out) : XtRule{};
}

XtTable sample_table(Family family) {
  XtTable table(family);
  for (unsigned hook : {0U, 3U}) {
    XtChain chain;
    chain.name = hook == 0 ? "PREROUTING" : "OUTPUT";
    chain.hook = hook;
    chain.policy = hook == 0 ? accept_policy : drop_policy;
    table.chains().push_back(chain);
  }
  table.add_chain("ISTIO_OUTPUT");
  table.add_chain("ISTIO_INBOUND");
  table.add_chain("ZEBRA");
  table.add_chain("AARDVARK");
  const MatchProtocol tcp{Protocol::tcp};
  table.find("PREROUTING")
      ->rules.push_back(encoded(make(Chain::prerouting, {tcp}, Jump{Chain::inbound}), family));
  table.find("PREROUTING")
      ->rules.push_back(encoded(make(Chain::prerouting, {MatchIn{{"eth0"}}}, Return{}), family));
  table.find("OUTPUT")->rules.push_back(
      encoded(make(Chain::output, {}, Jump{Chain::output_custom}), family));
  auto& rules = table.find("ISTIO_OUTPUT")->rules;
  rules.push_back(encoded(make(Chain::output_custom,
                               {MatchOut{{"lo"}}, tcp, MatchDestinationPorts{{{53}, {15008}}, true},
                                MatchUid{Owner::numeric(1337), false}},
                               Jump{Chain::inbound}),
                          family));
  rules.push_back(encoded(make(Chain::output_custom, {}, Return{}), family));
  XtRule through = encoded(make(Chain::output_custom, {tcp}, Return{}), family);
  through.flow = XtRule::Flow::fall_through;
  rules.push_back(through);
  table.find("ISTIO_INBOUND")
      ->rules.push_back(encoded(make(Chain::inbound, {tcp}, Redirect{{15006}}), family));
  return table;
}

class IptablesTable : public testing::TestWithParam<Family> {};

INSTANTIATE_TEST_SUITE_P(Families, IptablesTable, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) {
                           return std::string(param.param == Family::v4 ? "v4" : "v6");
                         });

TEST_P(IptablesTable, SerialisedTableParsesBack) {
  const XtTable table = sample_table(GetParam());
  auto image = table.serialise();
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->blob.valid_hooks, 0b1001U);
  EXPECT_EQ(image->blob.num_entries, image->origins.size());
  auto back = XtTable::parse(GetParam(), image->blob);
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back->chains().size(), table.chains().size());
  for (std::size_t i = 0; i < table.chains().size(); ++i) {
    const XtChain& a = table.chains()[i];
    const XtChain& b = back->chains()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.hook, b.hook);
    EXPECT_EQ(a.policy, b.policy);
    ASSERT_EQ(a.rules.size(), b.rules.size()) << a.name;
    for (std::size_t j = 0; j < a.rules.size(); ++j) {
      EXPECT_TRUE(netfilter::same_rule(a.rules[j], b.rules[j], GetParam())) << a.name << ' ' << j;
      EXPECT_EQ(a.rules[j].flow, b.rules[j].flow);
      EXPECT_EQ(a.rules[j].chain, b.rules[j].chain);
      EXPECT_TRUE(b.rules[j].origin.has_value());
    }
  }
  auto again = back->serialise();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->blob.entries, image->blob.entries);
  EXPECT_EQ(again->blob.hook_entry, image->blob.hook_entry);
  EXPECT_EQ(again->blob.underflow, image->blob.underflow);
}

TEST_P(IptablesTable, OriginsNumberTheOldEntries) {
  auto parsed = XtTable::parse(GetParam(), sample_table(GetParam()).serialise()->blob);
  ASSERT_TRUE(parsed.ok());
  parsed->find("PREROUTING")->rules.erase(parsed->find("PREROUTING")->rules.begin());
  auto image = parsed->serialise();
  ASSERT_TRUE(image.ok());
  // PREROUTING: rule 2 of the old table, then its policy.
  EXPECT_EQ(image->origins[0], 1U);
  EXPECT_EQ(image->origins[1], 2U);
  EXPECT_EQ(image->origins.back(), std::nullopt);
}

TEST_P(IptablesTable, UserChainsKeepTheOrderOfNames) {
  std::vector<std::string> names;
  const XtTable table = sample_table(GetParam());
  for (const XtChain& chain : table.chains()) names.push_back(chain.name);
  EXPECT_EQ(names, (std::vector<std::string>{"PREROUTING", "OUTPUT", "AARDVARK", "ISTIO_INBOUND",
                                             "ISTIO_OUTPUT", "ZEBRA"}));
}

TEST_P(IptablesTable, TruncatedBlobsAreRefused) {
  const XtImage image = *sample_table(GetParam()).serialise();
  for (std::size_t size = 0; size < image.blob.entries.size(); ++size) {
    XtBlob blob = image.blob;
    blob.entries.assign(image.blob.entries.begin(),
                        image.blob.entries.begin() + static_cast<std::ptrdiff_t>(size));
    blob.entries.shrink_to_fit();
    auto parsed = XtTable::parse(GetParam(), blob);
    ASSERT_FALSE(parsed.ok()) << size;
    EXPECT_EQ(parsed.error().code, base::Errc::invalid_input);
  }
}

TEST_P(IptablesTable, MutatedBlobsNeverReadOutside) {
  const XtImage image = *sample_table(GetParam()).serialise();
  std::size_t refused = 0;
  for (std::size_t i = 0; i < image.blob.entries.size(); ++i) {
    for (int value : {0x00, 0x01, 0x20, 0x45, 0x7f, 0x80, 0xff}) {
      XtBlob blob = image.blob;
      blob.entries[i] = static_cast<std::uint8_t>(value);
      blob.entries.shrink_to_fit();
      auto parsed = XtTable::parse(GetParam(), blob);
      if (!parsed) {
        ++refused;
        EXPECT_FALSE(parsed.error().message.empty());
        continue;
      }
      for (const XtChain& chain : parsed->chains()) {
        for (const XtRule& rule : chain.rules) {
          EXPECT_TRUE(netfilter::same_rule(rule, rule, GetParam()));
          EXPECT_FALSE(netfilter::describe_rule(rule, GetParam()).empty());
          static_cast<void>(netfilter::extensions_of(rule, GetParam()));
        }
      }
      static_cast<void>(parsed->serialise());
    }
  }
  EXPECT_GT(refused, 100U);
}

TEST_P(IptablesTable, WrongHooksAreRefused) {
  const XtImage image = *sample_table(GetParam()).serialise();
  auto refused = [&](auto change) {
    XtBlob blob = image.blob;
    change(blob);
    return !XtTable::parse(GetParam(), blob).ok();
  };
  EXPECT_TRUE(refused([](XtBlob& b) { b.hook_entry[0] += 8; }));
  EXPECT_TRUE(refused([](XtBlob& b) { b.hook_entry[0] = 0xffffffff; }));
  EXPECT_TRUE(refused([](XtBlob& b) { b.underflow[0] = b.hook_entry[0]; }));
  EXPECT_TRUE(refused([](XtBlob& b) { b.underflow[3] = 0xfffffff8; }));
  EXPECT_TRUE(refused([](XtBlob& b) { b.hook_entry[3] = b.hook_entry[0]; }));
  EXPECT_TRUE(refused([](XtBlob& b) { b.valid_hooks = 0; }));
  EXPECT_TRUE(refused([](XtBlob& b) { b.valid_hooks |= 2; }));
  EXPECT_TRUE(refused([](XtBlob& b) { ++b.num_entries; }));
}

TEST_P(IptablesTable, JumpToAMissingChainIsRefused) {
  XtTable table = sample_table(GetParam());
  std::erase_if(table.chains(), [](const XtChain& chain) { return chain.name == "ISTIO_INBOUND"; });
  auto image = table.serialise();
  ASSERT_FALSE(image.ok());
  EXPECT_NE(image.error().message.find("ISTIO_INBOUND"), std::string::npos);
}

TEST_P(IptablesTable, DescribesRules) {
  const Family family = GetParam();
  const MatchProtocol tcp{Protocol::tcp};
  auto text = [&](std::vector<Match> matches, Action action) {
    return netfilter::describe_rule(
        encoded(make(Chain::output_custom, std::move(matches), action), family), family);
  };
  EXPECT_EQ(text({MatchOut{{"lo"}}, tcp, MatchDestinationPorts{{{53}, {15008}}, true},
                  MatchUid{Owner::numeric(1337), true}},
                 Jump{Chain::in_redirect}),
            "-o lo -p tcp -m multiport ! --dports 53,15008 -m owner ! --uid-owner 1337 "
            "-j ISTIO_IN_REDIRECT");
  EXPECT_EQ(text({tcp, MatchDestinationPorts{{{53}}, false}}, Redirect{{15053}}),
            "-p tcp -m tcp --dport 53 -j REDIRECT --to-ports 15053");
  EXPECT_EQ(text({}, Return{}), "-j RETURN");
  EXPECT_EQ(text({MatchCtState{CtState::related_established}}, SetMark{{1338}}),
            "-m conntrack --ctstate RELATED,ESTABLISHED -j MARK --set-xmark 0x53a/0xffffffff");
}

TEST_P(IptablesTable, KernelsOwnBytesDoNotCount) {
  const Family family = GetParam();
  const auto& layout = netfilter::xt_layout(family);
  const XtRule rule = encoded(
      make(Chain::output_dns, {MatchProtocol{Protocol::udp}, MatchSourcePort{{15053}}}, CtZone{2}),
      family);
  XtRule other = rule;
  netfilter::store(other.entry, layout.counters, std::uint64_t{77});
  netfilter::store(other.entry, layout.comefrom, std::uint32_t{8});
  other.entry[other.entry.size() - 1] = 0xff;  // the pointer at the end of CT
  EXPECT_TRUE(netfilter::same_rule(rule, other, family));
  const std::size_t zone = netfilter::xt_target(family, rule.entry).offset +
                           netfilter::xt_extension_header + sizeof(std::uint16_t);
  other.entry[zone] = 1;
  EXPECT_FALSE(netfilter::same_rule(rule, other, family));
}

TEST_P(IptablesTable, WrongRulesAreRefused) {
  const Family family = GetParam();
  const MatchProtocol tcp{Protocol::tcp};
  auto refused = [&](std::vector<Match> matches, Action action) {
    auto out =
        netfilter::encode_rule(make(Chain::output_custom, std::move(matches), action), family);
    return !out.ok() && out.error().code == base::Errc::invalid_input;
  };
  EXPECT_TRUE(refused({MatchUid{Owner{"istio-proxy", {}}, false}}, Return{}));
  EXPECT_TRUE(refused({MatchGid{Owner{"istio-proxy", {}}, false}}, Return{}));
  EXPECT_TRUE(refused({MatchSourcePort{{53}}}, Return{}));
  EXPECT_TRUE(refused({MatchDestinationPorts{{{53}}, false}}, Return{}));
  EXPECT_TRUE(refused({MatchDestinationPorts{{{53}, {54}}, false}}, Return{}));
  EXPECT_TRUE(refused({tcp, MatchDestinationPorts{{}, false}}, Return{}));
  EXPECT_TRUE(refused({tcp, MatchDestinationPorts{std::vector<Port>(16), false}}, Return{}));
  EXPECT_TRUE(refused({tcp, MatchSourcePort{{1}}, MatchSourcePort{{2}}}, Return{}));
  EXPECT_TRUE(refused({MatchIn{{""}}}, Return{}));
  EXPECT_TRUE(refused({MatchIn{{"sixteen-bytes-xx"}}}, Return{}));
  EXPECT_TRUE(refused({}, Tproxy{{15006}, {1337}}));
  EXPECT_TRUE(refused({}, Jump{Chain::output}));
  const Ip other{family == Family::v4 ? Family::v6 : Family::v4, {}};
  EXPECT_TRUE(refused({MatchSource{{other, 32}}}, Return{}));
  EXPECT_TRUE(refused(std::vector<Match>(1200, MatchGid{Owner::numeric(1), true}), Return{}));
}

}  // namespace
