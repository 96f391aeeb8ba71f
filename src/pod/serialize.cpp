#include "pod/serialize.hpp"

#include <nlohmann/json.hpp>

namespace pod {
namespace {

using Ordered = nlohmann::ordered_json;

void put(Ordered& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

void put(Ordered& object, const char* key, Ordered part) {
  if (!part.empty()) object[key] = std::move(part);
}

Ordered strings(const std::map<std::string, std::string>& values) {
  auto out = Ordered::object();
  for (const auto& [key, value] : values) out[key] = value;
  return out;
}

Ordered metadata(const Pod& pod) {
  auto out = Ordered::object();
  put(out, "name", pod.name);
  put(out, "namespace", pod.name_space);
  put(out, "uid", pod.uid);
  put(out, "resourceVersion", pod.resource_version);
  // when it was asked for is not kept, and nobody reads it
  if (pod.deleting) out["deletionTimestamp"] = "1970-01-01T00:00:00Z";
  put(out, "labels", strings(pod.labels));
  put(out, "annotations", strings(pod.annotations));
  if (pod.owner) {
    Ordered owner{{"controller", true}};
    put(owner, "kind", pod.owner->kind);
    put(owner, "name", pod.owner->name);
    put(owner, "uid", pod.owner->uid);
    out["ownerReferences"] = Ordered::array({std::move(owner)});
  }
  return out;
}

Ordered container_json(const Container& container) {
  auto out = Ordered::object();
  put(out, "name", container.name);
  if (!container.args.empty()) out["args"] = container.args;
  auto env = Ordered::array();
  for (const auto& [name, value] : container.env)
    env.push_back(Ordered{{"name", name}, {"value", value}});
  put(out, "env", std::move(env));
  auto security = Ordered::object();
  if (container.run_as_user) security["runAsUser"] = *container.run_as_user;
  if (container.run_as_group) security["runAsGroup"] = *container.run_as_group;
  put(out, "securityContext", std::move(security));
  return out;
}

Ordered spec(const Pod& pod) {
  auto out = Ordered::object();
  auto init = Ordered::array();
  auto main = Ordered::array();
  for (const auto& container : pod.containers)
    (container.init ? init : main).push_back(container_json(container));
  put(out, "initContainers", std::move(init));
  put(out, "containers", std::move(main));
  put(out, "nodeName", pod.node_name);
  put(out, "restartPolicy", pod.restart_policy);
  put(out, "serviceAccountName", pod.service_account);
  if (pod.host_network) out["hostNetwork"] = true;
  return out;
}

Ordered state(const Termination& termination) {
  Ordered out{{"exitCode", termination.exit_code}};
  put(out, "reason", termination.reason);
  put(out, "message", termination.message);
  put(out, "finishedAt", termination.finished_at);
  return Ordered{{"terminated", std::move(out)}};
}

Ordered status(const Pod& pod) {
  auto out = Ordered::object();
  put(out, "phase", pod.phase);
  auto ips = Ordered::array();
  for (const auto& ip : pod.ips) ips.push_back(Ordered{{"ip", ip}});
  put(out, "podIPs", std::move(ips));
  if (!pod.scheduled_at.empty())
    out["conditions"] = Ordered::array({Ordered{
        {"type", "PodScheduled"}, {"status", "True"}, {"lastTransitionTime", pod.scheduled_at}}});
  auto statuses = Ordered::array();
  for (const auto& init : pod.init_statuses) {
    auto item = Ordered::object();
    put(item, "name", init.name);
    if (init.restart_count != 0) item["restartCount"] = init.restart_count;
    if (init.terminated) item["state"] = state(*init.terminated);
    if (init.last_terminated) item["lastState"] = state(*init.last_terminated);
    statuses.push_back(std::move(item));
  }
  put(out, "initContainerStatuses", std::move(statuses));
  return out;
}

}  // namespace

std::string to_json(const Pod& pod) {
  auto out = Ordered::object();
  put(out, "metadata", metadata(pod));
  put(out, "spec", spec(pod));
  put(out, "status", status(pod));
  return out.dump(-1, ' ', false, Ordered::error_handler_t::replace);
}

}  // namespace pod
