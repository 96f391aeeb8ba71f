// Events on pods, for those who look with kubectl: few, and counted rather than
// repeated. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "repair/api.hpp"
#include "repair/time.hpp"

namespace repair {

inline constexpr std::string_view reason_delete = "DeleteBrokenPod";
inline constexpr std::string_view reason_label = "LabelBrokenPod";
inline constexpr std::string_view reason_repair = "RepairBrokenPod";
inline constexpr std::string_view reason_held_back = "RepairHeldBack";

/// Best effort: an Event that cannot be sent is reported to `failed` and
/// forgotten.
class Events {
 public:
  Events(Api& api, std::string node, std::function<void(const std::string&)> failed);
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  ~Events();

  void set_node(std::string node) { node_ = std::move(node); }

  /// The same pod and reason within `aggregation` patches the Event that was
  /// sent (message, count, last time); one that is gone is posted anew.
  void tell(const Target& pod, std::string_view reason, const std::string& message, Time now);

  static constexpr std::chrono::minutes aggregation{10};
  static constexpr std::size_t max_remembered = 2048;

 private:
  struct Sent {
    std::string name;
    Time first{};
    Time last{};
    int count = 1;
    bool confirmed = false;  ///< the server has it
  };
  using Key = std::pair<std::string, std::string>;  ///< uid, reason

  void post(const Key& key, const Target& pod, const std::string& message, Time now);
  void forget(Time now);

  Api& api_;
  std::string node_;
  std::function<void(const std::string&)> failed_;
  std::map<Key, Sent> sent_;
  std::uint64_t serial_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace repair
