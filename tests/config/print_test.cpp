// What is written: print-config, differences, the shipped file, --help.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <regex>
#include <sstream>

#include "config/load.hpp"

namespace config {
namespace {

using ::testing::HasSubstr;

TEST(Print, OneLineASettingWithItsSource) {
  const auto outcome = load({{"/etc/c.yaml", "# one\nplugin:\n  timeout: 90\n"}},
                            {"ISTIO_CNI_INSTALL_MODE=owned"}, {"--log-relay"});
  const auto text = print(outcome.loaded);
  for (const auto* line :
       {"run_dir: /run/istio-cni   # default\n", "log_relay: true   # flag --log-relay\n",
        "install:\n  mode: owned   # environment ISTIO_CNI_INSTALL_MODE\n",
        "  timeout: 90s   # /etc/c.yaml:3\n", "metrics:\n  address: \":15014\"   # default\n",
        "  cni_bin_dirs: []   # default\n", "  kubeconfig_mode: \"0600\"   # default\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST(Print, AStrangeFileNameStaysInItsComment) {
  const auto outcome = load({{"a\nrun_dir: /b", "state_dir: /c\n"}}, {}, {});
  EXPECT_EQ(good(load_yaml(print(outcome.loaded))), outcome.loaded.config);
}

/// Random valid configurations.
class Generator {
 public:
  Config make() {
    Config c;
    c.log_level = static_cast<logging::Level>(number(0, 5));
    c.run_dir = path();
    c.state_dir = path();
    c.host_root = maybe(path());
    c.log_relay = flip();
    c.api = {maybe(path()), maybe("n" + word("abc0-", 0) + "z")};
    c.install.mode = static_cast<InstallMode>(number(0, 2));
    c.install.gate = c.install.mode == InstallMode::owned && flip();
    c.install.cni_conf_dir = maybe(path());
    c.install.cni_bin_dirs = list([this] { return path(); });
    c.install.cni_conf_name = maybe("1" + text() + ".json");
    c.install.owned_conf_name = "2" + text() + ".conflist";
    c.install.standalone_conf_name = "3" + text() + ".conf";
    c.install.kubeconfig_mode = 0400 | static_cast<std::uint32_t>(number(0, 0377));
    c.install.conf_group_read = flip();
    c.install.on_stop = static_cast<OnStop>(number(0, 2));
    c.install.plugin_binary = path();
    c.plugin.log_level = static_cast<logging::Level>(number(0, 5));
    c.plugin.backend = static_cast<cni::BackendChoice>(number(0, 2));
    c.plugin.exclude_namespaces = list([this] { return "n" + word("no0-", 5) + "f"; });
    c.plugin.agent_namespace = maybe("no");
    c.plugin.timeout = std::chrono::milliseconds(number(1000, 600'000));
    c.repair.mode = static_cast<RepairMode>(number(0, 4));
    c.repair.evict = flip();
    c.repair.sidecar_annotation = maybe("y/" + word("ON0", 5) + "n");
    c.repair.init_container_name = maybe("null");
    c.repair.init_container_termination_message = maybe(text(true));
    c.repair.init_container_exit_code = number(0, 255);
    c.repair.label_selectors = maybe("a in (b, c),!d,e=" + word("abc", 5));
    c.repair.field_selectors = maybe("metadata.name!=" + text());
    c.repair.label_key = flip() ? "true" : "off";
    c.repair.label_value = maybe(word("0123456789", 5));
    c.repair.per_owner = number(1, 1'000'000);
    c.repair.per_node = number(1, 100);
    c.metrics = flip() ? Endpoint{false, "", 0} : Endpoint{true, "::1", port()};
    c.health = flip() ? Endpoint{true, "", port()} : Endpoint{true, "127.0.0.1", port()};
    if (c.metrics.port == c.health.port) c.metrics = {false, "", 0};
    return c;
  }

 private:
  int number(int min, int max) { return std::uniform_int_distribution<int>(min, max)(random_); }
  bool flip() { return number(0, 1) == 1; }
  std::string maybe(std::string value) { return flip() ? std::move(value) : std::string(); }
  std::uint16_t port() { return static_cast<std::uint16_t>(number(1, 65535)); }
  std::string word(const std::string& letters, int min) {
    std::string out;
    for (int i = number(min, 9); i > 0; --i)
      out.push_back(
          letters[static_cast<std::size_t>(number(0, static_cast<int>(letters.size()) - 1))]);
    return out;
  }
  /// Text that tempts a YAML parser, without '/', ',' and '='.
  std::string text(bool lines = false) {
    static const std::vector<std::string> parts = {" ",
                                                   "#",
                                                   ": ",
                                                   "-",
                                                   "\"",
                                                   "'",
                                                   "\\",
                                                   "{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   "&",
                                                   "*",
                                                   "!",
                                                   "|",
                                                   ">",
                                                   "%",
                                                   "@",
                                                   "`",
                                                   "~",
                                                   "?",
                                                   "a",
                                                   "0",
                                                   "é",
                                                   "\xf0\x9f\x90\xb1",
                                                   "\xc2\x85",
                                                   "\xe2\x80\xa8",
                                                   "\xef\xbb\xbf",
                                                   "\xc2\xa0",
                                                   "null",
                                                   "\n",
                                                   "\t"};
    std::string out;
    for (int i = number(0, 8); i > 0; --i)
      out += parts[static_cast<std::size_t>(
          number(0, static_cast<int>(parts.size()) - (lines ? 1 : 3)))];
    return out;
  }
  std::string path() { return "/" + word("abc", 1) + "/" + text() + "x"; }
  template <typename Make>
  std::vector<std::string> list(Make make) {
    std::vector<std::string> out;
    for (int i = number(0, 3); i > 0; --i) out.push_back(make());
    return out;
  }

  std::mt19937 random_{20240229};
};

TEST(Print, WhatIsPrintedLoadsAsTheSame) {
  Generator generator;
  for (int i = 0; i < 500; ++i) {
    Loaded loaded;
    loaded.config = generator.make();
    const auto text = print(loaded);
    const auto outcome = load_yaml(text);
    ASSERT_EQ(texts(outcome.problems), "") << text;
    ASSERT_EQ(outcome.loaded.config, loaded.config) << text;
    ASSERT_TRUE(differences(outcome.loaded.config, loaded.config).empty());
  }
}

TEST(Differences, NameWhatChangedAndWhatNeedsARestart) {
  EXPECT_TRUE(differences(Config(), Config()).empty());
  Config to;
  to.run_dir = "/a";
  to.state_dir = "/b";
  to.host_root = "/host";
  to.install.mode = InstallMode::owned;
  to.plugin.exclude_namespaces = {"a", "b"};
  to.metrics.enabled = false;
  const auto changes = differences(Config(), to);
  std::string text;
  for (const auto& change : changes)
    text += change.key + ": " + change.from + " -> " + change.to +
            (change.restart ? " (restart)\n" : "\n");
  EXPECT_EQ(text,
            "run_dir: /run/istio-cni -> /a (restart)\n"
            "state_dir: /var/lib/istio-cni-node -> /b (restart)\n"
            "host_root: \"\" -> /host (restart)\n"
            "install.mode: chained -> owned\n"
            "plugin.exclude_namespaces: [kube-system] -> [a, b]\n"
            "metrics.address: \":15014\" -> \"off\"\n");
}

TEST(DocumentedFile, IsTheDefaultsAsItIsAndUncommented) {
  const auto file = documented_file();
  EXPECT_EQ(good(load_yaml(file)), Config());
  const std::regex setting("^( *)#([a-z_]+:)");
  std::istringstream lines(file);
  std::string uncommented;
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto changed = std::regex_replace(line, setting, "$1$2");
    if (changed != line) ++count;
    uncommented += changed + "\n";
    EXPECT_LE(line.size(), 100U) << line;
  }
  EXPECT_EQ(count, settings().size());
  const auto outcome = load_yaml(uncommented);
  EXPECT_EQ(good(outcome), Config());
  for (const auto& [key, source] : outcome.loaded.sources)
    EXPECT_EQ(source.kind, Source::Kind::file) << key;
}

TEST(DocumentedFile, EachSettingIsExplainedAndNamesItsWords) {
  for (const auto& one : settings()) {
    EXPECT_FALSE(one.help.empty()) << one.key;
    // another key explains these words
    if (one.key == "plugin.log_level") continue;
    std::string help;
    for (const auto& line : one.help) help += line + " ";
    for (const auto& word : one.words) EXPECT_THAT(help, HasSubstr(word)) << one.key;
  }
}

TEST(DocumentedFile, IsTheShippedOne) {
  std::ifstream shipped(ICN_SOURCE_DIR "/etc/istio-cni-node/config.yaml");
  ASSERT_TRUE(shipped) << "etc/istio-cni-node/config.yaml is missing";
  std::ostringstream text;
  text << shipped.rdbuf();
  EXPECT_EQ(text.str(), documented_file());
}

TEST(FlagsHelp, ListsEveryFlag) {
  // wrapped to the width of a terminal
  const auto help = std::regex_replace(flags_help(), std::regex("[ \n]+"), " ");
  for (const auto& setting : settings()) EXPECT_THAT(help, HasSubstr("--" + setting.flag() + " "));
  for (const auto* flag : {"--chained-cni-plugin ", "--log_output_level ", "--monitoring-port ",
                           "--repair-delete-pods "})
    EXPECT_THAT(help, HasSubstr(flag));
  EXPECT_THAT(help, HasSubstr("Default: chained"));
}

TEST(Settings, SectionsStandTogetherAndAreExplained) {
  std::vector<std::string> seen;
  for (const auto& setting : settings()) {
    const auto section = setting.section();
    if (!seen.empty() && seen.back() == section) continue;
    for (const auto& earlier : seen) EXPECT_NE(earlier, section) << setting.key;
    seen.push_back(section);
    EXPECT_TRUE(section.empty() || is_section(section)) << section;
  }
}

}  // namespace
}  // namespace config
