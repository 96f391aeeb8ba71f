// Killed at any moment, the installer leaves a node whose lists a runtime can
// read and whose plugins exist.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "install/installer.hpp"
#include "install/node.hpp"
#include "support/patience.hpp"

namespace {

using install::Installer;
using install::Mode;
using test_install::azure;
using test_install::bridge_conf;
using test_install::calico;
using test_install::Node;

constexpr int kills = 1000;
constexpr std::size_t plugin_size = 200'000;

/// What the node's own CNI does meanwhile, in one rename each.
void foreign_rewrite(const Node& node) { node.rename_over("10-calico.conflist", calico); }

/// Every mode with its own way to write, each installed, rewritten by others,
/// installed again and at times taken out, until the end.
[[noreturn]] void loop(Node& node) {
  for (unsigned round = 0;; ++round) {
    node.desired.mode = round % 3 == 1 ? Mode::owned : Mode::chained;
    node.desired.conf_name = round % 3 == 2 ? "20-bridge.conf" : "";
    node.desired.gate = true;
    node.desired.entry.log_level = round % 2 == 0 ? "info" : "debug";
    {
      Installer installer(node.state_dir());
      (void)installer.reconcile(node.desired);
      (void)installer.prepare(node.desired);
      foreign_rewrite(node);
      (void)installer.reconcile(node.desired);
      (void)installer.prepare(node.desired);
    }
    if (round % 2 == 0) (void)install::uninstall(node.state_dir());
  }
}

/// "" or what a runtime would stumble over.
std::string look(const Node& node) {
  for (const auto& name : node.confs()) {
    if (name.starts_with('.')) continue;  // on its way; no runtime reads it
    const auto network = cni::inspect(name, node.conf(name));
    if (!network) return name + ": " + network.error().message;
    if (network->our_position() < 0) continue;
    struct stat info {};
    if (::stat(node.plugin().c_str(), &info) != 0) return name + " names a missing plugin";
    if (static_cast<std::size_t>(info.st_size) != plugin_size || (info.st_mode & 0111) != 0111)
      return name + " names an incomplete plugin";
  }
  return {};
}

TEST(CrashTest, KilledAtAThousandMoments) {
  Node node;
  std::ofstream(node.desired.plugin_binary) << std::string(plugin_size, 'p');
  node.conf("10-calico.conflist", calico);
  node.conf("20-bridge.conf", bridge_conf);
  node.conf("30-azure.conflist", azure);

  const auto seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> moment(0, test_support::slowness * 6000);
  int with_entry = 0;
  for (int i = 0; i < kills; ++i) {
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) loop(node);
    std::this_thread::sleep_for(std::chrono::microseconds(moment(random)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    const auto problem = look(node);
    ASSERT_EQ(problem, "") << "after kill " << i << ", seed " << seed;
    for (const auto& name : node.confs())
      if (node.conf(name).find("\"istio-cni\"") != std::string::npos && ++with_entry > 0) break;
  }
  EXPECT_GT(with_entry, kills / 10) << "the moments do not meet the work";
  EXPECT_LT(with_entry, kills) << "the moments do not meet the work";

  node.desired.mode = Mode::chained;
  node.desired.conf_name.clear();
  std::filesystem::remove(node.conf_dir() + "/.new");  // the other program's
  {
    Installer installer(node.state_dir());
    const auto pass = installer.reconcile(node.desired);
    EXPECT_TRUE(pass.ready) << install::describe(node.desired, pass);
    EXPECT_EQ(pass.file, "10-calico.conflist");
    EXPECT_FALSE(installer.reconcile(node.desired).changed);
  }
  const auto undone = install::uninstall(node.state_dir());
  EXPECT_TRUE(undone.failures.empty()) << undone.failures.front().message;
  EXPECT_EQ(node.confs(), (std::vector<std::string>{"10-calico.conflist", "20-bridge.conf",
                                                    "30-azure.conflist"}));
  EXPECT_EQ(node.conf("10-calico.conflist"), calico);
  EXPECT_EQ(node.conf("20-bridge.conf"), bridge_conf);
  EXPECT_EQ(node.conf("30-azure.conflist"), azure);
  EXPECT_FALSE(std::filesystem::exists(node.plugin()));
  EXPECT_FALSE(std::filesystem::exists(node.desired.kubeconfig_path));
}

}  // namespace
