// The journal, as far as it speaks of us (sd-journal(3)).
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace istio_cnictl {

struct JournalEntry {
  std::chrono::system_clock::time_point at{};
  std::string identifier;  ///< SYSLOG_IDENTIFIER: "istio-cni", "istio-cni-node"
  int priority = 6;        ///< as of syslog(3)
  std::string message;
  /// Those of our own that it has: POD_NAME, POD_UID, CNI_COMMAND, DECISION...
  std::map<std::string, std::string> fields;

  [[nodiscard]] std::string field(const std::string& name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string() : found->second;
  }
  bool operator==(const JournalEntry&) const = default;
};

/// The one entry of each ADD that says how it ended.
inline bool is_finished_add(const JournalEntry& entry) {
  return entry.field("CNI_COMMAND") == "ADD" && !entry.field("DECISION").empty();
}

/// What plugin and agent logged, oldest first; only what a process of root
/// wrote counts, since every user may write entries with any field.
class Journal {
 public:
  virtual ~Journal() = default;

  /// The last `most` entries about a pod, also about earlier ones of its name.
  /// `uid` and `container_id` may be "".
  virtual base::Result<std::vector<JournalEntry>> of_pod(const std::string& name_space,
                                                         const std::string& name,
                                                         const std::string& uid,
                                                         const std::string& container_id,
                                                         std::size_t most) = 0;
  /// The last `most` entries of the plugin's ADDs, of any pod.
  virtual base::Result<std::vector<JournalEntry>> adds(std::size_t most) = 0;
  /// The last `most` changes of the agent's readiness.
  virtual base::Result<std::vector<JournalEntry>> readiness(std::size_t most) = 0;
  /// The last `most` entries of plugin and agent.
  virtual base::Result<std::vector<JournalEntry>> all(std::size_t most) = 0;
};

/// `dir`: a folder of journal files; "" for this machine's.
std::unique_ptr<Journal> make_journal(std::string dir);

}  // namespace istio_cnictl
