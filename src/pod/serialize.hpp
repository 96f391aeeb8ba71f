// A pod back to JSON, in the API's own form, so that parse_pod reads it again.
#pragma once

#include <string>

#include "pod/pod.hpp"

namespace pod {

/// Compact JSON with `parse_pod(to_json(pod)) == pod` for every pod that
/// parse_pod can return. Bytes that are not UTF-8 are replaced.
std::string to_json(const Pod& pod);

}  // namespace pod
