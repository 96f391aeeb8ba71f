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
///
/// What counts is a request that may have been executed, answered or not. A pod
/// dies once at most: asked for again, it keeps its place and takes no second one.
/// Pods are named by their uid.
class Budget {
 public:
  explicit Budget(Limits limits = {}) : limits_(limits) {}
  void set_limits(Limits limits) { limits_ = limits; }

  [[nodiscard]] Verdict check(const std::string& owner, const std::string& pod, Time now) const;

  /// A deletion begins: it counts against both limits until it has ended. `label`
  /// is the owner's, for people who read the state.
  void begin(const std::string& owner, std::string_view label, const std::string& pod, Time now);
  /// It ended; `counts`: the pod was deleted, or may have been.
  void end(const std::string& pod, bool counts, Time now);

  /// What an owner has used; for the state file.
  struct Owner {
    std::string label;
    std::map<std::string, Time> pods;  ///< in the window: when last asked for
    int strikes = 0;
    Time blocked_until{};

    bool operator==(const Owner&) const = default;
  };
  struct Used {
    std::map<std::string, Owner> owners;
    std::map<std::string, Time> node;  ///< pods, as an owner's

    bool operator==(const Used&) const = default;
  };
  /// With what is under way as if it had been done: after a crash nobody hears how
  /// it ended.
  [[nodiscard]] Used used() const;
  /// Times in the future (the clock was set back) are taken as now.
  void restore(Used used, Time now);

 private:
  [[nodiscard]] std::chrono::seconds wait_after(int strikes) const;
  [[nodiscard]] bool quiet(const Owner& owner, Time now) const;
  [[nodiscard]] Verdict check_owner(const std::string& owner, Time now) const;
  [[nodiscard]] Verdict check_node(const std::string& pod, Time now) const;

  struct Request {
    std::string owner;
    std::string label;
    Time at{};
  };
  void forget(Used& used, Time now) const;
  void charge(Used& used, const std::string& pod, const Request& request) const;

  Limits limits_;
  Used used_;
  std::map<std::string, Request> pending_;  ///< by pod
};

}  // namespace repair
