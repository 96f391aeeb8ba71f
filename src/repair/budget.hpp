// How many pods may be deleted. A node on which every new pod breaks again must
// not become a machine that creates and deletes pods. Pure; time is passed in.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "repair/time.hpp"

namespace repair {

struct Limits {
  int per_owner = 3;  ///< deletions in owner_window; less than 1: none at all
  std::chrono::seconds owner_window{600};
  int per_node = 30;  ///< deletions in node_window; less than 1: none at all
  std::chrono::seconds node_window{60};
  std::chrono::seconds backoff_cap{7200};

  bool operator==(const Limits&) const = default;
};

struct Verdict {
  enum class Why { allowed, owner, node };
  Why why = Why::allowed;
  Time until{};      ///< when to ask again, if not allowed
  std::string text;  ///< for people, if not allowed
  [[nodiscard]] bool allowed() const { return why == Why::allowed; }
};

/// Both limits are sliding windows. An owner that has used up its own gets one
/// deletion when the window moves on; after that one the next comes no sooner
/// than a window later, then two, four, up to the cap, until the owner has been
/// quiet for once more its last wait (at least a window).
class Budget {
 public:
  explicit Budget(Limits limits = {}) : limits_(limits) {}
  void set_limits(Limits limits) { limits_ = limits; }

  [[nodiscard]] Verdict check(const std::string& owner, Time now) const;

  /// A deletion begins: it counts against both limits until it has ended.
  void begin(const std::string& owner);
  /// It ended; `done`: a pod was deleted. `label` is for people who read state.
  void end(const std::string& owner, std::string_view label, bool done, Time now);

  /// What an owner has used; for the state file.
  struct Owner {
    std::string label;
    std::vector<Time> times;  ///< in the window, ascending
    int strikes = 0;
    Time blocked_until{};

    bool operator==(const Owner&) const = default;
  };
  struct Used {
    std::map<std::string, Owner> owners;
    std::vector<Time> node;

    bool operator==(const Used&) const = default;
  };
  [[nodiscard]] const Used& used() const { return used_; }
  /// Times in the future (the clock was set back) are taken as now.
  void restore(Used used, Time now);

 private:
  [[nodiscard]] std::chrono::seconds wait_after(int strikes) const;
  [[nodiscard]] bool quiet(const Owner& owner, Time now) const;
  void forget(Time now);

  Limits limits_;
  Used used_;
  std::map<std::string, int> pending_;
  int pending_node_ = 0;
};

}  // namespace repair
