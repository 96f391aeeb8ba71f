// Controller and adapter against the test API server, over TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kube/async_support.hpp"
#include "pod/parse.hpp"
#include "repair/api_adapter.hpp"
#include "repair/controller.hpp"
#include "repair/fixtures.hpp"

namespace {

using nlohmann::json;
using repair::Reply;
using test_support::ApiServer;
using test_support::config_of;
using test_support::FakeProvider;
using test_support::Fault;
using test_support::run_until;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Kind = Reply::Kind;

json pod_json(const std::string& name, const std::string& uid) {
  return {{"metadata",
           {{"name", name},
            {"namespace", "shop"},
            {"uid", uid},
            {"annotations", {{"sidecar.istio.io/status", "{}"}}}}},
          {"spec", {{"containers", json::array({{{"name", "istio-proxy"}}})}}},
          {"status",
           {{"phase", "Pending"},
            {"initContainerStatuses",
             json::array({{{"name", "istio-validation"},
                           {"restartCount", 1},
                           {"state", {{"waiting", {{"reason", "CrashLoopBackOff"}}}}},
                           {"lastState",
                            {{"terminated",
                              {{"exitCode", 126},
                               {"reason", "Error"},
                               {"finishedAt", "2026-11-24T11:59:00Z"}}}}}}})}}}};
}

class RepairApi : public testing::Test {
 protected:
  RepairApi() : provider(io, config_of(server)), client(io, provider), adapter(client) {}

  /// The pod as the server has it.
  std::optional<pod::Pod> fetch(const std::string& name) {
    std::optional<base::Result<kube::Response>> answer;
    client.request({kube::ApiRequest::Method::get, "/api/v1/namespaces/shop/pods/" + name, {}, {}},
                   base::Deadline::after(std::chrono::seconds(10)),
                   [&](base::Result<kube::Response> got) { answer = std::move(got); });
    EXPECT_TRUE(run_until(io, [&] { return answer.has_value(); }));
    if (!answer || !*answer || (*answer)->status != 200) return std::nullopt;
    auto parsed = pod::parse_pod((*answer)->body);
    EXPECT_TRUE(parsed.ok());
    return *parsed;
  }
  pod::Pod added(const std::string& name, const std::string& uid) {
    server.add_pod(pod_json(name, uid).dump());
    return fetch(name).value();
  }
  Reply wait(const std::function<void(repair::Api::Done)>& send) {
    std::optional<Reply> reply;
    send([&](Reply got) { reply = std::move(got); });
    EXPECT_FALSE(reply.has_value()) << "answered at once";
    EXPECT_TRUE(run_until(io, [&] { return reply.has_value(); }));
    return reply.value_or(Reply{Kind::rejected, "no answer"});
  }
  static repair::Target target(const pod::Pod& pod) {
    return {pod.name_space, pod.name, pod.uid, pod.resource_version};
  }

  boost::asio::io_context io;
  ApiServer server;
  FakeProvider provider;
  kube::ApiClient client;
  repair::ApiAdapter adapter;
};

TEST_F(RepairApi, DeletesThePodItMeansAndNoOther) {
  const auto first = added("web-0", "u-1");
  // the same name, made anew
  const auto second = added("web-0", "u-2");
  auto remove = [&](const repair::Target& which) {
    return wait([&](auto done) { adapter.remove(which, std::move(done)); });
  };
  EXPECT_EQ(remove(target(first)).kind, Kind::conflict);
  auto old = target(second);
  old.resource_version = "1";
  const auto reply = remove(old);
  EXPECT_EQ(reply.kind, Kind::conflict);
  EXPECT_THAT(reply.cause, HasSubstr("resourceVersion"));
  EXPECT_TRUE(fetch("web-0"));
  EXPECT_EQ(remove(target(second)).kind, Kind::done);
  EXPECT_FALSE(fetch("web-0"));
  EXPECT_EQ(remove(target(second)).kind, Kind::gone);
}

TEST_F(RepairApi, Evicts) {
  const auto pod = added("web-1", "u-1");
  auto evict = [&](const repair::Target& which) {
    return wait([&](auto done) { adapter.evict(which, std::move(done)); });
  };
  server.set_eviction_status(429);
  const auto reply = evict(target(pod));
  EXPECT_EQ(reply.kind, Kind::blocked);
  EXPECT_THAT(reply.cause, HasSubstr("disruption budget"));
  server.set_eviction_status(201);
  auto other = target(pod);
  other.uid = "u-0";
  EXPECT_EQ(evict(other).kind, Kind::conflict);
  EXPECT_EQ(evict(target(pod)).kind, Kind::done);
  EXPECT_FALSE(fetch("web-1"));
  EXPECT_EQ(evict(target(pod)).kind, Kind::gone);
}

TEST_F(RepairApi, Labels) {
  const auto pod = added("web-1", "u-1");
  auto label = [&](const repair::Target& which) {
    return wait([&](auto done) { adapter.label(which, "a.b/c", "true", std::move(done)); });
  };
  auto other = target(pod);
  other.uid = "u-0";
  EXPECT_EQ(label(other).kind, Kind::conflict);
  EXPECT_EQ(label(target(pod)).kind, Kind::done);
  EXPECT_EQ(fetch("web-1")->labels.at("a.b/c"), "true");
  EXPECT_THAT(server.request_log(), Contains("PATCH /api/v1/namespaces/shop/pods/web-1/status"));
}

TEST_F(RepairApi, FaultsAreWorthTryingAgain) {
  const auto pod = added("web-1", "u-1");
  repair::ApiAdapter hasty(client, std::chrono::milliseconds(300));
  for (const auto& fault : {Fault{Fault::Kind::status, 503}, Fault{Fault::Kind::status, 429},
                            Fault{Fault::Kind::hang}, Fault{Fault::Kind::garbage}}) {
    server.inject(fault);
    const auto reply = wait([&](auto done) { hasty.remove(target(pod), std::move(done)); });
    EXPECT_EQ(reply.kind, Kind::unavailable);
    EXPECT_NE(reply.cause, "");
  }
  EXPECT_TRUE(fetch("web-1"));
}

TEST_F(RepairApi, ALostAnswerIsNoAnswerNo) {
  repair::ApiAdapter hasty(client, std::chrono::milliseconds(300));
  const auto asked = [&](const std::string& name, Fault fault, int count = 1) {
    const auto pod = added(name, "u-" + name);  // its connection is kept
    fault.request = "DELETE ";
    server.inject(fault, count);
    return wait([&](auto done) { hasty.remove(target(pod), std::move(done)); });
  };
  // done, and sent again on a new connection
  const auto again = asked("web-1", {Fault::Kind::lose});
  EXPECT_EQ(again.kind, Kind::gone);
  EXPECT_TRUE(again.maybe_done);
  EXPECT_FALSE(fetch("web-1"));
  for (const auto& fault : {Fault{Fault::Kind::hang}, Fault{Fault::Kind::cut},
                            Fault{Fault::Kind::garbage}, Fault{Fault::Kind::status, 504}}) {
    const auto reply = asked("web-2", fault);
    EXPECT_EQ(reply.kind, Kind::unavailable);
    EXPECT_TRUE(reply.maybe_done) << static_cast<int>(fault.kind);
  }
  for (const int status : {401, 403, 404, 409, 429})
    EXPECT_FALSE(asked("web-3", {Fault::Kind::status, status}, status == 401 ? 2 : 1).maybe_done)
        << status;
}

TEST_F(RepairApi, WhatDidNotGoOutWasNotDone) {
  auto config = config_of(server);
  {
    // nobody listens there any more
    const ApiServer other;
    config = config_of(other);
  }
  FakeProvider nobody(io, config);
  kube::ApiClient in_vain(io, nobody);
  repair::ApiAdapter unheard(in_vain);
  const auto pod = added("web-1", "u-1");
  const auto reply = wait([&](auto done) { unheard.remove(target(pod), std::move(done)); });
  EXPECT_EQ(reply.kind, Kind::unavailable);
  EXPECT_FALSE(reply.maybe_done) << reply.cause;
  // nor what waits for a connection, however long
  server.inject({Fault::Kind::hang}, 4);
  for (int i = 0; i < 4; ++i) adapter.remove(target(pod), [](const Reply&) {});
  repair::ApiAdapter hasty(client, std::chrono::milliseconds(200));
  const auto late = wait([&](auto done) { hasty.remove(target(pod), std::move(done)); });
  EXPECT_EQ(late.kind, Kind::unavailable);
  EXPECT_FALSE(late.maybe_done) << late.cause;
}

TEST_F(RepairApi, ControllerFromOutageToDeletion) {
  test_support::FakeJobs jobs;
  test_support::FakeClock clock;
  config::Repair settings;
  std::map<std::string, int> metrics;
  repair::Hooks hooks;
  hooks.repaired = [&](std::string_view type, std::string_view result) {
    ++metrics[base::cat(type, ' ', result)];
  };
  repair::Controller controller(settings, *repair::make_criteria(settings), "node-1", {}, adapter,
                                jobs, clock, std::move(hooks));
  controller.node_ready(true, "");
  const auto pod = added("web-1", "u-1");
  server.inject({Fault::Kind::status, 500});
  controller.pod_changed(pod, "");
  ASSERT_TRUE(run_until(io, [&] { return metrics["delete fail"] == 1; }));
  EXPECT_TRUE(fetch("web-1"));
  ASSERT_TRUE(clock.wake);
  clock.time = *clock.wake;
  controller.tick();
  ASSERT_TRUE(run_until(io, [&] { return metrics["delete success"] == 1; }));
  EXPECT_FALSE(fetch("web-1"));
  ASSERT_TRUE(run_until(io, [&] { return !server.events().empty(); }));
  const auto event = json::parse(server.events()[0]);
  EXPECT_EQ(event.at("reason"), "DeleteBrokenPod");
  EXPECT_EQ(event.at("involvedObject").at("uid"), "u-1");
  EXPECT_EQ(event.at("source").at("component"), "cni-repair");
}

}  // namespace
