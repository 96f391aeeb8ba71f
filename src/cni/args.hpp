#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace cni {

/// CNI_ARGS as a kubelet's runtime fills it; absent keys are empty.
struct Args {
  std::string pod_name;
  std::string pod_namespace;
  std::string infra_container_id;
  std::string pod_uid;
};

/// `K=V;K=V`. A pair that is not one key and one value is an error; an unknown
/// key is one unless IgnoreUnknown is true (anywhere in the string).
base::Result<Args> parse_args(std::string_view text);

}  // namespace cni
