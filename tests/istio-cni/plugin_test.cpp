// The plugin's sequence with a world that is made up.
#include "istio-cni/plugin.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "istio-cni/fake_edges.hpp"

namespace {

using base::Errc;
using base::Error;
using fakes::FakeEdges;
using fakes::mesh_pod;
using testing::HasSubstr;
using testing::Not;

class Plugin : public testing::Test {
 protected:
  istio_cni::Outcome run(const std::string& command, const std::string& input) {
    env["CNI_COMMAND"] = command;
    logging::Logger log("istio-cni", "");
    testing::internal::CaptureStderr();
    auto outcome = istio_cni::run(
        [this](const std::string& name) -> std::optional<std::string> {
          auto at = env.find(name);
          if (at == env.end()) return std::nullopt;
          return at->second;
        },
        [&]() -> base::Result<std::string> {
          ++stdin_reads;
          return input;
        },
        edges, log);
    log_text = testing::internal::GetCapturedStderr();
    return outcome;
  }
  static int code(const istio_cni::Outcome& outcome) {
    return nlohmann::json::parse(outcome.out).at("code").get<int>();
  }

  std::map<std::string, std::string> env{
      {"CNI_CONTAINERID", "c0ffee"},
      {"CNI_NETNS", "/ns"},
      {"CNI_IFNAME", "eth0"},
      {"CNI_PATH", "/opt/cni/bin"},
      {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1"}};
  FakeEdges edges;
  std::string log_text;
  int stdin_reads = 0;
  const std::string conf =
      R"({"cniVersion":"1.0.0","name":"net","type":"istio-cni","exclude_namespaces":["kube-system"],)"
      R"("pod_namespace":"istio-system","prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}})";
  const std::string printed =
      "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.2/24\"}]}\n";
};

TEST_F(Plugin, AddRedirects) {
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.out, printed);
  EXPECT_EQ(edges.nft.applied, 1);
  EXPECT_EQ(edges.asked_uid, "u-1");
  EXPECT_THAT(log_text, HasSubstr("decision=redirect"));
  EXPECT_THAT(log_text, HasSubstr("pod_name=web-1"));
  EXPECT_THAT(log_text, HasSubstr("duration_us="));
}

TEST_F(Plugin, EverySkipPrintsThePreviousResult) {
  struct Case {
    std::string args, reason;
    bool looks_up;
  };
  for (const auto& [args, reason, looks_up] :
       {Case{"K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=istio-cni-node-abc", "own-agent", false},
        Case{"", "not-kubernetes", false},
        Case{"K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns", "excluded-namespace", false},
        Case{"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=plain", "no-proxy", true}}) {
    env["CNI_ARGS"] = args;
    edges.lookups = 0;
    edges.pod.value().containers.clear();
    const auto outcome = run("ADD", std::string(conf).insert(1, R"("plugin_log_level":"debug",)"));
    EXPECT_EQ(outcome.exit_status, 0) << reason;
    EXPECT_EQ(outcome.out, printed) << reason;
    EXPECT_EQ(edges.lookups > 0, looks_up) << reason;
    EXPECT_THAT(log_text, HasSubstr("decision=" + reason));
    EXPECT_FALSE(edges.entered);
  }
}

TEST_F(Plugin, LookupFailureIsTryAgainLater) {
  for (auto error_code : {Errc::unavailable, Errc::not_found, Errc::unauthorized, Errc::timeout,
                          Errc::invalid_input, Errc::mismatch}) {
    edges.pod = Error{error_code, "https://10.0.0.1:6443: connection refused"};
    const auto outcome = run("ADD", conf);
    EXPECT_EQ(outcome.exit_status, 1);
    EXPECT_EQ(code(outcome), 11);
    EXPECT_THAT(outcome.out, HasSubstr("https://10.0.0.1:6443: connection refused"));
    EXPECT_THAT(outcome.out, HasSubstr("shop/web-1"));
  }
  EXPECT_FALSE(edges.entered);
}

TEST_F(Plugin, TheAgentsPodIsUsed) {
  edges.pod = Error{Errc::unavailable, "not to be asked"};
  for (const bool with_uid : {true, false}) {
    if (!with_uid) env["CNI_ARGS"] = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1";
    edges.answer = agent::Answer{mesh_pod(), ""};
    const auto outcome = run("ADD", conf);
    EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
    EXPECT_THAT(log_text, HasSubstr("lookup_from=agent"));
    EXPECT_THAT(log_text, HasSubstr("pod_uid=u-1"));
    EXPECT_EQ(edges.told.back().lookup, "agent");
    EXPECT_EQ(edges.told.back().uid, "u-1");
  }
  EXPECT_EQ(edges.questions, 2);
  EXPECT_EQ(edges.lookups, 0);
  EXPECT_EQ(edges.nft.applied, 2);
}

TEST_F(Plugin, WithoutTheAgentsPodTheApiServerIsAsked) {
  auto other = [](auto change) {
    auto pod = mesh_pod();
    change(pod);
    return agent::Answer{pod, ""};
  };
  struct Case {
    base::Result<agent::Answer> answer;
    std::string logged;  ///< "" nothing
  };
  const std::vector<Case> cases{
      {Error{Errc::not_found, "no socket"}, ""},
      {Error{Errc::unavailable, "nobody listens"}, "nobody listens"},
      {Error{Errc::timeout, "in time"}, "in time"},
      {Error{Errc::refused, "user 7"}, "user 7"},
      {Error{Errc::invalid_input, "nonsense"}, "nonsense"},
      {agent::Answer{Error{Errc::not_found, "HTTP 404"}, ""}, "HTTP 404"},
      {agent::Answer{Error{Errc::mismatch, "another uid"}, ""}, "another uid"},
      {other([](auto& pod) { pod.uid = "u-0"; }), "with uid \"u-0\""},
      {other([](auto& pod) { pod.uid = ""; }), "with uid"},
      {other([](auto& pod) { pod.name = "web-2"; }), "shop/web-2"},
      {other([](auto& pod) { pod.name_space = "else"; }), "else/web-1"}};
  int lookups = 0;
  for (const auto& [answer, logged] : cases) {
    edges.answer = answer;
    const auto outcome = run("ADD", conf);
    EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
    EXPECT_EQ(edges.lookups, ++lookups) << logged;
    EXPECT_THAT(log_text, HasSubstr("lookup_from=api"));
    EXPECT_EQ(edges.told.back().lookup, "api");
    if (logged.empty())
      EXPECT_THAT(log_text, Not(HasSubstr("asking the API server")));
    else
      EXPECT_THAT(log_text, testing::AllOf(HasSubstr("asking the API server"), HasSubstr(logged)));
  }
}

TEST_F(Plugin, NeitherAgentNorApiServer) {
  edges.answer = Error{Errc::unavailable, "the agent closed the connection"};
  edges.pod = Error{Errc::unavailable, "connection refused"};
  EXPECT_EQ(code(run("ADD", conf)), 11);
  EXPECT_THAT(log_text, Not(HasSubstr("lookup_from")));
  EXPECT_EQ(edges.told.back().lookup, "");
  EXPECT_EQ(edges.told.back().result, "error");
  EXPECT_FALSE(edges.entered);
}

TEST_F(Plugin, TheAgentHasAThirdOfTheTimeAndThreeSecondsAtMost) {
  edges.answer = agent::Answer{mesh_pod(), ""};
  auto given = [&](const std::string& seconds) {
    run("ADD", std::string(conf).insert(1, "\"timeout_seconds\":" + seconds + ","));
    return edges.agent_time.count();
  };
  EXPECT_NEAR(static_cast<double>(given("30")), 3000, 50);
  EXPECT_NEAR(static_cast<double>(given("3")), 1000, 50);
}

TEST_F(Plugin, TheAgentSetsTheLogLevelAtOnce) {
  edges.answer = agent::Answer{mesh_pod(), "error"};
  run("ADD", conf);
  EXPECT_EQ(log_text, "") << "the line about success is below that level";
  edges.answer = agent::Answer{mesh_pod(), ""};
  run("ADD", conf);
  EXPECT_THAT(log_text, HasSubstr("decision=redirect")) << "the plugin's own";
  edges.answer = agent::Answer{mesh_pod(), "info"};
  run("ADD", std::string(conf).insert(1, R"("plugin_log_level":"error",)"));
  EXPECT_THAT(log_text, HasSubstr("decision=redirect"));
  edges.answer = agent::Answer{Error{Errc::not_found, "404"}, "error"};
  run("ADD", conf);
  EXPECT_EQ(log_text, "") << "also when there is no pod in the answer";
}

TEST_F(Plugin, EveryAddIsTold) {
  run("ADD", conf);
  ASSERT_EQ(edges.told.size(), 1U);
  const auto& done = edges.told[0];
  EXPECT_EQ(done.command, "ADD");
  EXPECT_EQ(done.decision, "redirect");
  EXPECT_EQ(done.result, "success");
  EXPECT_EQ(done.error_code, 0);
  EXPECT_EQ(done.message, "");
  EXPECT_EQ(done.backend, "nftables");
  EXPECT_EQ(done.name_space, "shop");
  EXPECT_EQ(done.name, "web-1");
  EXPECT_EQ(done.uid, "u-1");
  EXPECT_EQ(done.container_id, "c0ffee");
  EXPECT_EQ(done.netns, "/ns");
  EXPECT_EQ(done.lookup, "api");
  EXPECT_TRUE(done.lookup_time && done.rules_time && done.verify_time);
  EXPECT_GE(done.total, *done.lookup_time + *done.rules_time + *done.verify_time);

  edges.pod.value().containers.clear();
  run("ADD", conf);
  EXPECT_EQ(edges.told[1].decision, "no-proxy");
  EXPECT_EQ(edges.told[1].result, "success");
  EXPECT_EQ(edges.told[1].backend, "");
  EXPECT_TRUE(edges.told[1].lookup_time.has_value());
  EXPECT_FALSE(edges.told[1].rules_time || edges.told[1].verify_time);

  env["CNI_ARGS"] = "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns";
  run("ADD", conf);
  EXPECT_EQ(edges.told[2].decision, "excluded-namespace");
  EXPECT_EQ(edges.told[2].lookup, "");
  EXPECT_FALSE(edges.told[2].lookup_time.has_value());

  EXPECT_EQ(edges.told.size(), 3U);
}

TEST_F(Plugin, EveryFailureIsTold) {
  auto last = [&] { return edges.told.empty() ? agent::Outcome{} : edges.told.back(); };
  edges.nft.loses_rules = true;
  run("ADD", conf);
  EXPECT_EQ(last().decision, "failed");
  EXPECT_EQ(last().result, "error");
  EXPECT_EQ(last().error_code, 102);
  EXPECT_THAT(last().message, HasSubstr("nat ISTIO_OUTPUT is missing"));
  run("CHECK", conf);
  EXPECT_EQ(last().command, "CHECK");
  EXPECT_EQ(last().error_code, 102);
  run("CHECK", R"({"cniVersion":"0.3.1","name":"n"})");
  EXPECT_EQ(last().error_code, 1);
  EXPECT_EQ(last().name, "web-1");
  run("ADD", R"({"cniVersion":"1.0.0","name":"n","prevResult":7})");
  EXPECT_EQ(last().command, "ADD");
  EXPECT_EQ(last().result, "error");
  EXPECT_EQ(last().name, "web-1");
  env["CNI_ARGS"] = "K8S_POD_NAME";
  run("ADD", conf);
  EXPECT_EQ(last().error_code, 4);
  EXPECT_EQ(last().container_id, "c0ffee");
  EXPECT_EQ(edges.told.size(), 5U);
  run("ADD", "{");
  EXPECT_EQ(edges.told.size(), 5U) << "whom to tell is in the configuration";
}

TEST_F(Plugin, DelIsToldAndAsksNobody) {
  run("DEL", conf);
  ASSERT_EQ(edges.told.size(), 1U);
  EXPECT_EQ(edges.told[0].command, "DEL");
  EXPECT_EQ(edges.told[0].result, "success");
  EXPECT_EQ(edges.told[0].decision, "");
  EXPECT_EQ(edges.told[0].uid, "u-1");
  EXPECT_EQ(edges.questions, 0);
  EXPECT_EQ(log_text, "");
  run("GC", R"({"cniVersion":"1.1.0","name":"n"})");
  run("STATUS", R"({"cniVersion":"1.1.0","name":"n"})");
  EXPECT_EQ(edges.told.size(), 1U);
}

TEST_F(Plugin, HostNamespaceIsRefusedBeforeAnything) {
  edges.namespace_status = Error{Errc::refused, "the host's own network namespace"};
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(code(outcome), 8);
  EXPECT_EQ(edges.lookups, 0);
  EXPECT_EQ(edges.nft.applied + edges.ipt.applied, 0);
}

TEST_F(Plugin, BadAnnotation) {
  edges.pod.value().annotations["sidecar.istio.io/interceptionMode"] = "BOTH";
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(code(outcome), 100);
  EXPECT_THAT(outcome.out, HasSubstr("BOTH"));
  EXPECT_FALSE(edges.entered);
}

TEST_F(Plugin, RulesThatDoNotStickFailAdd) {
  edges.nft.loses_rules = true;
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_EQ(code(outcome), 102);
}

TEST_F(Plugin, RoutesThatDoNotStickFailAdd) {
  edges.route_differences = {"no rule for fwmark 1337"};
  EXPECT_EQ(code(run("ADD", conf)), 102);
}

TEST_F(Plugin, BackendChoice) {
  auto with = [&](const std::string& backend) {
    return std::string(conf).insert(1, "\"backend\":\"" + backend + "\",");
  };
  run("ADD", with("iptables"));
  EXPECT_EQ(edges.ipt.applied, 1);
  EXPECT_EQ(edges.nft.removed, 1) << "the other backend's rules must go";
  edges.legacy = true;
  run("ADD", with("auto"));
  EXPECT_EQ(edges.ipt.applied, 2) << "legacy rules present";
  EXPECT_THAT(log_text, HasSubstr("legacy iptables rules in the namespace"));
  run("ADD", with("nftables"));
  EXPECT_EQ(edges.nft.applied, 1);
  EXPECT_EQ(edges.ipt.removed, 1);
  edges.legacy = false;
  edges.nft_offered = Error{Errc::unsupported, "kernel has no nf_tables"};
  run("ADD", with("auto"));
  EXPECT_EQ(edges.ipt.applied, 3);
  EXPECT_THAT(log_text, HasSubstr("kernel has no nf_tables"));
}

TEST_F(Plugin, AutomaticFallsBackWhenAnExpressionIsMissing) {
  edges.nft.fail = Error{Errc::unsupported, "kernel lacks the nftables expression redir"};
  EXPECT_EQ(run("ADD", conf).exit_status, 0);
  EXPECT_EQ(edges.ipt.applied, 1);
  EXPECT_THAT(log_text, HasSubstr("lacks the nftables expression redir"));
  const auto outcome = run("ADD", std::string(conf).insert(1, R"("backend":"nftables",)"));
  EXPECT_EQ(code(outcome), 101) << "a configured backend is not replaced";
}

TEST_F(Plugin, AKernelWithoutBothIsToldWhatEachLacks) {
  edges.nft.fail = Error{Errc::unsupported, "kernel has no nf_tables"};
  edges.ipt.fail = Error{Errc::unsupported, "kernel has no ip_tables"};
  const auto outcome = run("ADD", conf);
  EXPECT_EQ(code(outcome), 101);
  EXPECT_THAT(outcome.out,
              HasSubstr("nftables: kernel has no nf_tables; iptables: kernel has no ip_tables"));
}

TEST_F(Plugin, CheckVerifies) {
  EXPECT_EQ(run("ADD", conf).exit_status, 0);
  const auto good = run("CHECK", conf);
  EXPECT_EQ(good.exit_status, 0);
  EXPECT_EQ(good.out, "");
  edges.nft.held = false;
  const auto bad = run("CHECK", conf);
  EXPECT_EQ(code(bad), 102);
  EXPECT_THAT(bad.out, HasSubstr("nat ISTIO_OUTPUT is missing"));
  EXPECT_EQ(edges.nft.applied, 1) << "CHECK changes nothing";
}

TEST_F(Plugin, CheckNeeds040) {
  EXPECT_EQ(code(run("CHECK", R"({"cniVersion":"0.3.1","name":"n"})")), 1);
}

TEST_F(Plugin, DelAlwaysSucceedsAndTouchesNothing) {
  edges.pod = Error{Errc::unavailable, "down"};
  edges.namespace_status = Error{Errc::not_found, "gone"};
  env.erase("CNI_NETNS");
  env["CNI_ARGS"] = "garbage";
  const auto outcome = run("DEL", conf);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(edges.lookups + edges.questions, 0);
}

TEST_F(Plugin, ClosedGateLetsNoPodStart) {
  const std::string gate =
      R"({"cniVersion":"1.1.0","name":"net","type":"istio-cni","gate":true,)"
      R"("exclude_namespaces":["kube-system"],"pod_namespace":"istio-system"})";
  // also those that would pass by their name: there is no network for them either
  for (const auto* args : {"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1",
                           "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns",
                           "K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=istio-cni-node-x", ""}) {
    env["CNI_ARGS"] = args;
    for (const auto* command : {"ADD", "CHECK"}) {
      const auto outcome = run(command, gate);
      EXPECT_EQ(outcome.exit_status, 1) << command << " " << args;
      EXPECT_EQ(code(outcome), 11) << command << " " << args;
      EXPECT_THAT(outcome.out, HasSubstr("no primary network on this node yet"));
    }
  }
  EXPECT_EQ(edges.lookups, 0);
  EXPECT_FALSE(edges.entered);
  EXPECT_EQ(edges.nft.applied, 0);
  const auto status = run("STATUS", gate);
  EXPECT_EQ(code(status), 50);
  EXPECT_THAT(status.out, HasSubstr("no primary network on this node yet"));
  // nothing to undo, and nothing that could hinder a runtime's cleaning up
  EXPECT_EQ(run("DEL", gate).exit_status, 0);
  EXPECT_EQ(run("GC", gate).exit_status, 0);
}

TEST_F(Plugin, GcAndStatus) {
  for (const auto* command : {"GC", "STATUS"}) {
    EXPECT_EQ(code(run(command, conf)), 1) << "cniVersion 1.0.0";
    EXPECT_EQ(run(command, R"({"cniVersion":"1.1.0","name":"n"})").exit_status, 0);
  }
  edges.ready = Error{Errc::not_found, "no kubeconfig"};
  EXPECT_EQ(code(run("STATUS", R"({"cniVersion":"1.1.0","name":"n"})")), 50);
}

TEST_F(Plugin, VersionReadsNoStdin) {
  const auto outcome = run("VERSION", "");
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("\"supportedVersions\""));
  EXPECT_EQ(stdin_reads, 0);
}

TEST_F(Plugin, AboutGoesToStderr) {
  const auto outcome = run("", "");
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("CNI plugin istio-cni"));
}

TEST_F(Plugin, BadInputNeverReachesThePod) {
  EXPECT_EQ(code(run("ADD", "{")), 6);
  EXPECT_EQ(code(run("ADD", R"({"cniVersion":"1.0.0"})")), 7);
  EXPECT_EQ(code(run("ADD", R"({"cniVersion":"9.0.0","name":"n"})")), 1);
  env["CNI_ARGS"] = "K8S_POD_NAME";
  EXPECT_EQ(code(run("ADD", conf)), 4);
  EXPECT_EQ(edges.lookups, 0);
}

}  // namespace
