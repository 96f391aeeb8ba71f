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

using Times = std::map<std::string, Time>;

bool in_window(const Times& times, const std::string& pod, seconds window, Time now) {
  const auto found = times.find(pod);
  return found != times.end() && found->second + window > now;
}

std::vector<Time> sorted(const Times& times, seconds window, Time now) {
  std::vector<Time> found;
  for (const auto& [pod, time] : times)
    if (time + window > now) found.push_back(time);
  std::sort(found.begin(), found.end());
  return found;
}

/// When of `times`, which are in the window, fewer than `limit` are left; `soon`
/// when that is so now.
Time next_free(const std::vector<Time>& times, int limit, seconds window, Time soon) {
  const auto allowed = static_cast<std::size_t>(limit);
  return times.size() < allowed ? soon : times[times.size() - allowed] + window;
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

Verdict Budget::check(const std::string& owner, const std::string& pod, Time now) const {
  if (limits_.per_node < 1)
    return {Verdict::Why::node, now + limits_.node_window, "repair.per_node allows no deletion"};
  if (limits_.per_owner < 1)
    return {Verdict::Why::owner, now + limits_.owner_window, "repair.per_owner allows no deletion"};
  const auto found = used_.owners.find(owner);
  const bool has_its_place =
      found != used_.owners.end() && in_window(found->second.pods, pod, limits_.owner_window, now);
  if (!has_its_place)
    if (auto verdict = check_owner(owner, now); !verdict.allowed()) return verdict;
  return check_node(pod, now);
}

Verdict Budget::check_owner(const std::string& owner, Time now) const {
  const auto found = used_.owners.find(owner);
  const Owner one = found == used_.owners.end() ? Owner{} : found->second;
  const auto under_way = std::count_if(pending_.begin(), pending_.end(), [&](const auto& other) {
    return other.second.owner == owner &&
           !in_window(one.pods, other.first, limits_.owner_window, now);
  });
  const bool struck = one.strikes > 0 && !quiet(one, now);
  if (struck) {
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
  // its one deletion after a wait, whatever the window holds
  if (struck) return {};
  const auto times = sorted(one.pods, limits_.owner_window, now);
  if (times.size() + static_cast<std::size_t>(under_way) <
      static_cast<std::size_t>(limits_.per_owner))
    return {};
  return {Verdict::Why::owner,
          next_free(times, limits_.per_owner, limits_.owner_window, now + pending_wait),
          cat(limits_.per_owner, " pods of the same owner were or are being deleted within ",
              span_text(limits_.owner_window))};
}

Verdict Budget::check_node(const std::string& pod, Time now) const {
  auto others = used_.node;
  others.erase(pod);
  const auto times = sorted(others, limits_.node_window, now);
  const auto under_way = std::count_if(pending_.begin(), pending_.end(), [&](const auto& other) {
    return !in_window(others, other.first, limits_.node_window, now);
  });
  if (times.size() + static_cast<std::size_t>(under_way) <
      static_cast<std::size_t>(limits_.per_node))
    return {};
  return {Verdict::Why::node,
          next_free(times, limits_.per_node, limits_.node_window, now + pending_wait),
          cat(limits_.per_node, " pods of this node were or are being deleted within ",
              span_text(limits_.node_window))};
}

void Budget::begin(const std::string& owner, std::string_view label, const std::string& pod,
                   Time now) {
  pending_[pod] = {owner, std::string(label), now};
}

void Budget::end(const std::string& pod, bool counts, Time now) {
  const auto found = pending_.find(pod);
  if (found == pending_.end()) return;
  auto request = std::move(found->second);
  pending_.erase(found);
  if (!counts) return;
  request.at = now;
  forget(used_, now);
  charge(used_, pod, request);
}

void Budget::charge(Used& used, const std::string& pod, const Request& request) const {
  used.node[pod] = request.at;
  auto& one = used.owners[request.owner];
  one.label = request.label;
  if (!one.pods.insert_or_assign(pod, request.at).second) return;  // it had its place
  if (one.strikes > 0) {
    ++one.strikes;
    one.blocked_until = request.at + wait_after(one.strikes);
  } else if (static_cast<int>(one.pods.size()) >= limits_.per_owner) {
    const auto first =
        std::min_element(one.pods.begin(), one.pods.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    one.strikes = 1;
    one.blocked_until = first->second + limits_.owner_window;
  }
}

Budget::Used Budget::used() const {
  auto used = used_;
  for (const auto& [pod, request] : pending_) {
    forget(used, request.at);
    charge(used, pod, request);
  }
  return used;
}

void Budget::forget(Used& used, Time now) const {
  const auto erase_old = [now](Times& times, seconds window) {
    std::erase_if(times, [&](const auto& one) { return one.second + window <= now; });
  };
  erase_old(used.node, limits_.node_window);
  for (auto owner = used.owners.begin(); owner != used.owners.end();) {
    auto& one = owner->second;
    erase_old(one.pods, limits_.owner_window);
    if (one.strikes > 0 && quiet(one, now)) one.strikes = 0;
    owner = one.pods.empty() && one.strikes == 0 ? used.owners.erase(owner) : std::next(owner);
  }
}

void Budget::restore(Used used, Time now) {
  used_ = std::move(used);
  auto clamp = [&](Times& times) {
    for (auto& [pod, time] : times) time = std::min(time, now);
  };
  clamp(used_.node);
  for (auto& [key, owner] : used_.owners) {
    clamp(owner.pods);
    owner.blocked_until = std::min(owner.blocked_until, now + wait_after(owner.strikes));
  }
  forget(used_, now);
}

}  // namespace repair
