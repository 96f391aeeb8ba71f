#include "pod/parse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string error_of(std::string_view json) {
  auto result = pod::parse_pod(json);
  if (result) return "no error";
  EXPECT_EQ(result.error().code, base::Errc::invalid_input);
  return result.error().message;
}

TEST(ParsePod, ReadsEveryField) {
  auto pod = pod::parse_pod(R"({
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "web-0", "namespace": "shop", "uid": "u-1", "resourceVersion": "42",
      "labels": {"app": "web", "empty": ""}, "annotations": {"a/b": "c\nd"},
      "managedFields": [{"fieldsV1": {"f:metadata": {"name": 1}}}]},
    "spec": {
      "securityContext": {"runAsUser": 1},
      "containers": [
        {"name": "app", "image": "x", "ports": [{"containerPort": 80}]},
        {"name": "istio-proxy", "args": ["proxy", "sidecar"],
         "env": [{"name": "A", "value": "1"}, {"value": "2", "name": "B"},
                 {"name": "C", "valueFrom": {"fieldRef": {"name": "no", "value": "no"}}},
                 {"name": "D"}, {"name": "A", "value": "last"}],
         "securityContext": {"runAsUser": 4294967295, "runAsGroup": 0, "privileged": false}}],
      "initContainers": [{"name": "istio-init"}],
      "ephemeralContainers": [{"name": "debug"}]},
    "status": {"containers": [{"name": "no"}]}})");
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(pod->name, "web-0");
  EXPECT_EQ(pod->name_space, "shop");
  EXPECT_EQ(pod->uid, "u-1");
  EXPECT_EQ(pod->resource_version, "42");
  EXPECT_THAT(pod->labels, ElementsAre(Pair("app", "web"), Pair("empty", "")));
  EXPECT_THAT(pod->annotations, ElementsAre(Pair("a/b", "c\nd")));
  ASSERT_EQ(pod->containers.size(), 3U);
  EXPECT_EQ(pod->containers[0].name, "istio-init");
  EXPECT_TRUE(pod->containers[0].init);
  EXPECT_EQ(pod->containers[1].name, "app");
  EXPECT_FALSE(pod->containers[1].init);
  EXPECT_FALSE(pod->containers[1].run_as_user.has_value());
  const auto& proxy = pod->containers[2];
  EXPECT_THAT(proxy.args, ElementsAre("proxy", "sidecar"));
  EXPECT_THAT(proxy.env,
              ElementsAre(Pair("A", "last"), Pair("B", "2"), Pair("C", ""), Pair("D", "")));
  EXPECT_EQ(proxy.run_as_user, 4294967295U);
  EXPECT_EQ(proxy.run_as_group, 0U);
}

TEST(ParsePod, ReadsWhatRepairNeeds) {
  auto pod = pod::parse_pod(R"({
    "metadata": {"deletionTimestamp": "2026-11-24T15:00:00Z", "ownerReferences": [
        {"kind": "Node", "name": "n1", "uid": "o-1"},
        {"kind": "Other", "name": "o", "uid": "o-2", "controller": false},
        {"apiVersion": "apps/v1", "controller": true, "blockOwnerDeletion": true,
         "kind": "ReplicaSet", "name": "web-5d", "uid": "o-3"}]},
    "spec": {"nodeName": "n1", "restartPolicy": "OnFailure", "serviceAccountName": "web",
      "serviceAccount": "old-name", "hostNetwork": true, "hostPID": true},
    "status": {
      "phase": "Pending", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}],
      "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
        {"lastTransitionTime": "2026-01-01T00:00:02Z", "status": "True", "type": "PodScheduled"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:03Z"}],
      "containerStatuses": [{"name": "app", "restartCount": 9}],
      "initContainerStatuses": [
        {"name": "istio-validation", "restartCount": 3, "ready": false,
         "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "no"}},
         "lastState": {"terminated": {"exitCode": 126, "reason": "Error", "message": "m\n",
                       "startedAt": "x", "finishedAt": "2026-01-01T00:00:04Z"}}},
        {"name": "setup", "restartCount": 0,
         "state": {"terminated": {"exitCode": -1, "reason": "Completed"}}, "lastState": {}},
        {"name": "later", "state": {"running": {"startedAt": "x"}}}]}})");
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_TRUE(pod->deleting);
  EXPECT_EQ(pod->owner, (pod::Owner{"ReplicaSet", "web-5d", "o-3"}));
  EXPECT_EQ(pod->node_name, "n1");
  EXPECT_EQ(pod->restart_policy, "OnFailure");
  EXPECT_EQ(pod->service_account, "web");
  EXPECT_TRUE(pod->host_network);
  EXPECT_EQ(pod->phase, "Pending");
  EXPECT_THAT(pod->ips, ElementsAre("10.0.0.2", "fd00::2"));
  EXPECT_EQ(pod->scheduled_at, "2026-01-01T00:00:02Z");
  const pod::Termination crashed{126, "Error", "m\n", "2026-01-01T00:00:04Z"};
  const pod::Termination completed{-1, "Completed", "", ""};
  EXPECT_THAT(pod->init_statuses,
              ElementsAre(pod::InitStatus{"istio-validation", 3, std::nullopt, crashed},
                          pod::InitStatus{"setup", 0, completed, std::nullopt},
                          pod::InitStatus{"later", 0, std::nullopt, std::nullopt}));
}

TEST(ParsePod, ThePodIpAloneWillDo) {
  auto ips = [](const std::string& status) {
    return pod::parse_pod(R"({"status":)" + status + "}").value().ips;
  };
  EXPECT_THAT(ips(R"({"podIP":"10.0.0.2"})"), ElementsAre("10.0.0.2"));
  EXPECT_THAT(ips(R"({"podIP":"10.0.0.2","podIPs":[]})"), ElementsAre("10.0.0.2"));
  EXPECT_THAT(ips(R"({"podIP":"10.0.0.2","podIPs":null})"), ElementsAre("10.0.0.2"));
  EXPECT_THAT(ips(R"({"podIPs":[{"ip":"fd00::2"}],"podIP":"10.0.0.2"})"), ElementsAre("fd00::2"));
  EXPECT_THAT(ips(R"({"podIPs":[{},{"ip":""}]})"), ElementsAre());
}

TEST(ParsePod, OnlyATrueConditionSaysWhenItWasScheduled) {
  auto scheduled = [](const std::string& conditions) {
    return pod::parse_pod(R"({"status":{"conditions":)" + conditions + "}}").value().scheduled_at;
  };
  EXPECT_EQ(scheduled(R"([{"type":"PodScheduled","status":"False","lastTransitionTime":"t"}])"),
            "");
  EXPECT_EQ(scheduled(R"([{"type":"PodScheduled","status":"True","lastTransitionTime":null}])"),
            "");
  EXPECT_EQ(scheduled(R"([{"type":"PodScheduled","status":"True","lastTransitionTime":"t"},
                          {"status":"True","lastTransitionTime":"u"}])"),
            "t")
      << "one condition must not inherit from the one before";
}

TEST(ParsePod, OwnersDoNotInheritFromEachOther) {
  auto pod = pod::parse_pod(R"({"metadata":{"ownerReferences":[
      {"controller":true,"name":"a"},{"controller":true,"name":"b","kind":"K"},{"name":"c"}]}})");
  EXPECT_EQ(pod.value().owner, (pod::Owner{"", "a", ""}));
  pod = pod::parse_pod(R"({"metadata":{"ownerReferences":[{"controller":null,"name":"a"}]}})");
  EXPECT_EQ(pod.value().owner, std::nullopt);
}

TEST(ParsePod, NullsAndAbsentFieldsAreEmpty) {
  auto pod = pod::parse_pod(
      R"({"metadata":{"name":null,"labels":null,"annotations":null},"spec":{"initContainers":null,
          "containers":[{"name":"a","args":null,"env":null,"securityContext":null},
                        {"securityContext":{"runAsUser":null}}]}})");
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_TRUE(pod->labels.empty());
  ASSERT_EQ(pod->containers.size(), 2U);
  EXPECT_FALSE(pod->containers[1].run_as_user.has_value());
  EXPECT_EQ(pod::parse_pod("{}").value(), pod::Pod{});
  EXPECT_EQ(pod::parse_pod(R"({"metadata":null,"spec":null,"status":null})").value(), pod::Pod{});
  EXPECT_EQ(pod::parse_pod(
                R"({"metadata":{"deletionTimestamp":null,"ownerReferences":null},
                    "spec":{"nodeName":null,"restartPolicy":null,"hostNetwork":null},
                    "status":{"phase":null,"podIP":null,"podIPs":null,"conditions":null,
                              "initContainerStatuses":null}})")
                .value(),
            pod::Pod{});
  EXPECT_EQ(pod::parse_pod(
                R"({"status":{"initContainerStatuses":[{"name":null,"restartCount":null,
                    "state":null,"lastState":{"terminated":null}}]}})")
                .value()
                .init_statuses,
            std::vector{pod::InitStatus{}});
}

TEST(ParsePod, LastOfDuplicatedKeysWins) {
  auto pod = pod::parse_pod(
      R"({"metadata":{"name":"a","uid":"1"},"spec":{"containers":[{"name":"x"}]},
          "spec":{"containers":[{"name":"y"},{"name":"z"}],"containers":[
            {"name":"c","name":"d","args":["1"],"args":["2"],"env":[{"name":"A"}],"env":[]}]},
          "metadata":{"name":"b","labels":{"k":"1"},"labels":{"k":"2","k":"3"}}})");
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(pod->name, "b");
  EXPECT_EQ(pod->uid, "");
  EXPECT_THAT(pod->labels, ElementsAre(Pair("k", "3")));
  ASSERT_EQ(pod->containers.size(), 1U);
  EXPECT_EQ(pod->containers[0].name, "d");
  EXPECT_THAT(pod->containers[0].args, ElementsAre("2"));
  EXPECT_TRUE(pod->containers[0].env.empty());
}

TEST(ParsePod, LastOfDuplicatedKeysWinsForRepairToo) {
  const std::string full = R"(
    "metadata":{"name":"a","namespace":"b","uid":"c","resourceVersion":"1","labels":{"a":"b"},
      "annotations":{"a":"b"},"deletionTimestamp":"t","ownerReferences":[{"controller":true}]},
    "spec":{"nodeName":"n","restartPolicy":"Never","serviceAccountName":"s","hostNetwork":true,
      "containers":[{}],"initContainers":[{}]},
    "status":{"phase":"Failed","podIP":"1","podIPs":[{"ip":"2"}],
      "conditions":[{"type":"PodScheduled","status":"True","lastTransitionTime":"t"}],
      "initContainerStatuses":[{"name":"i"}]})";
  EXPECT_NE(pod::parse_pod("{" + full + "}").value(), pod::Pod{});
  EXPECT_EQ(pod::parse_pod("{" + full + R"(,"metadata":{},"spec":{},"status":{}})").value(),
            pod::Pod{});
  EXPECT_EQ(pod::parse_pod("{" + full + R"(,"metadata":null,"spec":null,"status":null})").value(),
            pod::Pod{});
  auto pod = pod::parse_pod(
      R"({"metadata":{"name":"kept"},"spec":{"nodeName":"kept"},"status":{"phase":"kept"},
          "status":{"initContainerStatuses":[{"name":"x"}],"initContainerStatuses":[
            {"state":{"terminated":{"exitCode":1}},"state":{},
             "lastState":{"terminated":{"exitCode":1,"reason":"r"},"terminated":{"message":"m"}}}]}})");
  EXPECT_EQ(pod.value().name, "kept") << "other parts are not touched";
  EXPECT_EQ(pod.value().node_name, "kept");
  EXPECT_EQ(pod.value().phase, "");
  EXPECT_THAT(pod.value().init_statuses,
              ElementsAre(pod::InitStatus{"", 0, std::nullopt, pod::Termination{0, "", "m", ""}}));
}

TEST(ParsePod, OtherKinds) {
  EXPECT_THAT(error_of(R"({"kind":"Status","message":"pods \"x\" not found"})"),
              HasSubstr("not found"));
  EXPECT_THAT(error_of(R"({"kind":"PodList","items":[]})"), HasSubstr("PodList"));
}

struct Bad {
  const char* json;
  const char* message;
};
class WrongTypes : public testing::TestWithParam<Bad> {};

TEST_P(WrongTypes, AreNamed) {
  EXPECT_THAT(error_of(GetParam().json), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    ParsePod, WrongTypes,
    testing::Values(
        Bad{"", "not valid JSON"}, Bad{"{", "not valid JSON"}, Bad{"{} x", "not valid JSON"},
        Bad{"\xff", "not valid JSON"},
        Bad{R"({"metadata":{"name":")"
            "\xc3\x28\"}}",
            "not valid JSON"},
        Bad{"null", "document: expected an object, found null"},
        Bad{"[]", "document: expected an object, found a list"},
        Bad{"3", "document: expected an object, found a number"},
        Bad{"\"x\"", "document: expected an object, found a string"},
        Bad{R"({"kind":1})", "kind: expected a string, found a number"},
        Bad{R"({"metadata":[]})", "metadata: expected an object, found a list"},
        Bad{R"({"metadata":{"name":{}}})", "metadata.name: expected a string, found an object"},
        Bad{R"({"metadata":{"labels":{"a":true}}})",
            "metadata.labels.a: expected a string, found a boolean"},
        Bad{R"({"metadata":{"annotations":["a"]}})", "metadata.annotations: expected an object"},
        Bad{R"({"spec":{"containers":{}}})", "spec.containers: expected a list, found an object"},
        Bad{R"({"spec":{"containers":[{},3]}})", "spec.containers[1]: expected an object"},
        Bad{R"({"spec":{"containers":[null]}})",
            "spec.containers[0]: expected an object, found null"},
        Bad{R"({"spec":{"containers":[{"args":["a",1]}]}})",
            "spec.containers[0].args[1]: expected a string, found a number"},
        Bad{R"({"spec":{"containers":[{"env":[{"name":"A","value":8}]}]}})",
            "spec.containers[0].env[0].value: expected a string, found a number"},
        Bad{R"({"spec":{"initContainers":[{"securityContext":{"runAsUser":-1}}]}})",
            "spec.initContainers[0].securityContext.runAsUser: not an integer from 0"},
        Bad{R"({"spec":{"containers":[{"securityContext":{"runAsGroup":4294967296}}]}})",
            "runAsGroup: not an integer from 0"},
        Bad{R"({"spec":{"containers":[{"securityContext":{"runAsUser":1.0}}]}})",
            "runAsUser: expected an integer"},
        Bad{R"({"spec":{"containers":[{"securityContext":{"runAsUser":"1"}}]}})",
            "runAsUser: expected an integer"},
        Bad{R"({"spec":{"containers":[{"securityContext":{"runAsUser":18446744073709551615}}]}})",
            "runAsUser: not an integer from 0"},
        Bad{R"({"metadata":{"ownerReferences":{}}})", "metadata.ownerReferences: expected a list"},
        Bad{R"({"metadata":{"ownerReferences":[null]}})",
            "metadata.ownerReferences[0]: expected an object, found null"},
        Bad{R"({"metadata":{"ownerReferences":[{"controller":"true"}]}})",
            "metadata.ownerReferences[0].controller: expected true or false, found a string"},
        Bad{R"({"metadata":{"deletionTimestamp":true}})",
            "metadata.deletionTimestamp: expected a string, found a boolean"},
        Bad{R"({"spec":{"hostNetwork":1}})",
            "spec.hostNetwork: expected true or false, found a number"},
        Bad{R"({"spec":{"hostNetwork":{}}})",
            "spec.hostNetwork: expected true or false, found an object"},
        Bad{R"({"status":[]})", "status: expected an object, found a list"},
        Bad{R"({"status":{"podIPs":["10.0.0.1"]}})",
            "status.podIPs[0]: expected an object, found a string"},
        Bad{R"({"status":{"conditions":[{},7]}})",
            "status.conditions[1]: expected an object, found a number"},
        Bad{R"({"status":{"initContainerStatuses":[{"state":{"terminated":[]}}]}})",
            "status.initContainerStatuses[0].state.terminated: expected an object, found a list"},
        Bad{R"({"status":{"initContainerStatuses":[{"restartCount":2147483648}]}})",
            "status.initContainerStatuses[0].restartCount: not an integer from -2147483648"},
        Bad{R"({"status":{"initContainerStatuses":[{"restartCount":18446744073709551615}]}})",
            "restartCount: not an integer from -2147483648"},
        Bad{R"({"status":{"initContainerStatuses":[{"lastState":{"terminated":{"exitCode":-2147483649}}}]}})",
            "lastState.terminated.exitCode: not an integer from -2147483648"},
        Bad{R"({"status":{"initContainerStatuses":[{"restartCount":1.5}]}})",
            "restartCount: expected an integer from -2147483648"}));

TEST(ParsePod, DepthIsBounded) {
  auto nested = [](int levels) {
    return R"({"x":)" + std::string(static_cast<std::size_t>(levels), '[') +
           std::string(static_cast<std::size_t>(levels), ']') + "}";
  };
  EXPECT_TRUE(pod::parse_pod(nested(99)).ok());
  EXPECT_THAT(error_of(nested(100)), HasSubstr("deeper than 100"));
  EXPECT_THAT(error_of(std::string(1 << 20, '[')), HasSubstr("expected an object"));
  EXPECT_THAT(error_of(R"({"x":)" + std::string(1 << 20, '[')), HasSubstr("deeper than 100"));
}

TEST(ParsePod, HugePod) {
  std::string json = R"({"spec":{"containers":[{"name":"c","env":[)";
  for (int i = 0; i < 50000; ++i)
    json += R"({"name":"N)" + std::to_string(i) + R"(","value":"some value"},)";
  json += R"({"name":"end"}]}]},"metadata":{"name":")" + std::string(1 << 20, 'n') + R"("}})";
  auto pod = pod::parse_pod(json);
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(pod->containers[0].env.size(), 50001U);
  EXPECT_EQ(pod->name.size(), std::size_t{1} << 20);
}

}  // namespace
