// The built command in network namespaces of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "support/netns_child.hpp"

namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string command = ISTIO_IPTABLES_BINARY;
const std::string rules = " -i '*' -b '*' -d 15090 -u 1337 -g 1337";
const std::string validation = " --skip-rule-apply --run-validation --probe-timeout 1200ms";

/// Both outputs of all of `text`.
std::string shell(const std::string& text) { return support::shell("{ " + text + "\n}"); }
std::string in_netns(const std::string& text) {
  return support::in_new_netns([&] { return shell(text); });
}
/// Shell text that runs the command and prints its exit status.
std::string step(const std::string& arguments) {
  return command + arguments + "; echo status=$?; ";
}
std::string step_as(const std::string& id, const std::string& arguments) {
  return "setpriv --reuid " + id + " --regid " + id + " --clear-groups " + step(arguments);
}

TEST(Text, needsNoRights) {
  const auto text =
      shell(step(" -n --ipv6 on --redirect-dns --dns-servers 10.0.0.10 -i '*' -b '*' 2>/dev/null"));
  EXPECT_TRUE(text.starts_with("* nat\n")) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("-d 10.0.0.10/32"), HasSubstr("-d ::1/128"),
                          HasSubstr("COMMIT\nstatus=0")));
}

TEST(Text, helpVersionAndErrors) {
  EXPECT_THAT(shell(step(" --help")), AllOf(HasSubstr("Usage:"), HasSubstr("status=0")));
  EXPECT_THAT(shell(step(" --version")), HasSubstr("status=0"));
  EXPECT_THAT(shell(step(" -p x")), AllOf(HasSubstr("\terror\t-p"), HasSubstr("status=1")));
  EXPECT_THAT(shell(step(" -n --ipv6 off >/dev/full")),
              AllOf(HasSubstr("standard output"), HasSubstr("status=1")));
}

/// "" for iptables, as the kernel prefers, or a flag.
class InNetns : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ICN_REQUIRE_ROOT(); }
  static std::string with(const std::string& more) { return " " + GetParam() + rules + more; }
};

TEST_P(InNetns, appliesOnceAndReconciles) {
  const auto text =
      in_netns(step(with(" --ipv6 off")) + "echo second; " + step(with(" --ipv6 off")) +
               "echo third; " + step(with(" --ipv6 off -q 80")) + "echo fourth; " +
               step(with(" --ipv6 off -q 80 --reconcile")) + "echo fifth; " +
               step(with(" --ipv6 off -q 80 --force-apply")));
  auto part = [&](const std::string& from, const std::string& to) {
    const auto begin = from.empty() ? 0 : text.find(from);
    return text.substr(begin, text.find(to) - begin);
  };
  EXPECT_THAT(part("", "second"), AllOf(HasSubstr("rules applied"), HasSubstr("status=0"))) << text;
  EXPECT_THAT(part("second", "third"), AllOf(HasSubstr("in place already"), HasSubstr("status=0")));
  if (GetParam() == "--native-nftables") {
    EXPECT_THAT(part("third", "fourth"), AllOf(HasSubstr("replaced"), HasSubstr("status=0")));
    EXPECT_THAT(part("fourth", "fifth"), AllOf(HasSubstr("in place"), HasSubstr("status=0")));
  } else {
    EXPECT_THAT(part("third", "fourth"), AllOf(HasSubstr("--reconcile"), HasSubstr("status=1")));
    EXPECT_THAT(part("fourth", "fifth"), AllOf(HasSubstr("replaced"), HasSubstr("status=0")));
  }
  EXPECT_THAT(part("fifth", "\x01"), AllOf(HasSubstr("applied again"), HasSubstr("status=0")));
}

TEST_P(InNetns, cleansUpWhatItApplied) {
  const auto text =
      in_netns(step(with(" --ipv6 on -m TPROXY")) + "ip rule; ip -6 addr show lo; echo cleaned; " +
               step(with(" --ipv6 on -m TPROXY --cleanup-only")) + "ip rule; ip -6 addr show lo; " +
               step(" " + GetParam() + " --ipv6 on --cleanup-only"));
  const auto at = text.find("cleaned");
  EXPECT_THAT(text.substr(0, at),
              AllOf(HasSubstr("status=0"), HasSubstr("lookup 133"), HasSubstr("::6/128")));
  EXPECT_THAT(text.substr(at), AllOf(HasSubstr("rules removed"), Not(HasSubstr("status=1")),
                                     Not(HasSubstr("lookup 133")), Not(HasSubstr("::6/128"))));
  EXPECT_EQ(in_netns(step(with(" --ipv6 off")) + step(with(" --ipv6 off --cleanup-only")) +
                     command + with(" --ipv6 off 2>&1 | grep -c 'rules applied$'"))
                .ends_with("1\n"),
            true);
}

TEST_P(InNetns, validatesForTheProxysUser) {
  for (const std::string ipv6 : {" --ipv6 off", " --ipv6 on", " --ipv6 on --dual-stack"}) {
    const auto text =
        in_netns(command + with(ipv6) + " >/dev/null 2>&1; " + step_as("1337", ipv6 + validation));
    EXPECT_THAT(text, AllOf(HasSubstr("validation passed"), HasSubstr("status=0"))) << ipv6;
  }
}

TEST_P(InNetns, validatesInTproxyMode) {
  const auto text = in_netns(command + with(" --ipv6 off -m TPROXY") + " >/dev/null 2>&1; " +
                             step_as("1337", " --ipv6 off" + validation));
  EXPECT_THAT(text, HasSubstr("status=0"));
}

TEST_P(InNetns, appliesAndValidatesInOneRun) {
  const auto text =
      in_netns(step(" " + GetParam() + " -i '*' -b '*' -u 0 -g 0 --ipv6 off --run-validation"));
  EXPECT_THAT(text, AllOf(HasSubstr("validation passed"), HasSubstr("status=0")));
}

TEST_P(InNetns, validationFailsForAnotherUser) {
  const auto text = in_netns(command + with(" --ipv6 off") + " >/dev/null 2>&1; " +
                             step_as("1000", " --ipv6 off" + validation));
  EXPECT_THAT(text, AllOf(HasSubstr("for user id 1000"), HasSubstr("status=126")));
}

INSTANTIATE_TEST_SUITE_P(Backends, InNetns,
                         testing::Values("", "--native-nftables", "--force-iptables-binary=legacy"),
                         [](const auto& test) {
                           return std::string(test.param.empty()                  ? "preferred"
                                              : test.param == "--native-nftables" ? "nftables"
                                                                                  : "iptables");
                         });

TEST(Netns, validationFailsWithoutRules) {
  ICN_REQUIRE_ROOT();
  const auto text = in_netns(step_as("1337", " istio-iptables --ipv6 off" + validation));
  EXPECT_THAT(text, AllOf(HasSubstr("refused"), HasSubstr("status=126")));
}

TEST(Netns, familyComesFromTheAddresses) {
  ICN_REQUIRE_ROOT();
  const auto none = in_netns(step(rules));
  EXPECT_THAT(none, AllOf(HasSubstr("--ipv6"), HasSubstr("status=1")));
  const auto v6 =
      in_netns("ip addr add fd00::2/128 dev lo nodad; " + step(rules + " --native-nftables"));
  EXPECT_THAT(v6, AllOf(HasSubstr("ip6 daddr"), HasSubstr("status=0")));
}

TEST(Netns, entersTheGivenNamespace) {
  ICN_REQUIRE_ROOT();
  // $! is a namespace within the new one: nothing here touches the machine's
  const auto text = in_netns(
      "unshare -n sleep 20 & sleep 0.5; " +
      step(rules +
           " --native-nftables --ipv6 off --network-namespace /proc/$!/ns/net 2>/dev/null") +
      "echo outer tables: $(nft list tables) end; " + "nsenter -t $! -n " +
      step(rules + " --native-nftables --ipv6 off") + "kill $!");
  EXPECT_THAT(text, AllOf(HasSubstr("in place already"), Not(HasSubstr("status=1")),
                          HasSubstr("outer tables: end")));
  EXPECT_THAT(in_netns(step(" --ipv6 off --network-namespace /nowhere")),
              AllOf(HasSubstr("/nowhere"), HasSubstr("status=1")));
}

}  // namespace
