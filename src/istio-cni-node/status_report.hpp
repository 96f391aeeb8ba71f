// What istio-cnictl is told. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/status.hpp"
#include "install/installer.hpp"
#include "istio-cni-node/pod_cache.hpp"
#include "istio-cni-node/readiness.hpp"
#include "kube/credentials.hpp"

namespace istio_cni_node {

/// The last changes of readiness or of what it rests on; pods that come and go
/// are none.
class ChangeLog {
 public:
  /// True when this is a change.
  bool note(const Facts& facts, const Health& health, agent::Time now);
  [[nodiscard]] const std::vector<agent::Change>& changes() const { return changes_; }

  static constexpr std::size_t kept = 32;

 private:
  std::vector<agent::Change> changes_;
  std::string last_;
};

/// The last pass of the installation.
struct Installed {
  install::Desired desired;
  install::Pass pass;
  std::uint64_t foreign_rewrites = 0;
  std::optional<agent::Time> last_foreign_rewrite;
  std::string last_peer;
};

struct StatusParts {
  const Facts& facts;
  const Health& health;
  const ChangeLog& changes;
  const Installed& installed;
  const kube::Credential* credential = nullptr;
  agent::Time started;
  agent::Time now;  ///< of both clocks, for what is known by the steady one
  std::chrono::steady_clock::time_point steady_now;
  std::string node_name;
  std::string_view install_mode;
  std::string_view repair_mode;
};

agent::Status status_report(const StatusParts& parts);

/// Without what repair knows of it.
agent::PodEntry pod_entry(const CachedPod& cached);

}  // namespace istio_cni_node
