// The repair controller: hears of this node's pods, and does about broken ones
// what plan() says. Works on events alone; the only timer is for what was held
// back or failed. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "log/log.hpp"
#include "repair/api.hpp"
#include "repair/events.hpp"
#include "repair/in_place.hpp"
#include "repair/match.hpp"
#include "repair/plan.hpp"
#include "repair/state.hpp"

namespace repair {

/// Runs repairs in place on another thread: repair_in_place() with the options
/// of the moment. `done` is called once, later, on the controller's thread.
class Jobs {
 public:
  virtual ~Jobs() = default;
  virtual void repair(const pod::Pod& pod, const std::string& netns_hint,
                      std::function<void(InPlaceReport)> done) = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() const = 0;
  /// Controller::tick() is to be called then; replaces what was asked before.
  virtual void wake_at(Time when) = 0;
};

/// Each may be empty.
struct Hooks {
  std::function<void(logging::Level, std::string_view message, const logging::Fields&)> log;
  /// Metric istio_cni_repair_pods_repaired_total: "delete", "repair", "label";
  /// "success", "fail", "skip". An eviction counts as "delete". Neither a pod
  /// that is gone nor a conflict counts: those are no failures.
  std::function<void(std::string_view type, std::string_view result)> repaired;
  /// A pod was held back; once per pod and reason in ten minutes.
  std::function<void(std::string_view reason)> held_back;
  /// How long a repair took, from its request to its end.
  std::function<void(std::chrono::duration<double>)> duration;
  /// The state is to be kept: to_json(), for save_state(). At once after a deed,
  /// before its Event is sent; and before a deletion, which begins with `then`. That
  /// may be empty, and else is to be called on this thread once the disk has the
  /// state, or cannot have it.
  std::function<void(const std::string& json, std::function<void()> then)> save;
  /// Counts of status() have changed.
  std::function<void()> changed;
};

class Controller {
 public:
  /// `state`: of the run before. The references must outlive this.
  Controller(config::Repair repair, Criteria criteria, std::string node_name, State state, Api& api,
             Jobs& jobs, Clock& clock, Hooks hooks);
  /// No callback runs afterwards; what is under way ends unseen, and is judged
  /// anew by the next run.
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// A reload. Broken pods are judged anew; pods that were not broken are not
  /// kept here, so the caller passes all pods to pod_changed() again.
  void configure(config::Repair repair, Criteria criteria, std::string node_name);
  /// Is this node's plugin installed? Until the first call deletions wait
  /// silently. Coming ready, all that was held back is judged anew.
  void node_ready(bool ready, std::string reason);

  /// Of every pod, after every change. `netns`: the path that the plugin was
  /// given at ADD, "" when unknown.
  void pod_changed(const pod::Pod& pod, const std::string& netns);
  void pod_removed(const std::string& uid);
  /// A list is complete, and these are all the pods there are: what is known of
  /// others is dropped.
  void listed(const std::set<std::string>& uids);
  /// See Clock.
  void tick();

  struct Held {
    std::string uid;
    std::string name_space;
    std::string name;
    std::string reason;  ///< as the metric names it, or "failed"
    std::string text;
  };
  struct Status {
    std::uint64_t repaired = 0;  ///< pods deleted, labelled or repaired by this run
    std::vector<Held> held;      ///< broken, and waiting for something
  };
  [[nodiscard]] Status status() const;
  [[nodiscard]] std::uint64_t repaired() const { return repaired_; }
  [[nodiscard]] std::size_t held() const;
  /// What this pod waits for, if it does.
  [[nodiscard]] std::optional<Held> held(const std::string& uid) const;
  [[nodiscard]] const State& state() const { return state_; }

  /// First retry after a failure, doubled up to the cap; the same after a
  /// PodDisruptionBudget's refusal. Up to a quarter is added at random.
  static constexpr std::chrono::seconds retry_first{1};
  static constexpr std::chrono::seconds retry_cap{300};
  static constexpr std::chrono::minutes held_back_silence{10};

 private:
  struct Tracked {
    pod::Pod pod;
    std::string netns;
    std::optional<Broken> broken;  ///< nothing: healed while an action was under way
    bool in_flight = false;
    bool skipped = false;  ///< nothing can be done about it in this configuration
    bool waiting = false;  ///< for the event that a conflict announced
    int failures = 0;
    std::optional<Time> due;
    std::string held_reason;  ///< "" unless held back or failed
    std::string held_text;
  };
  /// What an action is about, kept until it has ended: the pod may be gone by then.
  struct Work {
    Target target;
    std::string owner;
    std::string owner_label;
    Broken broken;
    Action::Kind kind = Action::Kind::none;
    Time begun{};
  };

  void evaluate(const std::string& uid);
  void evaluate_all();
  void begin(Tracked& tracked, Action::Kind kind);
  void hold(Tracked& tracked, std::string_view reason, const std::string& text,
            std::optional<Time> until);
  void label_there(Tracked& tracked);
  void begin_deletion(const Work& work);
  void dispatch(const Work& work);
  void ended(const Work& work, const Reply& reply);
  void ended_in_place(const Work& work, const InPlaceReport& report);
  void succeeded(const Work& work, Deed deed);
  void failed(const Work& work, const std::string& cause);
  /// The action is over: its pod, if it is still broken.
  Tracked* finish(const Work& work);
  [[nodiscard]] Time retry_time(const Tracked& tracked) const;
  void arm();
  void save(std::function<void()> then = {});
  void log(logging::Level level, std::string_view message, const Work& work,
           logging::Fields more = {});
  [[nodiscard]] Work work_of(const Tracked& tracked, Action::Kind kind) const;
  void changed();

  config::Repair repair_;
  Criteria criteria_;
  State state_;
  Budget budget_;
  Api& api_;
  Jobs& jobs_;
  Clock& clock_;
  Hooks hooks_;
  Events events_;
  Node node_ = Node::unknown;
  std::string node_reason_;
  std::map<std::string, Tracked> tracked_;                         ///< by uid: broken ones only
  std::map<std::pair<std::string, std::string>, Time> held_told_;  ///< uid, reason
  std::uint64_t repaired_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace repair
