#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "repair/find_netns.hpp"
#include "repair/fixtures.hpp"
#include "support/temp_dir.hpp"

namespace {

using redirect::Ip;
using repair::cached_netns_paths;
using repair::parse_cached_result;
using repair::speaks_of;
using testing::ElementsAre;

const std::string today = R"({"kind":"cniCacheV1","containerId":"c0ffee","config":"e30=",
 "ifName":"eth0","networkName":"net","netns":"/var/run/netns/cni-1",
 "cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-1"],
 ["K8S_POD_INFRA_CONTAINER_ID","c0ffee"],["K8S_POD_UID","uid-web-1"]],"capabilityArgs":{},
 "result":{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.2/24"},{"address":"fd00::2/64"}]}})";

Ip ip(const char* text) { return *Ip::parse(text); }

TEST(ResultsCache, EachVersionsForm) {
  auto result = parse_cached_result(today, "x");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->netns, "/var/run/netns/cni-1");
  EXPECT_EQ(result->pod_uid, "uid-web-1");
  EXPECT_EQ(result->pod_namespace, "shop");
  EXPECT_EQ(result->pod_name, "web-1");
  EXPECT_THAT(result->ips, ElementsAre(ip("10.9.0.2"), ip("fd00::2")));

  // the result itself, of 0.6 and before
  result = parse_cached_result(R"({"ip4":{"ip":"10.9.0.3/24"},"ip6":{"ip":"fd00::3/64"}})", "x");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->netns, "");
  EXPECT_THAT(result->ips, ElementsAre(ip("10.9.0.3"), ip("fd00::3")));
}

TEST(ResultsCache, NothingFromOutsideBreaksIt) {
  for (const char* text :
       {"[]", "1", "null", R"({"ips":1})", R"({"ips":[1,{"address":2},{"address":"x"}]})",
        R"({"cniArgs":{"a":1}})", R"({"cniArgs":[1,["a"],["K8S_POD_UID",1]]})",
        R"({"netns":5,"result":[]})", R"({"ip4":[]})"}) {
    auto result = parse_cached_result(text, "x");
    ASSERT_TRUE(result.ok()) << text;
    EXPECT_EQ(result->netns + result->pod_uid, "") << text;
    EXPECT_TRUE(result->ips.empty()) << text;
  }
  EXPECT_FALSE(parse_cached_result("{", "x").ok());
}

TEST(ResultsCache, WhomItSpeaksOf) {
  const auto pod = test_support::broken_pod();
  const std::vector<Ip> ips{ip("10.9.0.2")};
  struct Case {
    std::string uid, name_space, name;
    std::vector<Ip> ips;
    bool ours;
  };
  for (const auto& test : std::vector<Case>{
           {"uid-web-1", "", "", {}, true},
           {"uid-other", "shop", "web-1", ips, false},  // the same name, made anew
           {"", "shop", "web-1", ips, true},
           {"", "shop", "web-2", ips, false},
           {"", "shopping", "web-1", ips, false},
           {"", "shop", "web-1", {ip("10.9.0.3")}, false},
           {"", "", "", ips, true},
           {"", "", "", {}, false},
       })
    EXPECT_EQ(speaks_of({"/x", test.uid, test.name_space, test.name, test.ips}, pod, ips),
              test.ours)
        << test.uid << test.name_space << test.name;
}

TEST(ResultsCache, PathsNewestFirst) {
  const test_support::TempDir folder;
  const auto pod = test_support::broken_pod();
  auto entry = [](const std::string& netns, const std::string& uid) {
    return base::cat(R"({"netns":")", netns, R"(","cniArgs":[["K8S_POD_UID",")", uid, R"("]]})");
  };
  namespace fs = std::filesystem;
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(folder.write("net-a-eth0", entry("/run/netns/old", "uid-web-1")),
                      now - std::chrono::hours(2));
  fs::last_write_time(folder.write("net-b-eth0", entry("/run/netns/new", "uid-web-1")),
                      now - std::chrono::hours(1));
  fs::last_write_time(folder.write("net-b-net1", entry("/run/netns/new", "uid-web-1")), now);
  folder.write("net-c-eth0", entry("/run/netns/other", "uid-other"));
  folder.write("net-d-eth0", "{");
  folder.write("net-e-eth0", R"({"ips":[{"address":"10.9.0.2/24"}]})");
  fs::create_directory(folder.path("folder"));
  EXPECT_THAT(cached_netns_paths(folder.path(), pod, {ip("10.9.0.2")}),
              ElementsAre("/run/netns/new", "/run/netns/old"));
  EXPECT_TRUE(cached_netns_paths(folder.path("none"), pod, {}).empty());
}

TEST(FindNetns, WhoseAddressesFit) {
  auto belongs = [](const std::vector<const char*>& pod, const std::vector<const char*>& found) {
    std::vector<Ip> ips;
    for (const auto* text : pod) ips.push_back(ip(text));
    netns::LocalAddresses addresses{{ip("127.0.0.1"), 1}, {ip("fe80::1"), 2}};
    for (const auto* text : found) addresses.push_back({ip(text), 2});
    return repair::belongs_to(ips, addresses);
  };
  EXPECT_TRUE(belongs({"10.9.0.2"}, {"10.9.0.2"}));
  EXPECT_FALSE(belongs({"10.9.0.2"}, {"10.9.0.20"}));
  EXPECT_FALSE(belongs({"10.9.0.2"}, {}));
  EXPECT_TRUE(belongs({"10.9.0.2", "fd00::2"}, {"10.9.0.2", "fd00::2"}));
  EXPECT_TRUE(belongs({"10.9.0.2", "fd00::2"}, {"10.9.0.2"})) << "IPv6 is off there";
  EXPECT_FALSE(belongs({"10.9.0.2", "fd00::2"}, {"10.9.0.2", "fd00::3"}))
      << "the address of one was given to another";
  EXPECT_TRUE(belongs({"fd00::2"}, {"10.9.0.3", "fd00::2"}))
      << "more addresses than the status has";
  EXPECT_FALSE(belongs({}, {"10.9.0.2"}));
}

TEST(FindNetns, NeedsAnAddress) {
  auto pod = test_support::broken_pod();
  pod.ips = {"127.0.0.1", "x", "169.254.1.1", "fe80::1"};
  auto found = repair::find_netns(pod, "", {});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, base::Errc::invalid_input);
  pod.ips = {"10.9.0.2"};
  pod.host_network = true;
  EXPECT_EQ(repair::find_netns(pod, "", {}).error().code, base::Errc::refused);
}

}  // namespace
