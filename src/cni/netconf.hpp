// The plugin's entry in a network configuration, as the runtime passes it on
// stdin.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "cni/protocol.hpp"

namespace cni {

enum class BackendChoice { automatic, nftables, iptables };

struct Netconf {
  Version version;
  std::string name;
  std::string log_level;                   ///< plugin_log_level; "" is info
  std::string run_dir = "/run/istio-cni";  ///< cni_agent_run_dir
  std::string kubeconfig;  ///< never empty: the key, or RUN_DIR/istio-cni-kubeconfig
  std::vector<std::string> exclude_namespaces;
  std::string agent_namespace;  ///< pod_namespace
  BackendChoice backend = BackendChoice::automatic;
  std::chrono::milliseconds timeout{30000};  ///< timeout_seconds, for the whole command
  bool gate = false;                         ///< our plugin stands alone: no pod may start yet
  /// As it came; absent and null are nullopt.
  std::optional<nlohmann::ordered_json> prev_result;
};

/// Unknown keys are ignored. Failures carry the specification's code: 6 not
/// JSON or a key of the wrong type, 7 no valid `name`, 1 unsupported version.
std::variant<Netconf, Failure> parse_netconf(std::string_view text);

/// What ADD prints: prevResult in the configuration's version, with every field
/// it came with, or the empty result. The failure when prevResult is not a
/// result of that version, or 0.1.0/0.2.0 without addresses.
std::variant<std::string, Failure> result_json(const Netconf& conf);

}  // namespace cni
