#include "istio-cni-node/readiness.hpp"

#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

using base::cat;

std::string count(std::size_t number, std::string_view one, std::string_view many) {
  return cat(number, " ", number == 1 ? one : many);
}

std::string pods(const Facts& facts) {
  using Phase = kube::WatchState::Phase;
  const auto& watch = facts.watch;
  if (!watch.synced) {
    return watch.last_error ? cat("pods not known: ", watch.last_error->message)
                            : std::string("pods not known yet");
  }
  auto text =
      cat(count(facts.pods, "pod", "pods"), " on this node, ", facts.in_mesh, " in the mesh");
  if (watch.phase == Phase::waiting && watch.last_error)
    text.append(cat(" (no longer watched: ", watch.last_error->message, ")"));
  return text;
}

}  // namespace

Health assess(const Facts& facts) {
  if (!facts.first_pass_done) return {false, "Not ready: starting"};
  Health health;
  if (!facts.installed) {
    health.sentence = cat("Not ready: ", facts.installation);
  } else if (facts.credential) {
    health.sentence = cat("Not ready: ", facts.installation, ", but ", facts.credential->message);
  } else {
    health.ready = true;
    health.sentence = cat("Ready: ", facts.installation, "; ", pods(facts));
  }
  if (facts.repaired > 0) health.sentence.append(cat("; ", facts.repaired, " repaired"));
  if (facts.held_back > 0) health.sentence.append(cat("; ", facts.held_back, " held back"));
  return health;
}

}  // namespace istio_cni_node
