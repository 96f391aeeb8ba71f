// What was found about a pod, one line each, and what could not be found out.
#pragma once

#include <vector>

#include "istio-cnictl/verdict.hpp"

namespace istio_cnictl {

/// Pure. Lines with a time come first, oldest first.
std::vector<Evidence> evidence_of(const Facts& facts);

}  // namespace istio_cnictl
