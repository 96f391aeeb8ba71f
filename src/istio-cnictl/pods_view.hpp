// What `pods` knows and shows. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/status.hpp"
#include "base/result.hpp"
#include "istio-cnictl/facts.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {

struct RulesState {
  enum class State : std::uint8_t { good, bad, unknown } state = State::unknown;
  std::string text;
};

/// What the plugin would do with the pod as it is now; not what it did at ADD.
struct Forecast {
  DecisionNow decision;
  std::string backend;  ///< as configured; "unknown" when the kernel decides
};

struct PodRow {
  agent::PodEntry entry;
  std::optional<RulesState> rules;  ///< with --verify
  std::optional<pod::Pod> pod;      ///< when it is the API server's
  std::optional<Forecast> now;      ///< when nobody knows of an ADD
};

struct PodList {
  std::vector<PodRow> rows;
  /// Why the agent was not asked, and the API server was: what repair waits for is
  /// not known then.
  std::optional<base::Error> no_agent;
};

enum class Condition : std::uint8_t {
  good,
  bad,      ///< held back, failed at ADD or certain to, or with other rules than it should have
  unknown,  ///< its rules could not be read
};
Condition condition_of(const PodRow& row);

/// The decision and the backend of the last ADD that the journal has of this pod.
std::optional<agent::AddReport> last_add(const std::vector<JournalEntry>& adds,
                                         const std::string& uid);

std::string text_of(const std::vector<PodRow>& rows, bool verified, const Style& style);
Json json_of(const PodList& list);

}  // namespace istio_cnictl
