#include "istio-cnictl/verdict.hpp"

#include <algorithm>
#include <array>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "istio-cnictl/evidence.hpp"
#include "istio-cnictl/output.hpp"
#include "repair/events.hpp"
#include "repair/plan.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using config::RepairMode;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::string_view verb(RepairMode mode) {
  switch (mode) {
    case RepairMode::del:
      return "delete it, so that it is created anew";
    case RepairMode::label:
      return "label it";
    case RepairMode::repair:
    case RepairMode::repair_then_delete:
      return "put the rules into it";
    case RepairMode::off:
      break;
  }
  return "";
}

class Judge {
 public:
  explicit Judge(const Facts& facts) : facts_(facts), adds_(adds_of(facts)) {}

  Verdict run() {
    decide();
    verdict_.evidence = evidence_of(facts_);
    return std::move(verdict_);
  }

 private:
  // --- shorthands

  [[nodiscard]] const pod::Pod& pod() const { return facts_.pod->pod; }
  [[nodiscard]] const Add* last_add() const { return adds_.empty() ? nullptr : &adds_.back(); }
  [[nodiscard]] bool redirected_once() const {
    return std::any_of(adds_.begin(), adds_.end(),
                       [](const Add& add) { return add.success && add.decision == "redirect"; });
  }
  [[nodiscard]] const agent::PodEntry* entry() const {
    if (!facts_.entry || !*facts_.entry) return nullptr;
    const auto& known = **facts_.entry;
    return !facts_.pod || known.uid == pod().uid ? &known : nullptr;
  }
  [[nodiscard]] std::string held_reason() const {
    return entry() == nullptr ? std::string() : entry()->held_reason;
  }
  [[nodiscard]] const LiveState* live() const {
    return facts_.live && *facts_.live ? &**facts_.live : nullptr;
  }
  [[nodiscard]] std::optional<Time> start() const {
    if (facts_.pod->view) {
      if (auto first = facts_.pod->view->first_start()) return first;
      if (facts_.pod->view->accepted) return facts_.pod->view->accepted;
    }
    return base::parse_rfc3339(pod().scheduled_at);
  }
  /// A container of it has run.
  [[nodiscard]] bool started() const {
    if (facts_.pod->view && facts_.pod->view->first_start()) return true;
    return is_one_of(pod().phase, {"Running", "Failed"}) || facts_.broken.has_value();
  }
  /// Why the plugin would not run for the next pod; "" when it would.
  [[nodiscard]] std::string not_installed_now() const {
    const auto problems = problems_of(facts_.disk, facts_.agent.ok());
    if (!problems.empty()) return problems.front();
    if (facts_.agent && !facts_.agent->installation.ready)
      return facts_.agent->installation.description;
    return {};
  }
  [[nodiscard]] std::size_t deletions() const {
    if (!facts_.events) return 0;
    std::size_t count = 0;
    for (const auto& event : *facts_.events)
      if (event.reason == repair::reason_delete) ++count;
    return count;
  }
  /// The agent's, or the one on disk when it does not answer.
  [[nodiscard]] std::optional<agent::PodEntry::Repair> deed() const {
    if (entry() != nullptr) return entry()->repair;
    if (!facts_.repairs || !facts_.pod) return std::nullopt;
    const auto found = facts_.repairs->pods.find(pod().uid);
    if (found == facts_.repairs->pods.end()) return std::nullopt;
    return agent::PodEntry::Repair{found->second.at,
                                   std::string(repair::to_string(found->second.deed)),
                                   found->second.attempts};
  }
  [[nodiscard]] bool owner_is_blocked() const {
    if (!facts_.repairs || !facts_.pod) return false;
    const auto found = facts_.repairs->budget.owners.find(repair::owner_key(pod()));
    return found != facts_.repairs->budget.owners.end() && found->second.blocked_until > facts_.now;
  }

  void say(Finding finding, std::string sentence, std::vector<std::string> next = {}) {
    verdict_.finding = finding;
    verdict_.sentence = std::move(sentence);
    verdict_.next = std::move(next);
  }
  [[nodiscard]] std::string kubectl(std::string_view verb_and_kind,
                                    std::string_view flags = {}) const {
    return cat("kubectl -n ", facts_.name.name_space, ' ', verb_and_kind, ' ', facts_.name.name,
               flags.empty() ? "" : " ", flags);
  }
  [[nodiscard]] std::string ours(std::string_view command) const {
    return cat("istio-cnictl ", command, ' ', facts_.name.text());
  }

  // --- the cases, in the order in which they hide each other

  void decide() {
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
    if (facts_.decision && facts_.decision->kind == DecisionNow::Kind::skip)
      return decide_skipped();
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
    decide_without_rules();
  }

  void decide_without_pod() {
    const auto& why = facts_.pod.error();
    if (why.code == base::Errc::not_found) {
      const auto count = deletions();
      return say(Finding::no_such_pod,
                 count == 0
                     ? std::string("there is no such pod")
                     : cat("there is no such pod any more; this node's agent deleted ",
                           count == 1 ? "one" : cat(count), " of this name because it was broken"),
                 {cat("kubectl -n ", facts_.name.name_space, " get pods -o wide")});
    }
    // the reason for that may be the reason for the pod's trouble too
    if (const auto* add = last_add(); add != nullptr && !add->success) return decide_failed(*add);
    say(Finding::unverified, cat("the pod could not be read: ", why.message),
        {"istio-cnictl status"});
  }

  void decide_skipped() {
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

  void decide_failed(const Add& add) {
    const auto cause = classify(add.code, add.message);
    const auto message = printable(add.message, 600);
    if (cause == Cause::plugin_missing)
      return say(
          Finding::not_installed,
          cat("does not start: the list names the plugin, but the runtime does not find it: ",
              message),
          {"istio-cnictl status", "systemctl restart istio-cni-node"});
    verdict_.cause = cause;
    std::string_view why;
    std::vector<std::string> next;
    switch (cause) {
      case Cause::bad_annotation:
        why = "an annotation of the pod cannot be used";
        next = {kubectl("get pod", "-o yaml"), kubectl("delete pod")};
        break;
      case Cause::credential:
        why = "the API server refuses the credential, or there is none";
        next = {"istio-cnictl status", "systemctl restart istio-cni-node"};
        break;
      case Cause::api_unreachable:
        why = "the pod could not be looked up";
        next = {"istio-cnictl status", "journalctl -u istio-cni-node --since -1h"};
        break;
      case Cause::gate:
        why = "there is no primary network on this node yet";
        next = {"istio-cnictl status", cat("ls ", facts_.disk.conf_dir)};
        break;
      case Cause::kernel:
        why = "the kernel lacks what redirection needs";
        next = {"modprobe nf_tables nft_redir nft_chain_nat", "lsmod"};
        if (add.message.find("module ") != std::string::npos) next[0] = modprobe(add.message);
        break;
      case Cause::host_namespace:
        why = "the runtime named the host's own network namespace";
        next = {"journalctl -u containerd -u crio --since -1h"};
        break;
      case Cause::rules_differ:
        why = "another program changes rules in the pod's namespace while it starts";
        next = {ours("rules --diff")};
        break;
      case Cause::configuration:
        why = "the network configuration is not valid";
        next = {"istio-cnictl status"};
        break;
      case Cause::plugin_missing:
      case Cause::other:
        why = "the plugin failed";
        next = {cat("journalctl -t istio-cni POD_NAME=", facts_.name.name)};
        break;
    }
    say(Finding::plugin_failed, cat("does not start: ", why, ": ", message), std::move(next));
  }

  static std::string modprobe(const std::string& message) {
    const auto at = message.find("module ") + 7;
    const auto end = message.find_first_not_of("abcdefghijklmnopqrstuvwxyzREDICT0123456789_", at);
    return cat("modprobe ", message.substr(at, end - at));
  }

  [[nodiscard]] bool is_repeated() const {
    if (!facts_.broken) return false;
    return is_one_of(held_reason(), {"owner_budget", "node_budget", "disruption_budget"}) ||
           deletions() >= 2 || owner_is_blocked();
  }

  void decide_repeated() {
    std::string sentence =
        "breaks again and again: each new pod finds no redirection, and is deleted";
    if (entry() != nullptr && !entry()->held_text.empty())
      sentence = cat(sentence, "; the next deletion is held back: ", entry()->held_text);
    else if (owner_is_blocked())
      sentence.append("; the next deletion is held back");
    say(Finding::evicted_repeatedly, std::move(sentence),
        {ours("rules --diff"), "istio-cnictl status",
         cat("journalctl -t istio-cni POD_NAME=", facts_.name.name)});
  }

  // --- with the pod's namespace seen

  void decide_by_rules(const LiveState& state) {
    if (state.absent && !redirected_once()) return decide_race();
    if (state.absent)
      return broken_rules(Finding::rules_missing,
                          "was redirected, and has no rules any more: somebody removed them");
    if (!state.differences.empty())
      return broken_rules(Finding::rules_changed,
                          cat("has other rules than it should: ", state.differences.front(),
                              state.differences.size() == 1
                                  ? ""
                                  : cat("; and ", state.differences.size() - 1, " more")));
    decide_by_probe();
  }

  void broken_rules(Finding finding, std::string sentence) {
    say(finding, std::move(sentence), {ours("rules --diff"), kubectl("delete pod")});
    if (finding == Finding::rules_missing) verdict_.next = {kubectl("delete pod")};
    add_prospect();
  }

  void decide_race() {
    if (const auto now = not_installed_now(); !now.empty()) {
      say(Finding::not_installed,
          cat("is not redirected, and the plugin is not in place on this node: ", now),
          {"istio-cnictl status"});
      add_agent_command();
      return;
    }
    std::string sentence = "has no redirection: it started before the plugin was in place";
    if (const auto when = start()) {
      const auto then = installation_at(*when, facts_);
      if (then.ready == false)
        sentence.append(cat(" (at that time: ", then.text, ')'));
      else if (then.ready == true)
        sentence =
            "has no redirection, and no run of the plugin for it is known, although the "
            "plugin was in place when it started";
    }
    say(Finding::started_before_plugin, std::move(sentence), {kubectl("delete pod")});
    add_prospect();
  }

  /// Whether the agent will help, and if not, why.
  void add_prospect() {
    auto& sentence = verdict_.sentence;
    const auto done = deed();
    if (pod().deleting) {
      sentence.append("; it is being deleted");
      verdict_.next = {kubectl("get pod")};
      return;
    }
    if (!facts_.agent) {
      sentence.append("; the agent does not answer, so nothing repairs it");
      add_agent_command();
      return;
    }
    if (facts_.repair_mode == RepairMode::off) {
      sentence.append("; repair is switched off (repair.mode)");
      return;
    }
    if (!held_reason().empty()) {
      sentence.append(cat("; repair waits (", held_reason(), "): ", entry()->held_text));
      return;
    }
    if (done && is_one_of(done->deed, {"deleted", "evicted", "labelled"})) {
      sentence.append(cat("; the agent has ", done->deed, " it"));
      return;
    }
    if (!facts_.broken) {
      sentence.append(
          "; the agent repairs a pod once its validation container has failed, and "
          "this one's has not");
      return;
    }
    sentence.append(cat("; the agent is about to ", verb(facts_.repair_mode)));
    verdict_.next.insert(verdict_.next.begin(), kubectl("get pod", "--watch"));
  }

  void add_agent_command() {
    if (!facts_.agent)
      verdict_.next.insert(verdict_.next.begin(), "systemctl start istio-cni-node");
  }

  void decide_by_probe() {
    if (!facts_.probe || !*facts_.probe) {
      const auto why = facts_.probe ? facts_.probe->error().message : std::string("not tried");
      return say(
          Finding::healthy,
          cat("has exactly the rules it should; whether traffic arrives was not seen: ", why));
    }
    for (const auto& result : **facts_.probe)
      if (result.outcome != ProbeResult::Outcome::arrived) return decide_not_arrived(result);
    const auto done = deed();
    if (facts_.broken && !proxy_runs())
      return say(
          Finding::recovering,
          cat(done && done->deed == "repaired" ? "was repaired, " : "is right now, ",
              "and waits for container ", facts_.broken->container, " to be started again"),
          {facts_.broken->will_restart ? kubectl("get pod", "--watch") : kubectl("delete pod")});
    if (done && done->deed == "repaired")
      return say(Finding::repaired, cat("started before the plugin, was repaired at ",
                                        base::format_rfc3339(done->at), ", and is redirected"));
    say(Finding::healthy, "is redirected: the rules are right, and traffic arrives");
  }

  /// Its validation is behind it.
  [[nodiscard]] bool proxy_runs() const { return pod().phase == "Running"; }

  void decide_not_arrived(const ProbeResult& result) {
    using Outcome = ProbeResult::Outcome;
    const std::string_view family = result.family == redirect::Family::v4 ? "IPv4" : "IPv6";
    std::string_view why = "the probe failed";
    std::vector<std::string> next{ours("rules --live"), ours("validate")};
    if (result.outcome == Outcome::refused)
      why =
          "connection refused: something else in the namespace is met before our rules, or sends "
          "traffic past them";
    if (result.outcome == Outcome::timeout)
      why = "no answer: something in the namespace drops the traffic, or the proxy does not listen";
    say(Finding::validation_failed,
        cat("has the rules it should, but ", family, " traffic does not arrive: ", why, ": ",
            result.failure),
        std::move(next));
  }

  // --- without

  void decide_without_rules() {
    const auto now = not_installed_now();
    if (!started()) {
      if (!now.empty()) {
        say(Finding::not_installed,
            cat("has not started, and the plugin is not in place on this node: ", now),
            {"istio-cnictl status"});
        add_agent_command();
        return;
      }
      return say(Finding::not_started,
                 last_add() == nullptr
                     ? "has not started; the runtime has not called the plugin for it yet"
                     : "has not started yet; its rules are in place",
                 {kubectl("describe pod")});
    }
    const auto why = facts_.live ? facts_.live->error().message : std::string("not looked for");
    if (facts_.broken && !redirected_once()) {
      decide_race();
      verdict_.sentence.append(cat("; its namespace could not be looked at: ", why));
      return;
    }
    if (facts_.broken)
      return say(Finding::validation_failed,
                 cat("was redirected, but its validation failed: ", facts_.broken->cause(),
                     "; its namespace could not be looked at: ", why),
                 {ours("validate"), kubectl("delete pod")});
    say(Finding::unverified,
        cat(redirected_once() ? "was redirected when it started; whether it still is"
                              : "runs; whether it is redirected",
            " could not be seen: ", why),
        {cat("sudo ", ours("explain"))});
  }

  const Facts& facts_;
  std::vector<Add> adds_;
  Verdict verdict_;
};

}  // namespace

std::string_view to_string(Finding finding) {
  constexpr std::array<std::string_view, 18> names{"healthy",
                                                   "repaired",
                                                   "skipped",
                                                   "host-network",
                                                   "finished",
                                                   "not-installed",
                                                   "started-before-plugin",
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

}  // namespace istio_cnictl
