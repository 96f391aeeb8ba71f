// istio-cnictl explain: gathers what is known of a pod, and shows the verdict.
#include "base/strings.hpp"
#include "base/time.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/expected.hpp"
#include "istio-cnictl/explain_view.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/pod_netns.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

constexpr std::size_t most_entries = 200;
constexpr std::size_t most_changes = 200;
constexpr std::chrono::milliseconds explain_patience{3000};

/// Rules and probe, when the pod is to be redirected and is of this node.
void look_inside(Node& node, Facts& facts) {
  const auto& pod = facts.pod->pod;
  const auto decision = decide_as_plugin(pod, node.config());
  facts.decision = in_words(decision);
  const auto criteria = repair::make_criteria(node.config().repair);
  if (criteria) facts.broken = repair::find_broken(pod, *criteria);
  if (facts.decision->kind != DecisionNow::Kind::redirect || pod.host_network) return;
  if (pod.node_name.empty() || (!facts.node.empty() && pod.node_name != facts.node)) return;
  if (pod.phase == "Succeeded" || (pod.phase == "Failed" && !facts.broken)) return;
  const auto& plan = std::get<redirect::RedirectPlan>(*decision);
  std::string hint;
  if (facts.entry && *facts.entry && (*facts.entry)->add) hint = (*facts.entry)->add->netns;
  auto netns = PodNetns::find(pod, hint, node.config());
  if (!netns) {
    facts.live.emplace(std::move(netns).error());
    return;
  }
  facts.live.emplace(netns->compare(plan, node.config().plugin.backend));
  if (*facts.live && (*facts.live)->differences.empty())
    facts.probe.emplace(netns->probe(plan, explain_patience));
}

config::RepairMode mode_of(std::string_view text, config::RepairMode otherwise) {
  using Mode = config::RepairMode;
  for (const auto mode :
       {Mode::off, Mode::del, Mode::repair, Mode::repair_then_delete, Mode::label})
    if (config::to_string(mode) == text) return mode;
  return otherwise;
}

std::string container_of(const Facts& facts) {
  if (facts.entry && *facts.entry && (*facts.entry)->add) return (*facts.entry)->add->container_id;
  return {};
}

}  // namespace

Facts gather(Node& node, const PodName& name) {
  Facts facts;
  facts.name = name;
  facts.now = std::chrono::system_clock::now();
  facts.agent = node.agent_status();
  facts.entry = node.agent_pod(name);
  facts.pod = node.pod(name);
  facts.node = node.name();
  facts.events = node.events(name);
  facts.journal = node.journal().of_pod(name.name_space, name.name,
                                        facts.pod ? facts.pod->pod.uid : std::string(),
                                        container_of(facts), most_entries);
  facts.readiness = node.journal().readiness(most_changes);
  facts.repairs = node.repairs();
  facts.disk = read_disk(node.config());
  // what the agent runs with counts before what the file says now
  facts.repair_mode = node.config().repair.mode;
  if (facts.agent) facts.repair_mode = mode_of(facts.agent->repair_mode, facts.repair_mode);
  if (facts.pod) look_inside(node, facts);
  return facts;
}

std::string text_of(const Verdict& verdict, const PodName& pod, const Style& style) {
  const int code = exit_code(verdict.finding);
  const auto tone = code == 0 ? Tone::good : code == 1 ? Tone::bad : Tone::warning;
  auto text = cat(style.paint(Tone::strong, pod.text()), ' ',
                  style.paint(tone, printable(verdict.sentence, 1500)), ".\n");
  std::vector<std::vector<Cell>> rows;
  rows.reserve(verdict.evidence.size());
  // those with a time come first
  const bool timed = !verdict.evidence.empty() && verdict.evidence.front().at.has_value();
  for (const auto& line : verdict.evidence) {
    rows.push_back({{line.source, Tone::faint}, {line.text}});
    if (timed)
      rows.back().insert(rows.back().begin(),
                         {line.at ? base::format_rfc3339(*line.at) : "", Tone::faint});
  }
  if (!rows.empty()) text.append(cat("\nWhat is known\n", table(rows, style, 2)));
  if (!verdict.next.empty()) {
    text.append("\nNext\n");
    for (const auto& command : verdict.next) text.append(cat("  ", printable(command), '\n'));
  }
  return text;
}

int explain_command(Context& context) {
  const auto verdict = judge(gather(context.node, *context.options.pod));
  context.out = context.options.format == Format::json
                    ? dump(json_of(verdict, *context.options.pod))
                    : text_of(verdict, *context.options.pod, context.style);
  return exit_code(verdict.finding);
}

}  // namespace istio_cnictl
