// Verdicts over pods that run, or run and fail: is their traffic redirected, and
// what does repair do about it when it is not?
#include "base/strings.hpp"
#include "base/time.hpp"
#include "istio-cnictl/judge.hpp"
#include "repair/plan.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using config::RepairMode;

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

}  // namespace

bool Judge::is_repeated() const {
  if (!facts_.broken) return false;
  // other budgets may hold back the first pod of an owner
  return held_reason() == repair::to_string(repair::Hold::owner_budget) || deletions() >= 2 ||
         owner_is_blocked();
}

void Judge::decide_repeated() {
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

void Judge::decide_by_rules(const LiveState& state) {
  if (state.absent && !redirected_once()) return decide_race();
  if (state.absent)
    return tell_broken_rules(Finding::rules_missing,
                             "was redirected, and has no rules any more: somebody removed them");
  if (!state.differences.empty())
    return tell_broken_rules(
        Finding::rules_changed,
        cat("has other rules than it should: ", state.differences.front(),
            state.differences.size() == 1 ? ""
                                          : cat("; and ", state.differences.size() - 1, " more")));
  decide_by_probe();
}

void Judge::tell_broken_rules(Finding finding, std::string sentence) {
  say(finding, std::move(sentence), {ours("rules --diff"), kubectl("delete pod")});
  if (finding == Finding::rules_missing) verdict_.next = {kubectl("delete pod")};
  tell_prospect();
}

void Judge::decide_race() {
  if (const auto now = not_installed_now(); !now.empty()) {
    say(Finding::not_installed,
        cat("is not redirected, and the plugin is not in place on this node: ", now),
        {"istio-cnictl status"});
    add_agent_command();
    return;
  }
  const auto then = installation_at_start(facts_).value_or(Then{});
  const auto text = then.text.empty() ? "" : cat(" (", then.text, ')');
  std::vector<std::string> next{kubectl("delete pod")};
  using InList = Then::InList;
  switch (then.in_list) {
    case InList::no:
      say(Finding::started_before_plugin,
          cat("has no redirection: it started before the plugin was in place (at that time: ",
              then.text, ')'),
          std::move(next));
      break;
    case InList::partly:
      say(Finding::started_before_plugin,
          cat("has no redirection: the plugin was not in place all the time that the pod took to "
              "start (at one moment: ",
              then.text, ')'),
          std::move(next));
      break;
    case InList::unknown:
      say(Finding::started_before_plugin,
          cat("has no redirection, and no run of the plugin for it is known: it seems to have "
              "started before the plugin was in place",
              text),
          std::move(next));
      break;
    case InList::yes:
      next.emplace_back("journalctl -u containerd -u crio --since -1h");
      say(Finding::not_redirected,
          cat("has no redirection, and no run of the plugin for it is known, although the plugin "
              "was in place when it started",
              text),
          std::move(next));
      break;
  }
  tell_prospect();
}

/// Whether the agent will help, and if not, why.
void Judge::tell_prospect() {
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

void Judge::decide_by_probe() {
  if (!facts_.probe || !*facts_.probe) {
    const auto why = facts_.probe ? facts_.probe->error().message : std::string("not tried");
    return say(Finding::healthy,
               cat("has exactly the rules it should; whether traffic arrives was not seen: ", why));
  }
  for (const auto& result : **facts_.probe)
    if (result.outcome != ProbeResult::Outcome::arrived) return decide_not_arrived(result);
  const auto done = deed();
  const bool proxy_runs = pod().phase == "Running";  // its validation is behind it
  if (facts_.broken && !proxy_runs)
    return say(
        Finding::recovering,
        cat(done && done->deed == "repaired" ? "was repaired, " : "is right now, ",
            "and waits for container ", facts_.broken->container, " to be started again"),
        {facts_.broken->will_restart ? kubectl("get pod", "--watch") : kubectl("delete pod")});
  if (done && done->deed == "repaired")
    return say(
        Finding::repaired,
        cat(redirected_once() ? "was found without its rules" : "started without redirection",
            ", was repaired at ", base::format_rfc3339(done->at), ", and is redirected"));
  say(Finding::healthy, "is redirected: the rules are right, and traffic arrives");
}

void Judge::decide_not_arrived(const ProbeResult& result) {
  using Outcome = ProbeResult::Outcome;
  const std::string_view family = result.family == redirect::Family::v4 ? "IPv4" : "IPv6";
  std::string_view why = "the probe failed";
  if (result.outcome == Outcome::refused)
    why =
        "connection refused: something else in the namespace is met before our rules, or sends "
        "traffic past them";
  if (result.outcome == Outcome::timeout)
    why = "no answer: something in the namespace drops the traffic, or the proxy does not listen";
  say(Finding::validation_failed,
      cat("has the rules it should, but ", family, " traffic does not arrive: ", why, ": ",
          result.failure),
      {ours("rules --live"), ours("validate")});
}

// --- without

void Judge::decide_unseen() {
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
  const bool not_root = facts_.live && facts_.live->error().code == base::Errc::refused;
  say(Finding::unverified,
      cat(redirected_once() ? "was redirected when it started; whether it still is"
                            : "runs; whether it is redirected",
          " could not be seen: ", why),
      {not_root ? cat("sudo ", ours("explain")) : kubectl("describe pod")});
}

}  // namespace istio_cnictl
