// A node's CNI folders below a temporary folder.
#pragma once

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "install/installer.hpp"
#include "support/temp_dir.hpp"

namespace test_install {

inline constexpr const char* list = "10-calico.conflist";  ///< the primary's
inline constexpr const char* own = "02-istio-cni.conflist";

inline const std::string calico = R"({
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "unknown": [1.0, {"b": 1, "a": 2}],
  "plugins": [
    {"type": "calico", "ipam": {"type": "calico-ipam"}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
)";
inline const std::string cilium = R"({
  "cniVersion": "0.3.1",
  "name": "cilium",
  "plugins": [
    {
       "type": "cilium-cni",
       "enable-debug": false
    }
  ]
}
)";
inline const std::string azure =
    R"({"cniVersion":"0.3.0","name":"azure","plugins":[{"type":"azure-vnet","mode":"transparent"}]})";
inline const std::string bridge_conf = R"({
  "cniVersion": "0.2.0",
  "name": "mynet",
  "type": "bridge",
  "bridge": "cni0"
}
)";

/// An empty node: folders, a plugin to install, no network.
class Node {
 public:
  Node() : Node(std::nullopt) {}
  /// On the disk that `parent` is on; else in memory, as much is written and flushed.
  explicit Node(const std::optional<std::string>& parent)
      : dir_(parent ? test_support::TempDir(*parent) : test_support::TempDir::fast()) {
    for (const auto* folder : {"/etc", "/etc/net.d", "/opt", "/opt/bin", "/run", "/state", "/src"})
      std::filesystem::create_directory(dir_.path() + folder);
    dir_.write("src/plugin", std::string(5000, 'p'), 0755);
    desired.conf_dir = conf_dir();
    desired.owned_name = "02-istio-cni.conflist";
    desired.standalone_name = "YYY-istio-cni.conf";
    desired.bin_dirs = {dir_.path("opt/bin")};
    desired.plugin_binary = dir_.path("src/plugin");
    desired.kubeconfig_path = dir_.path("run/istio-cni-kubeconfig");
    desired.kubeconfig = "kind: Config\n";
  }

  [[nodiscard]] std::string conf_dir() const { return dir_.path("etc/net.d"); }
  [[nodiscard]] std::string state_dir() const { return dir_.path("state"); }
  [[nodiscard]] std::string plugin() const { return dir_.path("opt/bin/istio-cni"); }
  [[nodiscard]] std::string record() const { return read(state_dir() + "/record.json"); }
  [[nodiscard]] std::string path(const std::string& name) const { return dir_.path(name); }

  void conf(const std::string& name, const std::string& content, mode_t mode = 0644) const {
    dir_.write("etc/net.d/" + name, content, mode);
  }
  /// As installers do it: in one rename.
  void rename_over(const std::string& name, const std::string& content) const {
    dir_.write("etc/net.d/.new", content);
    std::filesystem::rename(conf_dir() + "/.new", conf_dir() + "/" + name);
  }
  void remove(const std::string& name) const { std::filesystem::remove(conf_dir() + "/" + name); }
  /// Nobody has touched it for a while.
  void age(const std::string& name) const {
    std::filesystem::last_write_time(
        conf_dir() + "/" + name,
        std::filesystem::file_time_type::clock::now() - std::chrono::seconds(60));
  }

  [[nodiscard]] std::string conf(const std::string& name) const {
    return read(conf_dir() + "/" + name);
  }
  [[nodiscard]] bool has(const std::string& name) const {
    return std::filesystem::exists(conf_dir() + "/" + name);
  }
  [[nodiscard]] std::vector<std::string> confs() const { return test_support::entries(conf_dir()); }

  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static mode_t mode(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }
  static ino_t inode(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }

  install::Desired desired;

 private:
  test_support::TempDir dir_;
};

/// Exit status of a child that cannot do what it should.
inline constexpr int skip = 77;

/// Runs in a child, which may take namespaces of its own; its exit status.
template <typename Body>
int in_child(const Body& body) {
  const auto child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace test_install
