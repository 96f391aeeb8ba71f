#include "repair/match.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "repair/fixtures.hpp"

namespace {

using repair::Criteria;
using repair::find_broken;
using repair::make_criteria;
using test_support::broken_pod;
using test_support::termination;
using testing::HasSubstr;
using Change = std::function<void(pod::Pod&)>;
using Configure = std::function<void(config::Repair&)>;

Criteria criteria(const Configure& configure = {}) {
  config::Repair repair;
  if (configure) configure(repair);
  auto made = make_criteria(repair);
  EXPECT_TRUE(made.ok());
  return *made;
}

struct Case {
  std::string name;
  bool broken;
  Change change;
  Configure configure = {};
};

pod::InitStatus& validation(pod::Pod& pod) { return pod.init_statuses.front(); }

TEST(Match, Table) {
  const std::vector<Case> cases{
      {"terminated before its last restart", true, [](pod::Pod&) {}},
      {"no annotation", false, [](pod::Pod& pod) { pod.annotations.clear(); }},
      {"no annotation wanted", true, [](pod::Pod& pod) { pod.annotations.clear(); },
       [](config::Repair& repair) { repair.sidecar_annotation = ""; }},
      {"another annotation wanted", false, [](pod::Pod&) {},
       [](config::Repair& repair) { repair.sidecar_annotation = "other"; }},
      {"annotation with an empty value", true,
       [](pod::Pod& pod) { pod.annotations["sidecar.istio.io/status"] = ""; }},
      {"no status yet", false, [](pod::Pod& pod) { pod.init_statuses.clear(); }},
      {"never terminated", false, [](pod::Pod& pod) { validation(pod).last_terminated.reset(); }},
      {"another container", false, [](pod::Pod& pod) { validation(pod).name = "init-db"; }},
      {"another container, any wanted", true,
       [](pod::Pod& pod) { validation(pod).name = "init-db"; },
       [](config::Repair& repair) { repair.init_container_name = ""; }},
      {"another exit code", false,
       [](pod::Pod& pod) { validation(pod).last_terminated = termination(1); }},
      {"another exit code, any wanted", true,
       [](pod::Pod& pod) { validation(pod).last_terminated = termination(1); },
       [](config::Repair& repair) { repair.init_container_exit_code = 0; }},
      {"success before, any code wanted", false,
       [](pod::Pod& pod) { validation(pod).last_terminated = termination(0); },
       [](config::Repair& repair) { repair.init_container_exit_code = 0; }},
      {"completed now", false, [](pod::Pod& pod) { validation(pod).terminated = termination(0); }},
      {"completed by its reason", false,
       [](pod::Pod& pod) {
         validation(pod).terminated = pod::Termination{126, "Completed", "", ""};
       }},
      {"first crash, will be restarted", true,
       [](pod::Pod& pod) {
         validation(pod) = {"istio-validation", 0, termination(), std::nullopt};
       }},
      {"first crash of a Job's pod", true,
       [](pod::Pod& pod) {
         pod.restart_policy = "Never";
         pod.phase = "Failed";
         validation(pod) = {"istio-validation", 0, termination(), std::nullopt};
       }},
      {"failed otherwise now, as wanted before", true,
       [](pod::Pod& pod) { validation(pod).terminated = termination(1); }},
      {"message as wanted, blanks aside", true,
       [](pod::Pod& pod) {
         validation(pod).last_terminated = termination(126, "", "  no rules\n");
       },
       [](config::Repair& repair) { repair.init_container_termination_message = " no rules "; }},
      {"another message", false,
       [](pod::Pod& pod) {
         validation(pod).last_terminated = termination(126, "", "no rules at all");
       },
       [](config::Repair& repair) { repair.init_container_termination_message = "no rules"; }},
      {"a message, any wanted", true,
       [](pod::Pod& pod) { validation(pod).last_terminated = termination(126, "", "no rules"); }},
      {"being deleted", false, [](pod::Pod& pod) { pod.deleting = true; }},
      {"of the host's network", false, [](pod::Pod& pod) { pod.host_network = true; }},
      {"succeeded", false, [](pod::Pod& pod) { pod.phase = "Succeeded"; }},
      {"second of two init containers", true,
       [](pod::Pod& pod) {
         pod.init_statuses.insert(pod.init_statuses.begin(),
                                  {"init-db", 0, termination(0), std::nullopt});
       }},
      {"a native sidecar that failed so is not the validation", false,
       [](pod::Pod& pod) {
         pod.init_statuses = {{"istio-validation", 0, termination(0), std::nullopt},
                              {"istio-proxy", 3, std::nullopt, termination()}};
       }},
      {"label selected", true, [](pod::Pod& pod) { pod.labels["app"] = "web"; },
       [](config::Repair& repair) { repair.label_selectors = "app in (web, api)"; }},
      {"label not selected", false, [](pod::Pod&) {},
       [](config::Repair& repair) { repair.label_selectors = "app=web"; }},
      {"field not selected", false, [](pod::Pod&) {},
       [](config::Repair& repair) { repair.field_selectors = "metadata.namespace!=shop"; }},
  };
  for (const auto& test : cases) {
    auto pod = broken_pod();
    test.change(pod);
    EXPECT_EQ(find_broken(pod, criteria(test.configure)).has_value(), test.broken) << test.name;
  }
}

TEST(Match, SaysWhatItFound) {
  auto pod = broken_pod();
  validation(pod).last_terminated = termination(126, "2026-11-24T11:59:00Z", "no\nrules\x1b[0m");
  auto broken = find_broken(pod, criteria());
  ASSERT_TRUE(broken);
  EXPECT_FALSE(broken->current);
  EXPECT_TRUE(broken->will_restart);
  EXPECT_EQ(broken->restart_count, 1);
  EXPECT_EQ(broken->container, "istio-validation");
  EXPECT_THAT(broken->cause(), HasSubstr("istio-validation exited with code 126 (Error): "));
  EXPECT_EQ(broken->cause().find_first_of("\n\x1b"), std::string::npos);

  validation(pod).terminated = termination(126, "2026-11-24T12:00:00Z");
  broken = find_broken(pod, criteria());
  ASSERT_TRUE(broken);
  EXPECT_TRUE(broken->current);
  EXPECT_EQ(broken->termination.finished_at, "2026-11-24T12:00:00Z");

  for (const auto& [policy, phase, restarts] :
       std::vector<std::tuple<std::string, std::string, bool>>{{"Never", "Pending", false},
                                                               {"Never", "Failed", false},
                                                               {"OnFailure", "Pending", true},
                                                               {"OnFailure", "Failed", false},
                                                               {"Always", "Pending", true},
                                                               {"", "Pending", true}}) {
    pod.restart_policy = policy;
    pod.phase = phase;
    EXPECT_EQ(find_broken(pod, criteria())->will_restart, restarts) << policy << ' ' << phase;
  }
}

TEST(Match, BadSelectorsNameTheirKey) {
  config::Repair repair;
  repair.label_selectors = "a b";
  EXPECT_THAT(make_criteria(repair).error().message, HasSubstr("repair.label_selectors"));
  repair.label_selectors = "";
  repair.field_selectors = "x=y";
  EXPECT_THAT(make_criteria(repair).error().message, HasSubstr("repair.field_selectors"));
}

/// Over many made-up statuses: a pod is only ever taken for broken when its
/// validation container has not completed and did fail as configured.
TEST(Match, NoHealthyPodIsEverBroken) {
  std::mt19937 random(20261124);
  auto one_of = [&](auto... values) {
    const std::vector<std::common_type_t<decltype(values)...>> all{values...};
    return all[random() % all.size()];
  };
  auto maybe_terminated = [&]() -> std::optional<pod::Termination> {
    if (random() % 2 == 0) return std::nullopt;
    const int code = one_of(0, 0, 1, 126, 126, 137);
    pod::Termination made{code, one_of("", "Error", "OOMKilled"), one_of("", "m", " m\n"), ""};
    if (code == 0) made.reason = "Completed";
    return made;
  };
  int found = 0;
  for (int round = 0; round < 20000; ++round) {
    auto pod = broken_pod();
    if (random() % 4 == 0) pod.annotations.clear();
    pod.deleting = random() % 8 == 0;
    pod.host_network = random() % 8 == 0;
    pod.phase = one_of("Pending", "Running", "Failed", "Succeeded", "Unknown");
    pod.restart_policy = one_of("", "Always", "OnFailure", "Never");
    pod.init_statuses.clear();
    for (auto left = random() % 4; left > 0; --left)
      pod.init_statuses.push_back({one_of("istio-validation", "istio-proxy", "init-db"),
                                   static_cast<int>(random() % 3), maybe_terminated(),
                                   maybe_terminated()});
    config::Repair repair;
    repair.init_container_exit_code = one_of(126, 126, 0);
    repair.init_container_termination_message = one_of("", "", "m");
    const auto wanted = *make_criteria(repair);
    const auto broken = find_broken(pod, wanted);
    if (!broken) continue;
    ++found;
    ASSERT_FALSE(pod.deleting || pod.host_network || pod.phase == "Succeeded");
    ASSERT_TRUE(pod.annotations.contains("sidecar.istio.io/status"));
    bool proven = false;
    for (const auto& status : pod.init_statuses) {
      if (status.name != "istio-validation") continue;
      if (status.terminated && status.terminated->exit_code == 0) continue;
      for (const auto& failure : {status.terminated, status.last_terminated})
        proven = proven || (failure && failure->exit_code != 0 &&
                            (repair.init_container_exit_code == 0 || failure->exit_code == 126) &&
                            (repair.init_container_termination_message.empty() ||
                             base::trim(failure->message) == "m"));
    }
    ASSERT_TRUE(proven) << "round " << round;
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
