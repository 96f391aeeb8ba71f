// A world that is made up, for the plugin's sequence.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "istio-cni/plugin.hpp"

namespace fakes {

using base::Errc;
using base::Error;

/// A kernel that holds what was applied last, or lies about it.
class FakeBackend final : public netfilter::Backend {
 public:
  explicit FakeBackend(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  base::Status apply(const redirect::Ruleset&) override {
    ++applied;
    if (fail) return *fail;
    held = !loses_rules;
    return base::success();
  }
  base::Result<netfilter::Comparison> compare(const redirect::Ruleset&) override {
    if (held) return netfilter::Comparison{};
    return netfilter::Comparison{true, {"nat ISTIO_OUTPUT is missing"}};
  }
  base::Status remove(const redirect::Ruleset&) override {
    ++removed;
    held = false;
    return base::success();
  }
  int applied = 0;
  int removed = 0;
  bool held = false;
  bool loses_rules = false;
  std::optional<Error> fail;

 private:
  std::string name_;
};

inline pod::Pod mesh_pod() {
  pod::Pod pod;
  pod.name = "web-1";
  pod.name_space = "shop";
  pod.uid = "u-1";
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod::Container proxy;
  proxy.name = "istio-proxy";
  pod.containers = {proxy};
  return pod;
}

class FakeEdges : public istio_cni::Edges, public redirection::Kernel {
 public:
  redirection::Kernel& kernel() override { return *this; }
  base::Status lookup_ready(const cni::Netconf&, base::Deadline) override { return ready; }
  base::Result<pod::Pod> find_pod(const cni::Netconf&, const istio_cni::PodRequest& request,
                                  base::Deadline,
                                  const std::function<void(int, const Error&)>&) override {
    ++lookups;
    asked_uid = request.uid;
    return pod;
  }
  base::Result<agent::Answer> ask_agent(const cni::Netconf&, const istio_cni::PodRequest&,
                                        base::Deadline deadline) override {
    ++questions;
    agent_time = deadline.left();
    return answer;
  }
  void tell(const cni::Netconf&, const agent::Outcome& outcome) override {
    told.push_back(outcome);
  }
  base::Status open_namespace(const std::string&) override { return namespace_status; }
  base::Status enter_namespace() override {
    entered = true;
    return base::success();
  }
  base::Result<netns::HostIp> host_ip(bool) override {
    return netns::HostIp{redirect::Ip::parse("10.0.0.2").value(), ipv6};
  }
  base::Result<bool> legacy_rules_present() override { return legacy; }
  base::Status probe_nftables() override { return nft_offered; }
  netfilter::Backend& nftables() override {
    if (!nft_offered) nft.fail = nft_offered.error();
    return nft;
  }
  netfilter::Backend& iptables() override { return ipt; }
  base::Status apply_routes(const redirect::Ruleset&) override { return base::success(); }
  base::Result<std::vector<std::string>> compare_routes(const redirect::Ruleset&) override {
    return route_differences;
  }
  base::Status resolve_owners(redirect::Config&) override { return base::success(); }

  base::Status ready = base::success();
  base::Result<agent::Answer> answer = Error{Errc::not_found, "no agent", 0};
  std::vector<agent::Outcome> told;
  std::chrono::milliseconds agent_time{0};
  int questions = 0;
  base::Result<pod::Pod> pod = mesh_pod();
  base::Status namespace_status = base::success();
  base::Status nft_offered = base::success();
  std::vector<std::string> route_differences;
  FakeBackend nft{"nftables"};
  FakeBackend ipt{"iptables"};
  bool legacy = false;
  bool ipv6 = false;
  bool entered = false;
  int lookups = 0;
  std::string asked_uid;
};

}  // namespace fakes
