// What was done about which pod, kept over restarts of the agent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "repair/budget.hpp"
#include "repair/time.hpp"

namespace repair {

enum class Deed : std::uint8_t { repaired, repair_failed, deleted, evicted, labelled };
/// "repaired", "repair_failed", "deleted"...
std::string_view to_string(Deed deed);

/// The last thing done about one pod.
struct Record {
  std::string name_space;
  std::string name;
  Deed deed = Deed::repaired;
  Time at{};
  std::int32_t restart_count = 0;  ///< of the broken container, then
  int attempts = 1;                ///< repairs in place, failed ones included

  bool operator==(const Record&) const = default;
};

struct State {
  std::map<std::string, Record> pods;  ///< by uid
  Budget::Used budget;

  /// Sets the record of a pod; beyond max_records the oldest goes.
  void put(const std::string& uid, Record record);
  /// Keeps the records of these uids only; true when one went.
  bool prune(const std::set<std::string>& uids);

  bool operator==(const State&) const = default;
};
inline constexpr std::size_t max_records = 4096;

/// One line of JSON, times in whole seconds.
std::string to_json(const State& state);
/// Errc::invalid_input names `name`. Unknown keys are ignored.
base::Result<State> parse_state(std::string_view json, std::string_view name);

inline constexpr std::string_view state_file_name = "repairs.json";

/// A missing file is an empty State.
base::Result<State> load_state(const std::string& path);
/// Atomic (base/atomic_file.hpp), mode 0600; blocks on the disk.
base::Status save_state(const std::string& path, std::string_view json);

}  // namespace repair
