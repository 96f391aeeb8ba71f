#include "istio-cni-node/pod_cache.hpp"

#include "redirect/decide.hpp"
#include "redirect/project.hpp"

namespace istio_cni_node {
namespace {

constexpr std::size_t max_early = 1024;

}  // namespace

bool PodCache::decide_in_mesh(const pod::Pod& pod) const {
  auto decision = redirect::decide(pod, {}, rules_.agent_namespace, rules_.exclude_namespaces);
  return !decision || std::holds_alternative<redirect::RedirectPlan>(*decision);
}

void PodCache::set_rules(MeshRules rules) {
  rules_ = std::move(rules);
  in_mesh_ = 0;
  for (auto& [key, entry] : pods_) {
    entry.cached.in_mesh = decide_in_mesh(entry.cached.pod);
    if (entry.cached.in_mesh) ++in_mesh_;
  }
  if (changed) changed();
}

void PodCache::list_begin() {
  ++list_;
  listing_ = true;
}

void PodCache::upsert(pod::Pod pod) {
  auto projected = redirect::project(std::move(pod), {rules_.sidecar_annotation});
  Key key{projected.name_space, projected.name};
  auto& entry = pods_[std::move(key)];
  auto& cached = entry.cached;
  if (cached.in_mesh) --in_mesh_;
  if (cached.pod.uid != projected.uid) {
    if (!cached.pod.uid.empty() && pod_removed) pod_removed(cached.pod.uid);
    cached.redirection.reset();
    if (auto early = early_.find(projected.uid); early != early_.end()) {
      cached.redirection = std::move(early->second);
      early_.erase(early);
    }
  }
  cached.in_mesh = decide_in_mesh(projected);
  cached.pod = std::move(projected);
  entry.list = list_;
  if (cached.in_mesh) ++in_mesh_;
  if (pod_changed) pod_changed(cached);
  if (!listing_ && changed) changed();
}

void PodCache::list_end() {
  listing_ = false;
  for (auto entry = pods_.begin(); entry != pods_.end();) {
    auto next = std::next(entry);
    if (entry->second.list != list_) erase(entry);
    entry = next;
  }
  if (listed) listed();
  if (changed) changed();
}

void PodCache::erase(Pods::iterator entry) {
  if (entry->second.cached.in_mesh) --in_mesh_;
  if (pod_removed) pod_removed(entry->second.cached.pod.uid);
  pods_.erase(entry);
}

void PodCache::remove(const std::string& name_space, const std::string& name,
                      const std::string& uid) {
  auto entry = pods_.find({name_space, name});
  // its successor of the same name may have come first
  if (entry == pods_.end() || entry->second.cached.pod.uid != uid) return;
  erase(entry);
  if (changed) changed();
}

void PodCache::watch_changed(const kube::WatchState& state) {
  watch_ = state;
  if (changed) changed();
}

const CachedPod* PodCache::find(const agent::Lookup& lookup) const {
  auto entry = pods_.find({lookup.name_space, lookup.name});
  if (entry == pods_.end()) return nullptr;
  const auto& cached = entry->second.cached;
  if (lookup.uid.empty()) return cached.pod.deleting ? nullptr : &cached;
  return cached.pod.uid == lookup.uid ? &cached : nullptr;
}

void PodCache::report(const agent::Outcome& outcome, std::chrono::system_clock::time_point now) {
  if (outcome.command != "ADD" || outcome.uid.empty()) return;
  Redirection redirection{outcome.decision,
                          outcome.result,
                          outcome.backend,
                          outcome.container_id,
                          outcome.netns,
                          outcome.message,
                          now};
  auto entry = pods_.find({outcome.name_space, outcome.name});
  if (entry != pods_.end() && entry->second.cached.pod.uid == outcome.uid) {
    entry->second.cached.redirection = std::move(redirection);
    return;
  }
  if (early_.size() >= max_early) early_.erase(early_.begin());
  early_[outcome.uid] = std::move(redirection);
}

void PodCache::for_each(const std::function<void(const CachedPod&)>& visit) const {
  for (const auto& [key, entry] : pods_) visit(entry.cached);
}

}  // namespace istio_cni_node
