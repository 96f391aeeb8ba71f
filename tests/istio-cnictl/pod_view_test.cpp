#include "istio-cnictl/pod_view.hpp"

#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"

namespace {

using namespace istio_cnictl;
using test_support::at;

TEST(PodView, StatesAndTimes) {
  const auto view = view_of(R"({"metadata":{"creationTimestamp":"2026-11-24T08:00:00Z"},
    "status":{"startTime":"2026-11-24T08:00:01Z","conditions":[{"type":"Ready","status":"True"}],
    "initContainerStatuses":[{"name":"istio-validation","restartCount":2,
      "state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},
      "lastState":{"terminated":{"exitCode":126,"startedAt":"2026-11-24T08:00:05Z"}}}],
    "containerStatuses":[{"name":"app","state":{"running":{"startedAt":"2026-11-24T08:00:09Z"}}}]}})");
  EXPECT_EQ(view.created, at("08:00:00"));
  EXPECT_EQ(view.accepted, at("08:00:01"));
  EXPECT_TRUE(view.ready);
  ASSERT_EQ(view.containers.size(), 2U);
  EXPECT_EQ(view.containers[0].state, ContainerView::State::waiting);
  EXPECT_EQ(view.containers[0].reason, "CrashLoopBackOff");
  EXPECT_EQ(view.containers[0].restarts, 2);
  EXPECT_TRUE(view.containers[0].init);
  EXPECT_EQ(view.first_start(), at("08:00:05"));
}

TEST(PodView, NonsenseIsAnEmptyView) {
  for (const char* text : {"", "[]", "{\"status\":7}", "{\"status\":{\"conditions\":{\"a\":1}}}",
                           "{\"status\":{\"containerStatuses\":[7,null]}}"})
    EXPECT_FALSE(view_of(text).first_start().has_value()) << text;
}

TEST(Events, OldestFirst) {
  const auto events = parse_events(R"({"items":[
    {"lastTimestamp":"2026-11-24T09:00:00Z","reason":"Late","type":"Warning","count":3,
     "message":"m","source":{"component":"kubelet"},"involvedObject":{"uid":"u"}},
    {"eventTime":"2026-11-24T08:00:00.000001Z","reason":"Early","reportingComponent":"x"}]})");
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2U);
  EXPECT_EQ((*events)[0].reason, "Early");
  EXPECT_EQ((*events)[0].component, "x");
  EXPECT_EQ((*events)[1].count, 3);
  EXPECT_EQ((*events)[1].uid, "u");
  EXPECT_FALSE(parse_events("{}").ok());
  EXPECT_FALSE(parse_events("<html>").ok());
}

}  // namespace
