// Only reads: nothing here changes the machine's namespace.
#include "netlink/socket.hpp"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cerrno>

namespace netlink {
namespace {

TEST(Socket, DumpsLinks) {
  auto socket = Socket::make(NETLINK_ROUTE);
  ASSERT_TRUE(socket.ok());
  MessageBuilder request;
  request.begin(RTM_GETLINK, NLM_F_DUMP);
  request.header(ifinfomsg{});
  for (int round = 0; round < 2; ++round) {
    const auto replies = socket->talk(request);
    ASSERT_TRUE(replies.ok()) << replies.error().message;
    bool found = false;
    for (const Reply& reply : *replies) {
      EXPECT_EQ(reply.type, RTM_NEWLINK);
      const auto attributes = attributes_after(reply.payload, sizeof(ifinfomsg));
      ASSERT_TRUE(attributes.ok());
      found = found || attributes->string(IFLA_IFNAME) == "lo";
    }
    EXPECT_TRUE(found);
  }
}

TEST(Socket, ErrorsCarryErrno) {
  auto socket = Socket::make(NETLINK_ROUTE);
  ASSERT_TRUE(socket.ok());
  MessageBuilder request;
  request.begin(RTM_GETLINK, NLM_F_ACK);
  request.header(ifinfomsg{});
  request.put_string(IFLA_IFNAME, "no-such-link");
  const auto replies = socket->talk(request);
  ASSERT_FALSE(replies.ok());
  EXPECT_EQ(replies.error().sys, ENODEV);
}

TEST(Socket, UnknownProtocol) {
  const auto socket = Socket::make(31);
  ASSERT_FALSE(socket.ok());
  EXPECT_EQ(socket.error().sys, EPROTONOSUPPORT);
}

TEST(Socket, RefusesAnOverflowedMessage) {
  auto socket = Socket::make(NETLINK_ROUTE);
  ASSERT_TRUE(socket.ok());
  MessageBuilder request;
  request.begin(RTM_GETLINK, NLM_F_ACK);
  request.put(1, std::vector<std::uint8_t>(70'000));
  EXPECT_EQ(socket->talk(request).error().code, base::Errc::invalid_input);
  EXPECT_EQ(socket->talk(MessageBuilder()).error().code, base::Errc::invalid_input);
}

TEST(ToError, NamesTheCapability) {
  const auto error = to_error({1, EPERM, "", 0});
  EXPECT_EQ(error.sys, EPERM);
  EXPECT_NE(error.message.find("CAP_NET_ADMIN"), std::string::npos);
  EXPECT_EQ(to_error({1, ENOENT, "Chain not found", 0}).message,
            "Chain not found (No such file or directory)");
}

}  // namespace
}  // namespace netlink
