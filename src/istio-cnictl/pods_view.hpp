// What `pods` shows. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/status.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {

struct RulesState {
  enum class State : std::uint8_t { good, bad, unknown } state = State::unknown;
  std::string text;
};

struct PodRow {
  agent::PodEntry entry;
  std::optional<RulesState> rules;  ///< with --verify
};

/// Not held back, not failed, and its rules not known to be other than they should.
bool is_good(const PodRow& row);
std::string text_of(const std::vector<PodRow>& rows, bool verified, const Style& style);

}  // namespace istio_cnictl
