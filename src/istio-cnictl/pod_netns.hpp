// A pod's network namespace, looked into: its rules as text and compared, and
// the probe. Each call works on a thread of its own; nothing is changed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "istio-cnictl/facts.hpp"
#include "pod/pod.hpp"
#include "redirect/decide.hpp"
#include "repair/find_netns.hpp"

namespace istio_cnictl {

/// Everything that filters or translates there, ours or not.
struct LiveText {
  std::string nftables;     ///< as `nft list ruleset` prints it
  std::string iptables_v4;  ///< legacy tables, in the form of iptables-save
  std::string iptables_v6;
  std::vector<std::string> problems;  ///< what could not be read
};

class PodNetns {
 public:
  /// `hint`: what the plugin was given at ADD; "" for none. Errors as of
  /// repair::find_netns.
  static base::Result<PodNetns> find(const pod::Pod& pod, const std::string& hint,
                                     const config::Config& config);

  [[nodiscard]] const std::string& path() const { return found_.path; }
  [[nodiscard]] base::Result<LiveText> text() const;
  /// With the backend that holds our rules, else with the one that ADD would use.
  [[nodiscard]] base::Result<LiveState> compare(const redirect::RedirectPlan& plan,
                                                cni::BackendChoice backend) const;
  /// As the proxy's user, for each family that has rules. Where a proxy listens
  /// already it is only connected to: listening beside it would take other
  /// connections of the pod away from it.
  [[nodiscard]] base::Result<std::vector<ProbeResult>> probe(
      const redirect::RedirectPlan& plan, std::chrono::milliseconds timeout) const;

 private:
  explicit PodNetns(repair::FoundNetns found) : found_(std::move(found)) {}
  repair::FoundNetns found_;
};

}  // namespace istio_cnictl
