// The node that the tool runs on: everyone who can be asked about a pod.
// Each question is answered or fails by itself, within a few seconds.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/connection.hpp"
#include "agent/status.hpp"
#include "base/result.hpp"
#include "config/config.hpp"
#include "istio-cnictl/facts.hpp"
#include "istio-cnictl/journal.hpp"
#include "kube/client.hpp"
#include "kube/credentials.hpp"

namespace istio_cnictl {

using Getenv = std::function<std::optional<std::string>(const std::string&)>;

class Node {
 public:
  Node(config::Config config, std::unique_ptr<Journal> journal, Getenv getenv);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] const config::Config& config() const { return config_; }
  [[nodiscard]] Journal& journal() { return *journal_; }

  // --- the agent

  base::Result<agent::Status> agent_status();
  /// All pages, in order.
  base::Result<std::vector<agent::PodEntry>> agent_pods();
  /// Nothing: the agent does not know it.
  base::Result<std::optional<agent::PodEntry>> agent_pod(const PodName& name);
  /// The pod as the agent keeps it: what redirection and repair read.
  base::Result<pod::Pod> agent_lookup(const PodName& name);

  // --- the API server, with the agent's credential

  base::Result<FetchedPod> api_pod(const PodName& name);
  /// All of this node.
  base::Result<std::vector<pod::Pod>> api_pods();
  base::Result<std::vector<PodEvent>> events(const PodName& name);
  /// From the API server, else from the agent; the error is the former's, and
  /// Errc::not_found only when it said so.
  base::Result<FetchedPod> pod(const PodName& name);

  // --- this machine

  /// As the agent knows itself: configured, by its credential, or the host's name.
  std::string name();
  base::Result<repair::State> repairs();
  /// The page of the agent's metrics.
  base::Result<std::string> metrics();

  static constexpr std::chrono::milliseconds patience{5000};

 private:
  base::Result<agent::Connection*> agent();
  base::Result<kube::Client*> api();
  base::Result<kube::Response> get(const std::string& target);
  template <typename Query>
  auto ask(const Query& query)
      -> decltype(std::declval<agent::Connection&>().ask(query, base::Deadline::after(patience)));

  config::Config config_;
  std::unique_ptr<Journal> journal_;
  Getenv getenv_;
  std::optional<agent::Connection> connection_;
  std::optional<base::Result<kube::Client>> client_;
  std::optional<std::string> credential_node_;
};

}  // namespace istio_cnictl
