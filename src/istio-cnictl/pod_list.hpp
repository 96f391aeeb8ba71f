// This node's pods, from whoever answers.
#pragma once

#include "istio-cnictl/node.hpp"
#include "istio-cnictl/pods_view.hpp"

namespace istio_cnictl {

/// As the agent knows them. When it does not answer: as the API server does, with
/// the ADDs that the journal has, what repair left on disk, and a forecast for the
/// rest. The error is both of theirs.
base::Result<PodList> list_pods(Node& node);

/// Compares the rules in the pod's network namespace with what they should be.
RulesState verify(Node& node, const PodRow& row);

/// Of the row, or the agent's.
base::Result<pod::Pod> pod_of(Node& node, const PodRow& row);

}  // namespace istio_cnictl
