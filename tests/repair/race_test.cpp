// The race itself, end to end: a pod starts while the plugin is not there, its
// validation fails in its real network namespace, and the agent that is started
// then does about it what its mode says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "repair/mesh.hpp"
#include "support/pod_namespace.hpp"

namespace {

using namespace std::chrono_literals;
using base::cat;
using test_support::json;
using test_support::mesh_pod;
using test_support::MeshNode;
using test_support::PodNamespace;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// On the machine, where the validation's user can execute it.
constexpr const char* validation_program = "/run/istio-iptables";

std::string run_machine(const std::function<void()>& body) {
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("proc", "/proc", "proc", 0, nullptr) != 0 ||
      ::mount("none", "/run", "tmpfs", 0, "mode=0755") != 0 ||
      ::mount("none", "/var/lib", "tmpfs", 0, "mode=0755") != 0 ||
      std::system("ip link set lo up") != 0)
    return "cannot make a machine";
  std::filesystem::create_directories("/run/netns");
  std::filesystem::create_directories("/var/lib/cni/results");
  std::filesystem::copy_file(ICN_IPTABLES, validation_program);
  testing::internal::CaptureStdout();
  body();
  const auto rules = support::shell("nft list ruleset; iptables-legacy-save; ip rule");
  EXPECT_THAT(rules, Not(HasSubstr("15006"))) << "the machine's own namespace";
  const auto output = testing::internal::GetCapturedStdout();
  return testing::Test::HasFailure() ? "failed\n" + output : "";
}

/// Runs `body` as process 1 of a machine of its own: with its own processes,
/// network, /run and /var/lib, all of which end with it.
void on_machine(const std::function<void()>& body) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto outer = ::fork();
  if (outer == 0) {
    ::close(ends[0]);
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID) != 0) ::_exit(1);
    const auto machine = ::fork();
    if (machine == 0) {
      const auto text = run_machine(body);
      (void)!::write(ends[1], text.data(), text.size());
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(machine, &status, 0);
    ::_exit(status == 0 ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t size = 0; (size = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(size));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(outer, &status, 0);
  EXPECT_EQ(status, 0) << "the machine died";
  EXPECT_EQ(text, "");
}

/// A node that prints its agent's log when something failed.
class Node : public MeshNode {
 public:
  explicit Node(const std::string& repair) : MeshNode(ICN_AGENT, ICN_PLUGIN, repair) {}
  ~Node() {
    if (testing::Test::HasFailure()) std::printf("%s", agent.log().c_str());
  }
};

/// A pod whose init container really runs, in place of the kubelet.
class RunningPod {
 public:
  RunningPod(Node& node, const PodNamespace& sandbox, json pod)
      : node_(node), sandbox_(sandbox), pod_(std::move(pod)) {
    node_.add(pod_);
  }

  /// Runs the validation once and tells the API server how it ended.
  int run_validation(const std::string& timeout = "300ms") {
    if (runs_++ > 0) test_support::validation_waits(pod_);
    output_ = sandbox_.run(
        cat("-S 1337 -G 1337 ", validation_program,
            " -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020"
            " --run-validation --skip-rule-apply --probe-timeout=",
            timeout));
    // a shell's 126 would mean that it did not run
    const bool passed = output_.find("validation passed") != std::string::npos;
    EXPECT_TRUE(passed || output_.find("validation failed") != std::string::npos) << output_;
    const auto at = output_.find("[exit ");
    const int code = at == std::string::npos ? 0 : std::stoi(output_.substr(at + 6));
    EXPECT_EQ(passed, code == 0) << output_;
    test_support::validation_ended(pod_, code);
    node_.add(pod_);
    return code;
  }
  [[nodiscard]] const std::string& output() const { return output_; }

 private:
  Node& node_;
  const PodNamespace& sandbox_;
  json pod_;
  int runs_ = 0;
  std::string output_;
};

std::string rules_in(const PodNamespace& one) {
  return one.run("sh -c 'nft list ruleset; iptables-legacy-save'");
}
void flush(const PodNamespace& one) {
  (void)one.run("nft flush ruleset");
  (void)one.run("iptables-legacy -t nat -F");
  (void)one.run("iptables-legacy -t nat -X");
}

/// The agent says that it has repaired that many, and where it found the last.
void expect_repaired(Node& node, int count, const std::string& found_by) {
  ASSERT_TRUE(node.eventually([&] { return node.repaired("repair", "success") == count; }));
  const auto log = node.agent.log();
  const auto last = log.rfind("Repaired broken pod: shop/");
  ASSERT_NE(last, std::string::npos);
  EXPECT_THAT(log.substr(last, log.find('\n', last) - last),
              HasSubstr("netns_found_by=" + found_by));
}

TEST(Race, DeleteModeDeletesThePod) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    Node node("mode: delete");
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    const auto version = node.find("web-1").at("metadata").at("resourceVersion");
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
    const auto bodies = node.server.bodies_of("DELETE /api/v1/namespaces/shop/pods/web-1");
    ASSERT_EQ(bodies.size(), 1U);
    EXPECT_EQ(json::parse(bodies[0]).at("preconditions"),
              (json{{"uid", "u-1"}, {"resourceVersion", version}}));
    EXPECT_EQ(node.log_lines("Deleting broken pod: shop/web-1"), 1U);
    EXPECT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
    EXPECT_TRUE(node.eventually([&] { return node.events("DeleteBrokenPod").size() == 1; }));
    EXPECT_THAT(rules_in(sandbox), Not(HasSubstr("15006")));
  });
}

TEST(Race, EvictionWaitsForTheDisruptionBudget) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    Node node("mode: delete\nevict: true");
    node.server.set_eviction_status(429);
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(node.eventually([&] { return node.held_back("disruption_budget") == 1; }));
    ASSERT_TRUE(node.has("web-1"));
    node.server.set_eviction_status(201);
    ASSERT_TRUE(node.eventually([&] { return !node.has("web-1"); }));
    EXPECT_EQ(node.requests("DELETE "), 0U);
  });
}

TEST(Race, LabelModeLabelsThePod) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    Node node("mode: label\nlabel_key: example.org/broken\nlabel_value: yes-it-is");
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(node.eventually([&] { return node.repaired("label", "success") == 1; }));
    EXPECT_EQ(node.find("web-1").at("metadata").at("labels").at("example.org/broken"), "yes-it-is");
    EXPECT_EQ(node.requests("PATCH /api/v1/namespaces/shop/pods/web-1/status"), 1U);
    EXPECT_TRUE(node.eventually([&] { return node.events("LabelBrokenPod").size() == 1; }));
    EXPECT_EQ(node.actions(), 1U);
  });
}

TEST(Race, OffModeDoesNothing) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    Node node("mode: \"off\"");
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    ASSERT_TRUE(node.start());
    EXPECT_EQ(pod.run_validation(), 126);
    node.let_pass(300ms);
    EXPECT_EQ(node.actions(), 0U);
    EXPECT_THAT(node.server.events(), IsEmpty());
    EXPECT_THAT(rules_in(sandbox), Not(HasSubstr("15006")));
  });
}

class RaceInPlace : public testing::TestWithParam<std::string> {};

TEST_P(RaceInPlace, ValidationPassesAfterwards) {
  ICN_REQUIRE_ROOT();
  const auto& trace = GetParam();
  on_machine([&] {
    const PodNamespace sandbox("10.9.0.2/24");
    const PodNamespace stranger("10.9.0.3/24");
    ASSERT_TRUE(sandbox.good() && stranger.good());
    Node node("mode: repair");
    stranger.mount_at("/run/netns/cni-stranger");
    if (trace == "mounts") sandbox.mount_at("/run/netns/cni-web-1");
    if (trace == "results") {
      sandbox.mount_at("/run/web-1");
      std::ofstream("/var/lib/cni/results/primary-c0ffee-eth0")
          << R"({"kind":"cniCacheV1","netns":"/run/web-1","cniArgs":[["K8S_POD_UID","u-1"]]})";
    }
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    EXPECT_THAT(rules_in(sandbox), Not(HasSubstr("15006")));
    ASSERT_TRUE(node.start());
    expect_repaired(node, 1, trace);
    EXPECT_THAT(rules_in(sandbox), HasSubstr("15006"));
    EXPECT_THAT(rules_in(stranger), Not(HasSubstr("15006")));
    ASSERT_TRUE(node.eventually([&] { return node.events("RepairBrokenPod").size() == 1; }));
    EXPECT_EQ(node.events("RepairBrokenPod")[0].at("involvedObject").at("uid"), "u-1");
    EXPECT_EQ(pod.run_validation(), 0) << pod.output();
    node.let_pass(200ms);
    EXPECT_EQ(node.repaired("repair", "success"), 1) << "once";
    EXPECT_EQ(node.repaired("repair", "fail"), 0);
    EXPECT_EQ(node.actions(), 0U);
    EXPECT_EQ(node.readyz().find("held back"), std::string::npos);
  });
}

INSTANTIATE_TEST_SUITE_P(, RaceInPlace, testing::Values("proc", "mounts", "results"),
                         [](const auto& one) { return one.param; });

TEST(Race, FoundByWhatThePluginReported) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    ::mkdir("/run/pods", 0755);
    sandbox.mount_at("/run/pods/web-1");
    Node node("mode: repair");
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_TRUE(node.start());
    const auto conf = node.dir.write(
        "stdin",
        json{{"cniVersion", "1.0.0"},
             {"name", "primary"},
             {"type", "istio-cni"},
             {"kubeconfig", node.dir.path("kubeconfig")},
             {"cni_agent_run_dir", node.dir.path("run")},
             {"prevResult", {{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.9.0.2/24"}}}}}}}
            .dump());
    const auto added = support::shell(
        cat("env -i PATH=$PATH CNI_COMMAND=ADD CNI_CONTAINERID=c0ffee CNI_NETNS=/run/pods/web-1 "
            "CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin CNI_ARGS='IgnoreUnknown=1;"
            "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1' ",
            ICN_PLUGIN, " <", conf));
    EXPECT_THAT(added, testing::AllOf(HasSubstr("decision=redirect"), Not(HasSubstr("[exit"))));
    ASSERT_TRUE(node.eventually([&] {
      return node.agent.metrics().find("command=\"ADD\",decision=\"redirect\"") !=
             std::string::npos;
    })) << node.agent.metrics();
    // somebody takes the rules away before the validation runs
    flush(sandbox);
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    expect_repaired(node, 1, "plugin");
    EXPECT_EQ(pod.run_validation(), 0) << pod.output();
  });
}

TEST(Race, RepairThenDeleteDeletesWhatBreaksAgain) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace first("10.9.0.2/24");
    const PodNamespace second("10.9.0.3/24");
    ASSERT_TRUE(first.good() && second.good());
    Node node("mode: repair-then-delete");
    RunningPod healed(node, first, mesh_pod("healed", "u-1", "rs-1", {"10.9.0.2"}));
    RunningPod lost(node, second, mesh_pod("lost", "u-2", "rs-1", {"10.9.0.3"}));
    ASSERT_EQ(healed.run_validation(), 126) << healed.output();
    ASSERT_EQ(lost.run_validation(), 126) << lost.output();
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(node.eventually([&] { return node.repaired("repair", "success") == 2; }));
    EXPECT_EQ(node.actions(), 0U);
    flush(second);
    // long enough for the clock of statuses, which counts whole seconds
    EXPECT_EQ(lost.run_validation("1100ms"), 126) << lost.output();
    EXPECT_EQ(healed.run_validation(), 0) << healed.output();
    ASSERT_TRUE(node.eventually([&] { return !node.has("lost"); }));
    node.let_pass(200ms);
    EXPECT_TRUE(node.has("healed"));
    EXPECT_EQ(node.actions(), 1U);
    EXPECT_TRUE(node.eventually([&] { return node.repaired("delete", "success") == 1; }));
    EXPECT_EQ(node.repaired("repair", "success"), 2);
  });
}

TEST(Race, InPlaceNeedsNoInstallation) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    Node node("mode: repair");
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    node.agent.start();  // and no network's list is there
    expect_repaired(node, 1, "proc");
    EXPECT_THAT(node.readyz(), HasSubstr("503"));
    EXPECT_EQ(pod.run_validation(), 0) << pod.output();
  });
}

TEST(Race, ARepairInPlaceIsNotRepeatedByTheNextRun) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace sandbox("10.9.0.2/24");
    ASSERT_TRUE(sandbox.good());
    Node node("mode: repair");
    RunningPod pod(node, sandbox, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(node.eventually([&] {
      return test_support::AgentProcess::read(node.dir.path("state/repairs.json"))
                 .find("\"repaired\"") != std::string::npos;
    }));
    node.agent.stop(SIGKILL);
    ASSERT_TRUE(node.start());
    node.let_pass(300ms);
    EXPECT_EQ(node.log_lines("Repairing broken pod: shop/web-1"), 1U);
    EXPECT_EQ(pod.run_validation(), 0) << pod.output();
  });
}

TEST(Race, APathThatWasGivenToAnotherPodIsNotTrusted) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    const PodNamespace ours("10.9.0.2/24");
    const PodNamespace others("10.9.0.3/24");
    ASSERT_TRUE(ours.good() && others.good());
    // what the cache says of our pod is out of date
    others.mount_at("/run/netns/cni-1");
    std::ofstream("/var/lib/cni/results/primary-c0ffee-eth0")
        << R"({"kind":"cniCacheV1","netns":"/run/netns/cni-1","cniArgs":[["K8S_POD_UID","u-1"]]})";
    Node node("mode: repair");
    RunningPod pod(node, ours, mesh_pod("web-1", "u-1"));
    ASSERT_EQ(pod.run_validation(), 126) << pod.output();
    ASSERT_TRUE(node.start());
    expect_repaired(node, 1, "proc");
    EXPECT_EQ(pod.run_validation(), 0) << pod.output();
    EXPECT_THAT(rules_in(others), Not(HasSubstr("15006")));
  });
}

TEST(Race, ARecreatedNamespaceOfTheSamePathGetsItsOwnRules) {
  ICN_REQUIRE_ROOT();
  on_machine([] {
    Node node("mode: repair");
    ASSERT_TRUE(node.start());
    int count = 0;
    // a pod of a StatefulSet, made anew: same name, path and address
    for (const std::string uid : {"u-1", "u-2"}) {
      const PodNamespace sandbox("10.9.0.2/24");
      ASSERT_TRUE(sandbox.good());
      sandbox.mount_at("/run/netns/cni-web-0");
      RunningPod pod(node, sandbox, mesh_pod("web-0", uid));
      ASSERT_EQ(pod.run_validation(), 126) << pod.output();
      expect_repaired(node, ++count, "mounts");
      EXPECT_THAT(rules_in(sandbox), HasSubstr("15006"));
      EXPECT_EQ(pod.run_validation(), 0) << pod.output();
      EXPECT_EQ(::umount2("/run/netns/cni-web-0", MNT_DETACH), 0);
      node.server.remove_pod("shop", "web-0");
    }
  });
}

}  // namespace
