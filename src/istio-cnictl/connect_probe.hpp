// The probe for a pod whose proxy runs. In the calling thread's network
// namespace.
#pragma once

#include <chrono>

#include "istio-cnictl/facts.hpp"
#include "redirect/types.hpp"

namespace istio_cnictl {

/// Does any process listen on this TCP port here?
bool listens(redirect::Port port);

/// Connects as validate::run_probe does, and takes an accepted connection for
/// one that was redirected: nothing listens at the address itself. Nothing is sent.
ProbeResult connect_probe(redirect::Family family, std::chrono::milliseconds timeout);

}  // namespace istio_cnictl
