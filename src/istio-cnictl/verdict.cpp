#include "istio-cnictl/verdict.hpp"

#include <algorithm>
#include <array>

#include "base/strings.hpp"
#include "istio-cnictl/evidence.hpp"
#include "istio-cnictl/judge.hpp"
#include "repair/events.hpp"
#include "repair/plan.hpp"

namespace istio_cnictl {

using base::cat;

std::string_view to_string(Finding finding) {
  constexpr std::array<std::string_view, 19> names{"healthy",
                                                   "repaired",
                                                   "skipped",
                                                   "host-network",
                                                   "finished",
                                                   "not-installed",
                                                   "started-before-plugin",
                                                   "not-redirected",
                                                   "skipped-at-start",
                                                   "plugin-failed",
                                                   "rules-missing",
                                                   "rules-changed",
                                                   "validation-failed",
                                                   "recovering",
                                                   "evicted-repeatedly",
                                                   "no-such-pod",
                                                   "other-node",
                                                   "not-scheduled",
                                                   "not-started"};
  const auto index = static_cast<std::size_t>(finding);
  return index < names.size() ? names[index] : "unverified";
}

int exit_code(Finding finding) {
  if (finding <= Finding::finished) return 0;
  return finding <= Finding::evicted_repeatedly ? 1 : 3;
}

Verdict judge(const Facts& facts) { return Judge(facts).run(); }

Verdict Judge::run() {
  decide();
  verdict_.evidence = evidence_of(facts_);
  return std::move(verdict_);
}

void Judge::decide() {
  if (!facts_.pod) return decide_without_pod();
  if (pod().node_name.empty())
    return say(Finding::not_scheduled, "is not scheduled to any node yet",
               {kubectl("describe pod")});
  if (!facts_.node.empty() && pod().node_name != facts_.node)
    return say(Finding::other_node,
               cat("runs on node ", pod().node_name, "; this is ", facts_.node),
               {cat("ssh ", pod().node_name, " ", ours("explain"))});
  if (pod().host_network)
    return say(Finding::host_network, "uses the host's network, which is never redirected");
  if (facts_.decision && facts_.decision->kind == DecisionNow::Kind::skip) return decide_skipped();
  if (pod().phase == "Succeeded" || (pod().phase == "Failed" && !facts_.broken))
    return say(Finding::finished, cat("runs no more (", pod().phase, ')'));
  if (const auto* add = last_add(); add != nullptr && !add->success && !started())
    return decide_failed(*add);
  if (facts_.decision && facts_.decision->kind == DecisionNow::Kind::error)
    return decide_failed({{}, false, "failed", 100, facts_.decision->detail, "", ""});
  if (const auto* add = last_add(); add != nullptr && add->success && add->decision != "redirect")
    return say(Finding::skipped_at_start,
               cat("was left as it is when it started (", add->decision,
                   "); as it is now, it would be redirected"),
               {kubectl("delete pod")});
  if (is_repeated()) return decide_repeated();
  if (held_reason() == repair::to_string(repair::Hold::node_not_ready))
    return say(Finding::not_installed,
               cat("is broken, and stays so while this node is not ready: ", entry()->held_text),
               {"istio-cnictl status"});
  if (live() != nullptr) return decide_by_rules(*live());
  if (!started()) return decide_not_started();
  decide_unseen();
}

void Judge::decide_without_pod() {
  const auto& why = facts_.pod.error();
  if (why.code == base::Errc::not_found) {
    const auto count = deletions();
    return say(Finding::no_such_pod,
               count == 0
                   ? std::string("does not exist")
                   : cat("does not exist any more; this node's agent deleted ",
                         count == 1 ? "one" : cat(count), " of this name because it was broken"),
               {cat("kubectl -n ", facts_.name.name_space, " get pods -o wide")});
  }
  // the reason for that may be the reason for the pod's trouble too
  if (const auto* add = last_add(); add != nullptr && !add->success) return decide_failed(*add);
  say(Finding::unverified, cat("could not be read: ", why.message), {"istio-cnictl status"});
}

void Judge::decide_skipped() {
  const auto& now = *facts_.decision;
  const auto* add = last_add();
  if (add != nullptr && add->success && add->decision == "redirect")
    return say(Finding::skipped,
               cat("would be left as it is now (", now.reason, ": ", now.detail,
                   "), but was redirected when it started"),
               {kubectl("delete pod")});
  say(Finding::skipped, cat("is left as it is: ", now.reason, ": ", now.detail));
  if (now.reason == "not-injected" || now.reason == "no-proxy")
    verdict_.next = {cat("kubectl get namespace ", facts_.name.name_space, " --show-labels")};
  if (now.reason == "excluded-namespace") verdict_.next = {"istio-cni-node print-config"};
}

// --- the facts

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool Judge::redirected_once() const {
  return std::any_of(adds_.begin(), adds_.end(),
                     [](const Add& add) { return add.success && add.decision == "redirect"; });
}

bool Judge::started() const {
  if (facts_.pod->view && facts_.pod->view->first_start()) return true;
  return is_one_of(pod().phase, {"Running", "Failed"}) || facts_.broken.has_value();
}

const agent::PodEntry* Judge::entry() const {
  if (!facts_.entry || !*facts_.entry) return nullptr;
  const auto& known = **facts_.entry;
  return !facts_.pod || known.uid == pod().uid ? &known : nullptr;
}

std::string Judge::not_installed_now() const {
  const auto problems = problems_of(facts_.disk, facts_.agent.ok());
  if (!problems.empty()) return problems.front();
  if (facts_.agent && !facts_.agent->installation.ready)
    return facts_.agent->installation.description;
  return {};
}

std::size_t Judge::deletions() const {
  if (!facts_.events) return 0;
  std::size_t count = 0;
  for (const auto& event : *facts_.events)
    if (event.reason == repair::reason_delete) ++count;
  return count;
}

std::optional<agent::PodEntry::Repair> Judge::deed() const {
  if (entry() != nullptr) return entry()->repair;
  if (!facts_.repairs || !facts_.pod) return std::nullopt;
  const auto found = facts_.repairs->pods.find(pod().uid);
  if (found == facts_.repairs->pods.end()) return std::nullopt;
  return agent::PodEntry::Repair{
      found->second.at, std::string(repair::to_string(found->second.deed)), found->second.attempts};
}

bool Judge::owner_is_blocked() const {
  if (!facts_.repairs || !facts_.pod) return false;
  const auto found = facts_.repairs->budget.owners.find(repair::owner_key(pod()));
  return found != facts_.repairs->budget.owners.end() && found->second.blocked_until > facts_.now;
}

// --- the words

void Judge::say(Finding finding, std::string sentence, std::vector<std::string> next) {
  verdict_.finding = finding;
  verdict_.sentence = std::move(sentence);
  verdict_.next = std::move(next);
}

void Judge::add_agent_command() {
  if (!facts_.agent) verdict_.next.insert(verdict_.next.begin(), "systemctl start istio-cni-node");
}

std::string Judge::kubectl(std::string_view verb_and_kind, std::string_view flags) const {
  return cat("kubectl -n ", facts_.name.name_space, ' ', verb_and_kind, ' ', facts_.name.name,
             flags.empty() ? "" : " ", flags);
}

std::string Judge::ours(std::string_view command) const {
  return cat("istio-cnictl ", command, ' ', facts_.name.text());
}

}  // namespace istio_cnictl
