#include "repair/budget.hpp"

#include <algorithm>

#include "base/strings.hpp"
#include "base/time.hpp"

namespace repair {
namespace {

using base::cat;
using std::chrono::seconds;

/// While others are under way: how soon to look again.
constexpr seconds pending_wait{5};

std::size_t in_window(const std::vector<Time>& times, seconds window, Time now) {
  return static_cast<std::size_t>(
      std::count_if(times.begin(), times.end(), [&](Time time) { return time + window > now; }));
}

/// When one of at most `limit` in the window falls out of it.
Time next_free(const std::vector<Time>& times, int limit, seconds window) {
  return times[times.size() - static_cast<std::size_t>(limit)] + window;
}

std::string span_text(seconds span) {
  return span.count() % 60 == 0 ? cat(span.count() / 60, " min") : cat(span.count(), " s");
}

}  // namespace

seconds Budget::wait_after(int strikes) const {
  auto wait = limits_.owner_window;
  for (int i = 2; i < strikes && wait < limits_.backoff_cap; ++i) wait *= 2;
  return std::min(wait, limits_.backoff_cap);
}

bool Budget::quiet(const Owner& owner, Time now) const {
  return now >= owner.blocked_until + std::max(wait_after(owner.strikes), limits_.owner_window);
}

Verdict Budget::check(const std::string& owner, Time now) const {
  if (limits_.per_node < 1)
    return {Verdict::Why::node, now + limits_.node_window, "repair.per_node allows no deletion"};
  if (limits_.per_owner < 1)
    return {Verdict::Why::owner, now + limits_.owner_window, "repair.per_owner allows no deletion"};

  const auto found = used_.owners.find(owner);
  const auto pending = pending_.find(owner);
  const auto under_way = pending == pending_.end() ? 0 : pending->second;
  if (found != used_.owners.end() && found->second.strikes > 0 && !quiet(found->second, now)) {
    const auto& one = found->second;
    if (now < one.blocked_until)
      return {Verdict::Why::owner, one.blocked_until,
              one.strikes == 1
                  ? cat(limits_.per_owner, " pods of the same owner were deleted within ",
                        span_text(limits_.owner_window))
                  : cat("pods of the same owner break again and again; the next one may be "
                        "deleted at ",
                        base::format_rfc3339(one.blocked_until))};
    if (under_way > 0)
      return {Verdict::Why::owner, now + pending_wait,
              "another pod of the same owner is being deleted"};
  }
  const auto of_owner = found == used_.owners.end()
                            ? std::size_t{0}
                            : in_window(found->second.times, limits_.owner_window, now);
  if (of_owner + static_cast<std::size_t>(under_way) >=
      static_cast<std::size_t>(limits_.per_owner)) {
    // strikes tell when the window is full; this is for limits lowered meanwhile
    const auto until = of_owner >= static_cast<std::size_t>(limits_.per_owner)
                           ? next_free(found->second.times, limits_.per_owner, limits_.owner_window)
                           : now + pending_wait;
    const bool after_wait = found != used_.owners.end() && found->second.strikes > 0;
    if (!after_wait)
      return {Verdict::Why::owner, until,
              cat(limits_.per_owner, " pods of the same owner were or are being deleted within ",
                  span_text(limits_.owner_window))};
  }
  const auto of_node = in_window(used_.node, limits_.node_window, now);
  if (of_node + static_cast<std::size_t>(pending_node_) >=
      static_cast<std::size_t>(limits_.per_node)) {
    const auto until = of_node >= static_cast<std::size_t>(limits_.per_node)
                           ? next_free(used_.node, limits_.per_node, limits_.node_window)
                           : now + pending_wait;
    return {Verdict::Why::node, until,
            cat(limits_.per_node, " pods of this node were or are being deleted within ",
                span_text(limits_.node_window))};
  }
  return {};
}

void Budget::begin(const std::string& owner) {
  ++pending_[owner];
  ++pending_node_;
}

void Budget::end(const std::string& owner, std::string_view label, bool done, Time now) {
  if (auto pending = pending_.find(owner); pending != pending_.end()) {
    --pending_node_;
    if (--pending->second == 0) pending_.erase(pending);
  }
  if (!done) return;
  forget(now);
  used_.node.push_back(now);
  auto& one = used_.owners[owner];
  one.label = label;
  one.times.push_back(now);
  if (one.strikes > 0) {
    ++one.strikes;
    one.blocked_until = now + wait_after(one.strikes);
  } else if (static_cast<int>(one.times.size()) >= limits_.per_owner) {
    one.strikes = 1;
    one.blocked_until = one.times.front() + limits_.owner_window;
  }
}

void Budget::forget(Time now) {
  std::erase_if(used_.node, [&](Time time) { return time + limits_.node_window <= now; });
  for (auto owner = used_.owners.begin(); owner != used_.owners.end();) {
    auto& one = owner->second;
    std::erase_if(one.times, [&](Time time) { return time + limits_.owner_window <= now; });
    if (one.strikes > 0 && quiet(one, now)) one.strikes = 0;
    owner = one.times.empty() && one.strikes == 0 ? used_.owners.erase(owner) : std::next(owner);
  }
}

void Budget::restore(Used used, Time now) {
  used_ = std::move(used);
  auto clamp = [&](std::vector<Time>& times) {
    for (auto& time : times) time = std::min(time, now);
    std::sort(times.begin(), times.end());
  };
  clamp(used_.node);
  for (auto& [key, owner] : used_.owners) {
    clamp(owner.times);
    owner.blocked_until = std::min(owner.blocked_until, now + wait_after(owner.strikes));
  }
  forget(now);
}

}  // namespace repair
