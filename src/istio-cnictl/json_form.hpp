// What --output json prints, and small helpers for it. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "agent/status.hpp"
#include "istio-cnictl/disk.hpp"
#include "istio-cnictl/facts.hpp"
#include "istio-cnictl/verdict.hpp"

namespace istio_cnictl {

using Json = nlohmann::ordered_json;

/// Two blanks of indentation and a final newline; bytes that are not UTF-8 are
/// replaced.
std::string dump(const Json& json);
Json json_of(const std::optional<Time>& time);
Json json_of(const DiskState& disk, bool agent_answers);
Json json_of(const agent::Status& status);
Json json_of(const agent::PodEntry& entry);
Json json_of(const Verdict& verdict, const PodName& pod);
Json json_of(const ProbeResult& result);
std::string_view to_string(ProbeResult::Outcome outcome);

}  // namespace istio_cnictl
