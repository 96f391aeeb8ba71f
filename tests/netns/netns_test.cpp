#include "netns/netns.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>

#include "netns/addresses.hpp"
#include "support/netns_child.hpp"

namespace netns {
namespace {

using support::in_new_netns;
using support::shell;

TEST(OpenNetns, TellsWhatIsWrong) {
  const auto missing = open_netns("/nowhere/ns");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, base::Errc::not_found);
  EXPECT_NE(missing.error().message.find("/nowhere/ns"), std::string::npos);
  const auto plain = open_netns("/etc/passwd");
  ASSERT_FALSE(plain.ok());
  EXPECT_EQ(plain.error().code, base::Errc::invalid_input);
  EXPECT_NE(plain.error().message.find("/etc/passwd"), std::string::npos);
  const auto other = open_netns("/proc/self/ns/uts");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, base::Errc::invalid_input);
}

TEST(NsId, OwnNamespace) {
  const auto fd = open_netns("/proc/self/ns/net");
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(*ns_id(fd->get()), *own_ns());
  EXPECT_FALSE(ns_id(-1).ok());
}

TEST(HostNs, DiffersInANewNamespace) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([] {
              const auto host = host_ns();
              // containers may not look at their PID 1
              if (!host && host.error().sys == EACCES) return std::string("differs");
              if (!host) return host.error().message;
              return std::string(*host == *own_ns() ? "same" : "differs");
            }),
            "differs");
}

TEST(RunInNetns, OnlyTheBodyIsInside) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([]() -> std::string {
              const auto first = open_netns("/proc/self/ns/net");
              const NsId first_id = *own_ns();
              if (::unshare(CLONE_NEWNET) != 0) return "unshare";
              const NsId second_id = *own_ns();
              if (first_id == second_id) return "same namespace";
              NsId seen;
              auto status = run_in_netns(first->get(), [&] {
                seen = *own_ns();
                return base::success();
              });
              if (!status) return status.error().message;
              if (seen != first_id) return "body ran elsewhere";
              if (*own_ns() != second_id) return "the caller moved";
              status = run_in_netns(first->get(), [] {
                return base::Status(base::Error{base::Errc::refused, "no"});
              });
              if (status || status.error().message != "no") return "error lost";
              status = run_in_netns(first->get(),
                                    []() -> base::Status { throw std::runtime_error("thrown"); });
              if (status) return "exception lost";
              bool ran = false;
              status = run_in_netns(-1, [&] {
                ran = true;
                return base::success();
              });
              if (status || ran) return "ran without a namespace";
              if (auto entered = enter_netns(first->get()); !entered) return "enter";
              return *own_ns() == first_id ? "ok" : "did not move";
            }),
            "ok");
}

TEST(LocalAddresses, KernelOrder) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([] {
              std::string out = shell(
                  "ip link add d0 type bridge && ip addr add 10.1.2.3/24 dev d0 && "
                  "ip addr add 10.9.0.1 peer 10.9.0.2 dev d0 && "
                  "ip addr add fd00::5/64 dev d0 nodad && ip link set d0 up");
              const auto addresses = local_addresses();
              if (!addresses) return addresses.error().message;
              for (const auto& a : *addresses) {
                const auto text = a.ip.to_string();
                if (text.rfind("fe80", 0) != 0) out += text + " ";
              }
              const auto host = choose_host_ip(*addresses, true);
              return out + (host ? host->ip.to_string() + (host->ipv6 ? " v6" : "") : "none");
            }),
            "127.0.0.1 10.1.2.3 10.9.0.1 ::1 fd00::5 10.1.2.3 v6");
}

TEST(LocalAddresses, ManyAddressesNeedSeveralDatagrams) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(in_new_netns([]() -> std::string {
              std::string batch = "link add d0 type bridge\n";
              for (int i = 0; i < 1000; ++i) {
                batch += "addr add 10.0." + std::to_string(i / 250) + "." +
                         std::to_string(i % 250 + 1) + "/32 dev d0\n";
              }
              const auto out = support::shell_with_input("ip -batch -", batch);
              const auto addresses = local_addresses();
              return out + (addresses ? std::to_string(addresses->size()) : "error");
            }),
            "1002");
}

}  // namespace
}  // namespace netns
