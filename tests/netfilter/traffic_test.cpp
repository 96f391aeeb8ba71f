// Where packets really go: both backends, both modes, both IP families.
#include "support/traffic.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <tuple>

#include "netfilter/backend.hpp"
#include "netns/routes.hpp"
#include "redirect/config.hpp"
#include "support/netns_child.hpp"

namespace {

using redirect::Mode;
using support::ask;
using support::Client;
using support::Transport;

constexpr unsigned app = 1000;    // an application's user
constexpr unsigned proxy = 1337;  // the sidecar's

redirect::Config config_for(Mode mode) {
  redirect::Config config;
  config.mode = mode;
  config.ipv6 = true;
  config.inbound_ports_include = {true, {}};
  config.inbound_ports_exclude = {redirect::Port{15020}};
  config.outbound_ranges_include = {true, {}};
  config.outbound_ports_exclude = {redirect::Port{8443}};
  config.outbound_ranges_exclude = redirect::parse_cidrs("10.9.0.7/32,fd00:9::7/128").value();
  config.exclude_interfaces = redirect::parse_interfaces("eth1").value();
  config.redirect_dns = true;
  config.capture_all_dns = true;
  return config;
}

/// A second namespace, joined to this one by two veth pairs: eth0 (10.9.0.0/24,
/// fd00:9::/64) and eth1 (10.8.0.0/24, fd00:8::/64), where this end is .2 and the
/// other .1 (and .7). Serves the ports of a remote host.
class Peer {
 public:
  Peer() {
    int ready[2];
    if (::pipe(ready) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ready[0]);
      if (::unshare(CLONE_NEWNET) != 0) ::_exit(1);
      const support::TagServer server({{Transport::tcp, 80},
                                       {Transport::tcp, 8443},
                                       {Transport::tcp, 53},
                                       {Transport::udp, 53}});
      (void)!::write(ready[1], server.error().empty() ? "y" : "n", 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char answer = 'n';
    (void)!::read(ready[0], &answer, 1);
    ::close(ready[0]);
    const auto pid = std::to_string(pid_);
    const auto inside = "nsenter -t " + pid + " -n ip ";
    std::string script = "set -e\n" + inside + "link set lo up\n";
    for (const auto& [name, net] : {std::pair{"eth0", "9"}, std::pair{"eth1", "8"}}) {
      const std::string v4 = std::string("10.") + net + ".0.";
      const std::string v6 = std::string("fd00:") + net + "::";
      script += std::string("ip link add ") + name + " type veth peer name p" + name + " netns " +
                pid + "\n";
      for (const auto* host : {"1", "7"}) {
        script += inside + "addr add " + v4 + host + "/24 dev p" + name + "\n";
        script += inside + "addr add " + v6 + host + "/64 dev p" + name + " nodad\n";
      }
      script += inside + "link set p" + name + " up\n";
      script += std::string("ip addr add ") + v4 + "2/24 dev " + name + "\n";
      script += std::string("ip addr add ") + v6 + "2/64 dev " + name + " nodad\n";
      script += std::string("ip link set ") + name + " up\n";
    }
    script += "ip route add default via 10.9.0.1\nip -6 route add default via fd00:9::1\n";
    output_ = support::shell_with_input("sh", script);
    good_ = answer == 'y' && output_.empty();
  }
  ~Peer() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] const std::string& output() const { return output_; }
  [[nodiscard]] Client client() const { return Client{0, 0, pid_, ""}; }

 private:
  pid_t pid_ = -1;
  bool good_ = false;
  std::string output_;
};

class Report {
 public:
  void expect(const std::string& what, const std::string& found, const std::string& wanted) {
    if (found != wanted) text_ += what + ": wanted \"" + wanted + "\", got \"" + found + "\"\n";
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

using Parameters = std::tuple<const char*, Mode>;

class Traffic : public testing::TestWithParam<Parameters> {
 protected:
  static std::string in_pod(const redirect::Config& config,
                            const std::function<void(Report&, const Peer&)>& body) {
    const auto [backend_name, mode] = GetParam();
    const bool nft = std::string(backend_name) == "nftables";
    return support::in_new_netns([&]() -> std::string {
      const Peer peer;
      if (!peer.good()) return "cannot set up the peer: " + peer.output();
      auto backend = nft ? netfilter::make_nftables() : netfilter::make_iptables();
      const auto ruleset = redirect::build_ruleset(config);
      if (auto status = backend->apply(ruleset); !status) return status.error().message;
      if (auto status = netns::apply_routes(ruleset); !status) return status.error().message;
      const support::TagServer pod({{Transport::tcp, 15001},
                                    {Transport::tcp, 15006, config.mode == Mode::tproxy},
                                    {Transport::tcp, 15008},
                                    {Transport::tcp, 15053, false, proxy},
                                    {Transport::udp, 15053, false, proxy},
                                    {Transport::tcp, 15020},
                                    {Transport::tcp, 8080}});
      if (!pod.error().empty()) return pod.error();
      Report report;
      body(report, peer);
      return report.text();
    });
  }
};

TEST_P(Traffic, InboundOutboundAndDns) {
  ICN_REQUIRE_ROOT();
  EXPECT_EQ(
      in_pod(
          config_for(std::get<1>(GetParam())),
          [](Report& report, const Peer& peer) {
            struct Side {
              std::string pod, remote, excluded, second_pod, second_remote;
              std::string text(const std::string& ip, int port) const {
                const auto host = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
                return host + ":" + std::to_string(port);
              }
            };
            for (const auto& side :
                 {Side{"10.9.0.2", "10.9.0.1", "10.9.0.7", "10.8.0.2", "10.8.0.1"},
                  Side{"fd00:9::2", "fd00:9::1", "fd00:9::7", "fd00:8::2", "fd00:8::1"}}) {
              const auto tcp = Transport::tcp;
              const auto at = [&](const std::string& what) { return what + " " + side.pod; };
              report.expect(at("inbound to an application port"),
                            ask(tcp, side.pod, 8080, peer.client()),
                            "15006 " + side.text(side.pod, 8080));
              report.expect(at("inbound to a port nobody listens on"),
                            ask(tcp, side.pod, 9999, peer.client()),
                            "15006 " + side.text(side.pod, 9999));
              report.expect(at("inbound to the tunnel port"),
                            ask(tcp, side.pod, 15008, peer.client()),
                            std::get<1>(GetParam()) == Mode::redirect
                                ? "15008 " + side.text(side.pod, 15008)
                                : "15006 " + side.text(side.pod, 15008));
              report.expect(at("inbound to an excluded port"),
                            ask(tcp, side.pod, 15020, peer.client()),
                            "15020 " + side.text(side.pod, 15020));
              report.expect(at("inbound on an excluded interface"),
                            ask(tcp, side.second_pod, 8080, peer.client()),
                            "8080 " + side.text(side.second_pod, 8080));
              report.expect(at("outbound of the application"),
                            ask(tcp, side.remote, 80, {app, app, 0, ""}),
                            "15001 " + side.text(side.remote, 80));
              report.expect(at("outbound of the proxy"),
                            ask(tcp, side.remote, 80, {proxy, proxy, 0, ""}),
                            "80 " + side.text(side.remote, 80));
              report.expect(at("outbound of the proxy's group"),
                            ask(tcp, side.remote, 80, {2000, proxy, 0, ""}),
                            "80 " + side.text(side.remote, 80));
              report.expect(at("outbound to an excluded port"),
                            ask(tcp, side.remote, 8443, {app, app, 0, ""}),
                            "8443 " + side.text(side.remote, 8443));
              report.expect(at("outbound to an excluded range"),
                            ask(tcp, side.excluded, 80, {app, app, 0, ""}),
                            "80 " + side.text(side.excluded, 80));
              report.expect(at("outbound on an excluded interface"),
                            ask(tcp, side.second_remote, 80, {app, app, 0, ""}),
                            "80 " + side.text(side.second_remote, 80));
              report.expect(at("DNS over UDP"),
                            ask(Transport::udp, side.remote, 53, {app, app, 0, ""}), "15053 udp");
              report.expect(at("DNS over TCP"), ask(tcp, side.remote, 53, {app, app, 0, ""}),
                            "15053 " + side.text(side.remote, 53));
              report.expect(at("the proxy's own DNS over UDP"),
                            ask(Transport::udp, side.remote, 53, {proxy, proxy, 0, ""}), "53 udp");
              report.expect(at("the proxy's own DNS over TCP"),
                            ask(tcp, side.remote, 53, {proxy, proxy, 0, ""}),
                            "53 " + side.text(side.remote, 53));
              // loopback: who calls whom inside the pod
              report.expect(at("the application calls itself"),
                            ask(tcp, side.pod, 8080, {app, app, 0, ""}),
                            "8080 " + side.text(side.pod, 8080));
              report.expect(at("the proxy calls the application by address"),
                            ask(tcp, side.pod, 8080, {proxy, proxy, 0, ""}),
                            "15006 " + side.text(side.pod, 8080));
              const std::string loopback = side.pod[0] == '1' ? "127.0.0.1" : "::1";
              report.expect(at("the application calls localhost"),
                            ask(tcp, loopback, 8080, {app, app, 0, ""}),
                            "8080 " + side.text(loopback, 8080));
              report.expect(at("the proxy calls localhost"),
                            ask(tcp, loopback, 8080, {proxy, proxy, 0, ""}),
                            "8080 " + side.text(loopback, 8080));
              const std::string passthrough = side.pod[0] == '1' ? "127.0.0.6" : "::6";
              report.expect(at("the proxy calls the application from its passthrough address"),
                            ask(tcp, side.pod, 8080, {proxy, proxy, 0, passthrough}),
                            "8080 " + side.text(side.pod, 8080));
            }
          }),
      "");
}

TEST_P(Traffic, CapturedLoopbackRange) {
  ICN_REQUIRE_ROOT();
  auto config = config_for(std::get<1>(GetParam()));
  config.redirect_dns = config.capture_all_dns = false;
  config.outbound_ranges_include =
      redirect::parse_cidr_selection("127.1.2.3/32,10.9.0.0/24").value();
  EXPECT_EQ(
      in_pod(config,
             [](Report& report, const Peer&) {
               const auto tcp = Transport::tcp;
               report.expect("captured loopback address",
                             ask(tcp, "127.1.2.3", 8080, {app, app, 0, ""}),
                             "15001 127.1.2.3:8080");
               report.expect("other loopback address",
                             ask(tcp, "127.0.0.1", 8080, {app, app, 0, ""}), "8080 127.0.0.1:8080");
               report.expect("group rule 12a", ask(tcp, "10.9.0.2", 8080, {2000, proxy, 0, ""}),
                             "15006 10.9.0.2:8080");
               report.expect("not included range", ask(tcp, "10.8.0.1", 80, {app, app, 0, ""}),
                             "80 10.8.0.1:80");
             }),
      "");
}

TEST_P(Traffic, InboundPortList) {
  ICN_REQUIRE_ROOT();
  auto config = config_for(std::get<1>(GetParam()));
  config.inbound_ports_include = {false, {redirect::Port{9090}}};
  config.outbound_ranges_include = {};
  config.outbound_ports_include = {redirect::Port{80}};
  EXPECT_EQ(
      in_pod(config,
             [](Report& report, const Peer& peer) {
               const auto tcp = Transport::tcp;
               report.expect("listed port", ask(tcp, "10.9.0.2", 9090, peer.client()),
                             "15006 10.9.0.2:9090");
               report.expect("other port", ask(tcp, "10.9.0.2", 8080, peer.client()),
                             "8080 10.9.0.2:8080");
               report.expect("listed port IPv6", ask(tcp, "fd00:9::2", 9090, peer.client()),
                             "15006 [fd00:9::2]:9090");
               report.expect("outbound listed port", ask(tcp, "10.9.0.1", 80, {app, app, 0, ""}),
                             "15001 10.9.0.1:80");
               report.expect("outbound other port", ask(tcp, "10.9.0.1", 8443, {app, app, 0, ""}),
                             "8443 10.9.0.1:8443");
             }),
      "");
}

INSTANTIATE_TEST_SUITE_P(Backends, Traffic,
                         testing::Combine(testing::Values("nftables", "iptables"),
                                          testing::Values(Mode::redirect, Mode::tproxy)),
                         [](const auto& instance) {
                           return std::string(std::get<0>(instance.param)) +
                                  (std::get<1>(instance.param) == Mode::redirect ? "Redirect"
                                                                                 : "Tproxy");
                         });

}  // namespace
