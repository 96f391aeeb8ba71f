// istio-cnictl pods: this node's mesh pods.
#include <algorithm>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/expected.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/pod_netns.hpp"
#include "istio-cnictl/pods_view.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

Cell add_cell(const PodRow& row) {
  if (!row.entry.add) return {"-", Tone::faint};
  const auto& add = *row.entry.add;
  if (add.result != "success") return {add.decision, Tone::bad};
  return {add.decision, Tone::plain};
}

Cell repair_cell(const PodRow& row) {
  if (!row.entry.held_reason.empty()) return {cat("held: ", row.entry.held_reason), Tone::warning};
  if (row.entry.repair)
    return {cat(row.entry.repair->deed, ' ', base::format_rfc3339(row.entry.repair->at)),
            row.entry.repair->deed == "repair_failed" ? Tone::bad : Tone::plain};
  return {"-", Tone::faint};
}

Cell rules_cell(const PodRow& row) {
  if (!row.rules) return {"-", Tone::faint};
  const auto tone = row.rules->state == RulesState::State::good      ? Tone::good
                    : row.rules->state == RulesState::State::unknown ? Tone::warning
                                                                     : Tone::bad;
  return {row.rules->text, tone};
}

RulesState verify(Node& node, const agent::PodEntry& entry) {
  using State = RulesState::State;
  const auto known = node.agent_lookup({entry.name_space, entry.name});
  if (!known) return {State::unknown, known.error().message};
  if (known->phase == "Succeeded" || known->phase == "Failed") return {State::good, "ended"};
  const auto decision = decide_as_plugin(*known, node.config());
  const auto words = in_words(decision);
  if (words.kind == DecisionNow::Kind::skip) return {State::good, words.reason};
  if (words.kind == DecisionNow::Kind::error) return {State::unknown, words.detail};
  auto netns = PodNetns::find(*known, entry.add ? entry.add->netns : "", node.config());
  if (!netns) return {State::unknown, netns.error().message};
  auto live =
      netns->compare(std::get<redirect::RedirectPlan>(*decision), node.config().plugin.backend);
  if (!live) return {State::unknown, live.error().message};
  if (live->absent) return {State::bad, "missing"};
  if (!live->differences.empty())
    return {State::bad, cat("different: ", live->differences.front())};
  return {State::good, cat("verified (", live->backend, ')')};
}

Json json_of_row(const PodRow& row) {
  auto json = json_of(row.entry);
  if (row.rules) {
    using State = RulesState::State;
    json["rules"] = {
        {"verified", row.rules->state == State::unknown ? Json(nullptr)
                                                        : Json(row.rules->state == State::good)},
        {"text", row.rules->text}};
  }
  return json;
}

}  // namespace

bool is_good(const PodRow& row) {
  if (!row.entry.held_reason.empty()) return false;
  if (row.entry.add && row.entry.add->result != "success") return false;
  return !row.rules || row.rules->state == RulesState::State::good;
}

std::string text_of(const std::vector<PodRow>& rows, bool verified, const Style& style) {
  std::vector<std::vector<Cell>> cells;
  cells.push_back({{"NAMESPACE", Tone::strong},
                   {"NAME", Tone::strong},
                   {"PHASE", Tone::strong},
                   {"AT ADD", Tone::strong},
                   {"BACKEND", Tone::strong},
                   {"REPAIR", Tone::strong}});
  if (verified) cells.back().push_back({"RULES", Tone::strong});
  for (const auto& row : rows) {
    const auto& pod = row.entry;
    cells.push_back({{pod.name_space},
                     {pod.name},
                     {pod.phase.empty() ? "-" : pod.phase},
                     add_cell(row),
                     {pod.add && !pod.add->backend.empty() ? pod.add->backend : "-"},
                     repair_cell(row)});
    if (verified) cells.back().push_back(rules_cell(row));
  }
  for (auto& row : cells)
    for (auto& cell : row) cell.text = printable(cell.text, 300);
  return table(cells, style);
}

int pods_command(Context& context) {
  auto entries = context.node.agent_pods();
  if (!entries) {
    context.err.append(cat("istio-cnictl: ", entries.error().message, '\n'));
    return exit_unknown;
  }
  std::vector<PodRow> rows;
  for (auto& entry : *entries) {
    if (!entry.in_mesh && !context.options.all) continue;
    PodRow row{std::move(entry), std::nullopt};
    if (context.options.verify && row.entry.in_mesh) row.rules = verify(context.node, row.entry);
    rows.push_back(std::move(row));
  }
  if (context.options.format == Format::json) {
    Json pods = Json::array();
    for (const auto& row : rows) pods.push_back(json_of_row(row));
    context.out = dump({{"pods", pods}});
  } else if (rows.empty()) {
    context.err.append(context.options.all
                           ? "no pods on this node\n"
                           : "no mesh pods on this node (--all shows the others)\n");
  } else {
    context.out = text_of(rows, context.options.verify, context.style);
  }
  return std::all_of(rows.begin(), rows.end(), is_good) ? exit_good : exit_bad;
}

}  // namespace istio_cnictl
