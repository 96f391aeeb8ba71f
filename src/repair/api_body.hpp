// Requests as the API server wants them, and its answers. Pure.
#pragma once

#include <string>

#include "base/result.hpp"
#include "kube/api.hpp"
#include "repair/api.hpp"
#include "repair/time.hpp"

namespace repair {

kube::ApiRequest delete_request(const Target& target);
kube::ApiRequest evict_request(const Target& target);
kube::ApiRequest label_request(const Target& target, const std::string& key,
                               const std::string& value);
kube::ApiRequest post_event_request(const std::string& name_space, const std::string& event);
kube::ApiRequest patch_event_request(const std::string& name_space, const std::string& name,
                                     const std::string& patch);

/// `eviction`: 429 is a PodDisruptionBudget's. `sent`: how often the request went
/// out. The cause is the Status object's message where there is one.
Reply reply_of(const base::Result<kube::Response>& answer, bool eviction, int sent);

/// A v1 Event of type Warning about a pod.
struct EventText {
  Target pod;
  std::string name;  ///< of the Event object
  std::string reason;
  std::string message;  ///< cut to the API's 1,024 bytes
  std::string node;
  Time first{};
  Time last{};
  int count = 1;
};
inline constexpr std::string_view event_component = "cni-repair";
std::string event_json(const EventText& event);
/// What changes when it happens again: message, count, lastTimestamp.
std::string event_patch(const EventText& event);

}  // namespace repair
