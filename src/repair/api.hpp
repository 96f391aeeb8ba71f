// What the repair needs of the API server. One real implementation
// (api_adapter.hpp); fakes in tests. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace repair {

/// A pod as it was when the decision was made.
struct Target {
  std::string name_space;
  std::string name;
  std::string uid;
  std::string resource_version;
};

struct Reply {
  enum class Kind : std::uint8_t {
    done,
    gone,         ///< 404: there is no such pod (any more)
    conflict,     ///< 409: it is another pod, or it has changed since
    blocked,      ///< 429 to an eviction: a PodDisruptionBudget
    rejected,     ///< another 4xx: trying again alone does not help
    unavailable,  ///< no answer, 5xx, 401, 429: worth trying again
  };
  Kind kind = Kind::done;
  std::string cause;  ///< unless done: one line
  /// Not said to be done, and yet it may have been: it was sent, and the answer is
  /// lost (or speaks of a second try).
  bool maybe_done = false;
};

/// `done` is called once, later, on the same thread.
class Api {
 public:
  virtual ~Api() = default;
  using Done = std::function<void(Reply)>;
  /// DELETE with the target's uid and resourceVersion as preconditions.
  virtual void remove(const Target& target, Done done) = 0;
  /// policy/v1 Eviction with the same preconditions.
  virtual void evict(const Target& target, Done done) = 0;
  /// Merge patch of the status subresource; the uid is a precondition.
  virtual void label(const Target& target, const std::string& key, const std::string& value,
                     Done done) = 0;
  /// `event`: a v1 Event.
  virtual void post_event(const std::string& name_space, const std::string& event, Done done) = 0;
  /// `patch`: a merge patch.
  virtual void patch_event(const std::string& name_space, const std::string& name,
                           const std::string& patch, Done done) = 0;
};

}  // namespace repair
