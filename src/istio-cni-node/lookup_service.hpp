// Answers the plugin: from the cache, or after one live GET.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "istio-cni-node/lookup_server.hpp"
#include "istio-cni-node/metrics.hpp"
#include "istio-cni-node/pod_cache.hpp"
#include "kube/api.hpp"
#include "log/log.hpp"

namespace istio_cni_node {

class LookupService : public LookupHandler {
 public:
  /// All outlive this.
  LookupService(PodCache& cache, Metrics& metrics, logging::Logger& log);
  ~LookupService() override;

  /// Who is asked for pods that the cache lacks; null until there is one. It may
  /// be replaced before the old one ends.
  void use(kube::ApiClient* api) { api_ = api; }

  /// Sent with every answer from now on.
  void set_plugin_log_level(std::string level) { log_level_ = std::move(level); }

  void lookup(const agent::Lookup& lookup, std::function<void(agent::Answer)> answer) override;
  void outcome(const agent::Outcome& outcome) override;
  agent::Status status() override { return report_status ? report_status() : agent::Status{}; }
  agent::PodPage pods(const agent::PodsQuery& query) override;

  /// The agent's own status.
  std::function<agent::Status()> report_status;
  /// Adds to a pod's entry what the cache does not know.
  std::function<void(agent::PodEntry&)> describe;

 private:
  agent::Answer answer_of(base::Result<kube::Response> response, const agent::Lookup& lookup);

  PodCache& cache_;
  kube::ApiClient* api_ = nullptr;
  Metrics& metrics_;
  logging::Logger& log_;
  std::string log_level_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace istio_cni_node
