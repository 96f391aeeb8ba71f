// No healthy pod is ever touched, and no broken one is forgotten: the whole
// controller against thousands of made-up pods, as the API writes them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "base/strings.hpp"
#include "pod/parse.hpp"
#include "repair/controller.hpp"
#include "repair/fixtures.hpp"

namespace {

using base::cat;
using config::RepairMode;
using nlohmann::json;
using test_support::World;

/// What the configuration asks for, chosen together.
struct Wanted {
  std::string annotation = "sidecar.istio.io/status";
  std::string container = "istio-validation";
  std::string message;
  int exit_code = 126;
  bool only_web = false;       ///< by the label selector
  bool without_batch = false;  ///< by the field selector
};

class Pods {
 public:
  explicit Pods(std::size_t seed) : random_(seed) {}

  bool chance(unsigned percent) { return random_() % 100 < percent; }
  template <typename Value>
  Value one_of(std::vector<Value> values) {
    return values[random_() % values.size()];
  }
  std::string word(std::vector<std::string> words) { return one_of(std::move(words)); }

  Wanted wanted() {
    Wanted wanted;
    if (chance(10)) wanted.annotation = word({"", "other.io/x"});
    if (chance(15)) wanted.container = word({"", "init-db"});
    if (chance(20)) wanted.message = word({"no rules", " no rules\n"});
    if (chance(20)) wanted.exit_code = one_of<int>({0, 1, 137});
    wanted.only_web = chance(20);
    wanted.without_batch = chance(20);
    return wanted;
  }

  json terminated() {
    const int code = one_of<int>({126, 126, 126, 126, 126, 126, 126, 0, 0, 1, 127, 137, -1});
    json one{
        {"exitCode", code},
        {"reason", code == 0 ? "Completed" : word({"Error", "OOMKilled", "ContainerCannotRun"})},
        {"startedAt", "2026-11-24T11:58:50Z"},
        {"finishedAt", "2026-11-24T11:59:00Z"}};
    if (chance(40)) one["message"] = word({"no rules", "  no rules \n", "no rules at all", ""});
    if (chance(3)) one["reason"] = "Completed";
    if (chance(5)) one.erase("reason");
    return one;
  }

  json container_status(const std::string& name) {
    json status{{"name", name}, {"restartCount", random_() % 4}, {"ready", false}};
    if (chance(30))
      status["state"] = {{"waiting", {{"reason", word({"PodInitializing", "CrashLoopBackOff"})}}}};
    else if (chance(30))
      status["state"] = {{"running", {{"startedAt", "2026-11-24T11:59:30Z"}}}};
    else if (chance(90))
      status["state"] = {{"terminated", terminated()}};
    if (chance(60))
      status["lastState"] = {{"terminated", terminated()}};
    else if (chance(50))
      status["lastState"] = json::object();
    return status;
  }

  json status() {
    json status{{"podIP", "10.9.0.2"},
                {"phase", word({"Pending", "Pending", "Pending", "Pending", "Running", "Failed",
                                "Succeeded", "Unknown"})}};
    json inits = json::array();
    for (auto left = random_() % 5; left > 0; --left)
      inits.push_back(
          container_status(word({"istio-validation", "istio-validation", "istio-validation",
                                 "istio-proxy", "init-db", "istio-init"})));
    if (chance(95)) status["initContainerStatuses"] = std::move(inits);
    // the same of ordinary containers means nothing
    if (chance(30))
      status["containerStatuses"] = json::array({container_status("istio-validation")});
    return status;
  }

  json pod(const std::string& name, const std::string& uid) {
    json metadata{{"name", name},
                  {"namespace", word({"shop", "shop", "batch"})},
                  {"uid", uid},
                  {"resourceVersion", std::to_string(++version_)}};
    if (chance(90)) metadata["annotations"]["sidecar.istio.io/status"] = word({"{}", ""});
    if (chance(20)) metadata["annotations"]["other.io/x"] = "y";
    if (chance(60)) metadata["labels"]["app"] = word({"web", "web", "api"});
    if (chance(15)) metadata["labels"]["cni.istio.io/uninitialized"] = word({"true", "other"});
    if (chance(7)) metadata["deletionTimestamp"] = "2026-11-24T11:59:59Z";
    if (chance(70))
      metadata["ownerReferences"] =
          json::array({{{"kind", word({"ReplicaSet", "Job", "StatefulSet", "Node"})},
                        {"name", "o"},
                        {"uid", cat("owner-of-", uid)},
                        {"controller", true}}});
    json spec{{"nodeName", "node-1"},
              {"containers", json::array({{{"name", "app"}}, {{"name", "istio-proxy"}}})}};
    if (chance(50)) spec["restartPolicy"] = word({"Always", "OnFailure", "Never"});
    if (chance(5)) spec["hostNetwork"] = true;
    return {{"apiVersion", "v1"},
            {"kind", "Pod"},
            {"metadata", metadata},
            {"spec", spec},
            {"status", status()}};
  }
  /// Later: another status, seldom a deletion.
  void change(json& pod) {
    pod["metadata"]["resourceVersion"] = std::to_string(++version_);
    pod["status"] = status();
    if (chance(5)) pod["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:01Z";
  }
  std::size_t number() { return random_(); }

 private:
  std::mt19937 random_;
  std::uint64_t version_ = 1000;
};

std::string without_blanks(const std::string& text) {
  const auto* blanks = " \t\r\n";
  const auto from = text.find_first_not_of(blanks);
  return from == std::string::npos ? ""
                                   : text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

/// The definition of a broken pod, over what the API says and nothing else.
bool is_broken(const json& pod, const Wanted& wanted) {
  const auto& metadata = pod.at("metadata");
  const auto status = pod.value("status", json::object());
  const auto has = [&](const char* map, const std::string& key) {
    return metadata.contains(map) && metadata.at(map).contains(key);
  };
  // no rules were ever due, or it is over
  if (metadata.contains("deletionTimestamp") || status.value("phase", "") == "Succeeded" ||
      pod.at("spec").value("hostNetwork", false))
    return false;
  if (!wanted.annotation.empty() && !has("annotations", wanted.annotation)) return false;
  if (wanted.only_web && !(has("labels", "app") && metadata.at("labels").at("app") == "web"))
    return false;
  if (wanted.without_batch && metadata.at("namespace") == "batch") return false;
  const auto failed_so = [&](const json& state) {
    if (!state.contains("terminated")) return false;
    const auto& end = state.at("terminated");
    const int code = end.at("exitCode");
    if (code == 0 || end.value("reason", "") == "Completed") return false;
    if (wanted.exit_code != 0 && code != wanted.exit_code) return false;
    const auto message = without_blanks(wanted.message);
    return message.empty() || without_blanks(end.value("message", "")) == message;
  };
  for (const auto& one : status.value("initContainerStatuses", json::array())) {
    if (!wanted.container.empty() && one.at("name") != wanted.container) continue;
    const auto state = one.value("state", json::object());
    if (state.contains("terminated") && (state.at("terminated").at("exitCode") == 0 ||
                                         state.at("terminated").value("reason", "") == "Completed"))
      continue;
    if (failed_so(state) || failed_so(one.value("lastState", json::object()))) return true;
  }
  return false;
}

bool will_restart(const json& pod) {
  return pod.at("spec").value("restartPolicy", "Always") != "Never" &&
         pod.at("status").value("phase", "") != "Failed";
}

bool of_the_kubelet(const json& pod) {
  const auto owners = pod.at("metadata").value("ownerReferences", json::array());
  return !owners.empty() && owners.at(0).at("kind") == "Node";
}

/// What is due for one pod, by mode: "delete", "evict", "label", "repair", or "".
std::string due(const json& pod, const Wanted& wanted, const config::Repair& repair) {
  if (!is_broken(pod, wanted)) return "";
  const std::string deletion = of_the_kubelet(pod) ? "" : repair.evict ? "evict" : "delete";
  switch (repair.mode) {
    case RepairMode::off:
      return "";
    case RepairMode::del:
      return deletion;
    case RepairMode::label:
      return pod.at("metadata").value("labels", json::object()).contains(repair.label_key)
                 ? ""
                 : "label";
    case RepairMode::repair:
      return will_restart(pod) ? "repair" : "";
    case RepairMode::repair_then_delete:
      return will_restart(pod) ? "repair" : deletion;
  }
  return "";
}

void configure(World& world, const Wanted& wanted, RepairMode mode, bool evict) {
  auto& repair = world.repair;
  repair.mode = mode;
  repair.evict = evict;
  repair.sidecar_annotation = wanted.annotation;
  repair.init_container_name = wanted.container;
  repair.init_container_termination_message = wanted.message;
  repair.init_container_exit_code = wanted.exit_code;
  repair.label_selectors = wanted.only_web ? "app=web" : "";
  repair.field_selectors = wanted.without_batch ? "metadata.namespace!=batch" : "";
  repair.per_owner = 1'000'000;
  repair.per_node = 1'000'000;
}

pod::Pod parsed(const json& pod) {
  auto result = pod::parse_pod(pod.dump());
  EXPECT_TRUE(result.ok()) << result.error().message;
  return *result;
}

constexpr RepairMode modes[] = {RepairMode::del, RepairMode::repair, RepairMode::repair_then_delete,
                                RepairMode::label, RepairMode::off};

TEST(RepairProperty, ExactlyTheBrokenOnesAreActedOn) {
  Pods pods(4711);
  std::map<std::string, int> seen;
  int made = 0;
  for (int round = 0; round < 150; ++round) {
    for (const auto mode : modes) {
      const auto wanted = pods.wanted();
      World world;
      configure(world, wanted, mode, pods.chance(50));
      auto& controller = world.start();
      for (int i = 0; i < 20; ++i, ++made) {
        const auto uid = cat("u-", made);
        const auto pod = pods.pod(cat("web-", made), uid);
        controller.pod_changed(parsed(pod), "");
        std::string done;
        if (!world.api.calls.empty()) {
          ASSERT_EQ(world.api.calls.size(), 1U);
          ASSERT_TRUE(world.jobs.jobs.empty());
          ASSERT_EQ(world.api.calls[0].target.uid, uid);
          ASSERT_EQ(world.api.calls[0].target.resource_version,
                    pod.at("metadata").at("resourceVersion").get<std::string>());
          done = world.api.calls[0].what;
          world.api.answer();
        } else if (!world.jobs.jobs.empty()) {
          ASSERT_EQ(world.jobs.jobs.size(), 1U);
          ASSERT_EQ(world.jobs.jobs[0].pod.uid, uid);
          done = "repair";
          world.jobs.answer(repair::InPlaceReport::Outcome::repaired);
        }
        ASSERT_EQ(done, due(pod, wanted, world.repair)) << to_string(mode) << '\n' << pod.dump(1);
        // a healthy pod is not even spoken of
        if (!is_broken(pod, wanted)) {
          ASSERT_TRUE(world.api.events.empty()) << pod.dump(1);
        }
        world.api.event_calls.clear();
        world.api.events.clear();
        ++seen[done];
        // nor is anything done twice
        controller.pod_changed(parsed(pod), "");
        controller.tick();
        ASSERT_TRUE(world.api.calls.empty() && world.jobs.jobs.empty()) << pod.dump(1);
      }
    }
  }
  for (const auto* what : {"", "delete", "evict", "label", "repair"})
    EXPECT_GT(seen[what], 200) << what << ": too few to prove anything";
}

/// One pod's life as the controller is told of it, and a server that answers as
/// it likes.
TEST(RepairProperty, WhateverHappensInWhateverOrder) {
  using Kind = repair::Reply::Kind;
  using Outcome = repair::InPlaceReport::Outcome;
  constexpr std::size_t how_many = 12;
  std::size_t actions = 0;
  for (unsigned round = 0; round < 120; ++round) {
    Pods pods(round);
    const auto wanted = pods.wanted();
    World world;
    configure(world, wanted, modes[round % 4], pods.chance(30));
    world.start(pods.chance(50));
    int made = 0;
    std::vector<json> all;
    for (std::size_t i = 0; i < how_many; ++i)
      all.push_back(pods.pod(cat("web-", i), cat("u-", made++)));
    std::map<std::string, json> told;  // by uid: what the controller knows
    std::set<std::string> under_way;   // uids

    const auto check_new = [&](std::size_t calls_before, std::size_t jobs_before) {
      const auto check = [&](const std::string& uid, const std::string& version) {
        ++actions;
        ASSERT_TRUE(told.contains(uid)) << "nobody spoke of it";
        const auto& pod = told.at(uid);
        ASSERT_EQ(version, pod.at("metadata").at("resourceVersion").get<std::string>());
        ASSERT_TRUE(is_broken(pod, wanted)) << pod.dump(1);
        ASSERT_TRUE(under_way.insert(uid).second) << "two at a time about one pod";
      };
      for (auto i = calls_before; i < world.api.calls.size(); ++i)
        check(world.api.calls[i].target.uid, world.api.calls[i].target.resource_version);
      for (auto i = jobs_before; i < world.jobs.jobs.size(); ++i)
        check(world.jobs.jobs[i].pod.uid, world.jobs.jobs[i].pod.resource_version);
    };
    for (int step = 0; step < 300 && !HasFatalFailure(); ++step) {
      auto& controller = *world.controller;
      auto& pod = all[pods.number() % how_many];
      const std::string uid = pod.at("metadata").at("uid");
      auto calls = world.api.calls.size();
      auto jobs = world.jobs.jobs.size();
      switch (pods.number() % 12) {
        case 0:
        case 1:
        case 2:
        case 3:
          pods.change(pod);
          [[fallthrough]];
        case 4:
          told[uid] = pod;
          controller.pod_changed(parsed(pod), "");
          break;
        case 5:  // made anew under its name
          told.erase(uid);
          controller.pod_removed(uid);
          pod = pods.pod(pod.at("metadata").at("name"), cat("u-", made++));
          break;
        case 6:
        case 7:
          if (calls == 0) break;
          under_way.erase(world.api.calls.front().target.uid);
          --calls;
          world.api.answer(pods.one_of<Kind>({Kind::done, Kind::done, Kind::gone, Kind::conflict,
                                              Kind::blocked, Kind::rejected, Kind::unavailable}));
          break;
        case 8:
          if (jobs == 0) break;
          under_way.erase(world.jobs.jobs.front().pod.uid);
          --jobs;
          world.jobs.answer(
              pods.one_of<Outcome>({Outcome::repaired, Outcome::failed, Outcome::skipped}), "x");
          break;
        case 9:
          controller.node_ready(pods.chance(60), "x");
          break;
        case 10:
          world.wait(std::chrono::seconds(pods.number() % 400));
          break;
        default:
          world.api.answer_events(pods.one_of<Kind>({Kind::done, Kind::gone, Kind::rejected}));
          break;
      }
      check_new(calls, jobs);
    }
    ASSERT_FALSE(HasFatalFailure()) << "round " << round;
  }
  EXPECT_GT(actions, 1000U);
}

}  // namespace
