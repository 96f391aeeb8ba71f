// What happened to a pod before now: its ADDs, and the state of the
// installation when it started.
#include <algorithm>

#include "base/strings.hpp"
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
  bool ready = false;
  std::string sentence;
  std::string source;
};

std::vector<Change> changes_of(const Facts& facts) {
  std::vector<Change> changes;
  if (facts.readiness)
    for (const auto& entry : *facts.readiness)
      changes.push_back(
          {entry.at, entry.field("ISTIO_CNI_READY") == "1", entry.message, "journal"});
  if (facts.agent)
    for (const auto& change : facts.agent->changes)
      changes.push_back({change.at, change.ready, change.sentence, "agent"});
  std::erase_if(changes, [](const Change& change) { return says_nothing(change.sentence); });
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) { return a.at < b.at; });
  return changes;
}

}  // namespace

std::vector<Add> adds_of(const Facts& facts) {
  std::vector<Add> adds;
  if (facts.journal)
    for (const auto& entry : *facts.journal) {
      if (entry.field("CNI_COMMAND") != "ADD" || entry.field("DECISION").empty()) continue;
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

Then installation_at(Time when, const Facts& facts) {
  const auto changes = changes_of(facts);
  const Change* last = nullptr;
  for (const auto& change : changes)
    if (change.at <= when) last = &change;
  if (last != nullptr) return {last->ready, last->sentence, last->source, last->at};
  if (!changes.empty() && changes.front().ready)
    return {
        std::nullopt,
        base::cat("nothing is known of that time; ready only later: ", changes.front().sentence),
        changes.front().source, changes.front().at};
  if (facts.disk.written && *facts.disk.written > when && !facts.disk.file.empty())
    return {std::nullopt,
            base::cat("nothing is known of that time; ", facts.disk.file,
                      " was written last after the pod's start"),
            "disk", facts.disk.written};
  return {std::nullopt, "nothing is known of that time", "", std::nullopt};
}

}  // namespace istio_cnictl
