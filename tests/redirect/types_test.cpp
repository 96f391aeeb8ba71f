#include "redirect/types.hpp"

#include <gtest/gtest.h>

#include "redirect/config.hpp"

namespace {

using redirect::Cidr;
using redirect::Ip;

TEST(Types, Port) {
  EXPECT_EQ(redirect::Port::parse("0")->value, 0);
  EXPECT_EQ(redirect::Port::parse("65535")->value, 65535);
  for (auto bad : {"", "65536", "-1", "http", "1-2", " 1"})
    EXPECT_FALSE(redirect::Port::parse(bad)) << bad;
}

TEST(Types, Cidr) {
  EXPECT_EQ(Cidr::parse("10.1.2.3/8")->to_string(), "10.1.2.3/8");
  EXPECT_EQ(Cidr::parse("10.1.2.3/8")->masked().to_string(), "10.0.0.0/8");
  EXPECT_EQ(Cidr::parse("2001:DB8::/33")->to_string(), "2001:db8::/33");
  EXPECT_EQ(Cidr::parse("0.0.0.0/0")->mask()[0], 0);
  EXPECT_EQ(Cidr::host(Ip::parse("::6").value()).to_string(), "::6/128");
  for (auto bad :
       {"", "*", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.0/8 ", " 10.0.0.0/8",
        "10.0.0/8", "fe80::1%eth0/64", "::/129", "10.0.0.0/08", "10.0.0.0/+8", "1.2.3.4/8/8"})
    EXPECT_FALSE(Cidr::parse(bad)) << bad;
  EXPECT_FALSE(Cidr::parse(std::string("10.0.0.0\0/8", 11)));
}

TEST(Types, Loopback) {
  EXPECT_TRUE(Ip::parse("127.1.2.3")->is_loopback());
  EXPECT_FALSE(Ip::parse("0.0.0.0")->is_loopback());
  EXPECT_TRUE(Ip::parse("::1")->is_loopback());
  EXPECT_FALSE(Ip::parse("::6")->is_loopback());
}

TEST(Types, IfName) {
  EXPECT_TRUE(redirect::IfName::parse("eth0.100"));
  for (auto bad : {"", "0eth", "sixteen-letters-", "a b", "a/b", "eth+", "-x"})
    EXPECT_FALSE(redirect::IfName::parse(bad)) << bad;
}

TEST(Types, Owner) {
  EXPECT_EQ(redirect::Owner::parse("1337")->id, 1337U);
  EXPECT_FALSE(redirect::Owner::parse("java")->id);
  for (auto bad : {"", "4294967295", "-1", "a b", "1java", "-j"})
    EXPECT_FALSE(redirect::Owner::parse(bad)) << bad;
}

TEST(Lists, Ports) {
  EXPECT_EQ(redirect::parse_ports(" 80, 443 ")->size(), 2U);
  EXPECT_TRUE(redirect::parse_ports("")->empty());
  EXPECT_TRUE(redirect::parse_ports("  ")->empty());
  for (auto bad : {"80,", ",80", "80,,90", "*", "80;90"})
    EXPECT_FALSE(redirect::parse_ports(bad)) << bad;
  EXPECT_TRUE(redirect::parse_port_selection("*")->all);
  EXPECT_TRUE(redirect::parse_port_selection("")->empty());
}

TEST(Lists, Cidrs) {
  EXPECT_TRUE(redirect::parse_cidrs("")->empty());
  EXPECT_EQ(redirect::parse_cidrs("10.0.0.0/8,fd00::/8")->size(), 2U);
  for (auto bad : {"10.0.0.0/8,", "10.0.0.0/8, 11.0.0.0/8", "*"})
    EXPECT_FALSE(redirect::parse_cidrs(bad)) << bad;
  EXPECT_TRUE(redirect::parse_cidr_selection("*")->all);
}

TEST(Lists, HugeInputIsRefusedOrRead) {
  std::string many = "1";
  for (int i = 0; i < 100000; ++i) many += ",1";
  EXPECT_EQ(redirect::parse_ports(many)->size(), 100001U);
  EXPECT_FALSE(redirect::parse_cidrs(std::string(1 << 20, '1')));
}

TEST(ResolvConf, NameServersByFamily) {
  redirect::Config config;
  redirect::set_dns_servers(
      config, "# c\nsearch x\nnameserver 10.0.0.10\n nameserver\tfd00::a # z\nnameserver bad\n");
  ASSERT_EQ(config.dns_servers_v4.size(), 1U);
  ASSERT_EQ(config.dns_servers_v6.size(), 1U);
  EXPECT_EQ(config.dns_servers_v4[0].text, "10.0.0.10");
  EXPECT_EQ(config.dns_servers_v6[0].ip.to_string(), "fd00::a");
}

}  // namespace
