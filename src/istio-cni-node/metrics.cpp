#include "istio-cni-node/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "istio-cni-node/process_stats.hpp"
#include "redirect/decide.hpp"

namespace istio_cni_node {
namespace {

using prometheus::ClientMetric;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Buckets = Histogram::BucketBoundaries;
using Names = std::vector<std::string_view>;

const Buckets plugin_buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                             0.25,   0.5,   1,      2.5,   5,    10,    30};
const Buckets scheduled_buckets{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
const Buckets repair_buckets{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30};

const Names commands{"ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"};
const Names results{"success", "error"};
const Names backends{"nftables", "iptables", "none"};
const Names lookup_sources{"cache", "api", "error"};
const Names plugin_sources{"agent", "api"};
const Names repair_types{"delete", "repair", "label"};
const Names doubts{"broken", "add_failed", "unproven"};
const Names repair_results{"success", "fail", "skip"};

const Names& skip_reasons() {
  using redirect::SkipReason;
  static const Names names = [] {
    Names all;
    for (const auto reason :
         {SkipReason::own_agent, SkipReason::not_kubernetes, SkipReason::excluded_namespace,
          SkipReason::istio_init, SkipReason::envoy_disabled, SkipReason::no_proxy,
          SkipReason::not_sidecar, SkipReason::injection_disabled, SkipReason::not_injected,
          SkipReason::interception_none})
      all.push_back(redirect::to_string(reason));
    return all;
  }();
  return names;
}

std::string known(std::string_view value, const Names& names) {
  const bool found = std::find(names.begin(), names.end(), value) != names.end();
  return std::string(found ? value : "other");
}

std::string known_decision(std::string_view value) {
  if (value == "redirect" || value == "failed") return std::string(value);
  return known(value, skip_reasons());
}

/// Label values that are not known beforehand: the first few, cleaned.
class OpenLabel {
 public:
  std::string admit(std::string_view value) {
    std::string clean(value.substr(0, max_length));
    for (auto& c : clean)
      if (c <= ' ' || c > '~') c = '_';
    if (clean.empty()) clean = "unknown";
    if (seen_.contains(clean)) return clean;
    if (seen_.size() >= max_values) return "other";
    seen_.insert(clean);
    return clean;
  }

 private:
  static constexpr std::size_t max_length = 64;
  static constexpr std::size_t max_values = 16;
  std::set<std::string> seen_;
};

/// A counter that follows somebody else's total.
class Follower {
 public:
  explicit Follower(Counter& counter) : counter_(counter) {}
  void follow(std::uint64_t total) {
    // less than before: counted from 0 again
    counter_.Increment(static_cast<double>(total >= last_ ? total - last_ : total));
    last_ = total;
  }

 private:
  Counter& counter_;
  std::uint64_t last_ = 0;
};

double seconds(std::chrono::duration<double> time) { return std::max(0.0, time.count()); }

MetricFamily single(std::string name, std::string help, MetricType type, double value) {
  ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return {std::move(name), std::move(help), type, {metric}};
}

const char* install_result_name(Metrics::InstallResult result) {
  switch (result) {
    case Metrics::InstallResult::success:
      return "SUCCESS";
    case Metrics::InstallResult::copy_binaries:
      return "COPY_BINARIES_FAILURE";
    case Metrics::InstallResult::create_kubeconfig:
      return "CREATE_KUBECONFIG_FAILURE";
    case Metrics::InstallResult::create_cni_config:
      return "CREATE_CNI_CONFIG_FAILURE";
  }
  return "";
}

}  // namespace

struct Metrics::Impl {
  Impl();

  Family<Counter>& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Gauge>& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& histogram(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  Counter& request(std::string_view command, std::string_view decision, std::string_view result,
                   std::string_view backend) {
    return requests.Add({{"command", known(command, commands)},
                         {"decision", known_decision(decision)},
                         {"result", known(result, results)},
                         {"backend", known(backend.empty() ? "none" : backend, backends)}});
  }
  Histogram& phase(const char* name) { return durations.Add({{"phase", name}}, plugin_buckets); }

  void zero_known_labels();
  [[nodiscard]] std::vector<MetricFamily> read_now() const;

  prometheus::Registry registry;
  Family<Counter>& installs =
      counter("istio_cni_installs_total", "Installations of the CNI plugin by result.");
  Gauge& ready =
      gauge("istio_cni_install_ready", "1 while the runtime is configured to run the plugin.")
          .Add({});
  Family<Counter>& pods_repaired =
      counter("istio_cni_repair_pods_repaired_total",
              "Pods found without redirection, by what was done and how it ended.");
  Family<Counter>& held_back =
      counter("istio_cni_node_repair_held_back_total", "Repairs that were not done, by reason.");
  Histogram& repair_duration =
      histogram("istio_cni_node_repair_duration_seconds", "Time that one repair took.")
          .Add({}, repair_buckets);
  Family<Counter>& rewrites =
      counter("istio_cni_node_conf_foreign_rewrites_total",
              "Times that another program removed the plugin from the CNI configuration.");
  Family<Counter>& requests =
      counter("istio_cni_node_plugin_requests_total",
              "Finished commands of the CNI plugin by decision, result and backend.");
  Family<Histogram>& durations = histogram("istio_cni_node_plugin_duration_seconds",
                                           "Time that a command of the CNI plugin took, by phase.");
  Histogram& scheduled = histogram("istio_cni_node_scheduled_to_redirected_seconds",
                                   "Time from the scheduling of a pod to its redirection.")
                             .Add({}, scheduled_buckets);
  Family<Counter>& lookups = counter("istio_cni_node_lookups_total",
                                     "The plugin's questions for a pod, by what answered them.");
  Family<Counter>& plugin_lookups =
      counter("istio_cni_node_plugin_lookups_total",
              "Pods that the plugin looked up, by whom it had the answer from.");
  Gauge& synced =
      gauge("istio_cni_node_watch_synced", "1 when the list of this node's pods is complete.")
          .Add({});
  Follower lists{counter("istio_cni_node_watch_lists_total", "Complete lists of pods.").Add({})};
  Follower restarts{
      counter("istio_cni_node_watch_restarts_total", "Watches of pods that ended.").Add({})};
  Follower expired{counter("istio_cni_node_watch_expired_total",
                           "Watches of pods whose place in the history was gone (410).")
                       .Add({})};
  Gauge& pods_on_node = gauge("istio_cni_node_pods", "Pods on this node.").Add({});
  Gauge& mesh_pods =
      gauge("istio_cni_node_mesh_pods", "Pods on this node that belong to the mesh.").Add({});
  Family<Gauge>& unredirected =
      gauge("istio_cni_node_mesh_pods_unredirected",
            "Mesh pods on this node that are not known to be redirected, by reason.");
  Follower api{counter("istio_cni_node_api_requests_total", "Requests to the API server.").Add({})};
  Family<Counter>& reloads =
      counter("istio_cni_node_config_reloads_total", "Reloads of the configuration by result.");
  OpenLabel peers;
  OpenLabel reasons;
  std::chrono::steady_clock::time_point last_contact{};
  std::optional<std::chrono::system_clock::time_point> expiry;
  std::set<std::string> plugin_versions;
  std::optional<double> start_time = read_start_time();
};

Metrics::Impl::Impl() {
  gauge("istio_cni_node_build_info", "1, with the program's version.")
      .Add({{"version", ICN_VERSION}})
      .Set(1);
  zero_known_labels();
}

void Metrics::Impl::zero_known_labels() {
  for (const auto result : {InstallResult::success, InstallResult::copy_binaries,
                            InstallResult::create_kubeconfig, InstallResult::create_cni_config})
    installs.Add({{"result", install_result_name(result)}});
  for (const auto type : repair_types)
    for (const auto result : repair_results)
      pods_repaired.Add({{"type", std::string(type)}, {"result", std::string(result)}});
  for (const auto command : {"ADD", "CHECK"}) {
    for (const auto backend : backends) request(command, "failed", "error", backend);
    for (const auto backend : {"nftables", "iptables"})
      request(command, "redirect", "success", backend);
    for (const auto reason : skip_reasons()) request(command, reason, "success", "none");
  }
  for (const auto* name : {"total", "lookup", "rules", "verify"}) phase(name);
  for (const auto source : lookup_sources) lookups.Add({{"source", std::string(source)}});
  for (const auto source : plugin_sources) plugin_lookups.Add({{"source", std::string(source)}});
  for (const auto* result : {"success", "failure"}) reloads.Add({{"result", result}});
  for (const auto doubt : doubts) unredirected.Add({{"reason", std::string(doubt)}});
}

/// What is read when somebody asks, and what may be absent.
std::vector<MetricFamily> Metrics::Impl::read_now() const {
  std::vector<MetricFamily> families;
  const auto add = [&](const char* name, const char* help, std::optional<double> value) {
    if (value) families.push_back(single(name, help, MetricType::Gauge, *value));
  };
  if (last_contact != std::chrono::steady_clock::time_point{})
    add("istio_cni_node_watch_contact_age_seconds",
        "Time since the API server last said anything to the watch of pods.",
        seconds(std::chrono::steady_clock::now() - last_contact));
  if (expiry)
    add("istio_cni_node_credential_expiry_timestamp_seconds",
        "When the credential for the API server expires, in Unix time.",
        std::chrono::duration<double>(expiry->time_since_epoch()).count());
  if (!plugin_versions.empty()) {
    MetricFamily installed{"istio_cni_node_plugin_info",
                           "1, with the version of the plugin that is installed.",
                           MetricType::Gauge,
                           {}};
    for (const auto& version : plugin_versions) {
      auto& metric = installed.metric.emplace_back();
      metric.label = {{"version", version}};
      metric.gauge.value = 1;
    }
    families.push_back(std::move(installed));
  }
  if (const auto stats = read_process_stats()) {
    families.push_back(single("process_cpu_seconds_total",
                              "Total user and system CPU time spent in seconds.",
                              MetricType::Counter, stats->cpu_seconds));
    add("process_resident_memory_bytes", "Resident memory size in bytes.", stats->resident_bytes);
    add("process_virtual_memory_bytes", "Virtual memory size in bytes.", stats->virtual_bytes);
  }
  add("process_open_fds", "Number of open file descriptors.", count_open_fds());
  add("process_max_fds", "Maximum number of open file descriptors.", read_max_fds());
  add("process_start_time_seconds", "Start time of the process since the Unix epoch in seconds.",
      start_time);
  return families;
}

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::install(InstallResult result) {
  impl_->installs.Add({{"result", install_result_name(result)}}).Increment();
}

void Metrics::install_ready(bool ready) { impl_->ready.Set(ready ? 1 : 0); }

void Metrics::repaired(std::string_view type, std::string_view result) {
  impl_->pods_repaired
      .Add({{"type", known(type, repair_types)}, {"result", known(result, repair_results)}})
      .Increment();
}

void Metrics::repair_held_back(std::string_view reason) {
  impl_->held_back.Add({{"reason", impl_->reasons.admit(reason)}}).Increment();
}

void Metrics::repair_took(std::chrono::milliseconds time) {
  impl_->repair_duration.Observe(seconds(time));
}

void Metrics::foreign_rewrite(std::string_view peer) {
  impl_->rewrites.Add({{"peer", impl_->peers.admit(peer)}}).Increment();
}

void Metrics::outcome(const agent::Outcome& outcome) {
  impl_->request(outcome.command, outcome.decision, outcome.result, outcome.backend).Increment();
  if (!outcome.lookup.empty())
    impl_->plugin_lookups.Add({{"source", known(outcome.lookup, plugin_sources)}}).Increment();
  impl_->phase("total").Observe(seconds(outcome.total));
  if (outcome.lookup_time) impl_->phase("lookup").Observe(seconds(*outcome.lookup_time));
  if (outcome.rules_time) impl_->phase("rules").Observe(seconds(*outcome.rules_time));
  if (outcome.verify_time) impl_->phase("verify").Observe(seconds(*outcome.verify_time));
}

void Metrics::scheduled_to_redirected(std::chrono::milliseconds time) {
  impl_->scheduled.Observe(seconds(time));
}

void Metrics::lookup(std::string_view answered_from) {
  impl_->lookups.Add({{"source", known(answered_from, lookup_sources)}}).Increment();
}

void Metrics::watch(const kube::WatchState& state) {
  impl_->synced.Set(state.synced ? 1 : 0);
  impl_->last_contact = state.last_contact;
  impl_->lists.follow(state.lists);
  impl_->restarts.follow(state.restarts);
  impl_->expired.follow(state.expired);
}

void Metrics::credential_expires(std::optional<std::chrono::system_clock::time_point> when) {
  impl_->expiry = when;
}

void Metrics::pods(std::size_t on_node, std::size_t in_mesh) {
  impl_->pods_on_node.Set(static_cast<double>(on_node));
  impl_->mesh_pods.Set(static_cast<double>(in_mesh));
}

void Metrics::unredirected(std::string_view reason, std::size_t pods) {
  impl_->unredirected.Add({{"reason", known(reason, doubts)}}).Set(static_cast<double>(pods));
}

void Metrics::plugin_versions(const std::set<std::string>& versions) {
  impl_->plugin_versions = versions;
}

void Metrics::api_requests(std::uint64_t total) { impl_->api.follow(total); }

void Metrics::reload(bool success) {
  impl_->reloads.Add({{"result", success ? "success" : "failure"}}).Increment();
}

std::string Metrics::text() {
  auto families = impl_->registry.Collect();
  auto now = impl_->read_now();
  families.insert(families.end(), std::make_move_iterator(now.begin()),
                  std::make_move_iterator(now.end()));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace istio_cni_node
