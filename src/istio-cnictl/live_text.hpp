// The rules of the calling thread's network namespace as text.
#pragma once

#include <string>

#include "istio-cnictl/pod_netns.hpp"
#include "netfilter/xtables_table.hpp"

namespace istio_cnictl {

LiveText read_live_text();

/// "*nat", chains with their policies, "-A CHAIN ...", "COMMIT". Pure. Matches
/// and targets that we never write show as their name alone.
std::string table_text(std::string_view name, const netfilter::XtTable& table);

}  // namespace istio_cnictl
