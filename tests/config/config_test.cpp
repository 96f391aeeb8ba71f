// Files: what is read from them, and every complaint with its place.
#include "config/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.hpp"
#include "config/settings.hpp"

namespace config {
namespace {

using ::testing::HasSubstr;

TEST(ConfigFile, NothingIsTheDefaults) {
  for (const std::string text : {"", "\n", "# nothing\n", "---\n", "---\n# nothing\n...\n", "{}",
                                 "install:\nrepair:\n", "install: {}\n", "~"})
    EXPECT_EQ(good(load_yaml(text)), Config()) << text;
  EXPECT_EQ(good(load({}, {}, {})), Config());
}

TEST(ConfigFile, EverySettingIsRead) {
  const auto config = good(load_yaml(R"(
log: {level: debug}
run_dir: /run/a/
state_dir: /var/a
host_root: /host/
log_relay: true
api:
  kubeconfig: /etc/k
  node_name: node-1.example
install:
  mode: owned
  gate: true
  cni_conf_dir: /etc/cni//net.d/
  cni_bin_dirs:
    - /opt/cni/bin
    - /usr/lib/cni/
  cni_conf_name: 10-a.json
  owned_conf_name: 00-a.conflist
  standalone_conf_name: zz.conflist
  kubeconfig_mode: 0640
  conf_group_read: true
  on_stop: auto
  plugin_binary: /opt/p
plugin:
  log_level: error
  backend: iptables
  exclude_namespaces: [a, 'b']
  agent_namespace: istio-system
  timeout: 1500ms
repair:
  mode: repair-then-delete
  evict: true
  sidecar_annotation: a/b
  init_container_name: c
  init_container_termination_message: "two\nlines"
  init_container_exit_code: 0
  label_selectors: "a=b,!c"
  field_selectors: metadata.name!=x
  label_key: k
  label_value: true
  per_owner: 1
  per_node: 2
metrics: {address: off}
health: {address: "[::1]:8001"}
)"));
  Config expected{.log_level = logging::Level::debug,
                  .run_dir = "/run/a",
                  .state_dir = "/var/a",
                  .host_root = "/host",
                  .log_relay = true,
                  .api = {"/etc/k", "node-1.example"},
                  .install = {.mode = InstallMode::owned,
                              .gate = true,
                              .cni_conf_dir = "/etc/cni//net.d",
                              .cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"},
                              .cni_conf_name = "10-a.json",
                              .owned_conf_name = "00-a.conflist",
                              .standalone_conf_name = "zz.conflist",
                              .kubeconfig_mode = 0640,
                              .conf_group_read = true,
                              .on_stop = OnStop::automatic,
                              .plugin_binary = "/opt/p"},
                  .plugin = {logging::Level::error,
                             cni::BackendChoice::iptables,
                             {"a", "b"},
                             "istio-system",
                             std::chrono::milliseconds(1500)},
                  .repair = {RepairMode::repair_then_delete, true, "a/b", "c", "two\nlines", 0,
                             "a=b,!c", "metadata.name!=x", "k", "true", 1, 2},
                  .metrics = {false, "", 0},
                  .health = {true, "::1", 8001}};
  EXPECT_EQ(config, expected);
}

TEST(ConfigFile, EveryWordIsAllowed) {
  int words = 0;
  for (const auto& setting : settings())
    for (const auto& word : setting.words) {
      const auto text = setting.section() + ": {" + setting.name() + ": " + word + "}";
      Config config = good(load_yaml(text));
      EXPECT_EQ(setting.print(config), word == "off" ? "\"off\"" : word) << setting.key;
      ++words;
    }
  EXPECT_EQ(words, 6 + 3 + 3 + 6 + 3 + 5);
}

TEST(ConfigFile, AnchorsAndAliases) {
  const auto config =
      good(load_yaml("install: {mode: &word standalone}\n"
                     "plugin: {exclude_namespaces: &l [a, b], log_level: debug}\n"
                     "repair: {label_value: *word}\n"
                     "api: {node_name: *word}\n"));
  EXPECT_EQ(config.install.mode, InstallMode::standalone);
  EXPECT_EQ(config.repair.label_value, "standalone");
  EXPECT_EQ(config.api.node_name, "standalone");
}

TEST(ConfigFile, ALaterFileOverridesByKeyAndReplacesLists) {
  const auto outcome =
      load({{"a.yaml", "plugin:\n  exclude_namespaces: [a, b]\n  log_level: debug\n"},
            {"b.yaml", "plugin:\n  exclude_namespaces: [c]\n"}},
           {}, {});
  const auto config = good(outcome);
  EXPECT_EQ(config.plugin.exclude_namespaces, Strings{"c"});
  EXPECT_EQ(config.plugin.log_level, logging::Level::debug);
  EXPECT_EQ(outcome.loaded.sources.at("plugin.exclude_namespaces").where, "b.yaml:2");
  EXPECT_EQ(outcome.loaded.sources.at("plugin.log_level").where, "a.yaml:3");
}

struct BadFile {
  std::string text;
  std::string start;  ///< of the only problem: place and key
  std::string part;
};

class BadFiles : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadFiles, OneProblemWithItsPlace) {
  const auto outcome = load_yaml(GetParam().text);
  ASSERT_EQ(outcome.problems.size(), 1U) << texts(outcome.problems);
  const auto text = outcome.problems.front().text();
  EXPECT_EQ(text.substr(0, GetParam().start.size()), GetParam().start) << text;
  EXPECT_THAT(text, HasSubstr(GetParam().part));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, BadFiles,
    ::testing::Values(
        BadFile{"install:\n  mod: owned\n",
                "c.yaml:2:3: install.mod: ", "did you mean install.mode?"},
        BadFile{"instal:\n  mode: owned\n", "c.yaml:1:1: instal: ", "did you mean install?"},
        BadFile{"rundir: /a\n", "c.yaml:1:1: rundir: ", "did you mean run_dir?"},
        BadFile{"run-dir: /a\n", "c.yaml:1:1: run-dir: ", "did you mean run_dir?"},
        BadFile{"install: {cniConfDir: /a}\n",
                "c.yaml:1:11: install.cniConfDir: ", "did you mean install.cni_conf_dir?"},
        BadFile{"repair:\n  gate: true\n", "c.yaml:2:3: repair.gate: ",
                "did you mean install.gate, that is gate: below install:?"},
        BadFile{"gate: true\n", "c.yaml:1:1: gate: ", "gate: below install:"},
        BadFile{"address: ':1'\n", "c.yaml:1:1: address: ", "metrics.address or health.address"},
        BadFile{"log:\n  run_dir: /a\n",
                "c.yaml:2:3: log.run_dir: ", "did you mean run_dir, at the top level?"},
        BadFile{"install.mode: owned\n", "c.yaml:1:1: install.mode: ", "mode: below install:"},
        BadFile{"install_mode: owned\n", "c.yaml:1:1: install_mode: ", "mode: below install:"},
        BadFile{"sidecar_anotation: a\n",
                "c.yaml:1:1: sidecar_anotation: ", "repair.sidecar_annotation"},
        BadFile{"metrics: {qqqqqqqqqqqqqqq: 1}\n",
                "c.yaml:1:11: metrics.qqqqqqqqqqqqqqq: ", "known here: address"},
        BadFile{"\"a\\nb\": 1\n", "c.yaml:1:1: a\\x0ab: ", "unknown key"},
        BadFile{"\"\": 1\n", "c.yaml:1:1: unknown key", "known here: run_dir, "},
        BadFile{"log: {level: debug}\ninstall: {gate: false}\nlog: {level: info}\n",
                "c.yaml:3:1: log: ", "is given twice, first in line 1"},
        BadFile{"install:\n  gate: false\n  mode: owned\n  gate: false\n",
                "c.yaml:4:3: install.gate: ", "first in line 2"},
        BadFile{"? [a, b]\n: c\n", "c.yaml:1:3: ", "a key is expected here"},
        BadFile{"a: &x {level: info}\nlog:\n  <<: *x\n", "c.yaml:3:3: ", "merge keys"}));

INSTANTIATE_TEST_SUITE_P(
    Types, BadFiles,
    ::testing::Values(
        BadFile{"install: owned\n",
                "c.yaml:1:10: install: ", "is a single value; a map is expected"},
        BadFile{"install: [owned]\n", "c.yaml:1:10: install: ", "is a list; a map is expected"},
        BadFile{"install:\n  mode: [owned]\n",
                "c.yaml:2:9: install.mode: ", "is a list; expected: chained, owned or standalone"},
        BadFile{"install:\n  mode: {a: b}\n", "c.yaml:2:9: install.mode: ", "is a map"},
        BadFile{"install:\n  mode:\n", "c.yaml:2:3: install.mode: ",
                "has no value; expected: chained, owned or standalone"},
        BadFile{"run_dir: ~\n", "c.yaml:1:1: run_dir: ", "has no value"},
        BadFile{"plugin:\n  exclude_namespaces: a\n", "c.yaml:2:23: plugin.exclude_namespaces: ",
                "a list is expected: exclude_namespaces: [a]"},
        BadFile{"plugin: {exclude_namespaces: }\n",
                "c.yaml:1:10: plugin.exclude_namespaces: ", "has no value"},
        BadFile{"plugin:\n  exclude_namespaces: {a: b}\n",
                "c.yaml:2:23: plugin.exclude_namespaces: ", "is a map"},
        BadFile{"plugin:\n  exclude_namespaces:\n  - a\n  - [b]\n",
                "c.yaml:3:3: plugin.exclude_namespaces: ", "has a list in line 4"},
        BadFile{"plugin: {exclude_namespaces: [a, ~]}\n",
                "c.yaml:1:30: plugin.exclude_namespaces: ", "an empty element"},
        BadFile{"install: {gate: yes}\n",
                "c.yaml:1:17: install.gate: ", "\"yes\" is neither true nor false; write true"},
        BadFile{"install: {gate: Off}\n", "c.yaml:1:17: install.gate: ", "write false"},
        BadFile{"install: {gate: True}\n", "c.yaml:1:17: install.gate: ", "write true"},
        BadFile{"install: {gate: 1}\n", "c.yaml:1:17: install.gate: ", "neither true nor false"},
        BadFile{"install: {gate: 'true'}\n", "c.yaml:1:17: install.gate: ", "is quoted"},
        BadFile{"repair: {per_node: '3'}\n", "c.yaml:1:20: repair.per_node: ", "is quoted"},
        BadFile{"repair: {per_node: three}\n",
                "c.yaml:1:20: repair.per_node: ", "is not a number between 1 and"},
        BadFile{"repair: {per_node: !!int 3}\n", "c.yaml:1:20: ", "the tag"},
        BadFile{"install: !vault\n  mode: owned\n", "c.yaml:", "\"!vault\" is not supported"},
        BadFile{"repair: {mode: false}\n", "c.yaml:1:16: repair.mode: ", "write \"off\""},
        BadFile{"- a\n", "c.yaml:1:1: ", "is a list; a map is expected"},
        BadFile{"text\n", "c.yaml:1:1: ", "is a single value; a map is expected"}));

INSTANTIATE_TEST_SUITE_P(
    Values, BadFiles,
    ::testing::Values(
        BadFile{"install:\n  mode: chaind\n", "c.yaml:2:9: install.mode: ",
                "\"chaind\" is not allowed here; allowed: chained, owned or standalone; did you "
                "mean chained?"},
        BadFile{"log: {level: verbose}\n", "c.yaml:1:14: log.level: ", "debug, info, warn"},
        BadFile{"run_dir: run\n", "c.yaml:1:10: run_dir: ", "not an absolute path"},
        BadFile{"run_dir: ''\n", "c.yaml:1:10: run_dir: ", "not an absolute path"},
        BadFile{"run_dir: /\n", "c.yaml:1:10: run_dir: ", "root folder"},
        BadFile{"state_dir: /a/../b\n", "c.yaml:1:12: state_dir: ", "\"..\""},
        BadFile{"run_dir: /" + std::string(100, 'a') + "\n",
                "c.yaml:1:10: run_dir: ", "longer than 90 bytes"},
        BadFile{"state_dir: \"/a\\0b\"\n", "c.yaml:1:12: state_dir: ", "control character"},
        BadFile{"state_dir: /" + std::string(5000, 'a'),
                "c.yaml:1:12: state_dir: ", "longer than 4096"},
        BadFile{"install: {plugin_binary: \"/a\\nb\"}\n",
                "c.yaml:1:26: install.plugin_binary: ", "control character"},
        BadFile{"install: {cni_bin_dirs: [/a, b]}\n",
                "c.yaml:1:25: install.cni_bin_dirs: ", "\"b\" is not an absolute path"},
        BadFile{"install: {cni_conf_name: a/b.conf}\n",
                "c.yaml:1:26: install.cni_conf_name: ", "without its folder"},
        BadFile{"install: {cni_conf_name: b.txt}\n",
                "c.yaml:1:26: install.cni_conf_name: ", "must end in .conf, .conflist or .json"},
        BadFile{"install: {owned_conf_name: b.conf}\n",
                "c.yaml:1:28: install.owned_conf_name: ", "must end in .conflist"},
        BadFile{"install: {owned_conf_name: ''}\n",
                "c.yaml:1:28: install.owned_conf_name: ", "must end in .conflist"},
        BadFile{"install: {standalone_conf_name: .conf}\n",
                "c.yaml:1:33: install.standalone_conf_name: ", "must end in"},
        BadFile{"install: {kubeconfig_mode: 600}\n",
                "c.yaml:1:28: install.kubeconfig_mode: ", "did you mean \"0600\"?"},
        BadFile{"install: {kubeconfig_mode: 384}\n",
                "c.yaml:1:28: install.kubeconfig_mode: ", "did you mean \"0600\"?"},
        BadFile{"install: {kubeconfig_mode: 01777}\n",
                "c.yaml:1:28: install.kubeconfig_mode: ", "0400 to 0777"},
        BadFile{"install: {kubeconfig_mode: '0200'}\n",
                "c.yaml:1:28: install.kubeconfig_mode: ", "does not let the owner read"},
        BadFile{"plugin: {timeout: 999ms}\n",
                "c.yaml:1:19: plugin.timeout: ", "between 1s and 10m"},
        BadFile{"plugin: {timeout: 11m}\n", "c.yaml:1:19: plugin.timeout: ", "between 1s and 10m"},
        BadFile{"plugin: {timeout: 1h}\n", "c.yaml:1:19: plugin.timeout: ", "30s, 1500ms, 2m"},
        BadFile{"plugin: {timeout: 1.5}\n", "c.yaml:1:19: plugin.timeout: ", "not a duration"},
        BadFile{"plugin: {exclude_namespaces: [Kube]}\n",
                "c.yaml:1:30: plugin.exclude_namespaces: ", "not a namespace's name"},
        BadFile{"plugin: {agent_namespace: a.b}\n",
                "c.yaml:1:27: plugin.agent_namespace: ", "not a namespace's name"},
        BadFile{"api: {node_name: Node}\n", "c.yaml:1:18: api.node_name: ", "not a node's name"},
        BadFile{"repair: {init_container_exit_code: 256}\n",
                "c.yaml:1:36: repair.init_container_exit_code: ", "between 0 and 255"},
        BadFile{"repair: {init_container_exit_code: -1}\n",
                "c.yaml:1:36: repair.init_container_exit_code: ", "between 0 and 255"},
        BadFile{"repair: {per_owner: 0}\n", "c.yaml:1:21: repair.per_owner: ", "between 1 and"},
        BadFile{"repair: {per_node: 99999999999999999999}\n",
                "c.yaml:1:20: repair.per_node: ", "between 1 and"},
        BadFile{"repair: {label_key: 'a/b/c'}\n", "c.yaml:1:21: repair.label_key: ", "PREFIX/NAME"},
        BadFile{"repair: {label_key: ''}\n", "c.yaml:1:21: repair.label_key: ", "PREFIX/NAME"},
        BadFile{"repair: {label_value: -a}\n",
                "c.yaml:1:23: repair.label_value: ", "not a label's value"},
        BadFile{"repair: {field_selectors: spec.nodename=a}\n",
                "c.yaml:1:27: repair.field_selectors: ", "did you mean spec.nodeName?"},
        BadFile{"metrics: {address: '0'}\n", "c.yaml:1:20: metrics.address: ", "has no port"},
        BadFile{"metrics: {address: ':65536'}\n",
                "c.yaml:1:20: metrics.address: ", "between 1 and 65535"},
        BadFile{"health: {address: '::1:80'}\n",
                "c.yaml:1:19: health.address: ", "without brackets"}));

INSTANTIATE_TEST_SUITE_P(
    Syntax, BadFiles,
    ::testing::Values(
        BadFile{"install:\n  mode: [owned\nrun_dir: /a\n", "c.yaml:", "not valid YAML: "},
        BadFile{"install:\n\tmode: owned\n", "c.yaml:2:", "not valid YAML: "},
        BadFile{"a: b: c\n", "c.yaml:1:5: ", "not valid YAML: "},
        BadFile{"log: {level: *nowhere}\n", "c.yaml:1:14: ", "not valid YAML: "},
        BadFile{"run_dir: /a\n---\nrun_dir: /b\n", "c.yaml:", "a second document begins here"},
        BadFile{std::string("run_dir: /a\nx\x04y"), "c.yaml:2:2: ", "a control character"},
        BadFile{std::string("r\0u\0n\0", 6), "c.yaml:1:2: ", "a control character"},
        BadFile{"a: " + std::string(600, '['), "c.yaml:1:", "nested deeper than 20 levels"},
        BadFile{"a: " + std::string(100, '{'), "c.yaml:1:", "nested deeper than 20 levels"},
        BadFile{"a: &a a\nb: &b [*b]\n", "c.yaml:2:8: ", "inside of what it names"}));

INSTANTIATE_TEST_SUITE_P(
    Together, BadFiles,
    ::testing::Values(
        BadFile{"install:\n  gate: true\n",
                "c.yaml:2:9: install.gate: ", "needs install.mode: owned"},
        // the mode is wrong already: what it means for the gate cannot be said
        BadFile{"install:\n  gate: true\n  mode: ownd\n",
                "c.yaml:3:9: install.mode: ", "did you mean owned?"},
        BadFile{
            "install: {cni_conf_name: 02-istio-cni.conflist}\n",
            "c.yaml:1:26: install.cni_conf_name: ", "is the same file as install.owned_conf_name"},
        BadFile{"install: {owned_conf_name: a.conflist, standalone_conf_name: a.conflist}\n",
                "c.yaml:1:62: install.standalone_conf_name: ", "the same file as"},
        BadFile{"metrics: {address: ':8000'}\n",
                "c.yaml:1:20: metrics.address: ", "the same address as health.address"},
        BadFile{"metrics: {address: '127.0.0.1:9000'}\nhealth: {address: ':9000'}\n",
                "c.yaml:2:19: health.address: ", "two servers need two ports"}));

TEST(ConfigFile, OnePortOnTwoAddressesIsFine) {
  good(load_yaml("metrics: {address: '127.0.0.1:9000'}\nhealth: {address: '127.0.0.2:9000'}\n"));
  good(load_yaml("metrics: {address: off}\nhealth: {address: off}\n"));
}

TEST(ConfigFile, AllProblemsAreFoundAtOnce) {
  const auto outcome = load({{"a.yaml", "install: {mode: x, gat: true}\n"},
                             {"b.yaml", "["},
                             {"c.yaml", "repair: {per_node: 0}\n"}},
                            {"ISTIO_CNI_RUN_DIR=x"}, {"--nothing", "--state-dir=x"});
  Strings places;
  for (const auto& problem : outcome.problems) places.push_back(problem.file + " " + problem.key);
  EXPECT_THAT(places, ::testing::UnorderedElementsAre(
                          "a.yaml install.mode", "a.yaml install.gat", "b.yaml ",
                          "c.yaml repair.per_node", "environment ISTIO_CNI_RUN_DIR",
                          "command line --nothing", "command line --state-dir"));
}

TEST(ConfigFile, ABadValueThatIsOverriddenIsStillAProblem) {
  const auto outcome =
      load({{"a.yaml", "run_dir: x\n"}}, {"ISTIO_CNI_RUN_DIR=/b"}, {"--run-dir=/c"});
  EXPECT_EQ(outcome.problems.size(), 1U);
}

TEST(ConfigFile, AliasBombsEndSoon) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const auto last = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 0; j < 9; ++j) text += ", " + last;
    text += "]\n";
  }
  const auto outcome = load_yaml(text);
  ASSERT_EQ(outcome.problems.size(), 1U);
  EXPECT_THAT(outcome.problems.front().message, HasSubstr("too many aliases"));
  EXPECT_GT(outcome.problems.front().line, 1);
}

TEST(ConfigFile, AnAliasOfALargeTextIsNotCopiedForEver) {
  std::string text = "a: &a " + std::string(500'000, 'x') + "\nb: [*a";
  for (int i = 0; i < 10'000; ++i) text += ",*a";
  const auto outcome = load_yaml(text + "]\n");
  ASSERT_EQ(outcome.problems.size(), 1U);
  EXPECT_THAT(outcome.problems.front().message, HasSubstr("too many aliases"));
}

TEST(ConfigFile, InvalidUtf8IsNoValue) {
  const auto outcome = load({}, {"ISTIO_CNI_REPAIR_INIT_CONTAINER_TERMINATION_MESSAGE=\xff"}, {});
  ASSERT_EQ(outcome.problems.size(), 1U);
  EXPECT_THAT(outcome.problems.front().message, HasSubstr("UTF-8"));
}

TEST(ProblemText, NamesThePlace) {
  EXPECT_EQ((Problem{"f", 1, 2, "k", "m"}.text()), "f:1:2: k: m");
  EXPECT_EQ((Problem{"f", 1, 2, "", "m"}.text()), "f:1:2: m");
  EXPECT_EQ((Problem{"environment", 0, 0, "A", "m"}.text()), "environment: A: m");
  EXPECT_EQ((Problem{"", 0, 0, "k", "m"}.text()), "k: m");
}

}  // namespace
}  // namespace config
