// All that is known about one pod, gathered from everywhere. Values only; what
// could not be had is there as the reason why.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/status.hpp"
#include "base/result.hpp"
#include "config/config.hpp"
#include "istio-cnictl/disk.hpp"
#include "istio-cnictl/journal.hpp"
#include "istio-cnictl/options.hpp"
#include "istio-cnictl/pod_view.hpp"
#include "pod/pod.hpp"
#include "redirect/types.hpp"
#include "repair/match.hpp"
#include "repair/state.hpp"
#include "validate/probe.hpp"

namespace istio_cnictl {

struct FetchedPod {
  pod::Pod pod;
  std::optional<PodView> view;  ///< from the API server only
  std::string from;             ///< "API server" or "agent"
  std::string why_not_api;      ///< from the agent: what the API server said
};

/// Rules in the pod's namespace, compared with what ADD would make.
struct LiveState {
  std::string netns;
  std::string found_by;
  std::string backend;  ///< that holds them, or would
  bool absent = false;  ///< nothing of ours is there
  std::vector<std::string> differences;
};

struct ProbeResult {
  redirect::Family family = redirect::Family::v4;
  using Outcome = validate::ProbeReport::Outcome;
  Outcome outcome = Outcome::failed;
  std::string failure;  ///< unless it arrived
  std::vector<std::string> attempts;
};

/// What decide() says of the pod as it is now.
struct DecisionNow {
  enum class Kind : std::uint8_t { redirect, skip, error } kind = Kind::redirect;
  std::string reason;  ///< of a skip: "not-injected"
  std::string detail;  ///< of a skip or an error
};

template <typename T>
using Known = std::optional<base::Result<T>>;  ///< nothing: not asked for

struct Facts {
  PodName name;
  std::string node;  ///< this one
  Time now{};
  config::RepairMode repair_mode = config::RepairMode::del;

  base::Result<FetchedPod> pod = base::Error{};
  base::Result<std::vector<PodEvent>> events = base::Error{};
  base::Result<agent::Status> agent = base::Error{};
  base::Result<std::optional<agent::PodEntry>> entry = base::Error{};
  base::Result<std::vector<JournalEntry>> journal = base::Error{};
  base::Result<std::vector<JournalEntry>> readiness = base::Error{};
  base::Result<repair::State> repairs = base::Error{};
  DiskState disk;

  std::optional<DecisionNow> decision;    ///< when the pod is known
  std::optional<repair::Broken> broken;   ///< when the pod is known and broken
  Known<LiveState> live;                  ///< when the pod is to be redirected
  Known<std::vector<ProbeResult>> probe;  ///< when the rules are there
};

}  // namespace istio_cnictl
