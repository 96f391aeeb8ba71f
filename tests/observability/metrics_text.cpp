// Prints the agent's metrics with every series that it can have: each method of
// Metrics called with each value that its callers have.

#include <cstdio>

#include "istio-cni-node/metrics.hpp"
#include "repair/plan.hpp"

int main() {
  using namespace std::chrono_literals;
  using repair::Hold;
  istio_cni_node::Metrics metrics;
  for (const auto hold : {Hold::node_not_ready, Hold::owner_budget, Hold::node_budget,
                          Hold::disruption_budget, Hold::not_restarted, Hold::static_pod})
    metrics.repair_held_back(to_string(hold));
  metrics.foreign_rewrite("calico-node");
  metrics.plugin_versions({ICN_VERSION});
  metrics.credential_expires(std::chrono::system_clock::now() + 1h);
  kube::WatchState watch;
  watch.last_contact = std::chrono::steady_clock::now();
  metrics.watch(watch);
  std::fputs(metrics.text().c_str(), stdout);
  return 0;
}
