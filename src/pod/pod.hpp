// The few fields of a Kubernetes Pod (v1) that redirection and repair need.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pod {

/// Order and names as in the API: `initContainers` first, then `containers`.
struct Container {
  std::string name;
  bool init = false;
  std::vector<std::string> args;
  /// Environment entries with a literal `value`; one with `valueFrom` holds "".
  std::map<std::string, std::string> env;
  /// Container-level securityContext only; the pod's is not consulted.
  std::optional<std::uint32_t> run_as_user;
  std::optional<std::uint32_t> run_as_group;

  bool operator==(const Container&) const = default;
};

/// state.terminated or lastState.terminated of a container status.
struct Termination {
  int exit_code = 0;
  std::string reason;
  std::string message;
  std::string finished_at;  ///< RFC 3339, as the API writes it

  bool operator==(const Termination&) const = default;
};

/// One element of status.initContainerStatuses.
struct InitStatus {
  std::string name;
  std::int32_t restart_count = 0;
  std::optional<Termination> terminated;       ///< the current state, when it is that
  std::optional<Termination> last_terminated;  ///< the state before the last restart

  bool operator==(const InitStatus&) const = default;
};

/// The ownerReference with controller: true.
struct Owner {
  std::string kind;
  std::string name;
  std::string uid;

  bool operator==(const Owner&) const = default;
};

struct Pod {
  std::string name;
  std::string name_space;
  std::string uid;
  std::string resource_version;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<Container> containers;

  bool deleting = false;  ///< metadata.deletionTimestamp is set
  std::optional<Owner> owner;
  std::string node_name;
  std::string restart_policy;  ///< "" means Always
  std::string service_account;
  bool host_network = false;

  std::string phase;
  std::vector<std::string> ips;  ///< status.podIPs, or status.podIP alone
  std::string scheduled_at;      ///< lastTransitionTime of PodScheduled=True, RFC 3339
  std::vector<InitStatus> init_statuses;

  bool operator==(const Pod&) const = default;
};

}  // namespace pod
