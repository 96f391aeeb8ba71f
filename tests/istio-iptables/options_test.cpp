#include "istio-iptables/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "istio-iptables/flags.hpp"
#include "istio-iptables/flow.hpp"
#include "redirect/render.hpp"

namespace istio_iptables {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Args = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

base::Result<Options> parse(const Args& args, const Variables& variables = {}) {
  return parse_options(args, [&](const std::string& name) -> std::optional<std::string> {
    auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

Options must_parse(const Args& args, const Variables& variables = {}) {
  auto options = parse(args, variables);
  EXPECT_TRUE(options.ok()) << (options.ok() ? "" : options.error().message);
  return options.ok() ? *options : Options{};
}

std::string error_of(const Args& args, const Variables& variables = {}) {
  auto options = parse(args, variables);
  return options.ok() ? "no error" : options.error().message;
}

std::string text(bool value) { return value ? "true" : "false"; }
std::string text(redirect::Port port) { return std::to_string(port.value); }
template <typename T>
std::string text(const std::vector<T>& items) {
  std::string out;
  for (const auto& item : items) {
    if (!out.empty()) out += ' ';
    if constexpr (std::is_same_v<T, redirect::Port>)
      out += std::to_string(item.value);
    else if constexpr (std::is_same_v<T, redirect::Cidr>)
      out += item.to_string();
    else if constexpr (std::is_same_v<T, redirect::IfName>)
      out += item.name;
    else
      out += item.text;
  }
  return out;
}
template <typename T>
std::string text(const redirect::Selection<T>& selection) {
  return selection.all ? "*" : text(selection.items);
}

struct FlagCase {
  std::string name;
  char short_name;
  std::string own;    // variable
  std::string extra;  // variable
  std::string value;
  std::string expected;
  std::string initial;
  std::string (*get)(const Options&);
};

// What behaviour the flags share is checked for each of them below.
const std::vector<FlagCase>& flag_cases() {
  using O = const Options&;
  static const std::vector<FlagCase> cases{
      {"envoy-port", 'p', "", "", "15101", "15101", "15001",
       [](O o) { return text(o.config.proxy_port); }},
      {"inbound-capture-port", 'z', "INBOUND_CAPTURE_PORT", "", "15106", "15106", "15006",
       [](O o) { return text(o.config.inbound_capture_port); }},
      {"inbound-tunnel-port", 'e', "INBOUND_TUNNEL_PORT", "", "15108", "15108", "15008",
       [](O o) { return text(o.config.inbound_tunnel_port); }},
      {"proxy-uid", 'u', "PROXY_UID", "", "1,envoy,", "1 envoy", "",
       [](O o) { return text(o.config.proxy_uids); }},
      {"proxy-gid", 'g', "PROXY_GID", "", "3,4", "3 4", "",
       [](O o) { return text(o.config.proxy_gids); }},
      {"istio-inbound-interception-mode", 'm', "ISTIO_INBOUND_INTERCEPTION_MODE", "", "TPROXY",
       "true", "false", [](O o) { return text(o.config.mode == redirect::Mode::tproxy); }},
      {"istio-inbound-ports", 'b', "ISTIO_INBOUND_PORTS", "", "6000,7000,", "6000 7000", "",
       [](O o) { return text(o.config.inbound_ports_include); }},
      {"istio-local-exclude-ports", 'd', "ISTIO_LOCAL_EXCLUDE_PORTS", "", "15090,,15021,",
       "15090 15021", "", [](O o) { return text(o.config.inbound_ports_exclude); }},
      {"istio-exclude-interfaces", 'c', "ISTIO_EXCLUDE_INTERFACES", "", "eth1,net2", "eth1 net2",
       "", [](O o) { return text(o.config.exclude_interfaces); }},
      {"istio-service-cidr", 'i', "ISTIO_SERVICE_CIDR", "", "10.0.0.0/8,fd00::/8,",
       "10.0.0.0/8 fd00::/8", "", [](O o) { return text(o.config.outbound_ranges_include); }},
      {"istio-service-exclude-cidr", 'x', "ISTIO_SERVICE_EXCLUDE_CIDR", "", "10.1.0.0/16",
       "10.1.0.0/16", "", [](O o) { return text(o.config.outbound_ranges_exclude); }},
      {"istio-outbound-ports", 'q', "ISTIO_OUTBOUND_PORTS", "", "80, 443", "80 443", "",
       [](O o) { return text(o.config.outbound_ports_include); }},
      {"istio-local-outbound-ports-exclude", 'o', "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE", "", "53",
       "53", "", [](O o) { return text(o.config.outbound_ports_exclude); }},
      {"kube-virt-interfaces", 'k', "KUBE_VIRT_INTERFACES", "", "virt0", "virt0", "",
       [](O o) { return text(o.config.reroute_interfaces); }},
      {"istio-inbound-tproxy-mark", 't', "ISTIO_INBOUND_TPROXY_MARK", "", "1400", "1400", "1337",
       [](O o) { return std::to_string(o.config.tproxy_mark.value); }},
      {"istio-inbound-tproxy-route-table", 'r', "ISTIO_INBOUND_TPROXY_ROUTE_TABLE", "", "144",
       "144", "133", [](O o) { return std::to_string(o.config.tproxy_route_table); }},
      {"dry-run", 'n', "DRY_RUN", "", "true", "true", "false", [](O o) { return text(o.dry_run); }},
      {"iptables-probe-port", 0, "IPTABLES_PROBE_PORT", "", "15102", "15102", "15002",
       [](O o) { return text(o.probe_port); }},
      {"probe-timeout", 0, "PROBE_TIMEOUT", "", "1m30s", "90000", "5000",
       [](O o) { return std::to_string(o.probe_timeout.count()); }},
      {"skip-rule-apply", 0, "SKIP_RULE_APPLY", "", "true", "true", "false",
       [](O o) { return text(o.skip_rule_apply); }},
      {"run-validation", 0, "RUN_VALIDATION", "", "true", "true", "false",
       [](O o) { return text(o.run_validation); }},
      {"redirect-dns", 0, "REDIRECT_DNS", "ISTIO_META_DNS_CAPTURE", "true", "true", "false",
       [](O o) { return text(o.config.redirect_dns); }},
      {"drop-invalid", 0, "DROP_INVALID", "INVALID_DROP", "true", "true", "false",
       [](O o) { return text(o.config.drop_invalid); }},
      {"dual-stack", 0, "DUAL_STACK", "ISTIO_DUAL_STACK", "true", "true", "false",
       [](O o) { return text(o.dual_stack); }},
      {"capture-all-dns", 0, "CAPTURE_ALL_DNS", "", "true", "true", "false",
       [](O o) { return text(o.config.capture_all_dns); }},
      {"network-namespace", 0, "NETWORK_NAMESPACE", "", "/proc/1/ns/net", "/proc/1/ns/net", "",
       [](O o) { return o.network_namespace; }},
      {"cni-mode", 0, "CNI_MODE", "", "true", "", "", [](O) { return std::string(); }},
      {"reconcile", 0, "RECONCILE", "", "true", "true", "false",
       [](O o) { return text(o.reconcile); }},
      {"cleanup-only", 0, "CLEANUP_ONLY", "", "true", "true", "false",
       [](O o) { return text(o.cleanup_only); }},
      {"force-apply", 0, "FORCE_APPLY", "", "true", "true", "false",
       [](O o) { return text(o.force_apply); }},
      {"native-nftables", 0, "NATIVE_NFTABLES", "", "true", "true", "false",
       [](O o) { return text(o.native_nftables); }},
      {"force-iptables-binary", 0, "FORCE_IPTABLES_BINARY", "", "nft", "true", "false",
       [](O o) { return text(o.force_binary == Binary::nft); }},
      {"ipv6", 0, "", "", "on", "true", "false", [](O o) { return text(o.ipv6 == Ipv6::on); }},
      {"dns-servers", 0, "", "", "10.0.0.10,fd00::10", "10.0.0.10/fd00::10", "/",
       [](O o) {
         std::string all;
         for (const auto& server : o.config.dns_servers_v4) all += server.text;
         all += '/';
         for (const auto& server : o.config.dns_servers_v6) all += server.text;
         return all;
       }},
      {"log_output_level", 0, "", "", "default:warn", "default:warn", "",
       [](O o) { return o.log_output_level; }},
      {"log_as_json", 0, "", "", "true", "", "", [](O) { return std::string(); }},
      {"log_target", 0, "", "", "stdout", "", "", [](O) { return std::string(); }},
      {"log_caller", 0, "", "", "all", "", "", [](O) { return std::string(); }},
      {"log_stacktrace_level", 0, "", "", "default:none", "", "", [](O) { return std::string(); }},
  };
  return cases;
}

class EachFlag : public testing::TestWithParam<FlagCase> {};

TEST_P(EachFlag, hasItsDefault) { EXPECT_EQ(GetParam().get(must_parse({})), GetParam().initial); }

TEST_P(EachFlag, takesAnAttachedValue) {
  const auto& flag = GetParam();
  auto options = must_parse({"--" + flag.name + "=" + flag.value});
  EXPECT_EQ(flag.get(options), flag.expected);
  EXPECT_THAT(options.warnings, IsEmpty());
}

TEST_P(EachFlag, takesASeparateValueUnlessBoolean) {
  const auto& flag = GetParam();
  const bool boolean = flag.value == "true";
  auto options = boolean ? must_parse({"--" + flag.name, "--reconcile"})
                         : must_parse({"--" + flag.name, flag.value, "--reconcile"});
  EXPECT_EQ(flag.get(options), flag.expected);
  EXPECT_TRUE(options.reconcile);
  EXPECT_THAT(options.warnings, IsEmpty());
}

TEST_P(EachFlag, hasItsShortForm) {
  const auto& flag = GetParam();
  if (flag.short_name == 0) return;
  const std::string dash{'-', flag.short_name};
  EXPECT_EQ(flag.get(must_parse({dash + "=" + flag.value})), flag.expected);
  if (flag.value == "true") {
    EXPECT_EQ(flag.get(must_parse({dash})), flag.expected);
    return;
  }
  EXPECT_EQ(flag.get(must_parse({dash, flag.value})), flag.expected);
  EXPECT_EQ(flag.get(must_parse({dash + flag.value})), flag.expected);
}

TEST_P(EachFlag, readsItsVariables) {
  const auto& flag = GetParam();
  if (!flag.own.empty()) {
    EXPECT_EQ(flag.get(must_parse({}, {{flag.own, flag.value}})), flag.expected);
  }
  if (!flag.extra.empty()) {
    EXPECT_EQ(flag.get(must_parse({}, {{flag.extra, flag.value}})), flag.expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Flags, EachFlag, testing::ValuesIn(flag_cases()), [](const auto& test) {
  std::string name = test.param.name;
  for (auto& c : name)
    if (c == '-') c = '_';
  return name;
});

TEST(Flags, areAllInTheTableOfThisTest) {
  std::size_t named = 0;
  for (const auto& flag : flags()) named += flag.name.empty() ? 0 : 1;
  EXPECT_EQ(named, flag_cases().size());
}

TEST(Precedence, flagThenExtraVariableThenOwnVariable) {
  const Variables both{{"ISTIO_META_DNS_CAPTURE", "true"}, {"REDIRECT_DNS", "false"}};
  EXPECT_TRUE(must_parse({}, both).config.redirect_dns);
  EXPECT_FALSE(must_parse({"--redirect-dns=false"}, both).config.redirect_dns);
  EXPECT_EQ(must_parse({"-z", "1"}, {{"INBOUND_CAPTURE_PORT", "2"}}).config.inbound_capture_port,
            redirect::Port{1});
}

TEST(Precedence, aBadVariableIsNotReadWhenTheFlagIsGiven) {
  EXPECT_EQ(must_parse({"-b", "80"}, {{"ISTIO_INBOUND_PORTS", "x"}}).warnings.size(), 0U);
}

TEST(Variables, unparsableTypedValuesAreIgnoredWithAWarning) {
  auto options = must_parse({}, {{"ISTIO_DUAL_STACK", "maybe"},
                                 {"DUAL_STACK", "1"},
                                 {"PROBE_TIMEOUT", "5"},
                                 {"IPTABLES_PROBE_PORT", "70000"},
                                 {"DRY_RUN", ""}});
  EXPECT_TRUE(options.dual_stack);
  EXPECT_EQ(options.probe_timeout, milliseconds(5000));
  EXPECT_EQ(options.probe_port, redirect::Port{15002});
  EXPECT_FALSE(options.dry_run);
  EXPECT_EQ(options.warnings.size(), 4U);
  EXPECT_THAT(options.warnings, testing::Each(HasSubstr("ignoring")));
}

TEST(Variables, emptyTextCounts) {
  auto options = must_parse({}, {{"ISTIO_INBOUND_PORTS", ""}, {"PROXY_UID", ""}});
  EXPECT_TRUE(options.config.inbound_ports_include.empty());
  EXPECT_TRUE(options.config.proxy_uids.empty());
}

TEST(Variables, ofOwnerGroupsAndLoopback) {
  auto defaults = must_parse({});
  EXPECT_TRUE(defaults.config.owner_groups_include.all);
  EXPECT_EQ(defaults.config.host_v4_loopback.to_string(), "127.0.0.1/32");
  EXPECT_EQ(defaults.envoy_user, "istio-proxy");
  auto options = must_parse({}, {{"ISTIO_OUTBOUND_OWNER_GROUPS", "java,202"},
                                 {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "888"},
                                 {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.0/8"},
                                 {"ENVOY_USER", "envoy"},
                                 {"DRY_RUN_FILE_PATH", "/tmp/rules"}});
  EXPECT_EQ(text(options.config.owner_groups_include), "java 202");
  EXPECT_EQ(text(options.config.owner_groups_exclude), "888");
  EXPECT_EQ(options.config.host_v4_loopback.to_string(), "127.0.0.0/8");
  EXPECT_EQ(options.envoy_user, "envoy");
  EXPECT_EQ(options.dry_run_file, "/tmp/rules");
}

TEST(Variables, ownerGroupsAreLimited) {
  std::string groups;
  for (int i = 1; i <= 64; ++i) groups += std::to_string(i) + ",";
  EXPECT_EQ(must_parse({}, {{"ISTIO_OUTBOUND_OWNER_GROUPS", groups}})
                .config.owner_groups_include.items.size(),
            64U);
  EXPECT_THAT(error_of({}, {{"ISTIO_OUTBOUND_OWNER_GROUPS", groups + "65"}}),
              AllOf(HasSubstr("ISTIO_OUTBOUND_OWNER_GROUPS"), HasSubstr("at most 64")));
}

TEST(Forms, stars) {
  auto options = must_parse({"-i", "*", "-b", "*"});
  EXPECT_TRUE(options.config.outbound_ranges_include.all);
  EXPECT_TRUE(options.config.inbound_ports_include.all);
  EXPECT_THAT(error_of({"-x", "*"}), AllOf(HasSubstr("-x"), HasSubstr("not allowed")));
  EXPECT_THAT(error_of({"-i", "*,10.0.0.0/8"}), HasSubstr("prefix"));
}

TEST(Forms, containerArguments) {
  auto options = must_parse({"istio-iptables",
                             "-p",
                             "15001",
                             "-z",
                             "15006",
                             "-u",
                             "1337",
                             "-m",
                             "REDIRECT",
                             "-i",
                             "*",
                             "-x",
                             "",
                             "-b",
                             "*",
                             "-d",
                             "15090,15021,15020",
                             "--log_output_level=default:info",
                             "--run-validation",
                             "--skip-rule-apply"});
  EXPECT_THAT(options.warnings, IsEmpty());
  EXPECT_TRUE(options.run_validation);
  EXPECT_TRUE(options.skip_rule_apply);
  EXPECT_TRUE(options.config.outbound_ranges_exclude.empty());
  EXPECT_EQ(text(options.config.inbound_ports_exclude), "15090 15021 15020");
}

TEST(Forms, shortBooleansCluster) {
  auto options = must_parse({"-np15101"});
  EXPECT_TRUE(options.dry_run);
  EXPECT_EQ(options.config.proxy_port, redirect::Port{15101});
  EXPECT_FALSE(must_parse({"-n=false"}).dry_run);
  EXPECT_FALSE(must_parse({"-n", "--dry-run=false"}).dry_run) << "the last one counts";
}

TEST(Forms, unknownFlagsAreSkippedWithTheirValue) {
  auto options = must_parse({"--domain", "cluster.local", "--other=1", "-y", "2", "--flag",
                             "--dry-run", "stray", "--", "--reconcile"});
  EXPECT_TRUE(options.dry_run);
  EXPECT_FALSE(options.reconcile);
  EXPECT_THAT(options.warnings,
              ElementsAre(HasSubstr("--domain"), HasSubstr("--other"), HasSubstr("-y"),
                          HasSubstr("--flag"), HasSubstr("stray"), HasSubstr("--reconcile")));
}

TEST(Forms, helpAndVersion) {
  for (const auto* flag : {"-h", "--help"})
    EXPECT_EQ(must_parse({"-n", flag, "--envoy-port=x"}).command, Command::help);
  EXPECT_EQ(must_parse({"--version"}).command, Command::version);
  for (const auto& flag : flag_cases()) EXPECT_THAT(help_text(), HasSubstr("--" + flag.name));
}

TEST(Errors, nameTheFlagTheValueAndWhatIsAllowed) {
  EXPECT_THAT(error_of({"--envoy-port=70000"}),
              AllOf(HasSubstr("--envoy-port"), HasSubstr("70000"), HasSubstr("0 to 65535")));
  EXPECT_THAT(error_of({"-p"}), AllOf(HasSubstr("-p"), HasSubstr("value must follow")));
  EXPECT_THAT(error_of({"--dry-run=maybe"}), AllOf(HasSubstr("--dry-run"), HasSubstr("boolean")));
  EXPECT_THAT(error_of({"--probe-timeout=5"}), HasSubstr("duration"));
  EXPECT_THAT(error_of({"--iptables-probe-port=x"}), HasSubstr("--iptables-probe-port"));
  EXPECT_THAT(error_of({"-b", "80,x"}), AllOf(HasSubstr("-b"), HasSubstr("\"x\"")));
  EXPECT_THAT(error_of({}, {{"ISTIO_INBOUND_PORTS", "x"}}), HasSubstr("ISTIO_INBOUND_PORTS"));
  EXPECT_THAT(error_of({"-i", "10.0.0.1"}), HasSubstr("not a prefix"));
  EXPECT_THAT(error_of({"-c", "1eth"}), HasSubstr("interface name"));
  EXPECT_THAT(error_of({"-u", "a b"}), HasSubstr("-u"));
  EXPECT_THAT(error_of({"-t", "0x539"}), HasSubstr("packet mark"));
  EXPECT_THAT(error_of({"-r", "main"}), HasSubstr("routing table"));
  EXPECT_THAT(error_of({"--force-iptables-binary=nf"}),
              AllOf(HasSubstr("legacy"), HasSubstr("nft")));
  EXPECT_THAT(error_of({"--ipv6=yes"}), HasSubstr("auto"));
  EXPECT_THAT(error_of({"--dns-servers=dns"}), HasSubstr("IP address"));
  for (const auto* loopback : {"", "127.0.0.1", "10.0.0.0/8", "127.0.0.0/7", "::1/128"})
    EXPECT_THAT(error_of({}, {{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", loopback}}),
                HasSubstr("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"));
}

TEST(Mode, anythingElseIsRedirectWithAWarning) {
  auto options = must_parse({"-m", "NONE"});
  EXPECT_EQ(options.config.mode, redirect::Mode::redirect);
  EXPECT_THAT(options.warnings, ElementsAre(HasSubstr("NONE")));
}

TEST(GoDuration, values) {
  EXPECT_EQ(parse_go_duration("0"), milliseconds(0));
  EXPECT_EQ(parse_go_duration("5s"), milliseconds(5000));
  EXPECT_EQ(parse_go_duration("500ms"), milliseconds(500));
  EXPECT_EQ(parse_go_duration("1m30s"), milliseconds(90000));
  EXPECT_EQ(parse_go_duration("1.5h"), milliseconds(5'400'000));
  EXPECT_EQ(parse_go_duration(".5s"), milliseconds(500));
  EXPECT_EQ(parse_go_duration("1us"), milliseconds(1));
  EXPECT_EQ(parse_go_duration("-1s"), milliseconds(-1000));
  for (const auto* bad : {"", "-", "5", "s", ".s", "5 s", "5sec", "1s2", "1..5s", "99999999999h"})
    EXPECT_EQ(parse_go_duration(bad), std::nullopt) << bad;
}

TEST(LogLevel, ofTheDefaultScope) {
  EXPECT_EQ(log_level(""), logging::Level::info);
  EXPECT_EQ(log_level("debug"), logging::Level::debug);
  EXPECT_EQ(log_level("cni:debug,default:warn"), logging::Level::warn);
  EXPECT_EQ(log_level("all:error"), logging::Level::error);
}

}  // namespace
}  // namespace istio_iptables
