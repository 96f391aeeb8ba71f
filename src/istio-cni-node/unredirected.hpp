// Mesh pods of which the agent does not know that their traffic is redirected. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "istio-cni-node/pod_cache.hpp"
#include "repair/match.hpp"
#include "repair/state.hpp"

namespace istio_cni_node {

enum class Doubt : std::uint8_t {
  broken,      ///< its validation found no redirection, and no repair has helped since
  add_failed,  ///< the last ADD for it failed: it starts when one succeeds
  unproven,    ///< it runs, and nothing shows that it is redirected
};
/// As the metric's label has it.
std::string_view to_string(Doubt doubt);

/// What speaks for a pod: an ADD that redirected it, told to this run of the agent; a
/// repair in place; or a validation that passed, which its status keeps. So a pod from
/// before the plugin's time is broken or, when it has no validation, unproven. Pods
/// that are not in the mesh, do not run yet, or have ended are in no doubt, except as
/// broken.
///
/// `broken`: as find_broken() has it, whether or not this pod is one that the
/// configuration would repair. `record`: of what was done about it, or null.
/// `validation`: the init container's name, "" when any may be meant.
std::optional<Doubt> doubt(const CachedPod& pod, const std::optional<repair::Broken>& broken,
                           const repair::Record* record, std::string_view validation);

}  // namespace istio_cni_node
