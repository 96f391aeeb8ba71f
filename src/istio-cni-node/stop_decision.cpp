#include "istio-cni-node/stop_decision.hpp"

#include <utility>

#include "base/strings.hpp"
#include "istio-cni-node/daemonset.hpp"

namespace istio_cni_node {
namespace {

using base::cat;
using Answer = base::Result<kube::Response>;

StopDecision by_node(const std::string& daemonset, const Answer& node) {
  if (!node || node->status != 200) return {true, "the node could not be read"};
  const auto wanted = wants_node(daemonset, node->body);
  if (!wanted) return {true, wanted.error().message};
  if (*wanted) return {true, "the DaemonSet still wants this node"};
  return {false, "the DaemonSet no longer wants this node"};
}

}  // namespace

void decide_stop(kube::ApiClient& api, const std::string& name_space, const std::string& node,
                 base::Deadline deadline, std::function<void(const StopDecision&)> done) {
  if (name_space.empty())
    return done({true, "plugin.agent_namespace, where the DaemonSet would be, is not set"});
  const auto get = [](std::string path) {
    return kube::ApiRequest{kube::ApiRequest::Method::get, std::move(path), "", ""};
  };
  api.request(get(cat("/apis/apps/v1/namespaces/", name_space, "/daemonsets/", daemonset_name)),
              deadline, [&api, get, node, deadline, done = std::move(done)](Answer daemonset) {
                // 401: the service account went with the DaemonSet
                if (daemonset && (daemonset->status == 404 || daemonset->status == 401))
                  return done({false, "the DaemonSet is gone"});
                if (!daemonset || daemonset->status != 200)
                  return done({true, "the DaemonSet could not be read"});
                if (being_deleted(daemonset->body))
                  return done({false, "the DaemonSet is being deleted"});
                api.request(get(cat("/api/v1/nodes/", node)), deadline,
                            [daemonset = std::move(daemonset->body), done](const Answer& answer) {
                              done(by_node(daemonset, answer));
                            });
              });
}

}  // namespace istio_cni_node
