// Each mode's roles allow exactly what the agent asks in that mode: nothing that it
// asks is missing, and nothing is granted that it does not ask.
#include "kubernetes/rbac.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "agent/connection.hpp"
#include "base/strings.hpp"
#include "kubernetes/rbac_proxy.hpp"
#include "repair/api_body.hpp"
#include "support/agent_process.hpp"
#include "support/apiserver.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using base::cat;
using kubernetes_test::allowed;
using kubernetes_test::Attributes;
using kubernetes_test::attributes_of;
using kubernetes_test::Grant;
using kubernetes_test::RbacProxy;
using test_support::AgentProcess;
using testing::IsEmpty;

const std::string manifests = ICN_SOURCE_DIR "/etc/kubernetes";

struct Mode {
  const char* name;      ///< of the overlay; the base: "off"
  const char* settings;  ///< below repair:
  const char* host;      ///< the file of node-identity, if any
  std::vector<kube::ApiRequest> requests;
};

std::ostream& operator<<(std::ostream& out, const Mode& mode) { return out << mode.name; }

const repair::Target broken_pod{"shop", "broken", "uid-broken", "7"};

std::vector<kube::ApiRequest> with_events(std::vector<kube::ApiRequest> requests) {
  requests.push_back(repair::post_event_request("shop", "{}"));
  requests.push_back(repair::patch_event_request("shop", "broken.1", "{}"));
  return requests;
}

std::vector<Mode> modes() {
  using namespace repair;
  return {
      {"off", "mode: off", nullptr, {}},
      {"delete", "mode: delete", "delete", with_events({delete_request(broken_pod)})},
      {"evict", "mode: delete\n  evict: true", "evict", with_events({evict_request(broken_pod)})},
      {"label", "mode: label", "label", with_events({label_request(broken_pod, "k", "v")})},
      {"repair", "mode: repair", "repair", with_events({})},
      {"repair-then-delete", "mode: repair-then-delete", "delete",
       with_events({delete_request(broken_pod)})}};
}

std::string_view method_name(kube::ApiRequest::Method method) {
  using Method = kube::ApiRequest::Method;
  switch (method) {
    case Method::get:
      return "GET";
    case Method::post:
      return "POST";
    case Method::patch:
      return "PATCH";
    case Method::del:
      break;
  }
  return "DELETE";
}

std::vector<Grant> account_grants(const Mode& mode) {
  const std::string name = mode.name;
  return kubernetes_test::grants_of(
      kubernetes_test::files_of(manifests + (name == "off" ? "/base" : "/overlays/" + name)),
      {"ServiceAccount", "istio-system", "istio-cni-node"});
}

std::vector<Grant> host_grants(const Mode& mode, const kubernetes_test::Subject& subject) {
  std::vector<std::string> files{manifests + "/node-identity/read.yaml"};
  if (mode.host != nullptr) files.push_back(cat(manifests, "/node-identity/", mode.host, ".yaml"));
  return kubernetes_test::grants_of(files, subject);
}

/// Requests that are not allowed, and grants that are for none of them.
std::vector<std::string> differences(const std::vector<Grant>& grants,
                                     const std::vector<Attributes>& requests) {
  std::vector<std::string> out;
  for (const auto& request : requests)
    if (!allowed(grants, request)) out.push_back(cat("missing: ", to_string(request)));
  for (const auto& grant : grants)
    if (std::none_of(requests.begin(), requests.end(),
                     [&](const Attributes& one) { return allows(grant, one); }))
      out.push_back(cat("excess: ", to_string(grant)));
  return out;
}

/// What the agent asks without repair; the process test below shows that it does.
std::vector<Attributes> reading() {
  return {
      {"list", "", "pods", "", ""}, {"watch", "", "pods", "", ""}, {"get", "", "pods", "a", "b"}};
}

std::vector<Attributes> repairing(const Mode& mode) {
  std::vector<Attributes> all;
  for (const auto& request : mode.requests)
    all.push_back(attributes_of(method_name(request.method), request.target));
  return all;
}

TEST(Attributes, OfRequests) {
  EXPECT_EQ(attributes_of("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=500"),
            (Attributes{"list", "", "pods", "", ""}));
  EXPECT_EQ(attributes_of("GET", "/api/v1/pods?watch=1&fieldSelector=x"),
            (Attributes{"watch", "", "pods", "", ""}));
  EXPECT_EQ(attributes_of("GET", "/api/v1/namespaces/shop/pods/web"),
            (Attributes{"get", "", "pods", "shop", "web"}));
  EXPECT_EQ(attributes_of("GET", "/api/v1/namespaces/shop"),
            (Attributes{"get", "", "namespaces", "", "shop"}));
  EXPECT_EQ(attributes_of("GET", "/apis/apps/v1/namespaces/a/daemonsets/b"),
            (Attributes{"get", "apps", "daemonsets", "a", "b"}));
  EXPECT_EQ(attributes_of("POST", "/api/v1/namespaces/shop/pods/web/eviction"),
            (Attributes{"create", "", "pods/eviction", "shop", "web"}));
  EXPECT_THROW(attributes_of("GET", "/version"), std::invalid_argument);
}

TEST(Grants, DecideAsRbacDoes) {
  const std::vector<Grant> grants{{"get", "", "pods", "", ""},
                                  {"get", "apps", "daemonsets", "istio-system", "istio-cni-node"}};
  EXPECT_TRUE(allowed(grants, {"get", "", "pods", "shop", "web"}));
  EXPECT_FALSE(allowed(grants, {"list", "", "pods", "shop", ""}));
  EXPECT_FALSE(allowed(grants, {"get", "", "pods/status", "shop", "web"}));
  EXPECT_FALSE(allowed(grants, {"get", "metrics.k8s.io", "pods", "shop", "web"}));
  EXPECT_TRUE(allowed(grants, {"get", "apps", "daemonsets", "istio-system", "istio-cni-node"}));
  EXPECT_FALSE(allowed(grants, {"get", "apps", "daemonsets", "istio-system", "other"}));
  EXPECT_FALSE(allowed(grants, {"get", "apps", "daemonsets", "shop", "istio-cni-node"}));
}

TEST(Grants, TooFewAndTooManyAreTold) {
  auto grants = account_grants(modes().front());
  grants.push_back({"list", "", "secrets", "", ""});
  EXPECT_THAT(differences(grants, reading()),
              testing::UnorderedElementsAre(
                  "excess: get nodes of namespace '', name ''",
                  "excess: get daemonsets.apps of namespace 'istio-system', name 'istio-cni-node'",
                  "excess: list secrets of namespace '', name ''"));
  EXPECT_THAT(
      differences(account_grants(modes().front()), {{"patch", "", "pods/status", "a", "b"}}),
      testing::Contains("missing: patch pods/status of namespace 'a', name 'b'"));
}

class Rbac : public testing::TestWithParam<Mode> {};

TEST_P(Rbac, TheHostIdentityHasExactlyWhatIsAsked) {
  auto requests = reading();
  for (auto& request : repairing(GetParam())) requests.push_back(std::move(request));
  EXPECT_THAT(differences(host_grants(GetParam(), {"Group", "", "istio-cni-nodes"}), requests),
              IsEmpty());
  EXPECT_THAT(differences(host_grants(GetParam(),
                                      {"ServiceAccount", "istio-system", "istio-cni-node-host"}),
                          requests),
              IsEmpty());
}

std::string pod(const std::string& name, const std::string& status) {
  return cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")", name,
             R"(","namespace":"shop","uid":"uid-)", name,
             R"(","annotations":{"sidecar.istio.io/status":"{}"}},"spec":{"nodeName":"n1",)"
             R"("restartPolicy":"Always","initContainers":[{"name":"istio-validation"}],)"
             R"("containers":[{"name":"app"},{"name":"istio-proxy","args":["proxy","sidecar"]}]},)"
             R"("status":)",
             status, "}");
}

// without an address: repair in place does not find it
constexpr std::string_view broken_status =
    R"({"phase":"Pending","initContainerStatuses":[{"name":"istio-validation","restartCount":1,)"
    R"("state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":126,)"
    R"("startedAt":"2024-01-01T00:00:00Z","finishedAt":"2024-01-01T00:00:01Z"}}}]})";

class AgentUnderRbac {
 public:
  AgentUnderRbac(const Mode& mode, std::vector<Grant> grants)
      : proxy_(server_.port(), std::move(grants)) {
    proxy_.answer("GET /apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node ",
                  R"({"metadata":{"name":"istio-cni-node"},"spec":{"template":{"spec":{}}}})");
    proxy_.answer("GET /api/v1/nodes/n1 ", R"({"metadata":{"name":"n1","labels":{}}})");
    proxy_.answer("PATCH /api/v1/namespaces/shop/events/", "{}");
    dir_.write(
        "kubeconfig",
        cat("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"", proxy_.url(),
            "\"}}]\nusers: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: "
            "{cluster: c, user: u}}]\ncurrent-context: x\n"),
        0600);
    agent_.emplace(
        ICN_AGENT, dir_.path(), ICN_PLUGIN, dir_.path("kubeconfig"), "n1",
        cat("plugin:\n  agent_namespace: istio-system\nrepair:\n  ", mode.settings, "\n"));
    auto config = agent_->read_config();
    config.replace(config.find("install:\n"), 9, "install:\n  on_stop: auto\n");
    agent_->write_config(config);
    dir_.write("net.d/10-primary.conflist",
               R"({"cniVersion":"1.0.0","name":"primary","plugins":[{"type":"bridge"}]})");
    server_.add_pod(pod("web", R"({"phase":"Running"})"));
    agent_->start();
  }

  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  [[nodiscard]] bool asked(const Attributes& wanted) const {
    const auto all = proxy_.passed();
    return std::any_of(all.begin(), all.end(), [&](const Attributes& one) {
      return one.verb == wanted.verb && one.resource == wanted.resource;
    });
  }
  /// As the plugin does for a pod that the watch has not shown yet.
  void look_up(const std::string& name) {
    const auto deadline = base::Deadline::after(5s);
    auto connection = agent::Connection::open(dir_.path("run/agent.sock"), deadline);
    ASSERT_TRUE(connection) << connection.error().message;
    auto answer = connection->ask(agent::Lookup{"shop", name, "uid-" + name}, deadline);
    ASSERT_TRUE(answer) << answer.error().message;
  }

  test_support::TempDir dir_;
  test_support::ApiServer server_{[] {
    test_support::ApiServerOptions options;
    options.tls = false;
    return options;
  }()};
  RbacProxy proxy_;
  std::optional<AgentProcess> agent_;
};

TEST_P(Rbac, TheAgentIsRefusedNothingAndUsesEverything) {
  const auto grants = account_grants(GetParam());
  AgentUnderRbac run(GetParam(), grants);
  auto& agent = *run.agent_;
  EXPECT_TRUE(agent.wait_notified("1 pod on this node")) << agent.log();
  run.look_up("unseen");
  EXPECT_TRUE(run.eventually([&] { return run.proxy_.passed().size() >= 3; }));
  run.server_.add_pod(pod("broken", std::string(broken_status)));
  // a repair that fails is told once and counted from then on; another is told
  const bool fails = std::string_view(GetParam().name).starts_with("repair");
  for (const auto& wanted : repairing(GetParam())) {
    if (wanted.verb == "patch" && wanted.resource == "events" && !fails) continue;
    if (wanted.verb == "delete" && fails) continue;  // only what breaks again
    EXPECT_TRUE(run.eventually([&] { return run.asked(wanted); })) << to_string(wanted) << '\n'
                                                                   << agent.log();
  }
  EXPECT_EQ(agent.stop(SIGTERM), 0);
  EXPECT_NE(agent.log().find("the DaemonSet still wants this node"), std::string::npos)
      << agent.log();
  EXPECT_NE(AgentProcess::read(run.dir_.path("net.d/10-primary.conflist")).find("istio-cni"),
            std::string::npos);

  for (const auto& refused : run.proxy_.refused())
    ADD_FAILURE() << "refused: " << to_string(refused);
  auto requests = run.proxy_.passed();
  for (auto& request : repairing(GetParam())) requests.push_back(std::move(request));
  EXPECT_THAT(differences(grants, requests), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, Rbac, testing::ValuesIn(modes()), [](const auto& instance) {
  std::string name = instance.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(RbacRefused, WithoutRightsTheInstallationStandsAndTheReasonIsTold) {
  AgentUnderRbac run(modes().front(), {});
  auto& agent = *run.agent_;
  ASSERT_TRUE(agent.wait_notified("READY=1"));
  EXPECT_TRUE(run.eventually([&] {
    return agent.readyz().find("check the credential and its right to list and watch pods") !=
           std::string::npos;
  })) << agent.readyz();
  EXPECT_THAT(run.proxy_.passed(), IsEmpty());
  EXPECT_EQ(agent.stop(SIGTERM), 0);
  EXPECT_NE(AgentProcess::read(run.dir_.path("net.d/10-primary.conflist")).find("istio-cni"),
            std::string::npos)
      << "what cannot be asked is no reason to leave";
  EXPECT_NE(agent.log().find("the DaemonSet could not be read"), std::string::npos) << agent.log();
}

}  // namespace
