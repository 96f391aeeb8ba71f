// explain and the Events of the API server: the kubelet's, and the agent's own.
#include <gmock/gmock.h>

#include "istio-cnictl/broken_pod.hpp"
#include "istio-cnictl/tool.hpp"

namespace {

using test_support::broken_pod;
using test_support::json;
using test_support::pod_json;
using testing::AllOf;
using testing::HasSubstr;

class ExplainEvents : public test_support::ToolTest {
 protected:
  /// As the kubelet of this node posts it.
  void tell(const std::string& message, const std::string& uid = "uid-web-1", int count = 1,
            const std::string& reason = "FailedCreatePodSandBox", const std::string& pod = "web-1",
            const std::string& kind = "Pod") {
    const auto name = pod + "." + std::to_string(++serial_);
    server_.add_event(json{
        {"apiVersion", "v1"},
        {"kind", "Event"},
        {"metadata", {{"name", name}, {"namespace", "shop"}}},
        {"involvedObject", {{"kind", kind}, {"namespace", "shop"}, {"name", pod}, {"uid", uid}}},
        {"type", "Warning"},
        {"reason", reason},
        {"message", message},
        {"source", {{"component", "kubelet"}, {"host", "n1"}}},
        {"lastTimestamp", "2026-11-24T09:00:0" + std::to_string(serial_ % 10) + "Z"},
        {"count", count}}.dump());
  }
  static std::string failed(const std::string& why) {
    return "Failed to create pod sandbox: rpc error: plugin type=\"istio-cni\" failed (add): " +
           why;
  }

 private:
  int serial_ = 0;
};

TEST_F(ExplainEvents, TellWhyThePluginFailed) {
  server_.add_pod(pod_json("web-1").dump());
  begin();
  start();
  wait_for_pods("1 pod on this node");
  EXPECT_EQ(explain("web-1")["finding"], "not-started") << "no Events";
  tell(failed("pod shop/web-1: the kernel lacks the nftables expression redir (module nft_redir)"),
       "uid-web-1", 7);
  tell("plugin type=\"calico\" failed (add): no address left");
  tell(failed("of another pod"), "uid-web-2", 1, "FailedCreatePodSandBox", "web-2");
  tell("of another kind", "uid-set", 1, "FailedCreate", "web-1", "ReplicaSet");
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "plugin-failed") << verdict.dump(1);
  EXPECT_EQ(verdict["cause"], "kernel");
  EXPECT_EQ(verdict["next"][0], "modprobe nft_redir");
  EXPECT_THAT(evidence(verdict, "(7 times)"), HasSubstr("events: FailedCreatePodSandBox: Failed"));
  EXPECT_THAT(evidence(verdict, "calico"), HasSubstr("events: "));
  EXPECT_EQ(evidence(verdict, "of another"), "");
  EXPECT_EQ(run("explain shop/web-1").status, 1);

  tell(failed("cannot look up pod shop/web-1: GET pod shop/web-1: HTTP 401 Unauthorized"));
  EXPECT_EQ(explain("web-1")["cause"], "credential") << "the last one counts";
  tell(failed("cannot look up pod shop/web-1: https://10.0.0.1:6443: connection refused"));
  EXPECT_EQ(explain("web-1")["cause"], "api-unreachable");
  tell(failed("pod shop/web-1: annotation traffic.sidecar.istio.io/includeInboundPorts: no port"));
  EXPECT_EQ(explain("web-1")["cause"], "bad-annotation");
  tell(failed("failed to find plugin \"istio-cni\" in path [/opt/cni/bin]"));
  const auto missing = explain("web-1");
  EXPECT_EQ(missing["finding"], "not-installed");
  EXPECT_THAT(missing["sentence"].get<std::string>(), HasSubstr("the runtime does not find it"));
}

TEST_F(ExplainEvents, OfAnEarlierPodOfTheNameDoNotJudgeThisOne) {
  server_.add_pod(pod_json("web-1").dump());
  begin();
  start();
  wait_for_pods("1 pod on this node");
  tell(failed("pod shop/web-1: annotation x: no port"), "uid-of-before");
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "not-started") << verdict.dump(1);
  EXPECT_THAT(evidence(verdict, "annotation x"), HasSubstr("events: "));
}

TEST_F(ExplainEvents, ThatMayNotBeReadAreSaidToBeSo) {
  server_.add_pod(pod_json("web-1").dump());
  begin();
  start();
  wait_for_pods("1 pod on this node");
  server_.inject(
      {test_support::Fault::Kind::status, 403, {}, "GET /api/v1/namespaces/shop/events"});
  const auto ran = run("explain shop/web-1");
  EXPECT_THAT(ran.out, AllOf(HasSubstr("the agent's credential may not read Events"),
                             HasSubstr("kubectl -n shop events --for pod/web-1")));
  EXPECT_EQ(ran.status, 3) << "not started: the rest is known";
}

TEST_F(ExplainEvents, TheAgentsOwnTellOfAPodThatIsGone) {
  begin("repair:\n  mode: delete\n");
  start();
  server_.add_pod(broken_pod("web-1", "u-1").dump());
  ASSERT_TRUE(eventually([&] { return explain("web-1")["finding"] == "no-such-pod"; }));
  ASSERT_TRUE(eventually([&] { return !server_.events().empty(); }));
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["sentence"],
            "does not exist any more; this node's agent deleted one of this name because it "
            "was broken");
  EXPECT_THAT(evidence(verdict, "DeleteBrokenPod"), HasSubstr("events: "));
  EXPECT_EQ(run("explain shop/web-1").status, 3);
}

}  // namespace
