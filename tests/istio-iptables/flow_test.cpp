#include "istio-iptables/flow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.hpp"

namespace istio_iptables {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using redirect::Family;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Calls = std::vector<std::string>;

/// What the stand-ins answer, and what was asked of them.
struct Script {
  netfilter::Comparison found{true, {"nat: expected rules, found none"}};
  bool loses_rules = false;  ///< apply() succeeds and the kernel holds something else
  std::optional<Error> compare_error, apply_error, route_error, address_error, resolv_error;
  bool iptables = true;
  bool nftables = true;
  netns::HostIp host{redirect::Ip{Family::v4, {10, 0, 0, 2}}, false};
  std::string resolv_conf = "nameserver 10.0.0.10\n";
  std::map<std::string, std::uint32_t> users{{"istio-proxy", 1400}};
  std::map<std::string, std::uint32_t> groups;
  std::vector<bool> probe_results;  ///< empty: success

  Calls calls;
  std::string output;
  std::string file;
  std::string log;
  redirect::Ruleset applied;
  std::vector<validate::ProbeConfig> probes;
};

base::Status answer(const std::optional<Error>& error) {
  if (error) return *error;
  return base::success();
}

class FakeBackend : public netfilter::Backend {
 public:
  FakeBackend(Script& script, std::string name) : script_(script), name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  base::Status apply(const redirect::Ruleset& ruleset) override {
    script_.calls.push_back(cat(name_, " apply"));
    script_.applied = ruleset;
    if (!script_.loses_rules) script_.found = {};
    return answer(script_.apply_error);
  }
  base::Result<netfilter::Comparison> compare(const redirect::Ruleset&) override {
    script_.calls.push_back(cat(name_, " compare"));
    if (script_.compare_error) return *script_.compare_error;
    return script_.found;
  }
  base::Status remove(const redirect::Ruleset&) override {
    script_.calls.push_back(cat(name_, " remove"));
    return base::success();
  }

 private:
  Script& script_;
  std::string name_;
};

class FakeSystem : public System {
 public:
  explicit FakeSystem(Script& script) : script_(script) {}
  base::Status enter_network_namespace(const std::string& path) override {
    return call(cat("enter ", path));
  }
  base::Result<netns::HostIp> host_ip(bool) override {
    if (script_.address_error) return *script_.address_error;
    return script_.host;
  }
  base::Result<std::string> resolv_conf() override {
    if (script_.resolv_error) return *script_.resolv_error;
    return script_.resolv_conf;
  }
  base::Result<std::uint32_t> user_id(const std::string& name) override {
    return find(script_.users, name);
  }
  base::Result<std::uint32_t> group_id(const std::string& name) override {
    return find(script_.groups, name);
  }
  base::Status probe_iptables() override { return offered(script_.iptables); }
  base::Status probe_nftables() override { return offered(script_.nftables); }
  std::unique_ptr<netfilter::Backend> iptables() override {
    return std::make_unique<FakeBackend>(script_, "iptables");
  }
  std::unique_ptr<netfilter::Backend> nftables() override {
    return std::make_unique<FakeBackend>(script_, "nftables");
  }
  base::Status apply_routes(const redirect::Ruleset&) override {
    script_.calls.emplace_back("apply_routes");
    return answer(script_.route_error);
  }
  base::Status remove_routes(const redirect::Ruleset&) override { return call("remove_routes"); }
  validate::ProbeReport run_probe(const validate::ProbeConfig& config) override {
    script_.calls.emplace_back("probe");
    script_.probes.push_back(config);
    const auto n = script_.probes.size() - 1;
    const bool ok = n >= script_.probe_results.size() || script_.probe_results[n];
    using Outcome = validate::ProbeReport::Outcome;
    return validate::ProbeReport{
        ok ? Outcome::arrived : Outcome::timeout, {"attempt"}, ok ? "" : "nothing arrived"};
  }
  base::Status write_stdout(std::string_view text) override {
    script_.output.append(text);
    return base::success();
  }
  base::Status write_file(const std::string& path, std::string_view text) override {
    script_.file = text;
    return call(cat("write ", path));
  }
  void log(logging::Level level, std::string_view message, const logging::Fields& fields) override {
    script_.log.append(logging::format_line(0, level, message, fields));
  }

 private:
  base::Status call(std::string what) {
    script_.calls.push_back(std::move(what));
    return base::success();
  }
  static base::Status offered(bool yes) {
    if (yes) return base::success();
    return Error{Errc::unsupported, "not in this kernel"};
  }
  static base::Result<std::uint32_t> find(const std::map<std::string, std::uint32_t>& ids,
                                          const std::string& name) {
    auto found = ids.find(name);
    if (found == ids.end()) return Error{Errc::not_found, cat("no such name ", name)};
    return found->second;
  }
  Script& script_;
};

int run_with(Script& script, const std::vector<std::string>& args,
             const std::map<std::string, std::string>& variables = {}) {
  auto options = parse_options(args, [&](const std::string& name) -> std::optional<std::string> {
    auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
  EXPECT_TRUE(options.ok()) << options.error().message;
  FakeSystem system(script);
  return run(*options, system);
}

TEST(Apply, whenNothingIsThere) {
  Script script;
  EXPECT_EQ(run_with(script, {"-i", "*"}), exit_ok);
  EXPECT_THAT(script.calls, ElementsAre("iptables compare", "iptables apply", "iptables compare",
                                        "apply_routes"));
  EXPECT_THAT(script.log, HasSubstr("\tinfo\t-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"));
  EXPECT_THAT(script.log, HasSubstr("--uid-owner 1400 "));
  EXPECT_THAT(script.output, IsEmpty());
}

TEST(Apply, notWhenEqualUnlessForced) {
  Script script;
  script.found = {};
  EXPECT_EQ(run_with(script, {}), exit_ok);
  EXPECT_THAT(script.calls, ElementsAre("iptables compare", "apply_routes"));
  script.calls.clear();
  EXPECT_EQ(run_with(script, {"--force-apply"}), exit_ok);
  EXPECT_THAT(script.calls, ElementsAre("iptables compare", "iptables apply", "iptables compare",
                                        "apply_routes"));
}

TEST(Apply, differencesNeedReconcile) {
  for (const auto* force : {"--force-apply=false", "--force-apply"}) {
    Script script;
    script.found = {false, {"nat ISTIO_OUTPUT rule 3: expected a, found b"}};
    EXPECT_EQ(run_with(script, {force}), exit_failed);
    EXPECT_THAT(script.calls, ElementsAre("iptables compare"));
    EXPECT_THAT(script.log, HasSubstr("rule 3: expected a, found b"));
    EXPECT_THAT(script.log, HasSubstr("--reconcile"));
    script.calls.clear();
    EXPECT_EQ(run_with(script, {"--reconcile"}), exit_ok);
    EXPECT_THAT(script.calls, ElementsAre("iptables compare", "iptables apply", "iptables compare",
                                          "apply_routes"));
  }
}

TEST(Apply, onlySomeDifferencesAreListed) {
  Script script;
  script.found = {false, std::vector<std::string>(25, "difference")};
  EXPECT_EQ(run_with(script, {}), exit_failed);
  EXPECT_THAT(script.log, HasSubstr("5 more"));
}

TEST(Apply, failuresExitWithOne) {
  const Error error{Errc::io, "broken"};
  for (auto member : {&Script::compare_error, &Script::apply_error, &Script::route_error,
                      &Script::address_error}) {
    Script script;
    script.*member = error;
    EXPECT_EQ(run_with(script, {"--run-validation"}), exit_failed);
    EXPECT_THAT(script.probes, IsEmpty());
    EXPECT_THAT(script.log, HasSubstr("broken"));
  }
}

TEST(Cleanup, neverApplies) {
  Script script;
  EXPECT_EQ(run_with(script, {"--cleanup-only", "--reconcile", "--force-apply"}), exit_ok);
  EXPECT_THAT(script.calls,
              ElementsAre("iptables remove", "remove_routes", "nftables remove", "remove_routes"));
}

TEST(Apply, nftablesReplacesWithoutReconcile) {
  Script script;
  script.found = {false, {"difference"}};
  EXPECT_EQ(run_with(script, {"--native-nftables"}), exit_ok);
}

TEST(Apply, rulesThatDoNotStickFail) {
  Script script;
  script.loses_rules = true;
  EXPECT_EQ(run_with(script, {}), exit_failed);
  EXPECT_THAT(script.log, HasSubstr("does not hold the rules"));
}

TEST(BackendChoice, byFlagsAndKernel) {
  auto backend = [](const std::vector<std::string>& args, bool iptables) {
    Script script;
    script.iptables = iptables;
    EXPECT_EQ(run_with(script, args), exit_ok);
    EXPECT_THAT(script.log, HasSubstr("reason="));
    return script.calls.at(0);
  };
  EXPECT_EQ(backend({}, true), "iptables compare");
  EXPECT_EQ(backend({}, false), "nftables compare");
  EXPECT_EQ(backend({"--native-nftables"}, true), "nftables compare");
  EXPECT_EQ(backend({"--force-iptables-binary=nft"}, true), "nftables compare");
  EXPECT_EQ(backend({"--force-iptables-binary=legacy"}, false), "iptables compare");
  Script neither;
  neither.iptables = neither.nftables = false;
  EXPECT_EQ(run_with(neither, {}), exit_failed);
  EXPECT_THAT(neither.log, HasSubstr("no way to program rules"));
}

TEST(Namespace, isEnteredFirst) {
  Script script;
  EXPECT_EQ(run_with(script, {"--network-namespace", "/run/netns/a"}), exit_ok);
  EXPECT_EQ(script.calls.at(0), "enter /run/netns/a");
}

TEST(Owners, namesAreResolvedBeforeProgramming) {
  Script script;
  script.users["envoy"] = 77;
  script.groups["java"] = 88;
  EXPECT_EQ(run_with(script, {"-u", "envoy", "-g", "java"},
                     {{"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "java"}}),
            exit_ok);
  unsigned owners = 0;
  for (const auto& rule : script.applied.rules)
    for (const auto& match : rule.matches) {
      if (const auto* uid = std::get_if<redirect::MatchUid>(&match)) {
        EXPECT_EQ(uid->owner.id, 77U);
        ++owners;
      }
      if (const auto* gid = std::get_if<redirect::MatchGid>(&match)) {
        EXPECT_EQ(gid->owner.id, 88U);
        ++owners;
      }
    }
  EXPECT_EQ(owners, 9U);  // four rules each (the first for two families), one group

  EXPECT_EQ(run_with(script, {"-u", "nobody-here"}), exit_failed);
  EXPECT_THAT(script.log, HasSubstr("nobody-here"));
  EXPECT_EQ(run_with(script, {"-u", "nobody-here", "-n"}), exit_ok);
}

TEST(Owners, defaultToTheProxysUserOr1337) {
  Script script;
  script.users.clear();
  EXPECT_EQ(run_with(script, {"-n"}), exit_ok);
  EXPECT_THAT(script.output, HasSubstr("--uid-owner 1337 "));
  EXPECT_THAT(script.output, HasSubstr("--gid-owner 1337 "));
  script.output.clear();
  script.users["envoy"] = 5;
  EXPECT_EQ(run_with(script, {"-n"}, {{"ENVOY_USER", "envoy"}}), exit_ok);
  EXPECT_THAT(script.output, HasSubstr("--uid-owner 5 "));
  script.output.clear();
  EXPECT_EQ(run_with(script, {"-n", "-u", "1,2"}), exit_ok);
  EXPECT_THAT(script.output, HasSubstr("--gid-owner 2 "));
}

TEST(Dns, serversComeFromResolvConfUnlessGiven) {
  Script script;
  EXPECT_EQ(run_with(script, {"-n", "--redirect-dns"}), exit_ok);
  EXPECT_THAT(script.output, HasSubstr("-d 10.0.0.10/32 -j REDIRECT --to-ports 15053"));
  script.resolv_error = Error{Errc::not_found, "no such file"};
  EXPECT_EQ(run_with(script, {"-n", "--redirect-dns"}), exit_failed);
  EXPECT_EQ(run_with(script, {"-n", "--redirect-dns", "--capture-all-dns"}), exit_ok);
  script.output.clear();
  EXPECT_EQ(run_with(script, {"-n", "--redirect-dns", "--dns-servers", "10.0.0.11"}), exit_ok);
  EXPECT_THAT(script.output, HasSubstr("-d 10.0.0.11/32"));
}

TEST(DryRun, writesTheRulesAndTouchesNothing) {
  Script script;
  script.address_error = Error{Errc::io, "not to be asked"};
  EXPECT_EQ(run_with(script,
                     {"-n", "--ipv6=off", "-u", "1337", "-b", "8080,", "-q", "443", "-o", "15020",
                      "-i", "10.0.0.0/8", "-x", "10.1.0.0/16", "--network-namespace", "/nowhere"},
                     {{"DRY_RUN_FILE_PATH", "/tmp/rules"}}),
            exit_ok);
  EXPECT_EQ(script.output, R"(* nat
-N ISTIO_INBOUND
-N ISTIO_REDIRECT
-N ISTIO_IN_REDIRECT
-N ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp --dport 8080 -j ISTIO_IN_REDIRECT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -p tcp --dport 15020 -j RETURN
-A ISTIO_OUTPUT -p udp --dport 15020 -j RETURN
-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -d 10.1.0.0/16 -j RETURN
-A ISTIO_OUTPUT -p tcp --dport 443 -j ISTIO_REDIRECT
-A ISTIO_OUTPUT -d 10.0.0.0/8 -j ISTIO_REDIRECT
COMMIT
)");
  EXPECT_EQ(script.file, script.output);
  EXPECT_THAT(script.calls, ElementsAre("write /tmp/rules"));
}

TEST(DryRun, ipv6FollowsIpv4) {
  Script script;
  EXPECT_EQ(run_with(script, {"-n", "--ipv6=on", "-i", "*"}), exit_ok);
  const auto v4 = script.output.find("-d 127.0.0.1/32 -j RETURN");
  const auto v6 = script.output.find("-d ::1/128 -j RETURN");
  ASSERT_NE(v6, std::string::npos);
  EXPECT_LT(v4, v6);
}

TEST(DryRun, nftables) {
  Script script;
  EXPECT_EQ(run_with(script, {"-n", "--ipv6=off", "--native-nftables", "-u", "1337"}), exit_ok);
  EXPECT_TRUE(script.output.starts_with("add table inet istio-proxy-nat\n"));
  EXPECT_THAT(script.output, HasSubstr("add rule inet istio-proxy-nat istio-redirect meta l4proto "
                                       "tcp counter redirect to :15001\n"));
  script.output.clear();
  EXPECT_EQ(run_with(script, {"-n", "--ipv6=off", "--native-nftables", "--cleanup-only"}), exit_ok);
  EXPECT_THAT(script.output, HasSubstr("delete table inet istio-proxy-raw\n"));
  script.output.clear();
  EXPECT_EQ(run_with(script, {"-n", "--ipv6=off", "--cleanup-only"}), exit_ok);
  EXPECT_THAT(script.output, IsEmpty());
  EXPECT_THAT(script.calls, IsEmpty());
}

TEST(Validation, runsAfterTheRules) {
  Script script;
  EXPECT_EQ(run_with(script, {"--run-validation", "-p", "1", "-z", "2", "--iptables-probe-port=3",
                              "--probe-timeout=4ms"}),
            exit_ok);
  EXPECT_THAT(script.calls, ElementsAre("iptables compare", "iptables apply", "iptables compare",
                                        "apply_routes", "probe"));
  ASSERT_EQ(script.probes.size(), 1U);
  EXPECT_EQ(script.probes[0].family, Family::v4);
  EXPECT_EQ(script.probes[0].proxy_port, redirect::Port{1});
  EXPECT_EQ(script.probes[0].inbound_port, redirect::Port{2});
  EXPECT_EQ(script.probes[0].probe_port, redirect::Port{3});
  EXPECT_EQ(script.probes[0].timeout, std::chrono::milliseconds(4));
}

TEST(Validation, failureExitsWith126AndSaysWhatToDo) {
  Script script;
  script.probe_results = {false};
  EXPECT_EQ(run_with(script, {"--run-validation", "--skip-rule-apply"}), exit_invalid);
  EXPECT_THAT(script.calls, ElementsAre("probe"));
  EXPECT_THAT(script.log, HasSubstr("nothing arrived"));
  EXPECT_THAT(script.log, HasSubstr("delete the pod"));
}

TEST(Validation, familiesFollowTheAddressesOrTheFlag) {
  auto families = [](const std::vector<std::string>& args, netns::HostIp host) {
    Script script;
    script.host = host;
    auto all = args;
    all.insert(all.end(), {"--run-validation", "--skip-rule-apply"});
    EXPECT_EQ(run_with(script, all), exit_ok);
    std::string text;
    for (const auto& probe : script.probes) text += probe.family == Family::v4 ? '4' : '6';
    return text;
  };
  const redirect::Ip v4{Family::v4, {10, 0, 0, 2}};
  const redirect::Ip v6{Family::v6, {0xfd, 1}};
  EXPECT_EQ(families({}, {v4, false}), "4");
  EXPECT_EQ(families({}, {v6, true}), "6");
  EXPECT_EQ(families({"--dual-stack"}, {v4, true}), "46");
  EXPECT_EQ(families({"--dual-stack"}, {v4, false}), "4");
  EXPECT_EQ(families({"--ipv6=off"}, {v6, true}), "4");
  EXPECT_EQ(families({"--ipv6=on"}, {v4, false}), "6");
}

TEST(Validation, theSecondFamilyCountsToo) {
  Script script;
  script.host.ipv6 = true;
  script.probe_results = {true, false};
  EXPECT_EQ(run_with(script, {"--dual-stack", "--run-validation", "--skip-rule-apply"}),
            exit_invalid);
}

TEST(Validation, notInADryRun) {
  Script script;
  EXPECT_EQ(run_with(script, {"-n", "--run-validation"}), exit_ok);
  EXPECT_THAT(script.probes, IsEmpty());
  EXPECT_THAT(script.log, HasSubstr("ignoring"));
}

}  // namespace
}  // namespace istio_iptables
