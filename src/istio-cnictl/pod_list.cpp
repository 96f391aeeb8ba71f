#include "istio-cnictl/pod_list.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/strings.hpp"
#include "istio-cnictl/expected.hpp"
#include "istio-cnictl/pod_netns.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

constexpr std::size_t most_adds = 5000;  ///< of the journal, the last ones

std::string configured_backend(const config::Config& config) {
  switch (config.plugin.backend) {
    case cni::BackendChoice::nftables:
      return "nftables";
    case cni::BackendChoice::iptables:
      return "iptables";
    case cni::BackendChoice::automatic:
      break;
  }
  return "unknown";
}

PodRow row_of(pod::Pod pod, const config::Config& config, const repair::State* repairs) {
  PodRow row;
  auto& entry = row.entry;
  entry.name_space = pod.name_space;
  entry.name = pod.name;
  entry.uid = pod.uid;
  entry.phase = pod.phase;
  entry.ips = pod.ips;
  auto decision = in_words(decide_as_plugin(pod, config));
  entry.in_mesh = decision.kind != DecisionNow::Kind::skip;
  row.now = Forecast{std::move(decision), configured_backend(config)};
  if (repairs != nullptr)
    if (const auto found = repairs->pods.find(pod.uid); found != repairs->pods.end())
      entry.repair =
          agent::RepairReport{found->second.at, std::string(repair::to_string(found->second.deed)),
                              found->second.attempts};
  row.pod = std::move(pod);
  return row;
}

/// Once it has read them: a list that it has not got yet looks like a node without pods.
base::Result<std::vector<agent::PodEntry>> from_agent(Node& node) {
  auto status = node.agent_status();
  if (!status) return std::move(status).error();
  if (!status->watch.synced)
    return base::Error{base::Errc::unavailable,
                       cat("the agent does not know this node's pods yet",
                           status->watch.error.empty() ? "" : ": ", status->watch.error)};
  return node.agent_pods();
}

base::Result<PodList> from_api(Node& node, base::Error no_agent) {
  auto pods = node.api_pods();
  if (!pods) {
    no_agent.message.append(cat("; the API server: ", pods.error().message));
    return no_agent;
  }
  const auto repairs = node.repairs();
  PodList list;
  list.no_agent = std::move(no_agent);
  for (auto& pod : *pods)
    list.rows.push_back(row_of(std::move(pod), node.config(), repairs ? &*repairs : nullptr));
  // as the agent orders them
  std::sort(list.rows.begin(), list.rows.end(), [](const PodRow& a, const PodRow& b) {
    return std::tie(a.entry.name_space, a.entry.name) < std::tie(b.entry.name_space, b.entry.name);
  });
  return list;
}

}  // namespace

base::Result<PodList> list_pods(Node& node) {
  PodList list;
  if (auto entries = from_agent(node)) {
    for (auto& entry : *entries) list.rows.push_back({std::move(entry), {}, {}, {}});
  } else {
    auto asked = from_api(node, std::move(entries).error());
    if (!asked) return asked;
    list = *std::move(asked);
  }
  // the agent knows the ADDs since it was started
  const auto unknown = [](const PodRow& row) { return row.entry.in_mesh && !row.entry.add; };
  if (!std::any_of(list.rows.begin(), list.rows.end(), unknown)) return list;
  const auto adds = node.journal().adds(most_adds);
  for (auto& row : list.rows) {
    if (adds && !row.entry.add) row.entry.add = last_add(*adds, row.entry.uid);
    if (row.entry.add) row.now.reset();
  }
  return list;
}

base::Result<pod::Pod> pod_of(Node& node, const PodRow& row) {
  if (row.pod) return *row.pod;
  return node.agent_lookup({row.entry.name_space, row.entry.name});
}

RulesState verify(Node& node, const PodRow& row) {
  using State = RulesState::State;
  const auto known = pod_of(node, row);
  if (!known) return {State::unknown, known.error().message};
  if (known->phase == "Succeeded" || known->phase == "Failed") return {State::good, "ended"};
  const auto decision = decide_as_plugin(*known, node.config());
  const auto words = in_words(decision);
  if (words.kind == DecisionNow::Kind::skip) return {State::good, words.reason};
  if (words.kind == DecisionNow::Kind::error) return {State::bad, words.detail};
  auto netns = PodNetns::find(*known, row.entry.add ? row.entry.add->netns : "", node.config());
  if (!netns) return {State::unknown, netns.error().message};
  auto live =
      netns->compare(std::get<redirect::RedirectPlan>(*decision), node.config().plugin.backend);
  if (!live) return {State::unknown, live.error().message};
  if (live->absent) return {State::bad, "missing"};
  if (!live->differences.empty())
    return {State::bad, cat("different: ", live->differences.front())};
  return {State::good, cat("verified (", live->backend, ')')};
}

}  // namespace istio_cnictl
