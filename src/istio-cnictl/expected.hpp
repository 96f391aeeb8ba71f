// What ADD would make of a pod. Pure.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "istio-cnictl/facts.hpp"
#include "istio-cnictl/options.hpp"
#include "pod/pod.hpp"
#include "redirect/decide.hpp"
#include "redirect/ruleset.hpp"

namespace istio_cnictl {

/// As the plugin decides with this configuration. The error is that of a bad
/// annotation.
base::Result<redirect::Decision> decide_as_plugin(const pod::Pod& pod,
                                                  const config::Config& config);
DecisionNow in_words(const base::Result<redirect::Decision>& decision);

/// Is IPv6 to be programmed? By the status's addresses, as ADD decides by the
/// namespace's; nothing when the pod has none yet.
std::optional<bool> wants_ipv6(const pod::Pod& pod, bool dual_stack);

/// "nftables" as nft commands, else iptables-restore text of both families.
std::string text_of(const redirect::Ruleset& ruleset, bool nftables);

/// A pod as `kubectl get pod -o json` prints it, or the only one of a list of
/// them. Errc::invalid_input says what it is instead.
base::Result<pod::Pod> pod_from_text(std::string_view text, std::string_view name);

}  // namespace istio_cnictl
