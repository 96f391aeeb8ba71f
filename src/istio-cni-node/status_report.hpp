// What istio-cnictl is told. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/status.hpp"
#include "install/installer.hpp"
#include "istio-cni-node/pod_cache.hpp"
#include "istio-cni-node/readiness.hpp"
#include "kube/credentials.hpp"
#include "log/log.hpp"

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

/// For the journal, where istio-cnictl explain reads how it was when a pod started.
logging::Fields readiness_fields(bool ready, bool in_list);
/// What is told with them when nothing is installed any more.
inline constexpr std::string_view taken_out = "Not ready: taken out of this node";

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
