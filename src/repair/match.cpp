#include "repair/match.hpp"

#include "base/strings.hpp"

namespace repair {
namespace {

bool completed(const pod::Termination& termination) {
  return termination.exit_code == 0 || termination.reason == "Completed";
}

bool fits(const std::optional<pod::Termination>& termination, const Criteria& criteria) {
  if (!termination || completed(*termination)) return false;
  if (criteria.exit_code != 0 && termination->exit_code != criteria.exit_code) return false;
  const auto wanted = base::trim(criteria.message);
  return wanted.empty() || base::trim(termination->message) == wanted;
}

}  // namespace

base::Result<Criteria> make_criteria(const config::Repair& repair) {
  Criteria criteria;
  criteria.sidecar_annotation = repair.sidecar_annotation;
  criteria.container = repair.init_container_name;
  criteria.message = repair.init_container_termination_message;
  criteria.exit_code = repair.init_container_exit_code;
  auto labels = LabelSelector::parse(repair.label_selectors);
  if (!labels) return std::move(labels).error().wrap("repair.label_selectors");
  criteria.labels = *std::move(labels);
  auto fields = FieldSelector::parse(repair.field_selectors);
  if (!fields) return std::move(fields).error().wrap("repair.field_selectors");
  criteria.fields = *std::move(fields);
  return criteria;
}

std::string Broken::cause() const {
  auto text = base::cat("container ", container, " exited with code ", termination.exit_code);
  if (!termination.reason.empty()) text.append(base::cat(" (", termination.reason, ')'));
  const auto message = base::trim(termination.message);
  if (!message.empty()) text.append(base::cat(": ", base::quote(message, 300)));
  return text;
}

std::optional<Broken> find_broken(const pod::Pod& pod, const Criteria& criteria) {
  if (pod.deleting || pod.host_network || pod.phase == "Succeeded") return std::nullopt;
  if (!criteria.sidecar_annotation.empty() &&
      !pod.annotations.contains(criteria.sidecar_annotation))
    return std::nullopt;
  if (!criteria.labels.matches(pod.labels) || !criteria.fields.matches(pod)) return std::nullopt;
  for (const auto& status : pod.init_statuses) {
    if (!criteria.container.empty() && status.name != criteria.container) continue;
    if (status.terminated && completed(*status.terminated)) continue;
    const bool now = fits(status.terminated, criteria);
    if (!now && !fits(status.last_terminated, criteria)) continue;
    Broken broken;
    broken.container = status.name;
    broken.termination = now ? *status.terminated : *status.last_terminated;
    broken.current = now;
    broken.restart_count = status.restart_count;
    broken.will_restart = pod.restart_policy != "Never" && pod.phase != "Failed";
    return broken;
  }
  return std::nullopt;
}

}  // namespace repair
