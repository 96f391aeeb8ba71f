// A pod without what nobody reads, to be kept and to be sent. Pure.
#pragma once

#include <string>
#include <vector>

#include "pod/pod.hpp"

namespace redirect {

/// The same pod for decide(), for every HostInput, errors and warnings included,
/// and for repair. Left out are annotations that neither decide() reads nor
/// `keep_annotations` names (exact keys), all but the name of containers other
/// than the proxy, and the arguments and environment of the proxy that are not
/// read. All else stays: names, labels, owner, node and status.
pod::Pod project(pod::Pod pod, const std::vector<std::string>& keep_annotations);

}  // namespace redirect
