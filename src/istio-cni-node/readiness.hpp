// Is this node ready, and the one true sentence about it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "install/installer.hpp"
#include "kube/pod_watch.hpp"

namespace istio_cni_node {

struct Facts {
  bool first_pass_done = false;
  std::string installation;               ///< install::describe of the last pass
  bool installed = false;                 ///< Pass::ready
  bool in_list = false;                   ///< the runtime's first list names our plugin
  std::optional<base::Error> credential;  ///< why there is none
  kube::WatchState watch;
  std::size_t pods = 0;
  std::size_t in_mesh = 0;
  std::uint64_t repaired = 0;
  std::uint64_t held_back = 0;
};

struct Health {
  bool ready = false;
  /// "Ready: chained in 10-calico.conflist; 34 pods on this node, 12 in the mesh"
  /// or "Not ready: REASON"; never with anything that changes by itself.
  std::string sentence;
};

/// Ready: the runtime's first list runs our plugin and the plugin has a
/// credential. An API server that cannot be reached does not make the node
/// unready (it says so in the sentence): pods that need it fail and are retried.
Health assess(const Facts& facts);

}  // namespace istio_cni_node
