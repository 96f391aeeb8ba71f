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
};

struct Pod {
  std::string name;
  std::string name_space;
  std::string uid;
  std::string resource_version;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<Container> containers;
};

}  // namespace pod
