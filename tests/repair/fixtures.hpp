// Pods that are broken, and a world that is made up.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "repair/controller.hpp"

namespace test_support {

using repair::Time;
using std::chrono::minutes;
using std::chrono::seconds;

/// 2026-11-24T12:00:00Z
inline Time noon() { return *base::parse_rfc3339("2026-11-24T12:00:00Z"); }

inline pod::Termination termination(int code = 126, const std::string& at = "2026-11-24T11:59:00Z",
                                    const std::string& message = "") {
  return {code, code == 0 ? "Completed" : "Error", message, at};
}

/// A mesh pod that waits for its next attempt: broken.
inline pod::Pod broken_pod(const std::string& name = "web-1", const std::string& owner = "rs-1") {
  pod::Pod pod;
  pod.name = name;
  pod.name_space = "shop";
  pod.uid = "uid-" + name;
  pod.resource_version = "100";
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod.owner = pod::Owner{"ReplicaSet", "web", owner};
  pod.node_name = "node-1";
  pod.phase = "Pending";
  pod.ips = {"10.9.0.2"};
  pod::Container proxy;
  proxy.name = "istio-proxy";
  proxy.args = {"proxy", "sidecar"};
  pod.containers = {proxy};
  pod.init_statuses = {{"istio-validation", 1, std::nullopt, termination()}};
  return pod;
}

inline pod::Pod healthy_pod(const std::string& name = "web-1") {
  auto pod = broken_pod(name);
  pod.phase = "Running";
  pod.init_statuses = {{"istio-validation", 0, termination(0), std::nullopt}};
  return pod;
}

struct FakeApi : repair::Api {
  struct Call {
    std::string what;  ///< delete, evict, label, event, patch-event
    repair::Target target;
    std::string first;  ///< label key, body of the event, name of the event
    std::string second;
    Done done;
  };
  std::deque<Call> calls;            ///< about pods, not yet answered
  std::deque<Call> event_calls;      ///< about Events, not yet answered
  std::vector<std::string> events;   ///< bodies of all posted
  std::vector<std::string> patches;  ///< of all patched

  void remove(const repair::Target& target, Done done) override {
    calls.push_back({"delete", target, "", "", std::move(done)});
  }
  void evict(const repair::Target& target, Done done) override {
    calls.push_back({"evict", target, "", "", std::move(done)});
  }
  void label(const repair::Target& target, const std::string& key, const std::string& value,
             Done done) override {
    calls.push_back({"label", target, key, value, std::move(done)});
  }
  void post_event(const std::string& name_space, const std::string& event, Done done) override {
    events.push_back(event);
    event_calls.push_back({"event", {name_space, "", "", ""}, event, "", std::move(done)});
  }
  void patch_event(const std::string& name_space, const std::string& name, const std::string& patch,
                   Done done) override {
    patches.push_back(patch);
    event_calls.push_back({"patch-event", {name_space, "", "", ""}, name, patch, std::move(done)});
  }

  static void answer_first(std::deque<Call>& queue, repair::Reply reply) {
    auto call = std::move(queue.front());
    queue.pop_front();
    call.done(std::move(reply));
  }
  void answer(repair::Reply::Kind kind = repair::Reply::Kind::done,
              const std::string& cause = "no luck") {
    answer_first(calls, {kind, kind == repair::Reply::Kind::done ? "" : cause});
  }
  /// It was sent, and that is all that is known.
  void lose_answer() {
    answer_first(calls, {repair::Reply::Kind::unavailable, "connection closed", true});
  }
  void answer_events(repair::Reply::Kind kind = repair::Reply::Kind::done) {
    for (auto left = event_calls.size(); left > 0; --left) answer_first(event_calls, {kind, "no"});
  }
};

struct FakeJobs : repair::Jobs {
  struct Job {
    pod::Pod pod;
    std::string netns;
    std::function<void(repair::InPlaceReport)> done;
  };
  std::deque<Job> jobs;
  void repair(const pod::Pod& pod, const std::string& netns,
              std::function<void(repair::InPlaceReport)> done) override {
    jobs.push_back({pod, netns, std::move(done)});
  }
  void answer(repair::InPlaceReport::Outcome outcome, const std::string& cause = "") {
    repair::InPlaceReport report;
    report.outcome = outcome;
    report.cause = cause;
    report.backend = "nftables";
    auto job = std::move(jobs.front());
    jobs.pop_front();
    job.done(report);
  }
};

struct FakeClock : repair::Clock {
  Time time = noon();
  std::optional<Time> wake;
  [[nodiscard]] Time now() const override { return time; }
  void wake_at(Time when) override { wake = when; }
};

/// A controller in a world that is made up, with what it told everybody.
struct World {
  explicit World(config::RepairMode mode = config::RepairMode::del) { repair.mode = mode; }

  repair::Controller& start(bool ready = true) {
    controller.reset();
    auto kept = repair::State{};
    if (!saved.empty()) kept = *repair::parse_state(saved, "kept");
    repair::Hooks hooks;
    hooks.log = [this](logging::Level level, std::string_view message,
                       const logging::Fields& fields) {
      log.emplace_back(level, std::string(message), fields);
    };
    hooks.repaired = [this](std::string_view type, std::string_view result) {
      ++metrics[base::cat(type, ' ', result)];
    };
    hooks.held_back = [this](std::string_view reason) { ++held[std::string(reason)]; };
    hooks.duration = [this](std::chrono::duration<double> time) { durations.push_back(time); };
    hooks.save = [this](const std::string& json, std::function<void()> then) {
      saved = json;
      ++saves;
      if (!then) return;
      if (slow_disk)
        unkept.push_back(std::move(then));
      else
        then();
    };
    controller.emplace(repair, *repair::make_criteria(repair), "node-1", std::move(kept), api, jobs,
                       clock, std::move(hooks));
    if (ready) controller->node_ready(true, "");
    return *controller;
  }
  void reload() { controller->configure(repair, *repair::make_criteria(repair), "node-1"); }

  void wait(std::chrono::milliseconds span) {
    clock.time += span;
    controller->tick();
  }
  /// To the time that was asked for; false when none was.
  bool wait_for_wake() {
    if (!clock.wake) return false;
    clock.time = std::max(clock.time, *clock.wake);
    clock.wake.reset();
    controller->tick();
    return true;
  }
  void disk_is_done() {
    for (auto left = unkept.size(); left > 0; --left) {
      const auto then = std::move(unkept.front());
      unkept.pop_front();
      then();
    }
  }
  [[nodiscard]] std::vector<std::string> messages(logging::Level level) const {
    std::vector<std::string> found;
    for (const auto& [at, message, fields] : log)
      if (at == level) found.push_back(message);
    return found;
  }

  config::Repair repair;
  FakeApi api;
  FakeJobs jobs;
  FakeClock clock;
  std::string saved;
  int saves = 0;
  bool slow_disk = false;
  std::deque<std::function<void()>> unkept;  ///< what waits for a slow disk
  std::vector<std::tuple<logging::Level, std::string, logging::Fields>> log;
  std::map<std::string, int> metrics;
  std::map<std::string, int> held;
  std::vector<std::chrono::duration<double>> durations;
  std::optional<repair::Controller> controller;  // last: uses all of the above
};

}  // namespace test_support
