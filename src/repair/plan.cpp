#include "repair/plan.hpp"

#include "base/strings.hpp"
#include "base/time.hpp"

namespace repair {
namespace {

using base::cat;
using config::RepairMode;
using Kind = Action::Kind;

Action held(Hold hold, std::string text, std::optional<Time> until = std::nullopt) {
  return {Kind::hold, hold, std::move(text), until};
}

Action plan_deletion(const Situation& s) {
  if (s.pod.owner && s.pod.owner->kind == "Node")
    return held(Hold::static_pod,
                "it is a static pod, which the API cannot replace; repair.mode repair can help it");
  switch (s.node) {
    case Node::unknown:
      return {};
    case Node::not_ready:
      return held(
          Hold::node_not_ready,
          cat("this node is not ready, so a new pod would break the same way: ", s.node_reason));
    case Node::ready:
      break;
  }
  switch (s.budget.why) {
    case Verdict::Why::owner:
      return held(Hold::owner_budget, s.budget.text, s.budget.until);
    case Verdict::Why::node:
      return held(Hold::node_budget, s.budget.text, s.budget.until);
    case Verdict::Why::allowed:
      break;
  }
  return {s.repair.evict ? Kind::evict : Kind::del, {}, {}, {}};
}

}  // namespace

std::string_view to_string(Hold hold) {
  switch (hold) {
    case Hold::node_not_ready:
      return "node_not_ready";
    case Hold::owner_budget:
      return "owner_budget";
    case Hold::node_budget:
      return "node_budget";
    case Hold::disruption_budget:
      return "disruption_budget";
    case Hold::not_restarted:
      return "not_restarted";
    case Hold::static_pod:
      return "static_pod";
  }
  return "";
}

bool broken_again(const Record& record, const Broken& broken) {
  // The count of the container that terminated: while the next one runs it is
  // one less, and the status does not say whether one runs.
  const auto finished = base::parse_rfc3339(broken.termination.finished_at);
  if (finished) {
    // whole seconds: one that ended within the repair's second may be from before
    return broken.restart_count > record.restart_count &&
           *finished > std::chrono::floor<std::chrono::seconds>(record.at);
  }
  return broken.restart_count - (broken.current ? 0 : 1) > record.restart_count;
}

Action plan(const Situation& s) {
  if (s.repair.mode == RepairMode::off) return {};
  const bool then_delete = s.repair.mode == RepairMode::repair_then_delete;
  bool tried_in_place = false;
  if (s.record != nullptr) {
    switch (s.record->deed) {
      case Deed::deleted:
      case Deed::evicted: {
        const auto patience = s.record->at + deletion_patience;
        if (s.now < patience) return {Kind::none, {}, {}, patience};
        break;
      }
      case Deed::labelled:
        if (s.repair.mode == RepairMode::label) return {};
        break;
      case Deed::repaired:
        if (!broken_again(*s.record, s.broken)) return {};
        tried_in_place = true;
        break;
      case Deed::repair_failed:
        tried_in_place = broken_again(*s.record, s.broken);
        break;
    }
  }
  switch (s.repair.mode) {
    case RepairMode::off:
      return {};
    case RepairMode::del:
      return plan_deletion(s);
    case RepairMode::label:
      return {
          s.pod.labels.contains(s.repair.label_key) ? Kind::label_there : Kind::label, {}, {}, {}};
    case RepairMode::repair:
    case RepairMode::repair_then_delete:
      if (then_delete && (tried_in_place || !s.broken.will_restart)) return plan_deletion(s);
      if (!s.broken.will_restart)
        return held(Hold::not_restarted,
                    "its containers will not be started again, so that only a new pod can help; "
                    "repair.mode repair-then-delete deletes such pods");
      return {Kind::in_place, {}, {}, {}};
  }
  return {};
}

std::string owner_key(const pod::Pod& pod) {
  return pod.owner && !pod.owner->uid.empty() ? pod.owner->uid : pod.uid;
}

std::string owner_text(const pod::Pod& pod) {
  return pod.owner ? cat(pod.owner->kind, '/', pod.owner->name) : std::string();
}

}  // namespace repair
