// The agent's configuration: one typed value, made of defaults, the YAML file
// and its drop-ins, the environment and flags, in that order of precedence.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cni/netconf.hpp"
#include "log/log.hpp"

namespace config {

enum class InstallMode { chained, owned, standalone };
enum class RepairMode { off, del, repair, repair_then_delete, label };
/// As the configuration writes them.
std::string_view to_string(InstallMode mode);
std::string_view to_string(RepairMode mode);
/// What stopping the agent does to the installation. `automatic` (DaemonSet
/// mode): removes it unless the DaemonSet still wants this node.
enum class OnStop { keep, remove, automatic };

/// Where a server listens. "" as host: every address, IPv4 and IPv6.
struct Endpoint {
  bool enabled = true;
  std::string host;
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
};

struct Install {
  InstallMode mode = InstallMode::chained;
  bool gate = false;                      ///< owned mode only
  std::string cni_conf_dir;               ///< "": found from the runtime's configuration
  std::vector<std::string> cni_bin_dirs;  ///< empty: found from the runtime's configuration
  std::string cni_conf_name;              ///< "": the list the runtime loads first
  std::string owned_conf_name = "02-istio-cni.conflist";
  std::string standalone_conf_name = "YYY-istio-cni.conf";
  std::uint32_t kubeconfig_mode = 0600;
  bool conf_group_read = false;  ///< own files 0640 instead of 0600
  OnStop on_stop = OnStop::keep;
  std::string plugin_binary = "/usr/libexec/istio-cni-node/istio-cni";

  bool operator==(const Install&) const = default;
};

struct Plugin {
  logging::Level log_level = logging::Level::info;
  cni::BackendChoice backend = cni::BackendChoice::automatic;
  std::vector<std::string> exclude_namespaces = {"kube-system"};
  std::string agent_namespace;  ///< of the DaemonSet; "" on a host
  std::chrono::milliseconds timeout{30000};

  bool operator==(const Plugin&) const = default;
};

struct Api {
  std::string kubeconfig;  ///< "": as kube::find_credential finds it
  std::string node_name;   ///< "": of the credential, else the host name

  bool operator==(const Api&) const = default;
};

struct Repair {
  RepairMode mode = RepairMode::del;
  bool evict = false;  ///< delete through the eviction API
  std::string sidecar_annotation = "sidecar.istio.io/status";
  std::string init_container_name = "istio-validation";
  std::string init_container_termination_message;
  int init_container_exit_code = 126;  ///< 0: any
  std::string label_selectors;
  std::string field_selectors;
  std::string label_key = "cni.istio.io/uninitialized";
  std::string label_value = "true";
  int per_owner = 3;  ///< in 10 minutes
  int per_node = 30;  ///< in a minute

  bool operator==(const Repair&) const = default;
};

struct Config {
  logging::Level log_level = logging::Level::info;
  std::string run_dir = "/run/istio-cni";
  std::string state_dir = "/var/lib/istio-cni-node";
  /// Put before the host's paths; "/host" in the DaemonSet.
  std::string host_root;
  bool log_relay = false;  ///< log.sock, for DaemonSet mode
  Api api;
  Install install;
  Plugin plugin;
  Repair repair;
  Endpoint metrics{true, "", 15014};
  Endpoint health{true, "", 8000};

  bool operator==(const Config&) const = default;
};

/// Where a value came from, for print-config.
struct Source {
  enum class Kind { built_in, file, environment, flag };
  Kind kind = Kind::built_in;
  std::string where;  ///< "FILE:LINE", the variable's or the flag's name
};

/// A complaint with its place: "FILE:LINE:COLUMN: KEY: MESSAGE". For variables and
/// flags the key is the name that was given: "environment: NAME: MESSAGE".
struct Problem {
  std::string file;  ///< or "environment", "command line"
  int line = 0;      ///< from 1; 0 where there are no lines
  int column = 0;
  std::string key;  ///< "install.mode"
  std::string message;

  [[nodiscard]] std::string text() const;
  bool operator==(const Problem&) const = default;
};

struct Loaded {
  Config config;
  std::map<std::string, Source> sources;  ///< every key
  std::vector<Problem> warnings;          ///< accepted and without effect
};

/// Text of one file; `name` is for messages.
struct File {
  std::string name;
  std::string text;
};

/// Pure. All problems found, not only the first.
struct Outcome {
  Loaded loaded;
  std::vector<Problem> problems;  ///< empty: `loaded` may be used
};
/// `environment` as "NAME=VALUE" strings, `arguments` without the program's name and
/// subcommand; --config is the caller's, and skipped. In a level, our own names
/// outrank those of the known agent.
Outcome load(const std::vector<File>& files, const std::vector<std::string>& environment,
             const std::vector<std::string>& arguments);

/// config.yaml (may be missing when `path` is the default) and *.yaml of
/// config.d beside it, in order of their names; hidden files and other endings
/// are ignored. At most 1 MiB each, regular files only. Problems name what
/// cannot be read.
struct Files {
  std::vector<File> files;
  std::vector<Problem> problems;
};
inline constexpr std::string_view default_path = "/etc/istio-cni-node/config.yaml";
Files read_files(const std::string& path);

/// "key: value   # from where", one line a key, valid YAML.
std::string print(const Loaded& loaded);
/// What differs, one "key: old -> new" each; `restart` where a reload cannot
/// apply it (run_dir, state_dir, host_root).
struct Change {
  std::string key;
  std::string from;
  std::string to;
  bool restart = false;
};
std::vector<Change> differences(const Config& from, const Config& to);

/// The shipped /etc/istio-cni-node/config.yaml: every key with its default,
/// commented out, and what it means. Made from the same table as the rest.
std::string documented_file();
/// Text of --help's flags.
std::string flags_help();

}  // namespace config
