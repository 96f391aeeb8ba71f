// DaemonSet mode: does the installation stay when this pod stops? Asks the API
// server, and keeps it unless the answer is that no successor comes.
#pragma once

#include <functional>
#include <string>

#include "base/deadline.hpp"
#include "kube/api.hpp"

namespace istio_cni_node {

struct StopDecision {
  bool keep = true;
  std::string why;  ///< one clause
};

/// `name_space`: of the DaemonSet; "" keeps. `done` is called once, at once or
/// later; not at all once `api` is gone.
void decide_stop(kube::ApiClient& api, const std::string& name_space, const std::string& node,
                 base::Deadline deadline, std::function<void(const StopDecision&)> done);

}  // namespace istio_cni_node
