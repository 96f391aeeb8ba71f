#include "validate/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "netfilter/backend.hpp"
#include "netns/routes.hpp"
#include "redirect/config.hpp"
#include "support/netns_child.hpp"

namespace validate {
namespace {

using redirect::Family;
using testing::AllOf;
using testing::HasSubstr;

redirect::Config config_for_uid(std::uint32_t id) {
  redirect::Config config;
  config.proxy_uids = config.proxy_gids = {redirect::Owner::numeric(id)};
  config.inbound_ports_include.all = true;
  config.outbound_ranges_include.all = true;
  config.ipv6 = true;
  return config;
}

std::string text_of(const ProbeReport& report) {
  return base::cat(report.ok() ? "ok\n" : "failed\n", base::join(report.attempts, "\n"), "\n",
                   report.failure);
}

ProbeConfig short_probe(Family family = Family::v4) {
  ProbeConfig config;
  config.family = family;
  config.timeout = std::chrono::milliseconds(400);
  return config;
}

/// The probe of this process's user (root) behind rules for user `uid`.
std::string probe_behind_rules(std::uint32_t uid, bool nftables, const ProbeConfig& config) {
  return support::in_new_netns([&]() -> std::string {
    const auto ruleset = redirect::build_ruleset(config_for_uid(uid));
    auto backend = nftables ? netfilter::make_nftables() : netfilter::make_iptables();
    if (auto status = backend->apply(ruleset); !status) return status.error().message;
    if (auto status = netns::apply_routes(ruleset); !status) return status.error().message;
    return text_of(run_probe(config));
  });
}

base::UniqueFd occupy(std::uint16_t port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 1) != 0)
    fd.reset();
  return fd;
}

class Probe : public testing::Test {
 protected:
  void SetUp() override { ICN_REQUIRE_ROOT(); }
};

TEST_F(Probe, succeedsBehindRules) {
  for (const bool nftables : {false, true}) {
    for (auto family : {Family::v4, Family::v6}) {
      const auto text = probe_behind_rules(0, nftables, short_probe(family));
      EXPECT_TRUE(text.starts_with("ok\n")) << text;
      EXPECT_THAT(text, HasSubstr(family == Family::v4 ? "destination 127.0.0.6:15002"
                                                       : "destination [::6]:15002"));
    }
  }
}

TEST_F(Probe, otherUserIsRefused) {
  const auto text = probe_behind_rules(1337, true, short_probe());
  EXPECT_TRUE(text.starts_with("failed\n")) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("connect to 127.0.0.6:15002: "), HasSubstr("for user id 0")));
}

TEST_F(Probe, withoutRules) {
  const auto v4 = support::in_new_netns([] { return text_of(run_probe(short_probe())); });
  EXPECT_THAT(v4, AllOf(HasSubstr("failed\n"), HasSubstr("refused")));
  // ::6 is on no interface
  const auto v6 = support::in_new_netns([] { return text_of(run_probe(short_probe(Family::v6))); });
  EXPECT_THAT(v6, AllOf(HasSubstr("failed\n"), HasSubstr("connect to [::6]:15002")));
}

TEST_F(Probe, repeatsTheAttempt) {
  auto config = short_probe();
  config.timeout = std::chrono::milliseconds(1300);
  const auto text = support::in_new_netns([&] { return text_of(run_probe(config)); });
  EXPECT_THAT(text, HasSubstr("(2 times)"));
}

TEST_F(Probe, anotherDestinationDoesNotCount) {
  auto config = short_probe();
  const auto text = support::in_new_netns([&]() -> std::string {
    const auto rules = support::shell(
        "nft add table ip t; nft 'add chain ip t o { type nat hook output priority -100; }'; "
        "nft add rule ip t o tcp dport 15099 redirect to :15006");
    if (!rules.empty()) return rules;
    if (std::system("bash -c '(sleep 0.1; exec 3<>/dev/tcp/127.0.0.1/15099) >/dev/null 2>&1 &'") !=
        0)
      return "no bash";
    return text_of(run_probe(config));
  });
  EXPECT_THAT(text, AllOf(HasSubstr("failed\n"),
                          HasSubstr("original destination 127.0.0.1:15099, expected port 15002")));
}

TEST_F(Probe, oneListenerIsEnough) {
  const auto text = support::in_new_netns([&]() -> std::string {
    auto taken = occupy(15001);
    if (!taken.valid()) return "cannot occupy";
    auto backend = netfilter::make_nftables();
    if (auto status = backend->apply(redirect::build_ruleset(config_for_uid(0))); !status)
      return status.error().message;
    return text_of(run_probe(short_probe()));
  });
  EXPECT_TRUE(text.starts_with("ok\nlisten on 127.0.0.1:15001: ")) << text;
}

TEST_F(Probe, noListenerFailsAtOnce) {
  const auto text = support::in_new_netns([&]() -> std::string {
    auto first = occupy(15001);
    auto second = occupy(15006);
    if (!first.valid() || !second.valid()) return "cannot occupy";
    return text_of(run_probe(short_probe()));
  });
  EXPECT_THAT(text, AllOf(HasSubstr("no listener available"), HasSubstr("127.0.0.1:15001"),
                          HasSubstr("127.0.0.1:15006")));
}

}  // namespace
}  // namespace validate
