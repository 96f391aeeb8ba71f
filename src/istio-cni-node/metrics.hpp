// The agent's metrics, on a prometheus-cpp registry. One thread.
//
// Every combination of known label values that an alert could ask for is there
// from the start, at 0. A value that is not known, or is the hundredth of its
// kind, is counted as "other": whatever plugins and peers say, the number of
// time series stays bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "agent/protocol.hpp"
#include "kube/pod_watch.hpp"

namespace istio_cni_node {

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // as the known agent names them
  enum class InstallResult { success, copy_binaries, create_kubeconfig, create_cni_config };
  void install(InstallResult result);  ///< istio_cni_installs_total{result}
  void install_ready(bool ready);      ///< istio_cni_install_ready
  /// istio_cni_repair_pods_repaired_total{type,result}; types delete, repair,
  /// label; results success, fail, skip
  void repaired(std::string_view type, std::string_view result);

  // ours
  void repair_held_back(std::string_view reason);
  void repair_took(std::chrono::milliseconds time);
  void foreign_rewrite(std::string_view peer);  ///< "" counts as "unknown"
  void outcome(const agent::Outcome& outcome);  ///< requests, durations by phase
  /// From PodScheduled to the end of the ADD that redirected it.
  void scheduled_to_redirected(std::chrono::milliseconds time);
  void lookup(std::string_view answered_from);  ///< "cache", "api", "error"
  /// Totals may begin again at 0 (a new watch): what is exported never goes back.
  void watch(const kube::WatchState& state);
  void credential_expires(std::optional<std::chrono::system_clock::time_point> when);
  void pods(std::size_t on_node, std::size_t in_mesh);
  /// Reasons broken, add_failed, unproven: see unredirected.hpp.
  void unredirected(std::string_view reason, std::size_t pods);
  /// Of the copies in the runtimes' folders.
  void plugin_versions(const std::set<std::string>& versions);
  void api_requests(std::uint64_t total);  ///< as the totals of watch()
  void reload(bool success);

  /// The text exposition format, 0.0.4. Process figures (process_*) and the
  /// watch's age are read now.
  std::string text();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace istio_cni_node
