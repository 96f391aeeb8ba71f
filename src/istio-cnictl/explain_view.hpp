// What `explain` gathers and shows.
#pragma once

#include <string>

#include "istio-cnictl/node.hpp"
#include "istio-cnictl/output.hpp"
#include "istio-cnictl/verdict.hpp"

namespace istio_cnictl {

/// Asks everyone, one after the other.
Facts gather(Node& node, const PodName& name);

/// Pure.
std::string text_of(const Verdict& verdict, const PodName& pod, const Style& style);

}  // namespace istio_cnictl
