// The pods of this node that the agent remembers: what the watch says of them,
// and what the plugin reported. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/protocol.hpp"
#include "kube/pod_watch.hpp"
#include "pod/pod.hpp"

namespace istio_cni_node {

/// How the plugin's last ADD for a pod ended.
struct Redirection {
  std::string decision;
  std::string result;
  std::string backend;
  std::string container_id;
  std::string netns;
  std::string message;
  std::chrono::system_clock::time_point when{};
};

struct CachedPod {
  pod::Pod pod;  ///< projected: only what redirection and repair read
  /// redirect::decide would redirect it, or cannot because an annotation is bad.
  bool in_mesh = false;
  std::optional<Redirection> redirection;
};

/// What a pod's being in the mesh depends on besides the pod.
struct MeshRules {
  std::string agent_namespace;
  std::vector<std::string> exclude_namespaces;
  std::string sidecar_annotation;  ///< kept for repair, besides those of redirection
};

class PodCache : public kube::PodObserver {
 public:
  explicit PodCache(MeshRules rules) : rules_(std::move(rules)) {}

  void set_rules(MeshRules rules);

  /// After every change that the counts or the watch's state may show.
  std::function<void()> changed;
  /// After a pod was added or changed; for repair.
  std::function<void(const CachedPod&)> pod_changed;
  std::function<void(const std::string& uid)> pod_removed;
  /// A list is complete: the pods that are known now are all there are.
  std::function<void()> listed;

  // kube::PodObserver
  void list_begin() override;
  void upsert(pod::Pod pod) override;
  void list_end() override;
  void remove(const std::string& name_space, const std::string& name,
              const std::string& uid) override;
  void watch_changed(const kube::WatchState& state) override;

  /// The watch's last error is over, before the watch itself knows.
  void error_is_over() { watch_.last_error.reset(); }

  /// The pod, when the cache can answer for it: the same uid, or, when the
  /// caller knows none, one that is not being deleted. Null otherwise.
  [[nodiscard]] const CachedPod* find(const agent::Lookup& lookup) const;
  /// Remembers it for a pod of that uid; kept for a while when the pod is not
  /// known yet, since the watch may come after the ADD.
  void report(const agent::Outcome& outcome, std::chrono::system_clock::time_point now);

  [[nodiscard]] std::size_t size() const { return pods_.size(); }
  [[nodiscard]] std::size_t in_mesh() const { return in_mesh_; }
  [[nodiscard]] const kube::WatchState& watch() const { return watch_; }
  void for_each(const std::function<void(const CachedPod&)>& visit) const;

 private:
  struct Entry {
    CachedPod cached;
    std::uint64_t list = 0;  ///< the list that last named it
  };
  using Key = std::pair<std::string, std::string>;  ///< namespace, name
  using Pods = std::map<Key, Entry>;

  [[nodiscard]] bool decide_in_mesh(const pod::Pod& pod) const;
  void erase(Pods::iterator entry);

  MeshRules rules_;
  Pods pods_;
  std::map<std::string, Redirection> early_;  ///< by uid, before the watch named the pod
  std::size_t in_mesh_ = 0;
  std::uint64_t list_ = 0;
  bool listing_ = false;
  kube::WatchState watch_;
};

}  // namespace istio_cni_node
