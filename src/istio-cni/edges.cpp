#include <chrono>
#include <optional>

#include "agent/connection.hpp"
#include "base/strings.hpp"
#include "base/users.hpp"
#include "istio-cni/plugin.hpp"
#include "kube/client.hpp"
#include "kube/kubeconfig.hpp"
#include "kube/pod_source.hpp"
#include "netns/netns.hpp"

// Static initialisers of yaml-cpp and Asio, which istio-cni.ld takes out of the start
// of the program; not there in a program linked without it.
using Initialiser = void (*)();
extern "C" [[gnu::weak]] const Initialiser lookup_init_start[];
extern "C" [[gnu::weak]] const Initialiser lookup_init_end[];

namespace istio_cni {
namespace {

using base::cat;
using base::Errc;
using base::Error;

/// STATUS waits no longer than this for a busy agent.
constexpr std::chrono::milliseconds status_connect{1000};

bool init_lookup() {
  for (const auto* each = lookup_init_start; each != lookup_init_end; ++each) (*each)();
  return true;
}

class RealEdges final : public Edges {
 public:
  base::Status lookup_ready(const cni::Netconf& conf, base::Deadline deadline) override {
    if (agent::Connection::open(agent_socket(conf), deadline.at_most(status_connect)))
      return base::success();
    auto client = make_client(conf, deadline);
    if (!client) return std::move(client).error();
    return base::success();
  }

  base::Result<agent::Answer> ask_agent(const cni::Netconf& conf, const PodRequest& pod,
                                        base::Deadline deadline) override {
    agent_.reset();
    auto opened = agent::Connection::open(agent_socket(conf), deadline);
    if (!opened) return std::move(opened).error();
    auto answer = opened->ask(agent::Lookup{pod.name_space, pod.name, pod.uid}, deadline);
    if (answer) agent_ = *std::move(opened);
    return answer;
  }

  void tell(const cni::Netconf& conf, const agent::Outcome& outcome) override {
    if (!agent_) {
      auto opened = agent::Connection::open(agent_socket(conf), base::Deadline::after({}));
      if (!opened) return;
      agent_ = *std::move(opened);
    }
    agent_->tell(outcome);
  }

  base::Result<pod::Pod> find_pod(const cni::Netconf& conf, const PodRequest& pod,
                                  base::Deadline deadline,
                                  const std::function<void(int, const Error&)>& failed) override {
    auto client = make_client(conf, deadline);
    if (!client) return std::move(client).error();
    auto fetch = [&](const kube::PodRef& ref, base::Deadline until) {
      return kube::get_pod(*client, ref.name_space, ref.name, until);
    };
    kube::RetryHooks hooks;
    hooks.failed = failed;
    return kube::find_pod(fetch, {pod.name_space, pod.name, pod.uid}, deadline, {}, hooks);
  }

  /// The host's own is refused, whatever asked for it: rules there would cut the
  /// whole node off.
  base::Status open_namespace(const std::string& path) override {
    auto opened = netns::open_netns(path);
    if (!opened) return std::move(opened).error();
    auto id = netns::ns_id(opened->get());
    if (!id) return std::move(id).error();
    auto own = netns::own_ns();
    if (!own) return std::move(own).error();
    auto host = netns::host_ns();  // unreadable in a container: own_ns is what there is to compare
    if (*id == *own || (host && *id == *host))
      return Error{Errc::refused, cat("CNI_NETNS ", path,
                                      " is the host's own network namespace; nothing was changed")};
    namespace_ = *std::move(opened);
    return base::success();
  }

  base::Status enter_namespace() override { return netns::enter_netns(namespace_.get()); }

  base::Result<netns::HostIp> host_ip(bool dual_stack) override {
    auto addresses = netns::local_addresses();
    if (!addresses) return std::move(addresses).error();
    return netns::choose_host_ip(*addresses, dual_stack);
  }

  redirection::Kernel& kernel() override { return *kernel_; }

  base::Status resolve_owners(redirect::Config& config) override {
    for (auto* owners : {&config.owner_groups_include.items, &config.owner_groups_exclude}) {
      for (auto& owner : *owners) {
        if (owner.id) continue;
        auto id = base::group_id(owner.text);
        if (!id) return std::move(id).error();
        owner.id = *id;
      }
    }
    return base::success();
  }

 private:
  static std::string agent_socket(const cni::Netconf& conf) {
    return cat(conf.run_dir, '/', agent::socket_name);
  }

  static base::Result<kube::Client> make_client(const cni::Netconf& conf, base::Deadline deadline) {
    static const bool ready = init_lookup();
    (void)ready;
    auto config = kube::load_kubeconfig(conf.kubeconfig, deadline);
    if (!config) return std::move(config).error();
    return kube::Client::make(*std::move(config));
  }

  base::UniqueFd namespace_;
  std::optional<agent::Connection> agent_;
  std::unique_ptr<redirection::Kernel> kernel_ = redirection::make_kernel();
};

}  // namespace

std::unique_ptr<Edges> make_edges() { return std::make_unique<RealEdges>(); }

}  // namespace istio_cni
