#include "repair/controller.hpp"

#include <algorithm>
#include <utility>

#include "base/strings.hpp"
#include "log/message_id.hpp"

namespace repair {
namespace {

using base::cat;
using config::RepairMode;
using logging::Level;
using Kind = Action::Kind;

Limits limits_of(const config::Repair& repair) {
  Limits limits;
  limits.per_owner = repair.per_owner;
  limits.per_node = repair.per_node;
  return limits;
}

}  // namespace

Controller::Controller(config::Repair repair, Criteria criteria, std::string node_name, State state,
                       Api& api, Jobs& jobs, Clock& clock, Hooks hooks)
    : repair_(std::move(repair)),
      criteria_(std::move(criteria)),
      state_(std::move(state)),
      budget_(limits_of(repair_)),
      api_(api),
      jobs_(jobs),
      clock_(clock),
      hooks_(std::move(hooks)),
      events_(api, std::move(node_name), [this](const std::string& cause) {
        if (hooks_.log)
          hooks_.log(Level::debug, cat("cannot send an Event: ", cause, ", ignoring"), {});
      }) {
  budget_.restore(state_.budget, clock_.now());
}

Controller::~Controller() = default;

void Controller::configure(config::Repair repair, Criteria criteria, std::string node_name) {
  repair_ = std::move(repair);
  criteria_ = std::move(criteria);
  budget_.set_limits(limits_of(repair_));
  events_.set_node(std::move(node_name));
  for (auto one = tracked_.begin(); one != tracked_.end();) {
    auto& tracked = one->second;
    tracked.broken =
        repair_.mode == RepairMode::off ? std::nullopt : find_broken(tracked.pod, criteria_);
    tracked.skipped = false;
    tracked.failures = 0;
    tracked.due.reset();
    one = tracked.broken || tracked.in_flight ? std::next(one) : tracked_.erase(one);
  }
  evaluate_all();
  changed();
}

void Controller::node_ready(bool ready, std::string reason) {
  const auto before = std::exchange(node_, ready ? Node::ready : Node::not_ready);
  node_reason_ = std::move(reason);
  if (before != node_) evaluate_all();
}

void Controller::pod_changed(const pod::Pod& pod, const std::string& netns) {
  auto broken = repair_.mode == RepairMode::off ? std::nullopt : find_broken(pod, criteria_);
  auto found = tracked_.find(pod.uid);
  if (found == tracked_.end()) {
    if (!broken) return;
    found = tracked_.emplace(pod.uid, Tracked{}).first;
  } else if (!broken && !found->second.in_flight) {
    tracked_.erase(found);
    changed();
    return;
  }
  auto& tracked = found->second;
  tracked.pod = pod;
  if (!netns.empty()) tracked.netns = netns;
  tracked.broken = std::move(broken);
  tracked.waiting = false;
  evaluate(pod.uid);
  arm();
}

void Controller::pod_removed(const std::string& uid) {
  const bool known = tracked_.erase(uid) > 0;
  std::erase_if(held_told_, [&](const auto& one) { return one.first.first == uid; });
  if (state_.pods.erase(uid) > 0) save();
  if (known) changed();
}

void Controller::listed(const std::set<std::string>& uids) {
  const auto gone =
      std::erase_if(tracked_, [&](const auto& one) { return !uids.contains(one.first); });
  std::erase_if(held_told_, [&](const auto& one) { return !uids.contains(one.first.first); });
  if (state_.prune(uids)) save();
  if (gone > 0) changed();
}

void Controller::tick() {
  const auto now = clock_.now();
  std::vector<std::string> due;
  for (auto& [uid, tracked] : tracked_) {
    if (!tracked.due || *tracked.due > now) continue;
    tracked.due.reset();
    due.push_back(uid);
  }
  for (const auto& uid : due) evaluate(uid);
  arm();
}

Controller::Status Controller::status() const {
  Status status;
  status.repaired = repaired_;
  for (const auto& [uid, tracked] : tracked_)
    if (auto one = held(uid)) status.held.push_back(*std::move(one));
  return status;
}

std::size_t Controller::held() const {
  return static_cast<std::size_t>(
      std::count_if(tracked_.begin(), tracked_.end(),
                    [](const auto& one) { return !one.second.held_reason.empty(); }));
}

std::optional<Controller::Held> Controller::held(const std::string& uid) const {
  const auto found = tracked_.find(uid);
  if (found == tracked_.end() || found->second.held_reason.empty()) return std::nullopt;
  const auto& tracked = found->second;
  return Held{uid, tracked.pod.name_space, tracked.pod.name, tracked.held_reason,
              tracked.held_text};
}

void Controller::evaluate_all() {
  std::vector<std::string> uids;
  for (const auto& [uid, tracked] : tracked_) uids.push_back(uid);
  for (const auto& uid : uids) evaluate(uid);
  arm();
}

void Controller::evaluate(const std::string& uid) {
  const auto found = tracked_.find(uid);
  if (found == tracked_.end()) return;
  auto& tracked = found->second;
  if (tracked.in_flight || tracked.skipped || tracked.waiting || !tracked.broken) return;
  const auto now = clock_.now();
  if (tracked.failures > 0 && tracked.due && *tracked.due > now) return;  // the back-off

  const auto record = state_.pods.find(uid);
  const auto verdict = budget_.check(owner_key(tracked.pod), uid, now);
  const auto action = plan({tracked.pod, *tracked.broken, repair_,
                            record == state_.pods.end() ? nullptr : &record->second, node_,
                            node_reason_, verdict, now});
  switch (action.kind) {
    case Kind::none:
      tracked.due = action.until;
      tracked.held_reason.clear();
      changed();
      return;
    case Kind::hold:
      hold(tracked, to_string(action.hold), action.text, action.until);
      return;
    case Kind::label_there:
      label_there(tracked);
      return;
    case Kind::del:
    case Kind::evict:
    case Kind::label:
    case Kind::in_place:
      begin(tracked, action.kind);
      return;
  }
}

void Controller::hold(Tracked& tracked, std::string_view reason, const std::string& text,
                      std::optional<Time> until) {
  tracked.due = until;
  tracked.held_reason = reason;
  tracked.held_text = text;
  const auto now = clock_.now();
  std::erase_if(held_told_, [&](const auto& one) { return one.second + held_back_silence <= now; });
  if (held_told_.emplace(std::pair(tracked.pod.uid, std::string(reason)), now).second) {
    const auto work = work_of(tracked, Kind::hold);
    log(Level::info,
        cat("Holding back the repair of pod ", work.target.name_space, '/', work.target.name, ": ",
            text),
        work, {{"REASON", std::string(reason)}, {"MESSAGE_ID", message_id::repair_held_back}});
    if (hooks_.held_back) hooks_.held_back(reason);
    events_.tell(work.target, reason_held_back,
                 cat("pod detected as broken, but its repair is held back: ", text, " (",
                     work.broken.cause(), ')'),
                 now);
  }
  changed();
}

void Controller::label_there(Tracked& tracked) {
  const auto work = work_of(tracked, Kind::label);
  log(Level::debug, cat("Broken pod has label ", repair_.label_key, " already"), work);
  tracked.held_reason.clear();
  if (hooks_.repaired) hooks_.repaired("label", "skip");
  state_.put(work.target.uid, {work.target.name_space, work.target.name, Deed::labelled,
                               clock_.now(), work.broken.restart_count, 0});
  save();
  changed();
}

void Controller::arm() {
  std::optional<Time> first;
  for (const auto& [uid, tracked] : tracked_)
    if (!tracked.in_flight && tracked.due && (!first || *tracked.due < *first)) first = tracked.due;
  if (first) clock_.wake_at(*first);
}

void Controller::changed() {
  if (hooks_.changed) hooks_.changed();
}

}  // namespace repair
