#include "istio-cni-node/status_report.hpp"

#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

std::string_view name_of(kube::WatchState::Phase phase) {
  using Phase = kube::WatchState::Phase;
  switch (phase) {
    case Phase::listing:
      return "listing";
    case Phase::watching:
      return "watching";
    case Phase::waiting:
      return "waiting";
    case Phase::starting:
      break;
  }
  return "starting";
}

}  // namespace

bool ChangeLog::note(const Facts& facts, const Health& health, agent::Time now) {
  auto key = base::cat(health.ready ? "1" : "0", facts.in_list ? "1" : "0", facts.installation,
                       '\0', facts.credential ? facts.credential->message : "");
  if (key == last_) return false;
  last_ = std::move(key);
  if (changes_.size() == kept) changes_.erase(changes_.begin());
  changes_.push_back({now, health.ready, facts.in_list, health.sentence});
  return true;
}

logging::Fields readiness_fields(bool ready, bool in_list) {
  return {{"ISTIO_CNI_READY", ready ? "1" : "0"}, {"ISTIO_CNI_IN_LIST", in_list ? "1" : "0"}};
}

agent::Status status_report(const StatusParts& parts) {
  agent::Status status;
  status.version = ICN_VERSION;
  status.started = parts.started;
  status.node_name = parts.node_name;
  status.ready = parts.health.ready;
  status.sentence = parts.health.sentence;
  status.changes = parts.changes.changes();

  const auto& installed = parts.installed;
  auto& installation = status.installation;
  installation.ready = parts.facts.installed;
  installation.mode = parts.install_mode;
  installation.description = parts.facts.installation;
  installation.conf_dir = installed.desired.conf_dir;
  installation.file = installed.pass.file;
  installation.position = installed.pass.position;
  installation.plugins = static_cast<int>(installed.pass.plugins);
  installation.foreign_rewrites = installed.foreign_rewrites;
  installation.last_foreign_rewrite = installed.last_foreign_rewrite;
  installation.last_peer = installed.last_peer;

  const auto& watch = parts.facts.watch;
  status.watch.phase = name_of(watch.phase);
  status.watch.synced = watch.synced;
  if (watch.last_contact != std::chrono::steady_clock::time_point{})
    status.watch.last_contact = parts.now - std::chrono::duration_cast<agent::Time::duration>(
                                                parts.steady_now - watch.last_contact);
  status.watch.lists = watch.lists;
  status.watch.restarts = watch.restarts;
  status.watch.expired = watch.expired;
  if (watch.last_error) status.watch.error = watch.last_error->message;

  if (const auto* credential = parts.credential) {
    status.credential.what = credential->place.what;
    status.credential.path = credential->place.path;
    status.credential.server = credential->client.server;
    status.credential.expires = credential->expires;
  }
  if (parts.facts.credential) status.credential.error = parts.facts.credential->message;

  status.pods = parts.facts.pods;
  status.in_mesh = parts.facts.in_mesh;
  status.repair_mode = parts.repair_mode;
  status.repaired = parts.facts.repaired;
  status.held_back = parts.facts.held_back;
  return status;
}

agent::PodEntry pod_entry(const CachedPod& cached) {
  agent::PodEntry entry;
  entry.name_space = cached.pod.name_space;
  entry.name = cached.pod.name;
  entry.uid = cached.pod.uid;
  entry.phase = cached.pod.phase;
  entry.ips = cached.pod.ips;
  entry.in_mesh = cached.in_mesh;
  if (const auto& add = cached.redirection)
    entry.add = agent::AddReport{add->when,         add->decision, add->result, add->backend,
                                 add->container_id, add->netns,    add->message};
  return entry;
}

}  // namespace istio_cni_node
