// Repair in place: the rules that the plugin should have made, put into the
// namespace of a pod that runs already, read back, and tried. Blocks (a few
// seconds at worst); for a worker thread, which stays in its own namespace.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cni/netconf.hpp"
#include "pod/pod.hpp"
#include "redirect/decide.hpp"
#include "repair/find_netns.hpp"

namespace repair {

struct InPlaceOptions {
  Places places;
  cni::BackendChoice backend = cni::BackendChoice::automatic;
  redirect::HostInput host;
  std::string agent_namespace;                  ///< as the plugin's
  std::vector<std::string> exclude_namespaces;  ///< as the plugin's
  std::chrono::milliseconds probe_timeout{5000};
};

struct InPlaceReport {
  enum class Outcome : std::uint8_t {
    repaired,  ///< programmed, read back, and the probe arrived
    skipped,   ///< the plugin would not redirect this pod either
    failed,
  };
  Outcome outcome = Outcome::failed;
  std::string cause;  ///< unless repaired: one line
  std::string netns;  ///< path; "" when not found
  std::string found_by;
  std::string backend;
  std::vector<std::string> warnings;
  // -1: not reached
  std::chrono::microseconds find{-1};
  std::chrono::microseconds rules{-1};
  std::chrono::microseconds verify{-1};
  std::chrono::microseconds probe{-1};
};

/// The probe runs as the proxy's user and group, on a thread of its own (the
/// rules leave other users' connections alone): needs CAP_SETUID and CAP_SETGID
/// besides CAP_SYS_ADMIN and CAP_NET_ADMIN. It is tried twice: the pod's own
/// validation may be running at the same moment.
InPlaceReport repair_in_place(const pod::Pod& pod, const std::string& netns_hint,
                              const InPlaceOptions& options);

}  // namespace repair
