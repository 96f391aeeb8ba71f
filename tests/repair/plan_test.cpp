#include "repair/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repair/fixtures.hpp"

namespace {

using config::RepairMode;
using repair::Action;
using repair::Broken;
using repair::Deed;
using repair::Hold;
using repair::Node;
using repair::Record;
using repair::Time;
using repair::Verdict;
using std::chrono::minutes;
using test_support::noon;
using test_support::termination;
using testing::HasSubstr;

struct Given {
  RepairMode mode = RepairMode::del;
  std::optional<Record> record = {};
  Node node = Node::ready;
  Verdict budget = {};
  bool evict = false;
  bool will_restart = true;
  int restart_count = 1;
  std::string finished_at = "2026-11-24T11:59:00Z";
  bool labelled = false;
  std::string owner_kind = "ReplicaSet";
};

Action planned(const Given& given) {
  auto pod = test_support::broken_pod();
  pod.owner->kind = given.owner_kind;
  config::Repair repair;
  repair.mode = given.mode;
  repair.evict = given.evict;
  if (given.labelled) pod.labels[repair.label_key] = "whatever";
  Broken broken;
  broken.container = "istio-validation";
  broken.termination = termination(126, given.finished_at);
  broken.restart_count = given.restart_count;
  broken.will_restart = given.will_restart;
  return repair::plan({pod, broken, repair, given.record ? &*given.record : nullptr, given.node,
                       "no configuration", given.budget, noon()});
}

Record done(Deed deed, int restart_count = 1, Time at = noon() - minutes(1)) {
  return {"shop", "web-1", deed, at, restart_count, 1};
}

TEST(Plan, Table) {
  const auto ago = noon() - minutes(6);
  const std::string later = "2026-11-24T11:59:30Z";  // than the records' 11:59:00
  struct Case {
    std::string name;
    Given given;
    Action::Kind kind;
  };
  using M = RepairMode;
  const std::vector<Case> cases{
      {"off", {.mode = M::off}, Action::Kind::none},
      {"delete", {}, Action::Kind::del},
      {"evict", {.evict = true}, Action::Kind::evict},
      {"delete a Job's pod", {.will_restart = false}, Action::Kind::del},
      {"deleted already", {.record = done(Deed::deleted)}, Action::Kind::none},
      {"evicted already", {.record = done(Deed::evicted)}, Action::Kind::none},
      {"deleted long ago, and still whole",
       {.record = done(Deed::deleted, 1, ago)},
       Action::Kind::del},
      {"labelled, now delete", {.record = done(Deed::labelled)}, Action::Kind::del},
      {"repaired, now delete", {.record = done(Deed::repaired)}, Action::Kind::none},
      {"repaired, broken again, now delete",
       {.record = done(Deed::repaired), .restart_count = 2, .finished_at = later},
       Action::Kind::del},
      {"label", {.mode = M::label}, Action::Kind::label},
      {"label is there", {.mode = M::label, .labelled = true}, Action::Kind::label_there},
      {"labelled already", {.mode = M::label, .record = done(Deed::labelled)}, Action::Kind::none},
      {"label needs no ready node",
       {.mode = M::label, .node = Node::not_ready},
       Action::Kind::label},
      {"label needs no budget",
       {.mode = M::label, .budget = {Verdict::Why::node, noon(), ""}},
       Action::Kind::label},
      {"in place", {.mode = M::repair}, Action::Kind::in_place},
      {"in place needs no ready node",
       {.mode = M::repair, .node = Node::not_ready},
       Action::Kind::in_place},
      {"in place needs no budget",
       {.mode = M::repair, .budget = {Verdict::Why::owner, noon(), ""}},
       Action::Kind::in_place},
      {"in place helps no Job", {.mode = M::repair, .will_restart = false}, Action::Kind::hold},
      {"repaired already", {.mode = M::repair, .record = done(Deed::repaired)}, Action::Kind::none},
      {"repaired, and failed again",
       {.mode = M::repair,
        .record = done(Deed::repaired),
        .restart_count = 2,
        .finished_at = later},
       Action::Kind::in_place},
      {"repair failed before",
       {.mode = M::repair, .record = done(Deed::repair_failed)},
       Action::Kind::in_place},
      {"first in place", {.mode = M::repair_then_delete}, Action::Kind::in_place},
      {"repaired, wait for the restart",
       {.mode = M::repair_then_delete, .record = done(Deed::repaired)},
       Action::Kind::none},
      {"repaired, restarted, not yet ended",
       {.mode = M::repair_then_delete, .record = done(Deed::repaired), .restart_count = 2},
       Action::Kind::none},
      {"repaired, broken after its restart",
       {.mode = M::repair_then_delete,
        .record = done(Deed::repaired),
        .restart_count = 2,
        .finished_at = later},
       Action::Kind::del},
      {"repair failed, not restarted",
       {.mode = M::repair_then_delete, .record = done(Deed::repair_failed)},
       Action::Kind::in_place},
      {"repair failed, broken after its restart",
       {.mode = M::repair_then_delete,
        .record = done(Deed::repair_failed),
        .evict = true,
        .restart_count = 2,
        .finished_at = later},
       Action::Kind::evict},
      {"in place helps no Job, deletion does",
       {.mode = M::repair_then_delete, .will_restart = false},
       Action::Kind::del},
      {"deletion waits for the node", {.node = Node::not_ready}, Action::Kind::hold},
      {"deletion waits to hear of the node", {.node = Node::unknown}, Action::Kind::none},
      {"deletion waits for the owner's budget",
       {.budget = {Verdict::Why::owner, noon() + minutes(1), "too many"}},
       Action::Kind::hold},
      {"deletion waits for the node's budget",
       {.budget = {Verdict::Why::node, noon() + minutes(1), "too many"}},
       Action::Kind::hold},
      {"a static pod", {.owner_kind = "Node"}, Action::Kind::hold},
      {"a static pod in place", {.mode = M::repair, .owner_kind = "Node"}, Action::Kind::in_place},
      {"escalation waits for the node",
       {.mode = M::repair_then_delete,
        .record = done(Deed::repaired),
        .node = Node::not_ready,
        .restart_count = 2,
        .finished_at = later},
       Action::Kind::hold},
  };
  for (const auto& test : cases) {
    const auto action = planned(test.given);
    EXPECT_EQ(static_cast<int>(action.kind), static_cast<int>(test.kind)) << test.name;
    if (action.kind == Action::Kind::hold) {
      EXPECT_NE(action.text, "") << test.name;
    }
  }
}

TEST(Plan, HeldBackSaysWhyAndUntilWhen) {
  auto action = planned({.node = Node::not_ready});
  EXPECT_EQ(action.hold, Hold::node_not_ready);
  EXPECT_THAT(action.text, HasSubstr("no configuration"));
  EXPECT_FALSE(action.until);
  action = planned({.budget = {Verdict::Why::owner, noon() + minutes(3), "too many"}});
  EXPECT_EQ(action.hold, Hold::owner_budget);
  EXPECT_EQ(action.until, noon() + minutes(3));
  action = planned({.budget = {Verdict::Why::node, noon() + minutes(3), "too many"}});
  EXPECT_EQ(action.hold, Hold::node_budget);
  EXPECT_EQ(planned({.mode = RepairMode::repair, .will_restart = false}).hold, Hold::not_restarted);
  EXPECT_EQ(planned({.owner_kind = "Node"}).hold, Hold::static_pod);
  EXPECT_EQ(planned({.record = done(Deed::deleted)}).until, noon() + minutes(4));
}

TEST(Plan, BrokenAgain) {
  struct Case {
    std::string name;
    int restart_count;
    std::string finished_at;
    bool current;
    bool again;
  };
  // repaired at 11:59:00.5 when the count was 1
  const auto record = done(Deed::repaired, 1, noon() - std::chrono::milliseconds(59500));
  for (const auto& test : std::vector<Case>{
           {"nothing happened", 1, "2026-11-24T11:58:00Z", false, false},
           {"the one that ran meanwhile ended", 1, "2026-11-24T11:59:10Z", true, false},
           {"the next one runs", 2, "2026-11-24T11:58:00Z", false, false},
           {"the next one runs; the last ended as we repaired", 2, "2026-11-24T11:59:00Z", false,
            false},
           {"the next one ended", 2, "2026-11-24T11:59:10Z", true, true},
           {"the next one ended, waiting", 2, "2026-11-24T11:59:10Z", false, true},
           {"no time, next one ended", 2, "", true, true},
           {"no time, next one may run", 2, "", false, false},
           {"no time, the one after it", 3, "", false, true},
           {"no time, nothing happened", 1, "", true, false},
       }) {
    Broken broken;
    broken.restart_count = test.restart_count;
    broken.termination = termination(126, test.finished_at);
    broken.current = test.current;
    EXPECT_EQ(repair::broken_again(record, broken), test.again) << test.name;
  }
}

TEST(Plan, Owners) {
  auto pod = test_support::broken_pod();
  EXPECT_EQ(repair::owner_key(pod), "rs-1");
  EXPECT_EQ(repair::owner_text(pod), "ReplicaSet/web");
  pod.owner.reset();
  EXPECT_EQ(repair::owner_key(pod), "uid-web-1");
  EXPECT_EQ(repair::owner_text(pod), "");
}

}  // namespace
