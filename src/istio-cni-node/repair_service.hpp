// Repair in the agent: the controller of src/repair, fed by the pod cache, with
// the API client, threads, timer and state file that it needs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/status.hpp"
#include "config/config.hpp"
#include "istio-cni-node/metrics.hpp"
#include "istio-cni-node/pod_cache.hpp"
#include "istio-cni-node/unredirected.hpp"
#include "istio-cni-node/worker.hpp"
#include "kube/api.hpp"
#include "log/log.hpp"

namespace istio_cni_node {

class RepairService {
 public:
  /// All outlive this. `files` writes the state; repairs in place get a thread of
  /// their own. Takes the cache's callbacks for pods.
  RepairService(boost::asio::io_context& io, Worker& files, PodCache& cache, Metrics& metrics,
                logging::Logger& log);
  /// What is known is on disk afterwards.
  ~RepairService();

  /// Begins, or begins again with another client: what was under way with the
  /// old one is judged anew. Pods of the cache are looked at at once.
  void start(kube::ApiClient& api, const config::Config& config, std::string node_name);
  /// Before the client goes.
  void stop();
  /// A reload; every pod is judged anew.
  void configure(const config::Config& config, std::string node_name);
  void node_ready(bool ready, std::string reason);

  /// After every change of the counts.
  std::function<void()> changed;
  [[nodiscard]] std::uint64_t repaired() const;
  [[nodiscard]] std::uint64_t held_back() const;
  /// Pods by doubt, counted now, whatever repair.mode is and whichever pods it is for.
  [[nodiscard]] std::map<Doubt, std::size_t> unredirected() const;
  /// Adds what was done about the pod of entry.uid, or what it waits for.
  void describe(agent::PodEntry& entry) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace istio_cni_node
