// Finding and repairing real network namespaces. Everything runs in a child
// whose own namespace plays the host's.
#include "netns/netns.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "repair/find_netns.hpp"
#include "repair/fixtures.hpp"
#include "repair/in_place.hpp"
#include "support/netns_child.hpp"
#include "support/patience.hpp"
#include "support/pod_namespace.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::Errc;
using repair::find_netns;
using repair::InPlaceOptions;
using repair::Places;
using repair::repair_in_place;
using test_support::broken_pod;
using test_support::PodNamespace;
using test_support::TempDir;
using testing::HasSubstr;
using testing::Not;
using Outcome = repair::InPlaceReport::Outcome;

/// A host's file system in which only what a test puts there can be found.
class Host {
 public:
  Host() {
    for (const char* folder : {"/var", "/var/lib", "/var/lib/cni", "/var/lib/cni/results", "/run",
                               "/run/netns", "/proc", "/proc/1", "/proc/1/ns"})
      ::mkdir(folder_.path(folder).c_str(), 0755);
    places.host_root = folder_.path();
    places.proc = folder_.path("proc");
    // the child's own namespace is the host's here
    add_process("1", "/proc/self/ns/net");
  }
  ~Host() {
    for (const auto& mount : mounts_) ::umount2(mount.c_str(), MNT_DETACH);
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// The host's namespace is not the agent's own.
  void be_elsewhere(const PodNamespace& one) {
    ::unlink(folder_.path("proc/1/ns/net").c_str());
    add_process("1", one.path());
  }
  void add_process(const std::string& pid, const std::string& target) {
    ::mkdir(folder_.path("proc/" + pid).c_str(), 0755);
    ::mkdir(folder_.path("proc/" + pid + "/ns").c_str(), 0755);
    const auto link = folder_.path("proc/" + pid + "/ns/net");
    EXPECT_EQ(::symlink(target.c_str(), link.c_str()), 0);
  }
  /// Returns its path as the host sees it.
  std::string mount(const PodNamespace& one, const std::string& name) {
    const auto file = folder_.path("run/netns/" + name);
    one.mount_at(file);
    mounts_.push_back(file);
    return "/run/netns/" + name;
  }
  void cache(const std::string& file, const std::string& netns, const std::string& uid) {
    folder_.write("var/lib/cni/results/" + file,
                  base::cat(R"({"kind":"cniCacheV1","netns":")", netns,
                            R"(","cniArgs":[["K8S_POD_UID",")", uid, R"("]]})"));
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path(name); }

  Places places;

 private:
  TempDir folder_;
  std::vector<std::string> mounts_;
};

/// Runs `body` in a child; gtest failures there are carried back as text.
void on_host(const std::function<void(Host&)>& body) {
  const auto text = support::in_new_netns([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return "cannot make a mount namespace";
    testing::internal::CaptureStdout();
    {
      Host host;
      body(host);
    }
    const auto output = testing::internal::GetCapturedStdout();
    return testing::Test::HasFailure() ? "failed\n" + output : "";
  });
  EXPECT_EQ(text, "");
}

netns::NsId id_of(const repair::FoundNetns& found) { return *netns::ns_id(found.fd.get()); }

TEST(RepairNetns, FoundByEachOfItsTraces) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24");
    const PodNamespace other("10.9.0.3/24");
    ASSERT_TRUE(ours.good() && other.good());
    const auto pod = broken_pod();
    auto expect_found = [&](const std::string& hint, const std::string& by,
                            const std::string& path) {
      auto found = find_netns(pod, hint, host.places);
      ASSERT_TRUE(found.ok()) << found.error().message;
      EXPECT_EQ(found->by, by);
      EXPECT_THAT(found->path, HasSubstr(path));
      EXPECT_EQ(id_of(*found), ours.id());
    };
    auto none = find_netns(pod, "", host.places);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, Errc::not_found);
    EXPECT_THAT(none.error().message, HasSubstr("10.9.0.2"));

    host.add_process("100", other.path());
    host.add_process("200", ours.path());
    host.add_process("201", ours.path());
    host.add_process("300", "/proc/999999999/ns/net");
    expect_found("", "proc", "/200/");
    host.mount(other, "cni-other");
    const auto mounted = host.mount(ours, "cni-ours");
    expect_found("", "mounts", "cni-ours");
    host.mount(ours, "cni-again");
    expect_found("", "mounts", "cni-again");  // the same one, not a second
    host.cache("net-a-eth0", "/run/netns/none", "uid-web-1");
    expect_found("", "mounts", "cni-again");
    host.cache("net-b-eth0", "/run/netns/cni-other", "uid-web-1");
    expect_found("", "mounts", "cni-again");  // the cache is wrong: its address does not fit
    host.cache("net-c-eth0", mounted, "uid-web-1");
    expect_found("", "results", "cni-ours");
    expect_found(mounted, "plugin", "cni-ours");
    // a path that was given to another pod since
    expect_found("/run/netns/cni-other", "results", "cni-ours");
    expect_found("/etc/passwd", "results", "cni-ours");
  });
}

TEST(RepairNetns, NeverTheHosts) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    // a hostNetwork pod's address is the host's own
    ASSERT_EQ(support::shell("ip link add eth0 type veth peer name p && "
                             "ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up"),
              "");
    host.add_process("200", "/proc/self/ns/net");
    for (const std::string hint : {"", "/proc/self/ns/net", "/proc/1/ns/net"}) {
      auto found = find_netns(broken_pod(), hint, host.places);
      ASSERT_FALSE(found.ok()) << found->path;
      EXPECT_EQ(found.error().code, Errc::not_found);
    }
    InPlaceOptions options;
    options.places = host.places;
    const auto before = support::shell("nft list ruleset; ip rule; ip addr show dev lo");
    EXPECT_EQ(repair_in_place(broken_pod(), "/proc/self/ns/net", options).outcome, Outcome::failed);
    EXPECT_EQ(support::shell("nft list ruleset; ip rule; ip addr show dev lo"), before);
  });
}

TEST(RepairNetns, NorTheHostsWhereTheAgentHasOneOfItsOwn) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace of_the_host("10.9.0.2/24");
    ASSERT_TRUE(of_the_host.good());
    host.be_elsewhere(of_the_host);
    const auto mounted = host.mount(of_the_host, "default");
    host.add_process("200", of_the_host.path());
    for (const auto& hint : {std::string(), mounted}) {
      auto found = find_netns(broken_pod(), hint, host.places);
      ASSERT_FALSE(found.ok()) << found->path;
      EXPECT_EQ(found.error().code, Errc::not_found);
    }
  });
}

TEST(RepairNetns, AllOfThePodsAddressesCount) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24", "&& ip addr add fd00:9::2/64 dev eth0 nodad");
    // one that had the first of them from another network
    const PodNamespace other("10.9.0.2/24", "&& ip addr add fd00:9::3/64 dev eth0 nodad");
    ASSERT_TRUE(ours.good() && other.good());
    host.add_process("200", other.path());
    host.add_process("300", ours.path());
    auto pod = broken_pod();
    pod.ips = {"10.9.0.2", "fd00:9::2"};
    auto found = find_netns(pod, "", host.places);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_EQ(id_of(*found), ours.id());
  });
}

TEST(RepairNetns, TwoThatFitAreNoneThatFits) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24");
    const PodNamespace impostor("10.9.0.2/24");
    ASSERT_TRUE(ours.good() && impostor.good());
    host.add_process("200", ours.path());
    host.add_process("300", impostor.path());
    auto found = find_netns(broken_pod(), "", host.places);
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.error().code, Errc::refused);
    // what the runtime itself says decides
    const auto mounted = host.mount(ours, "cni-1");
    found = find_netns(broken_pod(), mounted, host.places);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(id_of(*found), ours.id());
  });
}

TEST(RepairNetns, RepairsInPlace) {
  ICN_REQUIRE_ROOT();
  for (const auto backend : {cni::BackendChoice::nftables, cni::BackendChoice::iptables,
                             cni::BackendChoice::automatic}) {
    for (const std::string mode : {"REDIRECT", "TPROXY"}) {
      SCOPED_TRACE(base::cat(static_cast<int>(backend), ' ', mode));
      on_host([&](Host& host) {
        const PodNamespace ours("10.9.0.2/24", "&& ip addr add fd00:9::2/64 dev eth0 nodad");
        ASSERT_TRUE(ours.good());
        auto pod = broken_pod();
        pod.ips = {"10.9.0.2", "fd00:9::2"};
        pod.annotations["sidecar.istio.io/interceptionMode"] = mode;
        pod.containers[0].env["ISTIO_DUAL_STACK"] = "true";
        host.mount(ours, "cni-1");
        InPlaceOptions options;
        options.places = host.places;
        options.backend = backend;
        auto report = repair_in_place(pod, "", options);
        ASSERT_EQ(report.outcome, Outcome::repaired) << report.cause;
        EXPECT_EQ(report.cause, "");
        EXPECT_EQ(report.backend,
                  backend == cni::BackendChoice::iptables ? "iptables" : "nftables");
        EXPECT_EQ(report.found_by, "mounts");
        for (const auto time : {report.find, report.rules, report.verify, report.probe})
          EXPECT_GT(time.count(), 0);
        EXPECT_THAT(ours.run(backend == cni::BackendChoice::iptables ? "iptables-legacy-save"
                                                                     : "nft list ruleset"),
                    HasSubstr("15006"));
        EXPECT_THAT(ours.run("ip -6 addr show dev lo"), HasSubstr("::6/128"));
        // again, and after somebody has taken a rule away
        EXPECT_EQ(repair_in_place(pod, "", options).outcome, Outcome::repaired);
        (void)ours.run("nft flush ruleset");
        (void)ours.run("iptables-legacy -t nat -F");
        report = repair_in_place(pod, "", options);
        EXPECT_EQ(report.outcome, Outcome::repaired) << report.cause;
        // this thread is where, and who, it was
        EXPECT_EQ(::geteuid(), 0U);
        EXPECT_THAT(support::shell("nft list ruleset; iptables-legacy-save; ip rule"),
                    testing::AllOf(Not(HasSubstr("15006")), Not(HasSubstr("1337"))));
      });
    }
  }
}

TEST(RepairNetns, TheProbeDecides) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24");
    ASSERT_TRUE(ours.good());
    host.mount(ours, "cni-1");
    // the rules will be right, and yet nothing arrives
    ASSERT_EQ(ours.run("sh -c 'nft add table inet other; nft add chain inet other in "
                       "\"{ type filter hook input priority 0 ; }\"; "
                       "nft add rule inet other in tcp dport 15006 drop'"),
              "");
    InPlaceOptions options;
    options.places = host.places;
    options.probe_timeout = std::chrono::milliseconds(300);
    const auto report = repair_in_place(broken_pod(), "", options);
    EXPECT_EQ(report.outcome, Outcome::failed);
    EXPECT_THAT(report.cause, HasSubstr("the probe failed"));
    EXPECT_GE(report.verify.count(), 0);
    EXPECT_THAT(ours.run("nft list ruleset"), HasSubstr("istio-proxy-nat"));
  });
}

TEST(RepairNetns, AProxyThatListensAlreadyIsNoObstacle) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24");
    ASSERT_TRUE(ours.good());
    host.mount(ours, "cni-1");
    InPlaceOptions options;
    options.places = host.places;
    // as a native sidecar does: of the same user, on all addresses, and it accepts
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const auto proxy = ::fork();
    if (proxy == 0) {
      auto fd = netns::open_netns(ours.path());
      bool good = fd.ok() && netns::enter_netns(fd->get()).ok() && ::setgid(1337) == 0 &&
                  ::setuid(1337) == 0;
      for (const auto port : {std::uint16_t{15001}, std::uint16_t{15006}}) {
        const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
        const int on = 1;
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        good = good && ::setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
               ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
               ::listen(listener, 16) == 0;
      }
      (void)!::write(ready[1], good ? "y" : "n", 1);
      for (;;) ::pause();
    }
    char answer = 'n';
    (void)!::read(ready[0], &answer, 1);
    EXPECT_EQ(answer, 'y');
    const auto report = repair_in_place(broken_pod(), "", options);
    EXPECT_EQ(report.outcome, Outcome::repaired) << report.cause;
    ::kill(proxy, SIGKILL);
    ::waitpid(proxy, nullptr, 0);
  });
}

TEST(RepairNetns, SkipsWhatThePluginSkips) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24");
    ASSERT_TRUE(ours.good());
    host.mount(ours, "cni-1");
    InPlaceOptions options;
    options.places = host.places;
    options.exclude_namespaces = {"shop"};
    auto report = repair_in_place(broken_pod(), "", options);
    EXPECT_EQ(report.outcome, Outcome::skipped);
    EXPECT_THAT(report.cause, HasSubstr("excluded-namespace"));
    options.exclude_namespaces.clear();
    auto pod = broken_pod();
    pod.annotations["sidecar.istio.io/interceptionMode"] = "NONE";
    report = repair_in_place(pod, "", options);
    EXPECT_EQ(report.outcome, Outcome::skipped);
    pod.annotations["sidecar.istio.io/interceptionMode"] = "WHAT";
    report = repair_in_place(pod, "", options);
    EXPECT_EQ(report.outcome, Outcome::failed);
    EXPECT_THAT(report.cause, HasSubstr("WHAT"));
    EXPECT_EQ(ours.run("nft list ruleset"), "");
  });
}

TEST(RepairNetns, ManyNamespacesAreEnteredOnceEach) {
  ICN_REQUIRE_ROOT();
  on_host([](Host& host) {
    const PodNamespace ours("10.9.0.2/24");
    const PodNamespace other("10.9.0.3/24");
    ASSERT_TRUE(ours.good() && other.good());
    for (int pid = 1000; pid < 3000; ++pid) host.add_process(std::to_string(pid), other.path());
    host.add_process("900", ours.path());
    const auto start = std::chrono::steady_clock::now();
    auto found = find_netns(broken_pod(), "", host.places);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_LT(std::chrono::steady_clock::now() - start,
              test_support::slowness * std::chrono::seconds(2));
    auto missing = broken_pod();
    missing.ips = {"10.9.0.4"};
    auto none = find_netns(missing, "", host.places);
    ASSERT_FALSE(none.ok());
    EXPECT_THAT(none.error().message, HasSubstr("looked into 2,"));
  });
}

}  // namespace
