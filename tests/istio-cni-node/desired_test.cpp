#include "istio-cni-node/desired.hpp"

#include <gtest/gtest.h>

namespace istio_cni_node {
namespace {

const install::CniDirs found{"/etc/cni/net.d", {"/opt/cni/bin", "/usr/lib/cni"}, "containerd"};

TEST(Desired, DefaultsTakeTheRuntimesFolders) {
  auto desired = desired_installation({}, found, "{}");
  EXPECT_EQ(desired.mode, install::Mode::chained);
  EXPECT_EQ(desired.conf_dir, "/etc/cni/net.d");
  EXPECT_EQ(desired.bin_dirs, (std::vector<std::string>{"/opt/cni/bin", "/usr/lib/cni"}));
  EXPECT_EQ(desired.kubeconfig_path, "/run/istio-cni/istio-cni-kubeconfig");
  EXPECT_EQ(desired.kubeconfig, "{}");
  EXPECT_EQ(desired.own_file_mode, 0600U);
  EXPECT_EQ(desired.entry.run_dir, "/run/istio-cni");
  EXPECT_EQ(desired.entry.exclude_namespaces, std::vector<std::string>{"kube-system"});
}

TEST(Desired, InTheDaemonSetPathsLieBelowTheMount) {
  config::Config config;
  config.host_root = "/host";
  auto desired = desired_installation(config, found, std::nullopt);
  EXPECT_EQ(desired.conf_dir, "/host/etc/cni/net.d");
  EXPECT_EQ(desired.bin_dirs, (std::vector<std::string>{"/host/opt/cni/bin", "/host/usr/lib/cni"}));
  EXPECT_EQ(desired.kubeconfig_path, "/run/istio-cni/istio-cni-kubeconfig");
  EXPECT_FALSE(desired.kubeconfig);
}

TEST(Desired, ConfiguredFoldersWin) {
  config::Config config;
  config.install.cni_conf_dir = "/srv/net.d";
  config.install.cni_bin_dirs = {"/srv/bin"};
  config.install.mode = config::InstallMode::standalone;
  config.install.conf_group_read = true;
  config.install.cni_conf_name = "50-mesh.conf";
  auto desired = desired_installation(config, found, std::nullopt);
  EXPECT_EQ(desired.mode, install::Mode::standalone);
  EXPECT_EQ(desired.conf_dir, "/srv/net.d");
  EXPECT_EQ(desired.bin_dirs, std::vector<std::string>{"/srv/bin"});
  EXPECT_EQ(desired.standalone_name, "50-mesh.conf");
  EXPECT_EQ(desired.own_file_mode, 0640U);
}

}  // namespace
}  // namespace istio_cni_node
