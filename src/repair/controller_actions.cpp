// The controller's actions: how one begins, and what its end means.
#include <algorithm>
#include <utility>

#include "base/strings.hpp"
#include "log/message_id.hpp"
#include "repair/controller.hpp"

namespace repair {
namespace {

using base::cat;
using logging::Level;
using Kind = Action::Kind;

constexpr std::string_view reason_failed = "failed";
constexpr std::string_view reason_skipped = "not_redirected";

bool deletes(Kind kind) { return kind == Kind::del || kind == Kind::evict; }

std::string_view metric_of(Kind kind) {
  if (deletes(kind)) return "delete";
  return kind == Kind::in_place ? "repair" : "label";
}

std::string_view reason_of(Kind kind) {
  if (deletes(kind)) return reason_delete;
  return kind == Kind::in_place ? reason_repair : reason_label;
}

std::string_view doing(Kind kind) {
  switch (kind) {
    case Kind::del:
      return "deleting";
    case Kind::evict:
      return "evicting";
    case Kind::in_place:
      return "repairing";
    default:
      return "labelling";
  }
}

}  // namespace

Controller::Work Controller::work_of(const Tracked& tracked, Kind kind) const {
  const auto& pod = tracked.pod;
  return {{pod.name_space, pod.name, pod.uid, pod.resource_version},
          owner_key(pod),
          owner_text(pod),
          tracked.broken.value_or(Broken{}),
          kind,
          clock_.now()};
}

void Controller::begin(Tracked& tracked, Kind kind) {
  const auto work = work_of(tracked, kind);
  tracked.in_flight = true;
  tracked.due.reset();
  tracked.held_reason.clear();
  log(Level::info,
      cat(kind == Kind::in_place ? "Repairing"
          : kind == Kind::label  ? "Labeling"
                                 : "Deleting",
          " broken pod: ", work.target.name_space, '/', work.target.name),
      work);
  changed();
  if (deletes(kind)) {
    begin_deletion(work);
  } else if (kind == Kind::label) {
    dispatch(work);
  } else {
    jobs_.repair(tracked.pod, tracked.netns,
                 [this, alive = std::weak_ptr<bool>(alive_), work](const InPlaceReport& report) {
                   if (!alive.expired()) ended_in_place(work, report);
                 });
  }
}

/// Written down first: should this run end in the middle, the next one must not
/// have the budget of a pod that was deleted.
void Controller::begin_deletion(const Work& work) {
  budget_.begin(work.owner, work.owner_label.empty() ? work.target.name : work.owner_label,
                work.target.uid, clock_.now());
  save([this, alive = std::weak_ptr<bool>(alive_), work] {
    if (alive.expired()) return;
    // a disk may be slow
    const auto tracked = tracked_.find(work.target.uid);
    if (tracked != tracked_.end() && tracked->second.broken && node_ == Node::ready) {
      dispatch(work);
      return;
    }
    budget_.end(work.target.uid, false, clock_.now());
    save();
    finish(work);
    evaluate(work.target.uid);
    arm();
    changed();
  });
}

void Controller::dispatch(const Work& work) {
  auto done = [this, alive = std::weak_ptr<bool>(alive_), work](const Reply& reply) {
    if (!alive.expired()) ended(work, reply);
  };
  if (work.kind == Kind::evict)
    api_.evict(work.target, std::move(done));
  else if (work.kind == Kind::label)
    api_.label(work.target, repair_.label_key, repair_.label_value, std::move(done));
  else
    api_.remove(work.target, std::move(done));
}

Controller::Tracked* Controller::finish(const Work& work) {
  const auto found = tracked_.find(work.target.uid);
  if (found == tracked_.end()) return nullptr;
  found->second.in_flight = false;
  if (found->second.broken) return &found->second;
  tracked_.erase(found);
  return nullptr;
}

void Controller::ended(const Work& work, const Reply& reply) {
  if (deletes(work.kind)) {
    const bool done = reply.kind == Reply::Kind::done;
    budget_.end(work.target.uid, done || reply.maybe_done, clock_.now());
    if (!done) save();
  }
  switch (reply.kind) {
    case Reply::Kind::done:
      succeeded(work, work.kind == Kind::del     ? Deed::deleted
                      : work.kind == Kind::evict ? Deed::evicted
                                                 : Deed::labelled);
      break;
    case Reply::Kind::gone:
      log(Level::debug, "Broken pod is gone already", work);
      tracked_.erase(work.target.uid);
      break;
    case Reply::Kind::conflict:
      log(Level::debug, cat("Broken pod has changed meanwhile: ", reply.cause), work);
      if (auto* tracked = finish(work)) {
        // the change may have come while the request was under way
        tracked->waiting = tracked->pod.resource_version == work.target.resource_version;
        evaluate(work.target.uid);
      }
      break;
    case Reply::Kind::blocked:
      if (auto* tracked = finish(work)) {
        ++tracked->failures;
        hold(*tracked, to_string(Hold::disruption_budget), reply.cause, retry_time(*tracked));
      }
      break;
    case Reply::Kind::rejected:
    case Reply::Kind::unavailable:
      failed(work, reply.cause);
      break;
  }
  arm();
  changed();
}

void Controller::ended_in_place(const Work& work, const InPlaceReport& report) {
  auto details = [&] {
    logging::Fields fields;
    auto add = [&](const char* name, const std::string& value) {
      if (!value.empty()) fields.emplace_back(name, value);
    };
    auto add_time = [&](const char* name, std::chrono::microseconds time) {
      if (time.count() >= 0) fields.emplace_back(name, cat(time.count()));
    };
    add("NETNS", report.netns);
    add("NETNS_FOUND_BY", report.found_by);
    add("BACKEND", report.backend);
    add_time("FIND_US", report.find);
    add_time("RULES_US", report.rules);
    add_time("VERIFY_US", report.verify);
    add_time("PROBE_US", report.probe);
    return fields;
  }();
  for (const auto& warning : report.warnings) log(Level::warn, warning, work);
  switch (report.outcome) {
    case InPlaceReport::Outcome::repaired:
      log(Level::info, cat("Repaired broken pod: ", work.target.name_space, '/', work.target.name),
          work, std::move(details));
      succeeded(work, Deed::repaired);
      break;
    case InPlaceReport::Outcome::skipped:
      if (hooks_.repaired) hooks_.repaired("repair", "skip");
      if (auto* tracked = finish(work)) {
        tracked->skipped = true;
        hold(*tracked, reason_skipped, cat("the plugin leaves this pod alone: ", report.cause),
             std::nullopt);
      }
      break;
    case InPlaceReport::Outcome::failed: {
      const auto tracked = tracked_.find(work.target.uid);
      if (tracked != tracked_.end()) {
        // the first failure of a row counts for "broken again"
        auto& record = state_.pods[work.target.uid];
        const bool row = record.deed == Deed::repair_failed && record.at != Time{} &&
                         !broken_again(record, work.broken);
        Record now{work.target.name_space, work.target.name,          Deed::repair_failed,
                   clock_.now(),           work.broken.restart_count, record.attempts + 1};
        if (record.at == Time{}) now.attempts = 1;
        if (row) {
          now.at = record.at;
          now.restart_count = record.restart_count;
        }
        state_.put(work.target.uid, std::move(now));
        save();
      }
      failed(work, report.cause);
      break;
    }
  }
  arm();
  changed();
}

void Controller::succeeded(const Work& work, Deed deed) {
  const auto now = clock_.now();
  const auto tracked = tracked_.find(work.target.uid);
  if (tracked != tracked_.end()) {
    tracked->second.failures = 0;
    Record record{
        work.target.name_space,        work.target.name, deed, now, work.broken.restart_count,
        deed == Deed::repaired ? 1 : 0};
    // restarted while the rules were made: that run may have begun without them
    if (const auto& broken = tracked->second.broken)
      record.restart_count = std::max(record.restart_count, broken->restart_count);
    if (const auto before = state_.pods.find(work.target.uid);
        before != state_.pods.end() && deed == Deed::repaired)
      record.attempts = before->second.attempts + 1;
    state_.put(work.target.uid, std::move(record));
  }
  save();
  ++repaired_;
  if (hooks_.repaired) hooks_.repaired(metric_of(work.kind), "success");
  if (hooks_.duration) hooks_.duration(now - work.begun);
  std::string done;
  switch (deed) {
    case Deed::deleted:
      done = "deleted";
      break;
    case Deed::evicted:
      done = "evicted";
      break;
    case Deed::labelled:
      done = cat("labelled with ", repair_.label_key, '=', repair_.label_value);
      break;
    default:
      done = cat("repaired in place; container ", work.broken.container,
                 " passes when it is started again");
  }
  events_.tell(work.target, reason_of(work.kind),
               cat("pod detected as broken and ", done, ": ", work.broken.cause()), now);
  finish(work);
  evaluate(work.target.uid);
}

void Controller::failed(const Work& work, const std::string& cause) {
  const auto now = clock_.now();
  if (hooks_.repaired) hooks_.repaired(metric_of(work.kind), "fail");
  log(Level::warn,
      cat(doing(work.kind), " broken pod ", work.target.name_space, '/', work.target.name,
          " failed, trying again: ", cause),
      work, {{"MESSAGE_ID", message_id::repair_failed}});
  events_.tell(work.target, reason_of(work.kind),
               cat("pod detected as broken, but ", doing(work.kind), " it failed: ", cause, " (",
                   work.broken.cause(), ')'),
               now);
  if (auto* tracked = finish(work)) {
    ++tracked->failures;
    tracked->due = retry_time(*tracked);
    tracked->held_reason = reason_failed;
    tracked->held_text = cause;
  }
}

Time Controller::retry_time(const Tracked& tracked) const {
  auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(retry_first);
  for (int i = 1; i < tracked.failures && wait < retry_cap; ++i) wait *= 2;
  wait = std::min<std::chrono::milliseconds>(wait, retry_cap);
  // many pods that failed together do not come back together
  const auto spread = std::hash<std::string>{}(cat(tracked.pod.uid, tracked.failures)) % 256;
  return clock_.now() + wait + wait * static_cast<std::int64_t>(spread) / 1024;
}

void Controller::save(std::function<void()> then) {
  state_.budget = budget_.used();
  if (hooks_.save)
    hooks_.save(to_json(state_), std::move(then));
  else if (then)
    then();
}

void Controller::log(Level level, std::string_view message, const Work& work,
                     logging::Fields more) {
  if (!hooks_.log) return;
  logging::Fields fields{{"POD_NAMESPACE", work.target.name_space},
                         {"POD_NAME", work.target.name},
                         {"POD_UID", work.target.uid},
                         {"OWNER", work.owner_label},
                         {"REPAIR_MODE", std::string(config::to_string(repair_.mode))},
                         {"CAUSE", work.broken.cause()}};
  fields.insert(fields.end(), std::make_move_iterator(more.begin()),
                std::make_move_iterator(more.end()));
  hooks_.log(level, message, fields);
}

}  // namespace repair
