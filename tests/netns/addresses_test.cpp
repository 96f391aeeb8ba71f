#include "netns/addresses.hpp"

#include <gtest/gtest.h>

namespace netns {
namespace {

LocalAddresses list(std::initializer_list<const char*> texts) {
  LocalAddresses out;
  for (const char* text : texts) out.push_back({*redirect::Ip::parse(text), 1});
  return out;
}

struct Case {
  LocalAddresses addresses;
  bool dual;
  const char* ip;  ///< null: none
  bool ipv6;
};

TEST(ChooseHostIp, FirstRealAddressDecides) {
  const std::vector<Case> cases{
      {list({"127.0.0.1", "10.0.0.5", "::1", "fd00::5"}), false, "10.0.0.5", false},
      {list({"127.0.0.1", "10.0.0.5", "::1", "fd00::5"}), true, "10.0.0.5", true},
      {list({"127.0.0.1", "10.0.0.5", "::1", "fe80::5"}), true, "10.0.0.5", false},
      {list({"127.0.0.1", "::1", "fe80::1", "fd00::5"}), false, "fd00::5", true},
      {list({"127.0.0.1", "::1", "fe80::1", "fd00::5"}), true, "fd00::5", true},
      {list({"fd00::5", "10.0.0.5"}), true, "fd00::5", true},
      {list({"169.254.1.1", "224.0.0.9", "ff02::1", "ff12::1", "febf::1", "192.168.1.1"}), false,
       "192.168.1.1", false},
      {list({"169.253.1.1"}), false, "169.253.1.1", false},
      {list({"fec0::1"}), false, "fec0::1", true},
      {list({"224.0.1.1"}), false, "224.0.1.1", false},
      {list({"127.0.0.1", "::1", "fe80::1"}), false, nullptr, false},
      {list({}), true, nullptr, false},
  };
  for (const Case& c : cases) {
    const auto host = choose_host_ip(c.addresses, c.dual);
    ASSERT_EQ(host.ok(), c.ip != nullptr);
    if (!host) {
      EXPECT_EQ(host.error().code, base::Errc::not_found);
      continue;
    }
    EXPECT_EQ(host->ip.to_string(), c.ip);
    EXPECT_EQ(host->ipv6, c.ipv6) << c.ip;
  }
}

TEST(ChooseHostIp, MappedAddressesAreIPv4) {
  redirect::Ip mapped;
  mapped.family = redirect::Family::v6;
  mapped.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
  redirect::Ip mapped_loopback = mapped;
  mapped_loopback.bytes[12] = 127;
  const auto host = choose_host_ip({{mapped_loopback, 1}, {mapped, 1}}, false);
  ASSERT_TRUE(host.ok());
  EXPECT_EQ(host->ip.to_string(), "10.1.2.3");
  EXPECT_FALSE(host->ipv6);
}

}  // namespace
}  // namespace netns
