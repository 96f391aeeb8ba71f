#include "istio-cni-node/unredirected.hpp"

#include <algorithm>

#include "base/time.hpp"
#include "repair/plan.hpp"

namespace istio_cni_node {
namespace {

/// When the validation passed, if it is what the container did last.
std::optional<std::chrono::system_clock::time_point> validated(const pod::Pod& pod,
                                                               std::string_view validation) {
  if (validation.empty()) return std::nullopt;
  const auto found =
      std::find_if(pod.init_statuses.begin(), pod.init_statuses.end(), [&](const auto& one) {
        return one.name == validation && one.terminated && one.terminated->exit_code == 0;
      });
  if (found == pod.init_statuses.end()) return std::nullopt;
  return base::parse_rfc3339(found->terminated->finished_at)
      .value_or(std::chrono::system_clock::time_point{});
}

}  // namespace

std::string_view to_string(Doubt doubt) {
  switch (doubt) {
    case Doubt::broken:
      return "broken";
    case Doubt::add_failed:
      return "add_failed";
    case Doubt::unproven:
      return "unproven";
  }
  return "";
}

std::optional<Doubt> doubt(const CachedPod& cached, const std::optional<repair::Broken>& broken,
                           const repair::Record* record, std::string_view validation) {
  const auto& pod = cached.pod;
  const bool repaired = record != nullptr && record->deed == repair::Deed::repaired &&
                        !(broken && broken_again(*record, *broken));
  if (repaired) return std::nullopt;
  if (broken) return Doubt::broken;
  if (!cached.in_mesh || pod.deleting || pod.phase == "Succeeded" || pod.phase == "Failed")
    return std::nullopt;
  const auto passed = validated(pod, validation);
  if (const auto& add = cached.redirection) {
    const bool redirects = add->result == "success" && add->decision == "redirect";
    // a sandbox made anew runs the validation anew, and its old result stays until then
    const bool later = passed && *passed >= std::chrono::floor<std::chrono::seconds>(add->when);
    if (redirects || later) return std::nullopt;
    if (add->result != "success") return Doubt::add_failed;
  } else if (passed) {
    return std::nullopt;
  }
  return pod.phase == "Running" ? std::optional(Doubt::unproven) : std::nullopt;
}

}  // namespace istio_cni_node
