#pragma once

#include <string>
#include <utility>
#include <vector>

#include "istio-cnictl/node.hpp"

namespace istio_cnictl {

struct Versions {
  std::string tool;
  std::string agent;                                         ///< "" when it does not answer
  std::vector<std::pair<std::string, std::string>> plugins;  ///< path, version
  std::string kernel;
  std::string runtime;
};
Versions read_versions(Node& node);

}  // namespace istio_cnictl
