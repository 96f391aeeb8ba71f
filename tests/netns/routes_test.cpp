#include "netns/routes.hpp"

#include <gtest/gtest.h>

#include "support/netns_child.hpp"

namespace netns {
namespace {

using support::in_new_netns;
using support::shell;

redirect::Ruleset tproxy(bool ipv6) {
  redirect::Ruleset ruleset;
  ruleset.ipv6 = ipv6;
  ruleset.add_v6_passthrough_address = ipv6;
  ruleset.policy_route = redirect::PolicyRoute{{1337}, 133};
  return ruleset;
}

std::string state() {
  return shell(
      "ip rule list; ip route show table all | grep -w 133; ip -6 rule list; "
      "ip -6 route show table all | grep -w 133; ip -6 addr show dev lo | grep inet6 | grep ::6");
}

std::string text(const base::Status& status) { return status ? "ok" : status.error().message; }

std::string missing(const redirect::Ruleset& ruleset) {
  const auto differences = compare_routes(ruleset);
  if (!differences) return differences.error().message;
  std::string out;
  for (const auto& line : *differences) out += line + "\n";
  return out;
}

TEST(Routes, NothingToDo) {
  redirect::Ruleset ruleset;
  EXPECT_TRUE(apply_routes(ruleset).ok());
  EXPECT_TRUE(compare_routes(ruleset)->empty());
  EXPECT_TRUE(remove_routes(ruleset).ok());
}

TEST(Routes, AsIpWouldSetThem) {
  ICN_REQUIRE_ROOT();
  const std::string ours = in_new_netns([] {
    std::string out;
    for (int i = 0; i < 2; ++i) {
      const auto status = apply_routes(tproxy(true));
      if (!status) out += text(status);
    }
    out += missing(tproxy(true));
    return out + state();
  });
  const std::string reference = in_new_netns([] {
    const std::string out = shell(
        "ip rule add fwmark 1337 lookup 133 && "
        "ip route add local 0.0.0.0/0 dev lo table 133 && "
        "ip -6 rule add fwmark 1337 lookup 133 && "
        "ip -6 route add local ::/0 dev lo table 133 && ip addr add ::6/128 dev lo");
    return out + state();
  });
  EXPECT_EQ(ours, reference);
  EXPECT_NE(ours.find("0x539"), std::string::npos) << ours;
}

TEST(Routes, OnlyIPv4WithoutIPv6) {
  ICN_REQUIRE_ROOT();
  const std::string out = in_new_netns([] {
    std::string text_of_it = text(apply_routes(tproxy(false)));
    text_of_it += missing(tproxy(false)) + "\n";
    return text_of_it + missing(tproxy(true));
  });
  EXPECT_EQ(out,
            "ok\naddress ::6/128 on lo: missing\n"
            "IPv6 policy rule fwmark 1337 lookup 133: missing\n"
            "route local ::/0 dev lo in table 133: missing\n");
}

TEST(Routes, LargeTableNumber) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([] {
              auto ruleset = tproxy(true);
              ruleset.policy_route->table = 70000;
              std::string out = text(apply_routes(ruleset));
              out += missing(ruleset);
              return out + text(remove_routes(ruleset));
            }),
            "okok");
}

TEST(Routes, ANarrowerRuleIsNotOurs) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([] {
              const std::string out = shell(
                  "ip rule add from 10.0.0.0/8 fwmark 1337 lookup 133; "
                  "ip rule add fwmark 1337/0xfff lookup 133; "
                  "ip rule add fwmark 1337 iif lo lookup 133; "
                  "ip route add local 10.0.0.0/8 dev lo table 133");
              return out + missing(tproxy(false));
            }),
            "IPv4 policy rule fwmark 1337 lookup 133: missing\n"
            "route local 0.0.0.0/0 dev lo in table 133: missing\n");
}

TEST(Routes, RemoveLeavesTheNamespaceAsItWas) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([]() -> std::string {
              const std::string before = state();
              std::string out = text(apply_routes(tproxy(true)));
              out += text(remove_routes(tproxy(true)));
              out += text(remove_routes(tproxy(true)));
              return out + (state() == before ? "" : before + "->" + state());
            }),
            "okokok");
}

TEST(Routes, SaysWhenIPv6IsDisabled) {
  ICN_REQUIRE_ROOT();
  const std::string out = in_new_netns([]() -> std::string {
    shell("sysctl -w net.ipv6.conf.lo.disable_ipv6=1");
    const auto status = apply_routes(tproxy(true));
    if (status) return "accepted";
    return (status.error().code == base::Errc::unsupported ? "unsupported: " : "other: ") +
           status.error().message;
  });
  EXPECT_EQ(out.rfind("unsupported: ", 0), 0U) << out;
  EXPECT_NE(out.find("disable_ipv6"), std::string::npos) << out;
  EXPECT_NE(out.find("::6/128"), std::string::npos) << out;
}

TEST(Routes, SaysWhenLoIsDown) {
  ICN_REQUIRE_ROOT();
  const std::string out = in_new_netns([] {
    shell("ip link set lo down");
    return text(apply_routes(tproxy(true)));
  });
  EXPECT_NE(out.find("is interface lo up?"), std::string::npos) << out;
}

}  // namespace
}  // namespace netns
