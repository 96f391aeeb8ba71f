#include "istio-cni-node/metrics.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "base/strings.hpp"
#include "istio-cni-node/process_stats.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using istio_cni_node::Metrics;
using testing::HasSubstr;
using testing::Not;

/// The value of the only series whose line starts with `name` and holds every
/// one of `labels`; -1 when there is none.
double value(const std::string& text, const std::string& name,
             const std::vector<std::string>& labels = {}) {
  double found = -1;
  for (const auto line : base::split(text, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size()) continue;
    if (line[name.size()] != ' ' && line[name.size()] != '{') continue;
    bool all = true;
    for (const auto& label : labels) all = all && line.find(label) != std::string_view::npos;
    if (!all) continue;
    EXPECT_EQ(found, -1) << "more than one " << name;
    found = std::stod(std::string(line.substr(line.rfind(' ') + 1)));
  }
  return found;
}

agent::Outcome redirected() {
  agent::Outcome outcome;
  outcome.command = "ADD";
  outcome.decision = "redirect";
  outcome.result = "success";
  outcome.backend = "nftables";
  outcome.lookup = "agent";
  outcome.total = 1800us;
  outcome.lookup_time = 300us;
  outcome.rules_time = 900us;
  return outcome;
}

TEST(Metrics, KnownSeriesAreThereAtZero) {
  Metrics metrics;
  const auto text = metrics.text();
  for (const auto* result : {"SUCCESS", "COPY_BINARIES_FAILURE", "CREATE_KUBECONFIG_FAILURE",
                             "CREATE_CNI_CONFIG_FAILURE"})
    EXPECT_THAT(
        text, HasSubstr(std::string("\nistio_cni_installs_total{result=\"") + result + "\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\nistio_cni_install_ready 0\n"));
  for (const auto* type : {"delete", "repair", "label"})
    for (const auto* result : {"success", "fail", "skip"})
      EXPECT_EQ(value(text, "istio_cni_repair_pods_repaired_total",
                      {std::string("type=\"") + type, std::string("result=\"") + result}),
                0);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_requests_total",
                  {"\"ADD\"", "\"failed\"", "\"error\"", "\"none\""}),
            0);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_requests_total",
                  {"\"ADD\"", "\"redirect\"", "\"success\"", "\"iptables\""}),
            0);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_requests_total", {"\"ADD\"", "\"istio-init\""}), 0);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_duration_seconds_count", {"\"rules\""}), 0);
  for (const auto* source : {"cache", "api", "error"})
    EXPECT_EQ(value(text, "istio_cni_node_lookups_total", {source}), 0);
  EXPECT_EQ(value(text, "istio_cni_node_config_reloads_total", {"failure"}), 0);
  EXPECT_EQ(value(text, "istio_cni_node_watch_synced"), 0);
  EXPECT_EQ(value(text, "istio_cni_node_build_info", {"version=\"" ICN_VERSION "\""}), 1);
  for (const auto* reason : {"broken", "add_failed", "unproven"})
    EXPECT_EQ(value(text, "istio_cni_node_mesh_pods_unredirected", {reason}), 0);
  EXPECT_THAT(text, Not(HasSubstr("plugin_info")));
  EXPECT_THAT(text, Not(HasSubstr("conf_foreign_rewrites_total{")));
  EXPECT_THAT(text, Not(HasSubstr("credential_expiry")));
  EXPECT_THAT(text, Not(HasSubstr("contact_age")));
}

TEST(Metrics, WhatHappensIsCounted) {
  Metrics metrics;
  metrics.install(Metrics::InstallResult::success);
  metrics.install(Metrics::InstallResult::create_cni_config);
  metrics.install(Metrics::InstallResult::create_cni_config);
  metrics.install_ready(true);
  metrics.repaired("delete", "skip");
  metrics.repair_held_back("rate");
  metrics.repair_took(20ms);
  metrics.lookup("cache");
  metrics.reload(false);
  metrics.pods(34, 12);
  metrics.unredirected("broken", 3);
  metrics.unredirected("unproven", 2);
  metrics.plugin_versions({"0.1.0", "unknown"});
  metrics.scheduled_to_redirected(1500ms);
  metrics.credential_expires(std::chrono::system_clock::from_time_t(1893456000));
  auto text = metrics.text();
  EXPECT_EQ(value(text, "istio_cni_installs_total", {"SUCCESS"}), 1);
  EXPECT_EQ(value(text, "istio_cni_installs_total", {"CREATE_CNI_CONFIG_FAILURE"}), 2);
  EXPECT_EQ(value(text, "istio_cni_install_ready"), 1);
  EXPECT_EQ(value(text, "istio_cni_repair_pods_repaired_total", {"delete", "skip"}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_repair_held_back_total", {"reason=\"rate\""}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_repair_duration_seconds_bucket", {"le=\"0.05\""}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_lookups_total", {"cache"}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_config_reloads_total", {"failure"}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_pods"), 34);
  EXPECT_EQ(value(text, "istio_cni_node_mesh_pods"), 12);
  EXPECT_EQ(value(text, "istio_cni_node_scheduled_to_redirected_seconds_sum"), 1.5);
  EXPECT_EQ(value(text, "istio_cni_node_credential_expiry_timestamp_seconds"), 1893456000);
  EXPECT_EQ(value(text, "istio_cni_node_mesh_pods_unredirected", {"reason=\"broken\""}), 3);
  EXPECT_EQ(value(text, "istio_cni_node_mesh_pods_unredirected", {"reason=\"add_failed\""}), 0);
  EXPECT_EQ(value(text, "istio_cni_node_mesh_pods_unredirected", {"reason=\"unproven\""}), 2);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_info", {"version=\"0.1.0\""}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_info", {"version=\"unknown\""}), 1);
  metrics.install_ready(false);
  metrics.credential_expires(std::nullopt);
  metrics.unredirected("broken", 0);
  metrics.plugin_versions({"0.2.0"});
  text = metrics.text();
  EXPECT_EQ(value(text, "istio_cni_node_mesh_pods_unredirected", {"reason=\"broken\""}), 0);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_info"), 1) << "the one before is gone";
  EXPECT_EQ(value(text, "istio_cni_install_ready"), 0);
  EXPECT_THAT(text, Not(HasSubstr("credential_expiry")));
}

TEST(Metrics, OutcomesByPhase) {
  Metrics metrics;
  metrics.outcome(redirected());
  metrics.outcome(redirected());
  auto failed = redirected();
  failed.decision = "failed";
  failed.result = "error";
  failed.backend = "";
  failed.lookup = "api";
  failed.total = 3s;
  failed.lookup_time = 3s;
  failed.rules_time.reset();
  metrics.outcome(failed);
  const auto text = metrics.text();
  const std::string requests = "istio_cni_node_plugin_requests_total";
  const std::string duration = "istio_cni_node_plugin_duration_seconds";
  EXPECT_EQ(value(text, requests, {"\"ADD\"", "\"redirect\"", "\"success\"", "\"nftables\""}), 2);
  EXPECT_EQ(value(text, requests, {"\"ADD\"", "\"failed\"", "\"error\"", "\"none\""}), 1);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_lookups_total", {"\"agent\""}), 2);
  EXPECT_EQ(value(text, "istio_cni_node_plugin_lookups_total", {"\"api\""}), 1);
  EXPECT_EQ(value(text, duration + "_count", {"\"total\""}), 3);
  EXPECT_EQ(value(text, duration + "_count", {"\"rules\""}), 2);
  EXPECT_EQ(value(text, duration + "_count", {"\"verify\""}), 0);
  EXPECT_EQ(value(text, duration + "_bucket", {"\"lookup\"", "le=\"0.0005\""}), 2);
  EXPECT_EQ(value(text, duration + "_bucket", {"\"total\"", "le=\"0.0025\""}), 2);
  EXPECT_EQ(value(text, duration + "_bucket", {"\"total\"", "le=\"30\""}), 3);
  EXPECT_NEAR(value(text, duration + "_sum", {"\"total\""}), 3.0036, 1e-9);
}

TEST(Metrics, WhateverIsSaidTheSeriesStayBounded) {
  Metrics metrics;
  auto outcome = redirected();
  for (int i = 0; i < 500; ++i) {
    const auto text = "x\"\n{" + std::to_string(i);
    outcome.command = outcome.decision = outcome.result = outcome.backend = outcome.lookup = text;
    outcome.total = -5s;
    metrics.outcome(outcome);
    metrics.lookup(text);
    metrics.repaired(text, text);
    metrics.unredirected(text, 1);
    metrics.foreign_rewrite(text);
    metrics.repair_held_back(text);
  }
  const auto text = metrics.text();
  EXPECT_EQ(
      value(text, "istio_cni_node_plugin_requests_total",
            {"command=\"other\"", "decision=\"other\"", "result=\"other\"", "backend=\"other\""}),
      500);
  EXPECT_EQ(value(text, "istio_cni_node_lookups_total", {"other"}), 500);
  EXPECT_EQ(value(text, "istio_cni_repair_pods_repaired_total", {"type=\"other\""}), 500);
  EXPECT_EQ(value(text, "istio_cni_node_conf_foreign_rewrites_total", {"peer=\"other\""}), 484);
  EXPECT_EQ(value(text, "istio_cni_node_conf_foreign_rewrites_total", {"peer=\"x__{7\""}), -1)
      << "quotes are not let in";
  EXPECT_EQ(value(text, "istio_cni_node_plugin_duration_seconds_sum", {"\"total\""}), 0);
  EXPECT_LT(base::split(text, '\n').size(), 350U);
}

TEST(Metrics, Peers) {
  Metrics metrics;
  metrics.foreign_rewrite("Cilium (cni.exclusive)");
  metrics.foreign_rewrite("");
  metrics.foreign_rewrite("");
  metrics.foreign_rewrite(std::string(1000, 'y') + "\xff");
  const auto text = metrics.text();
  EXPECT_EQ(value(text, "istio_cni_node_conf_foreign_rewrites_total",
                  {"peer=\"Cilium_(cni.exclusive)\""}),
            1);
  EXPECT_EQ(value(text, "istio_cni_node_conf_foreign_rewrites_total", {"peer=\"unknown\""}), 2);
  EXPECT_EQ(value(text, "istio_cni_node_conf_foreign_rewrites_total",
                  {"peer=\"" + std::string(64, 'y') + "\""}),
            1);
}

TEST(Metrics, TotalsNeverGoBack) {
  Metrics metrics;
  kube::WatchState state;
  state.lists = 3;
  state.restarts = 7;
  state.expired = 1;
  state.synced = true;
  state.last_contact = std::chrono::steady_clock::now() - 42s;
  metrics.watch(state);
  metrics.watch(state);
  metrics.api_requests(10);
  auto text = metrics.text();
  EXPECT_EQ(value(text, "istio_cni_node_watch_lists_total"), 3);
  EXPECT_EQ(value(text, "istio_cni_node_watch_restarts_total"), 7);
  EXPECT_EQ(value(text, "istio_cni_node_watch_expired_total"), 1);
  EXPECT_EQ(value(text, "istio_cni_node_watch_synced"), 1);
  EXPECT_EQ(value(text, "istio_cni_node_api_requests_total"), 10);
  EXPECT_NEAR(value(text, "istio_cni_node_watch_contact_age_seconds"), 42, 2);
  metrics.watch({});  // a new watch begins
  metrics.api_requests(0);
  text = metrics.text();
  EXPECT_EQ(value(text, "istio_cni_node_watch_lists_total"), 3);
  EXPECT_EQ(value(text, "istio_cni_node_watch_synced"), 0);
  EXPECT_EQ(value(text, "istio_cni_node_api_requests_total"), 10);
  state = {};
  state.lists = 2;
  metrics.watch(state);
  metrics.api_requests(4);
  text = metrics.text();
  EXPECT_EQ(value(text, "istio_cni_node_watch_lists_total"), 5);
  EXPECT_EQ(value(text, "istio_cni_node_api_requests_total"), 14);
}

TEST(Metrics, ProcessFiguresAreTrue) {
  Metrics metrics;
  const auto text = metrics.text();
  EXPECT_GT(value(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value(text, "process_virtual_memory_bytes"),
            value(text, "process_resident_memory_bytes"));
  EXPECT_GE(value(text, "process_cpu_seconds_total"), 0);
  EXPECT_NEAR(value(text, "process_start_time_seconds"), static_cast<double>(::time(nullptr)), 300);
  EXPECT_GT(value(text, "process_max_fds"), 10);
  const auto before = value(text, "process_open_fds");
  EXPECT_GE(before, 3);
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(value(metrics.text(), "process_open_fds"), before + 1);
  ::close(fd);
}

TEST(Metrics, EveryFamilyIsExplainedOnce) {
  Metrics metrics;
  metrics.plugin_versions({"0.1.0", "0.2.0"});
  metrics.foreign_rewrite("calico");
  metrics.repair_held_back("x");
  std::set<std::string_view> explained;
  const auto text = metrics.text();
  for (const auto line : base::split_nonempty(text, '\n')) {
    if (line.starts_with("# HELP ")) {
      const auto name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(explained.insert(name).second) << name;
      EXPECT_TRUE(line.ends_with('.')) << line;
    } else if (!line.starts_with('#')) {
      auto name = line.substr(0, line.find_first_of("{ "));
      for (const std::string_view suffix : {"_bucket", "_sum", "_count"})
        if (name.ends_with(suffix) && !explained.contains(name)) name.remove_suffix(suffix.size());
      EXPECT_TRUE(explained.contains(name)) << name;
    }
  }
}

TEST(Metrics, PromtoolFindsNothing) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool is not installed (Debian: prometheus)";
  Metrics metrics;
  metrics.outcome(redirected());
  metrics.foreign_rewrite("calico");
  metrics.repair_held_back("rate");
  metrics.plugin_versions({"0.1.0", "0.2.0"});
  metrics.credential_expires(std::chrono::system_clock::now());
  kube::WatchState state;
  state.last_contact = std::chrono::steady_clock::now();
  metrics.watch(state);
  const test_support::TempDir dir;
  const auto file = dir.write("metrics", metrics.text());
  const auto command = "promtool check metrics <" + file + " >" + dir.path("out") + " 2>&1";
  const int status = std::system(command.c_str());
  std::string said;
  if (std::FILE* out = std::fopen(dir.path("out").c_str(), "re")) {
    char buffer[4096];
    said.assign(buffer, std::fread(buffer, 1, sizeof buffer, out));
    (void)std::fclose(out);
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(said, "");
}

TEST(ProcessStats, NamesMayHoldAnything) {
  const std::string rest =
      " S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 4200 8192 3 18446744073709551615 1 1\n";
  for (const std::string name : {"agent", "a) R 9 (b", "with space", ""}) {
    const auto stats = istio_cni_node::parse_process_stat("12 (" + name + ")" + rest, 100, 4096);
    ASSERT_TRUE(stats) << name;
    EXPECT_EQ(stats->cpu_seconds, 3);
    EXPECT_EQ(stats->started_ticks, 4200);
    EXPECT_EQ(stats->virtual_bytes, 8192);
    EXPECT_EQ(stats->resident_bytes, 3 * 4096);
  }
  for (const std::string text : {"", "12 agent S", "12 (a) S 1 2", "12 (a) S -1 x y z"})
    EXPECT_FALSE(istio_cni_node::parse_process_stat(text, 100, 4096)) << text;
  EXPECT_FALSE(istio_cni_node::parse_process_stat("1 (a)" + rest, 0, 4096));
}

TEST(ProcessStats, BootTime) {
  EXPECT_EQ(istio_cni_node::parse_boot_time("cpu 1 2\nbtime 1700000000\nx"), 1700000000);
  EXPECT_FALSE(istio_cni_node::parse_boot_time("cpu 1 2\nbtime \n"));
  EXPECT_FALSE(istio_cni_node::parse_boot_time(""));
}

}  // namespace
