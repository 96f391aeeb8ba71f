// DaemonSet mode: when our pod stops, is it replaced (upgrade, restart) or is it
// gone for good? Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace istio_cni_node {

inline constexpr std::string_view daemonset_name = "istio-cni-node";

/// The DaemonSet (apps/v1, JSON) has a deletionTimestamp.
bool being_deleted(std::string_view daemonset);

/// True when the DaemonSet (apps/v1, JSON) is not being deleted, and its pod
/// template's nodeSelector and required node affinity match the node (v1, JSON):
/// a successor of our pod will come here. Operators In, NotIn, Exists,
/// DoesNotExist, Gt, Lt over labels, and matchFields metadata.name.
base::Result<bool> wants_node(std::string_view daemonset, std::string_view node);

}  // namespace istio_cni_node
