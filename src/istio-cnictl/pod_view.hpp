// What a person wants to know of a pod beyond the fields that redirection and
// repair read: its containers' states, and its Events. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "pod/pod.hpp"

namespace istio_cnictl {

using Time = std::chrono::system_clock::time_point;

struct ContainerView {
  enum class State : std::uint8_t { unknown, waiting, running, terminated };
  std::string name;
  bool init = false;
  State state = State::unknown;
  std::string reason;   ///< of a waiting or terminated one
  std::string message;  ///< likewise
  int exit_code = 0;
  std::optional<Time> started;  ///< the earliest start that the status still tells of
  int restarts = 0;

  bool operator==(const ContainerView&) const = default;
};

struct PodView {
  std::optional<Time> created;
  std::optional<Time> accepted;  ///< by the kubelet: status.startTime
  bool ready = false;
  std::string reason;  ///< of the pod's phase
  std::string message;
  std::vector<ContainerView> containers;  ///< init containers first

  /// When its first container ran; nothing: none has yet. The plugin ran before.
  [[nodiscard]] std::optional<Time> first_start() const;
};

/// Lenient: what is not there or of another type is left out.
PodView view_of(std::string_view pod_json);

struct PodEvent {
  std::optional<Time> last;
  std::string uid;     ///< of the pod it is about
  std::string type;    ///< "Normal", "Warning"
  std::string reason;  ///< "FailedCreatePodSandBox"
  std::string message;
  std::string component;
  int count = 1;

  bool operator==(const PodEvent&) const = default;
};

/// Of an EventList, oldest first. Errc::invalid_input when it is none.
base::Result<std::vector<PodEvent>> parse_events(std::string_view json);

}  // namespace istio_cnictl
