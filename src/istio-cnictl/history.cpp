// What happened to a pod before now: its ADDs, and the state of the
// installation when it started.
#include <algorithm>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "cni/conflist.hpp"
#include "istio-cnictl/verdict.hpp"

namespace istio_cnictl {
namespace {

bool is_this_pod(const Facts& facts, const std::string& uid) {
  return !facts.pod || uid.empty() || facts.pod->pod.uid.empty() || uid == facts.pod->pod.uid;
}

/// While the agent starts, the installation is as it was before: these changes
/// of its readiness say nothing about it.
bool says_nothing(const std::string& sentence) {
  return sentence.find("Not ready: starting") != std::string::npos ||
         sentence.find("Stopping") != std::string::npos;
}

struct Change {
  Time at{};
  bool in_list = false;
  std::string sentence;
  std::string source;
};

/// An entry that says nothing of the list is an earlier agent's.
bool in_list(const JournalEntry& entry) {
  const auto told = entry.field("ISTIO_CNI_IN_LIST");
  return (told.empty() ? entry.field("ISTIO_CNI_READY") : told) == "1";
}

std::vector<Change> changes_of(const Facts& facts) {
  std::vector<Change> changes;
  if (facts.readiness)
    for (const auto& entry : *facts.readiness)
      changes.push_back({entry.at, in_list(entry), entry.message, "journal"});
  if (facts.agent)
    for (const auto& change : facts.agent->changes)
      changes.push_back({change.at, change.in_list, change.sentence, "agent"});
  std::erase_if(changes, [](const Change& change) { return says_nothing(change.sentence); });
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) { return a.at < b.at; });
  return changes;
}

Then known_later(const Change& change) {
  return {Then::InList::unknown,
          base::cat("nothing is known of that time; later: ", change.sentence), change.source,
          change.at};
}

Then without_changes(Time when, const std::vector<Change>& changes, const Facts& facts) {
  if (!changes.empty() && changes.front().in_list) return known_later(changes.front());
  if (facts.disk.written && *facts.disk.written > when && !facts.disk.file.empty())
    return {Then::InList::unknown,
            base::cat("nothing is known of that time; ", facts.disk.file,
                      " was written last after the pod's start"),
            "disk", facts.disk.written};
  return {Then::InList::unknown, "nothing is known of that time", "", std::nullopt};
}

}  // namespace

std::vector<Add> adds_of(const Facts& facts) {
  std::vector<Add> adds;
  if (facts.journal)
    for (const auto& entry : *facts.journal) {
      if (!is_finished_add(entry)) continue;
      if (!is_this_pod(facts, entry.field("POD_UID"))) continue;
      Add add{entry.at, false, entry.field("DECISION"), 0, entry.message, entry.field("BACKEND"),
              "journal"};
      if (auto code = base::parse_unsigned(entry.field("ERROR_CODE"), 100000))
        add.code = static_cast<int>(*code);
      add.success = add.decision != "failed";
      adds.push_back(std::move(add));
    }
  if (facts.entry && *facts.entry && (*facts.entry)->add &&
      is_this_pod(facts, (*facts.entry)->uid)) {
    const auto& report = *(*facts.entry)->add;
    adds.push_back({report.at, report.result == "success", report.decision, 0, report.message,
                    report.backend, "agent"});
  }
  if (facts.events)
    for (const auto& event : *facts.events) {
      if (event.reason != "FailedCreatePodSandBox" || !event.last) continue;
      if (event.message.find(cni::plugin_type) == std::string::npos) continue;
      if (!is_this_pod(facts, event.uid)) continue;
      adds.push_back({*event.last, false, "failed", 0, event.message, "", "events"});
    }
  std::stable_sort(adds.begin(), adds.end(),
                   [](const Add& a, const Add& b) { return a.at < b.at; });
  // the same ADD as both tell it: the journal knows the error's code
  for (std::size_t i = 1; i < adds.size(); ++i)
    if (adds[i].code == 0 && adds[i - 1].code != 0 && !adds[i].success &&
        adds[i].message == adds[i - 1].message)
      adds[i].code = adds[i - 1].code;
  return adds;
}

Then installation_during(Time from, Time to, const Facts& facts) {
  using InList = Then::InList;
  const auto changes = changes_of(facts);
  const Change* speaking = nullptr;
  bool ever = false;
  bool always = true;
  for (const auto& change : changes) {
    if (change.at > to) break;
    // what was before is over when the pod begins to start
    if (change.at <= from) {
      ever = false;
      always = true;
      speaking = nullptr;
    }
    ever = ever || change.in_list;
    if (always) speaking = &change;
    always = always && change.in_list;
  }
  if (speaking == nullptr) return without_changes(from, changes, facts);
  // the plugin came, or was there and only then spoken of
  if (always && changes.front().at > from) return known_later(*speaking);
  const auto in_list = always ? InList::yes : ever ? InList::partly : InList::no;
  return {in_list, speaking->sentence, speaking->source, speaking->at};
}

std::optional<Then> installation_at_start(const Facts& facts) {
  if (!facts.pod) return std::nullopt;
  const auto& fetched = *facts.pod;
  auto from = base::parse_rfc3339(fetched.pod.scheduled_at);
  std::optional<Time> to;
  if (fetched.view) {
    if (fetched.view->accepted) from = fetched.view->accepted;
    to = fetched.view->first_start();
  }
  // who failed had started before
  if (!to && facts.broken) to = base::parse_rfc3339(facts.broken->termination.finished_at);
  if (!from) from = to;
  if (!from) return std::nullopt;
  return installation_during(*from, std::max(*from, to.value_or(facts.now)), facts);
}

}  // namespace istio_cnictl
