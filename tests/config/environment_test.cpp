// Variables and flags: our own, and those of the known agent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.hpp"

namespace config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// A value for each setting that differs from its default, as text and printed.
struct Sample {
  std::string key;
  std::string text;
  std::string shown;
};
const std::vector<Sample> samples = {
    {"run_dir", "/run/x", "/run/x"},
    {"state_dir", "/x", "/x"},
    {"host_root", "/host", "/host"},
    {"log_relay", "T", "true"},
    {"log.level", "none", "none"},
    {"api.kubeconfig", "/k", "/k"},
    {"api.node_name", "n", "\"n\""},
    {"install.mode", "owned", "owned"},
    {"install.gate", "1", "true"},
    {"install.cni_conf_dir", "/x", "/x"},
    {"install.cni_bin_dirs", "/x, /y,", "[/x, /y]"},
    {"install.cni_conf_name", "x.conf", "x.conf"},
    {"install.owned_conf_name", "x.conflist", "x.conflist"},
    {"install.standalone_conf_name", "y.conf", "y.conf"},
    {"install.kubeconfig_mode", "0644", "\"0644\""},
    {"install.conf_group_read", "true", "true"},
    {"install.on_stop", "remove", "remove"},
    {"install.plugin_binary", "/x", "/x"},
    {"plugin.log_level", "debug", "debug"},
    {"plugin.backend", "nftables", "nftables"},
    {"plugin.exclude_namespaces", "", "[]"},
    {"plugin.agent_namespace", "x", "x"},
    {"plugin.timeout", "2m", "120s"},
    {"repair.mode", "off", "\"off\""},
    {"repair.evict", "TRUE", "true"},
    {"repair.sidecar_annotation", "", "\"\""},
    {"repair.init_container_name", "x", "x"},
    {"repair.init_container_termination_message", "a b", "\"a b\""},
    {"repair.init_container_exit_code", "1", "1"},
    {"repair.label_selectors", "a in (b)", "\"a in (b)\""},
    {"repair.field_selectors", "status.phase=Running", "\"status.phase=Running\""},
    {"repair.label_key", "x", "x"},
    {"repair.label_value", "", "\"\""},
    {"repair.per_owner", "7", "7"},
    {"repair.per_node", "7", "7"},
    {"metrics.address", "off", "\"off\""},
    {"health.address", "localhost:1", "\"localhost:1\""},
};

/// What some settings need beside them.
Strings companions(const std::string& key) {
  if (key == "install.gate") return {"ISTIO_CNI_INSTALL_MODE=owned"};
  return {};
}

TEST(OwnNames, EverySettingHasAVariableAndAFlag) {
  ASSERT_EQ(samples.size(), settings().size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto& sample = samples[i];
    const auto& setting = settings()[i];
    ASSERT_EQ(setting.key, sample.key);
    ASSERT_NE(printed(Config(), sample.key), sample.shown) << sample.key;

    auto environment = companions(sample.key);
    environment.push_back(setting.variable() + "=" + sample.text);
    auto outcome = load_env(environment);
    EXPECT_EQ(printed(good(outcome), sample.key), sample.shown) << sample.key;
    EXPECT_EQ(outcome.loaded.sources.at(sample.key).kind, Source::Kind::environment);
    EXPECT_EQ(outcome.loaded.sources.at(sample.key).where, setting.variable());

    for (const auto& arguments : {Strings{"--" + setting.flag() + "=" + sample.text},
                                  Strings{"--" + setting.flag(), sample.text}}) {
      if (arguments.size() == 2 && setting.kind == Kind::boolean) continue;
      outcome = load({}, companions(sample.key), arguments);
      EXPECT_EQ(printed(good(outcome), sample.key), sample.shown) << sample.key;
      EXPECT_EQ(outcome.loaded.sources.at(sample.key).kind, Source::Kind::flag);
      EXPECT_EQ(outcome.loaded.sources.at(sample.key).where, "--" + setting.flag());
    }
  }
}

TEST(OwnNames, NamesFollowFromTheKey) {
  EXPECT_EQ(find_setting("install.mode")->variable(), "ISTIO_CNI_INSTALL_MODE");
  EXPECT_EQ(find_setting("run_dir")->variable(), "ISTIO_CNI_RUN_DIR");
  EXPECT_EQ(find_setting("install.cni_conf_dir")->flag(), "install-cni-conf-dir");
}

TEST(OwnNames, FlagOutranksEnvironmentOutranksFileOutranksDefault) {
  const std::vector<File> files = {{"a.yaml", "state_dir: /file\n"}};
  const auto where = [](const Outcome& outcome) {
    return good(outcome).state_dir + " " + outcome.loaded.sources.at("state_dir").where;
  };
  EXPECT_EQ(where(load({}, {}, {})), "/var/lib/istio-cni-node ");
  EXPECT_EQ(where(load(files, {}, {})), "/file a.yaml:1");
  EXPECT_EQ(where(load(files, {"ISTIO_CNI_STATE_DIR=/env"}, {})), "/env ISTIO_CNI_STATE_DIR");
  EXPECT_EQ(where(load(files, {"ISTIO_CNI_STATE_DIR=/env"}, {"--state-dir=/flag"})),
            "/flag --state-dir");
  EXPECT_EQ(where(load({}, {}, {"--state-dir=/a", "--state-dir", "/b"})), "/b --state-dir");
}

TEST(OwnNames, OwnOutranksKnownOfTheSameLevel) {
  EXPECT_EQ(good(load_env({"ISTIO_CNI_RUN_DIR=/own", "CNI_AGENT_RUN_DIR=/known"})).run_dir, "/own");
  EXPECT_EQ(good(load_flags({"--run-dir=/own", "--cni-agent-run-dir=/known"})).run_dir, "/own");
  EXPECT_EQ(good(load({}, {"ISTIO_CNI_RUN_DIR=/own"}, {"--cni-agent-run-dir=/known"})).run_dir,
            "/known");
}

struct Bad {
  Strings environment;
  Strings arguments;
  std::string text;  ///< start of the only problem
};

class BadNames : public ::testing::TestWithParam<Bad> {};

TEST_P(BadNames, OneProblem) {
  const auto outcome = load({}, GetParam().environment, GetParam().arguments);
  ASSERT_EQ(outcome.problems.size(), 1U) << texts(outcome.problems);
  EXPECT_THAT(outcome.problems.front().text(), StartsWith(GetParam().text));
}

INSTANTIATE_TEST_SUITE_P(
    Environment, BadNames,
    ::testing::Values(
        Bad{{"ISTIO_CNI_INSTALL_MOD=owned"},
            {},
            "environment: ISTIO_CNI_INSTALL_MOD: unknown variable; did you mean "
            "ISTIO_CNI_INSTALL_MODE?"},
        Bad{{"ISTIO_CNI_QQQQQQQQQQQQQQQQQQQQQ=1"},
            {},
            "environment: ISTIO_CNI_QQQQQQQQQQQQQQQQQQQQQ: unknown variable"},
        Bad{{"ISTIO_CNI_INSTALL_MODE="},
            {},
            "environment: ISTIO_CNI_INSTALL_MODE: \"\" is not allowed here; allowed: chained"},
        Bad{{"ISTIO_CNI_INSTALL_GATE="},
            {},
            "environment: ISTIO_CNI_INSTALL_GATE: \"\" is not a boolean"},
        Bad{{"ISTIO_CNI_INSTALL_GATE=yes"},
            {},
            "environment: ISTIO_CNI_INSTALL_GATE: \"yes\" is not a boolean"},
        Bad{{"ISTIO_CNI_INSTALL_GATE=1"},
            {},
            "environment: ISTIO_CNI_INSTALL_GATE: the gate is a list of our own; it needs"},
        Bad{{"ISTIO_CNI_REPAIR_PER_NODE= 3"},
            {},
            "environment: ISTIO_CNI_REPAIR_PER_NODE: \" 3\" is not a number"},
        Bad{{"CNI_CONF_GROUP_READ="},
            {},
            "environment: CNI_CONF_GROUP_READ: \"\" is not a boolean"},
        Bad{{"CHAINED_CNI_PLUGIN="}, {}, "environment: CHAINED_CNI_PLUGIN: \"\" is not a boolean"},
        Bad{{"REPAIR_ENABLED=maybe"},
            {},
            "environment: REPAIR_ENABLED: \"maybe\" is not a boolean"},
        Bad{{"REPAIR_DELETE_PODS="}, {}, "environment: REPAIR_DELETE_PODS: \"\" is not a boolean"},
        Bad{{"NATIVE_NFTABLES="}, {}, "environment: NATIVE_NFTABLES: \"\" is not a boolean"},
        Bad{{"MONITORING_PORT="}, {}, "environment: MONITORING_PORT: \"\" is not a port"},
        Bad{{"MONITORING_PORT=65536"}, {}, "environment: MONITORING_PORT: \"65536\" is not a port"},
        Bad{{"KUBECONFIG_MODE="}, {}, "environment: KUBECONFIG_MODE: \"\" is not a file mode"},
        Bad{{"KUBECONFIG_MODE=128"}, {}, "environment: KUBECONFIG_MODE: \"128\" does not let"},
        Bad{{"REPAIR_INIT_CONTAINER_EXIT_CODE="},
            {},
            "environment: REPAIR_INIT_CONTAINER_EXIT_CODE: \"\" is not a number"},
        Bad{{"CNI_AGENT_RUN_DIR="}, {}, "environment: CNI_AGENT_RUN_DIR: \"\" is not an absolute"},
        Bad{{"AMBIENT_ENABLED=true"},
            {},
            "environment: AMBIENT_ENABLED: ambient mode is not supported by this agent"},
        Bad{{"AMBIENT_ENABLED="}, {}, "environment: AMBIENT_ENABLED: \"\" is not a boolean"},
        Bad{{"EXCLUDE_NAMESPACES=a,B"},
            {},
            "environment: EXCLUDE_NAMESPACES: \"B\" is not a namespace's name"},
        Bad{{"MOUNTED_CNI_NET_DIR=/etc/cni/net.d", "ISTIO_CNI_HOST_ROOT=/host"},
            {},
            "environment: MOUNTED_CNI_NET_DIR: \"/etc/cni/net.d\" is not below host_root"}));

INSTANTIATE_TEST_SUITE_P(
    CommandLine, BadNames,
    ::testing::Values(
        Bad{{},
            {"--install-mod=owned"},
            "command line: --install-mod: unknown flag; did you mean --install-mode?"},
        // the value of an unknown flag is not a second problem
        Bad{{}, {"--install-mod", "owned"}, "command line: --install-mod: unknown flag"},
        Bad{{},
            {"--monitoring_port=1"},
            "command line: --monitoring_port: unknown flag; did you mean --monitoring-port?"},
        Bad{{}, {"--install"}, "command line: --install: unknown flag"},
        Bad{{},
            {"-install-mode=owned"},
            "command line: -install-mode: \"-install-mode=owned\" is no "
            "flag; did you mean --install-mode?"},
        Bad{{}, {"word"}, "command line: word: \"word\" is no flag; flags begin with --"},
        Bad{{}, {""}, "command line: \"\" is no flag"},
        Bad{{}, {"--log-relay", "word"}, "command line: --log-relay: \"word\" is not a boolean"},
        Bad{{}, {"--install-mode"}, "command line: --install-mode: needs a value"},
        Bad{{}, {"--install-mode", "--log-relay"}, "command line: --install-mode: needs a value"},
        Bad{{}, {"--install-mode="}, "command line: --install-mode: \"\" is not allowed here"},
        Bad{{}, {"--install-gate="}, "command line: --install-gate: \"\" is not a boolean"},
        Bad{{},
            {"--install-mode=a=b"},
            "command line: --install-mode: \"a=b\" is not allowed here"},
        Bad{{}, {"--monitoring-port=x"}, "command line: --monitoring-port: \"x\" is not a port"},
        Bad{{},
            {"--kubeconfig-mode=0x1"},
            "command line: --kubeconfig-mode: \"0x1\" is not a file"},
        Bad{{}, {"--repair-enabled=2"}, "command line: --repair-enabled: \"2\" is not a boolean"},
        Bad{{}, {"--ambient-enabled"}, "command line: --ambient-enabled: ambient mode is not"},
        Bad{{},
            {"--log_output_level=default:loud"},
            "command line: --log_output_level: \"loud\" is not allowed here; allowed: debug"},
        Bad{{}, {"--config"}, "command line: --config: needs a value"}));

TEST(Flags, SeveralMistakesAreAllFound) {
  const auto outcome = load_flags(
      {"--install-mode", "--state-dir", "--nothing-like-it", "--run-dir=x", "--log-level"});
  Strings keys;
  for (const auto& problem : outcome.problems) keys.push_back(problem.key);
  EXPECT_THAT(keys,
              ::testing::UnorderedElementsAre("--install-mode", "--state-dir", "--nothing-like-it",
                                              "--run-dir", "--log-level"));
}

TEST(Flags, ConfigIsTheProgramsOwn) {
  EXPECT_EQ(good(load_flags({"--config", "/etc/x"})), Config());
  EXPECT_EQ(good(load_flags({"--config=/etc/x", "--log-relay"})).log_relay, true);
}

TEST(Flags, BooleansNeedNoValueAndEmptyTextIsPossible) {
  EXPECT_TRUE(good(load_flags({"--log-relay"})).log_relay);
  EXPECT_FALSE(good(load_flags({"--log-relay", "--log-relay=false"})).log_relay);
  EXPECT_FALSE(good(load_flags({"--log-relay", "false"})).log_relay);
  EXPECT_EQ(good(load_flags({"--repair-label-value="})).repair.label_value, "");
  EXPECT_EQ(good(load_flags({"--repair-label-value", ""})).repair.label_value, "");
}

TEST(Environment, UnrelatedVariablesAndServiceLinksAreIgnored) {
  const auto outcome = load_env(
      {"PATH=/bin", "HOME", "=x", "AMBIENT_DNS_CAPTURE=true", "ISTIO_META_X=1",
       "ISTIO_CNI_NODE_SERVICE_HOST=10.0.0.1", "ISTIO_CNI_NODE_SERVICE_PORT=15014",
       "ISTIO_CNI_NODE_SERVICE_PORT_HTTP_METRICS=15014", "ISTIO_CNI_NODE_PORT=tcp://10.0.0.1:15014",
       "ISTIO_CNI_NODE_PORT_15014_TCP=tcp://10.0.0.1:15014",
       "ISTIO_CNI_NODE_PORT_15014_TCP_PROTO=tcp", "ISTIO_CNI_PORT_15014_UDP_ADDR=10.0.0.1"});
  EXPECT_EQ(good(outcome), Config());
  EXPECT_THAT(outcome.loaded.warnings, IsEmpty());
}

TEST(Environment, TheFirstOfTwoCounts) {
  EXPECT_EQ(good(load_env({"ISTIO_CNI_RUN_DIR=/a", "ISTIO_CNI_RUN_DIR=/b"})).run_dir, "/a");
}

// --- the known agent ---------------------------------------------------

struct KnownCase {
  Strings environment;
  Strings arguments;
  std::string key;
  std::string shown;
};

class KnownAgent : public ::testing::TestWithParam<KnownCase> {};

TEST_P(KnownAgent, StandsForASetting) {
  const auto outcome = load({}, GetParam().environment, GetParam().arguments);
  EXPECT_EQ(printed(good(outcome), GetParam().key), GetParam().shown);
  EXPECT_EQ(texts(outcome.loaded.warnings), "");
}

INSTANTIATE_TEST_SUITE_P(
    Environment, KnownAgent,
    ::testing::Values(
        KnownCase{
            {"CNI_CONF_NAME=10-a.conflist"}, {}, "install.cni_conf_name", "\"10-a.conflist\""},
        KnownCase{{"CNI_CONF_NAME="}, {}, "install.cni_conf_name", "\"\""},
        KnownCase{{"CHAINED_CNI_PLUGIN=true"}, {}, "install.mode", "chained"},
        KnownCase{{"CHAINED_CNI_PLUGIN=false"}, {}, "install.mode", "standalone"},
        KnownCase{{"ISTIO_OWNED_CNI_CONFIG=true"}, {}, "install.mode", "owned"},
        KnownCase{{"ISTIO_OWNED_CNI_CONFIG=false"}, {}, "install.mode", "chained"},
        KnownCase{{"CHAINED_CNI_PLUGIN=false", "ISTIO_OWNED_CNI_CONFIG=true"},
                  {},
                  "install.mode",
                  "standalone"},
        KnownCase{{"CHAINED_CNI_PLUGIN=true", "ISTIO_OWNED_CNI_CONFIG=true"},
                  {},
                  "install.mode",
                  "owned"},
        // without chaining, the name is that of the agent's own file
        KnownCase{{"CHAINED_CNI_PLUGIN=false", "CNI_CONF_NAME=istio-cni.conf"},
                  {},
                  "install.standalone_conf_name",
                  "istio-cni.conf"},
        KnownCase{{"CHAINED_CNI_PLUGIN=false", "CNI_CONF_NAME=istio-cni.conf"},
                  {},
                  "install.cni_conf_name",
                  "\"\""},
        KnownCase{{"CHAINED_CNI_PLUGIN=false", "CNI_CONF_NAME="},
                  {},
                  "install.standalone_conf_name",
                  "YYY-istio-cni.conf"},
        KnownCase{{"CNI_CONF_NAME=istio-cni.conf"},
                  {"--chained-cni-plugin=false"},
                  "install.cni_conf_name",
                  "\"\""},
        KnownCase{{"CNI_CONF_NAME=istio-cni.conf"},
                  {"--install-mode=standalone"},
                  "install.cni_conf_name",
                  "istio-cni.conf"},
        KnownCase{{"ISTIO_OWNED_CNI_CONFIG_FILENAME=a.conflist"},
                  {},
                  "install.owned_conf_name",
                  "a.conflist"},
        KnownCase{{"ISTIO_OWNED_CNI_CONF_FILENAME=b.conflist"},
                  {},
                  "install.owned_conf_name",
                  "b.conflist"},
        KnownCase{{"ISTIO_OWNED_CNI_CONFIG_FILENAME=a.conflist",
                   "ISTIO_OWNED_CNI_CONF_FILENAME=b.conflist"},
                  {},
                  "install.owned_conf_name",
                  "a.conflist"},
        KnownCase{{"ISTIO_OWNED_CNI_CONFIG_FILENAME="},
                  {},
                  "install.owned_conf_name",
                  "\"02-istio-cni.conflist\""},
        KnownCase{{"MOUNTED_CNI_NET_DIR=/host/etc/cni/net.d"},
                  {},
                  "install.cni_conf_dir",
                  "/etc/cni/net.d"},
        KnownCase{{"MOUNTED_CNI_NET_DIR=/host/etc/cni/net.d"}, {}, "host_root", "/host"},
        KnownCase{{"MOUNTED_CNI_NET_DIR=/mnt/n/cni"},
                  {"--host-root=/mnt/n"},
                  "install.cni_conf_dir",
                  "/cni"},
        KnownCase{{"MOUNTED_CNI_NET_DIR=/etc/cni/net.d"}, {}, "host_root", "\"\""},
        KnownCase{{"MOUNTED_CNI_NET_DIR=/hostile"}, {}, "install.cni_conf_dir", "/hostile"},
        KnownCase{{"MOUNTED_CNI_NET_DIR=/host/a"},
                  {"--install-cni-conf-dir=/host/b"},
                  "install.cni_conf_dir",
                  "/host/b"},
        KnownCase{{"CNI_AGENT_RUN_DIR=/var/run/istio-cni"}, {}, "run_dir", "/var/run/istio-cni"},
        KnownCase{{"KUBECONFIG_MODE=420"}, {}, "install.kubeconfig_mode", "\"0644\""},
        KnownCase{{"KUBECONFIG_MODE=0640"}, {}, "install.kubeconfig_mode", "\"0640\""},
        KnownCase{{"CNI_CONF_GROUP_READ=1"}, {}, "install.conf_group_read", "true"},
        KnownCase{{"MONITORING_PORT=9090"}, {}, "metrics.address", "\":9090\""},
        KnownCase{{"MONITORING_PORT=0"}, {}, "metrics.address", "\"off\""},
        KnownCase{{"MONITORING_PORT=-1"}, {}, "metrics.address", "\"off\""},
        KnownCase{{"REPAIR_BROKEN_POD_LABEL_KEY=a/b"}, {}, "repair.label_key", "a/b"},
        KnownCase{{"REPAIR_BROKEN_POD_LABEL_VALUE=x"}, {}, "repair.label_value", "x"},
        KnownCase{{"NODE_NAME=a1"}, {}, "api.node_name", "a1"},
        KnownCase{{"NODE_NAME=a1", "KUBERNETES_NODE_NAME=b1"}, {}, "api.node_name", "b1"},
        KnownCase{{"REPAIR_NODE_NAME=c1", "NODE_NAME=a1", "KUBERNETES_NODE_NAME=b1"},
                  {},
                  "api.node_name",
                  "c1"},
        KnownCase{{"REPAIR_NODE_NAME=", "NODE_NAME=a1"}, {}, "api.node_name", "a1"},
        KnownCase{{"REPAIR_SIDECAR_ANNOTATION="}, {}, "repair.sidecar_annotation", "\"\""},
        KnownCase{{"REPAIR_INIT_CONTAINER_NAME=v"}, {}, "repair.init_container_name", "v"},
        KnownCase{{"REPAIR_INIT_CONTAINER_TERMINATION_MESSAGE=m"},
                  {},
                  "repair.init_container_termination_message",
                  "m"},
        KnownCase{
            {"REPAIR_INIT_CONTAINER_EXIT_CODE=0"}, {}, "repair.init_container_exit_code", "0"},
        KnownCase{{"REPAIR_LABEL_SELECTORS=a"}, {}, "repair.label_selectors", "a"},
        KnownCase{{"REPAIR_FIELD_SELECTORS=metadata.name=a"},
                  {},
                  "repair.field_selectors",
                  "\"metadata.name=a\""},
        KnownCase{{"EXCLUDE_NAMESPACES=istio-system, kube-system,"},
                  {},
                  "plugin.exclude_namespaces",
                  "[istio-system, kube-system]"},
        KnownCase{{"EXCLUDE_NAMESPACES="}, {}, "plugin.exclude_namespaces", "[]"},
        KnownCase{{"POD_NAMESPACE=istio-system"}, {}, "plugin.agent_namespace", "istio-system"},
        KnownCase{{"NATIVE_NFTABLES=true"}, {}, "plugin.backend", "nftables"},
        KnownCase{{"NATIVE_NFTABLES=false"}, {}, "plugin.backend", "auto"}));

INSTANTIATE_TEST_SUITE_P(
    Repair, KnownAgent,
    ::testing::Values(
        KnownCase{{"REPAIR_ENABLED=false"}, {}, "repair.mode", "\"off\""},
        KnownCase{
            {"REPAIR_ENABLED=false", "REPAIR_REPAIR_PODS=true"}, {}, "repair.mode", "\"off\""},
        // it names no way of repair
        KnownCase{{"REPAIR_ENABLED=true"}, {}, "repair.mode", "delete"},
        KnownCase{{"REPAIR_REPAIR_PODS=true"}, {}, "repair.mode", "repair"},
        KnownCase{{"REPAIR_DELETE_PODS=true"}, {}, "repair.mode", "delete"},
        KnownCase{{"REPAIR_LABEL_PODS=true"}, {}, "repair.mode", "label"},
        KnownCase{
            {"REPAIR_LABEL_PODS=true", "REPAIR_DELETE_PODS=true"}, {}, "repair.mode", "delete"},
        KnownCase{{"REPAIR_LABEL_PODS=true", "REPAIR_DELETE_PODS=true", "REPAIR_REPAIR_PODS=true"},
                  {},
                  "repair.mode",
                  "repair"},
        KnownCase{{"REPAIR_ENABLED=true", "REPAIR_LABEL_PODS=false", "REPAIR_DELETE_PODS=false",
                   "REPAIR_REPAIR_PODS=false"},
                  {},
                  "repair.mode",
                  "\"off\""},
        KnownCase{{"REPAIR_DELETE_PODS=false"}, {}, "repair.mode", "\"off\""},
        KnownCase{{}, {"--repair-delete-pods"}, "repair.mode", "delete"},
        KnownCase{{}, {"--repair-label-pods"}, "repair.mode", "label"},
        KnownCase{{}, {"--repair-enabled=false"}, "repair.mode", "\"off\""},
        // a flag outranks its own variable, not the others
        KnownCase{{"REPAIR_REPAIR_PODS=true"}, {"--repair-delete-pods"}, "repair.mode", "repair"},
        KnownCase{{"REPAIR_DELETE_PODS=true"},
                  {"--repair-delete-pods=false", "--repair-label-pods"},
                  "repair.mode",
                  "label"},
        KnownCase{
            {"ISTIO_CNI_REPAIR_MODE=off", "REPAIR_DELETE_PODS=true"}, {}, "repair.mode", "\"off\""},
        KnownCase{{"ISTIO_CNI_REPAIR_MODE=off"}, {"--repair-label-pods"}, "repair.mode", "label"},
        KnownCase{{}, {"--repair-label-pods", "--repair-mode=off"}, "repair.mode", "\"off\""}));

INSTANTIATE_TEST_SUITE_P(
    CommandLine, KnownAgent,
    ::testing::Values(
        KnownCase{{}, {"--cni-conf-name=a.conf"}, "install.cni_conf_name", "a.conf"},
        KnownCase{{"CNI_CONF_NAME=b.conf"}, {"--cni-conf-name="}, "install.cni_conf_name", "\"\""},
        KnownCase{{}, {"--chained-cni-plugin=false"}, "install.mode", "standalone"},
        KnownCase{
            {"ISTIO_CNI_INSTALL_MODE=owned"}, {"--chained-cni-plugin"}, "install.mode", "chained"},
        KnownCase{{}, {"--istio-owned-cni-config"}, "install.mode", "owned"},
        KnownCase{{"ISTIO_OWNED_CNI_CONFIG=true"},
                  {"--chained-cni-plugin=true"},
                  "install.mode",
                  "owned"},
        KnownCase{{},
                  {"--istio-owned-cni-config-filename=a.conflist"},
                  "install.owned_conf_name",
                  "a.conflist"},
        KnownCase{{}, {"--mounted-cni-net-dir=/host/a"}, "install.cni_conf_dir", "/a"},
        KnownCase{{}, {"--cni-agent-run-dir=/a"}, "run_dir", "/a"},
        KnownCase{{}, {"--kubeconfig-mode=0644"}, "install.kubeconfig_mode", "\"0644\""},
        KnownCase{{}, {"--cni-conf-group-read"}, "install.conf_group_read", "true"},
        KnownCase{{}, {"--monitoring-port=-1"}, "metrics.address", "\"off\""},
        KnownCase{{}, {"--monitoring-port", "1"}, "metrics.address", "\":1\""},
        KnownCase{{}, {"--repair-broken-pod-label-key=k"}, "repair.label_key", "k"},
        KnownCase{{}, {"--repair-broken-pod-label-value="}, "repair.label_value", "\"\""},
        KnownCase{{"NODE_NAME=b1"}, {"--repair-node-name=a1"}, "api.node_name", "a1"},
        KnownCase{{}, {"--repair-sidecar-annotation="}, "repair.sidecar_annotation", "\"\""},
        KnownCase{{}, {"--repair-init-container-name=a"}, "repair.init_container_name", "a"},
        KnownCase{{},
                  {"--repair-init-container-termination-message=a"},
                  "repair.init_container_termination_message",
                  "a"},
        KnownCase{
            {}, {"--repair-init-container-exit-code=1"}, "repair.init_container_exit_code", "1"},
        KnownCase{{}, {"--repair-label-selectors=a"}, "repair.label_selectors", "a"},
        KnownCase{{},
                  {"--repair-field-selectors=metadata.name=a"},
                  "repair.field_selectors",
                  "\"metadata.name=a\""},
        KnownCase{{}, {"--log-level=warn"}, "log.level", "warn"},
        KnownCase{{}, {"--log_output_level=default:debug,cni-plugin:warn"}, "log.level", "debug"},
        KnownCase{
            {}, {"--log_output_level=default:debug,cni-plugin:warn"}, "plugin.log_level", "warn"},
        KnownCase{{}, {"--log_output_level=error"}, "log.level", "error"},
        KnownCase{{}, {"--log_output_level=error"}, "plugin.log_level", "info"},
        KnownCase{{}, {"--log_output_level=all:none"}, "plugin.log_level", "none"},
        KnownCase{{}, {"--log_output_level=cni-agent:none"}, "log.level", "none"},
        KnownCase{{}, {"--log_output_level="}, "log.level", "info"}));

struct Ignored {
  Strings environment;
  Strings arguments;
  Strings warned;  ///< keys of the warnings
};

class KnownWithoutEffect : public ::testing::TestWithParam<Ignored> {};

TEST_P(KnownWithoutEffect, IsAcceptedAndWarnedAboutIfItAsksForSomething) {
  const auto outcome = load({}, GetParam().environment, GetParam().arguments);
  EXPECT_EQ(good(outcome), Config());
  Strings warned;
  for (const auto& warning : outcome.loaded.warnings) {
    EXPECT_THAT(warning.message, HasSubstr("ignoring it"));
    warned.push_back(warning.key);
  }
  EXPECT_EQ(warned, GetParam().warned);
}

INSTANTIATE_TEST_SUITE_P(
    All, KnownWithoutEffect,
    ::testing::Values(
        Ignored{{"KUBE_CA_FILE="}, {}, {}}, Ignored{{"KUBE_CA_FILE=/a"}, {}, {"KUBE_CA_FILE"}},
        Ignored{{"SKIP_TLS_VERIFY=false"}, {}, {}},
        Ignored{{"SKIP_TLS_VERIFY=true"}, {}, {"SKIP_TLS_VERIFY"}},
        Ignored{{"FORCE_IPTABLES_BINARY="}, {}, {}},
        Ignored{{"FORCE_IPTABLES_BINARY=nft"}, {}, {"FORCE_IPTABLES_BINARY"}},
        Ignored{{"AMBIENT_ENABLED=false", "AMBIENT_IPV6=true", "AMBIENT_DNS_CAPTURE=true"}, {}, {}},
        Ignored{{"ENABLE_AMBIENT_DETECTION_RETRY=false"}, {}, {}},
        Ignored{{"ENABLE_AMBIENT_DETECTION_RETRY=true"}, {}, {"ENABLE_AMBIENT_DETECTION_RETRY"}},
        Ignored{{"ZTUNNEL_UDS_ADDRESS=/a"}, {}, {"ZTUNNEL_UDS_ADDRESS"}},
        Ignored{{"CNI_NETWORK_CONFIG={}", "CNI_NETWORK_CONFIG_FILE=/a"},
                {},
                {"CNI_NETWORK_CONFIG", "CNI_NETWORK_CONFIG_FILE"}},
        Ignored{{"LOG_LEVEL=debug"}, {}, {"LOG_LEVEL"}}, Ignored{{"LOG_LEVEL="}, {}, {}},
        Ignored{{"CTRLZ_PORT=9876"}, {}, {"CTRLZ_PORT"}}, Ignored{{}, {"--ctrlz_port=0"}, {}},
        Ignored{{},
                {"--ctrlz_port=9876", "--ctrlz_address=localhost"},
                {"--ctrlz_port", "--ctrlz_address"}},
        Ignored{{}, {"--log_as_json"}, {"--log_as_json"}}, Ignored{{}, {"--log_as_json=false"}, {}},
        Ignored{{}, {"--log_output_level=grpc:debug"}, {"--log_output_level"}},
        Ignored{{},
                {"--kube-ca-file=/a", "--skip-tls-verify"},
                {"--kube-ca-file", "--skip-tls-verify"}},
        Ignored{{}, {"--ambient-enabled=false", "--cni-network-config="}, {}}));

TEST(KnownDaemonSet, TheChartsOwnEnvironmentIsTaken) {
  const auto outcome = load({},
                            {"CURRENT_AGENT_VERSION=1.29.0",
                             "AMBIENT_ENABLED=false",
                             "AMBIENT_DNS_CAPTURE=false",
                             "AMBIENT_IPV6=false",
                             "ISTIO_OWNED_CNI_CONFIG=false",
                             "CHAINED_CNI_PLUGIN=true",
                             "EXCLUDE_NAMESPACES=kube-system",
                             "REPAIR_ENABLED=true",
                             "REPAIR_LABEL_PODS=false",
                             "REPAIR_DELETE_PODS=false",
                             "REPAIR_REPAIR_PODS=true",
                             "REPAIR_INIT_CONTAINER_NAME=istio-validation",
                             "REPAIR_BROKEN_POD_LABEL_KEY=cni.istio.io/uninitialized",
                             "REPAIR_BROKEN_POD_LABEL_VALUE=true",
                             "NATIVE_NFTABLES=false",
                             "REPAIR_NODE_NAME=node-1",
                             "NODE_NAME=node-1",
                             "POD_NAME=istio-cni-node-x",
                             "POD_NAMESPACE=istio-system",
                             "REPAIR_SIDECAR_ANNOTATION=sidecar.istio.io/status",
                             "REPAIR_RUN_AS_DAEMON=true",
                             "ALLOW_SWITCH_TO_HOST_NS=true",
                             "GOMEMLIMIT=100"},
                            {"--log_output_level=info"});
  Config expected;
  expected.api.node_name = "node-1";
  expected.plugin.agent_namespace = "istio-system";
  expected.repair.mode = RepairMode::repair;
  EXPECT_EQ(good(outcome), expected);
  EXPECT_EQ(texts(outcome.loaded.warnings), "");
  EXPECT_EQ(outcome.loaded.sources.at("repair.mode").where, "REPAIR_REPAIR_PODS");
}

TEST(KnownDaemonSet, TheConfNameFollowsAModeFromTheFile) {
  const auto config = good(
      load({{"a.yaml", "install: {mode: standalone}\n"}}, {"CNI_CONF_NAME=istio-cni.conf"}, {}));
  EXPECT_EQ(config.install.standalone_conf_name, "istio-cni.conf");
  EXPECT_EQ(config.install.cni_conf_name, "");
}

}  // namespace
}  // namespace config
