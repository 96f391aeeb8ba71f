#include "istio-cnictl/pods_view.hpp"

#include <algorithm>

#include "base/strings.hpp"
#include "base/time.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using Kind = DecisionNow::Kind;

/// "redirect", "not-injected", "failed": as the plugin reports it.
std::string word_of(const DecisionNow& decision) {
  if (decision.kind == Kind::redirect) return "redirect";
  return decision.kind == Kind::skip ? decision.reason : "failed";
}

Cell decision_cell(const PodRow& row) {
  if (row.entry.add) {
    const auto& add = *row.entry.add;
    return {add.decision, add.result == "success" ? Tone::plain : Tone::bad};
  }
  if (!row.now) return {"-", Tone::faint};
  return {cat(word_of(row.now->decision), " (now)"),
          row.now->decision.kind == Kind::error ? Tone::bad : Tone::faint};
}

Cell backend_cell(const PodRow& row) {
  if (row.entry.add && !row.entry.add->backend.empty()) return {row.entry.add->backend};
  if (!row.entry.add && row.now && row.now->decision.kind == Kind::redirect)
    return {cat(row.now->backend, row.now->backend == "unknown" ? "" : " (now)"), Tone::faint};
  return {"-", Tone::faint};
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

Json json_of_row(const PodRow& row) {
  auto json = json_of(row.entry);
  if (row.now)
    json["now"] = {{"decision", word_of(row.now->decision)},
                   {"detail", row.now->decision.detail},
                   {"backend", row.now->backend}};
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

Condition condition_of(const PodRow& row) {
  if (!row.entry.held_reason.empty()) return Condition::bad;
  if (row.entry.add && row.entry.add->result != "success") return Condition::bad;
  if (!row.entry.add && row.now && row.now->decision.kind == Kind::error) return Condition::bad;
  if (!row.rules || row.rules->state == RulesState::State::good) return Condition::good;
  return row.rules->state == RulesState::State::bad ? Condition::bad : Condition::unknown;
}

std::optional<agent::AddReport> last_add(const std::vector<JournalEntry>& adds,
                                         const std::string& uid) {
  const auto found = std::find_if(adds.rbegin(), adds.rend(), [&](const JournalEntry& entry) {
    return is_finished_add(entry) && entry.field("POD_UID") == uid;
  });
  if (uid.empty() || found == adds.rend()) return std::nullopt;
  const bool failed = found->field("DECISION") == "failed";
  return agent::AddReport{found->at,
                          found->field("DECISION"),
                          failed ? "error" : "success",
                          found->field("BACKEND"),
                          found->field("CONTAINER_ID"),
                          found->field("NETNS"),
                          failed ? found->message : std::string()};
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
                     decision_cell(row),
                     backend_cell(row),
                     repair_cell(row)});
    if (verified) cells.back().push_back(rules_cell(row));
  }
  for (auto& row : cells)
    for (auto& cell : row) cell.text = printable(cell.text, 300);
  return table(cells, style);
}

Json json_of(const PodList& list) {
  Json pods = Json::array();
  for (const auto& row : list.rows) pods.push_back(json_of_row(row));
  Json json{{"agent", !list.no_agent.has_value()}};
  if (list.no_agent) json["agentError"] = list.no_agent->message;
  json["pods"] = std::move(pods);
  return json;
}

}  // namespace istio_cnictl
