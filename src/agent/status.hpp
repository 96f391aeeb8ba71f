// What the agent tells istio-cnictl about itself and its pods, over agent.sock.
// Pure.
//
//   istio-cnictl -> agent  {"status":{}}
//   agent -> istio-cnictl  {"status":{..}}
//   istio-cnictl -> agent  {"pods":{"after":"NAMESPACE/NAME"}}       one page
//                          {"pods":{"namespace":..,"name":..}}       one pod
//   agent -> istio-cnictl  {"pods":[..],"next":"NAMESPACE/NAME"}     "" at the end
//
// Times are RFC 3339 with microseconds; those that are not known are absent.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace agent {

using Time = std::chrono::system_clock::time_point;

/// Readiness or its sentence changed.
struct Change {
  Time at{};
  bool ready = false;
  /// The list that the runtime loads named the plugin: it ran for the pods that
  /// started, whether or not it could do its work. When absent, as `ready`.
  bool in_list = false;
  std::string sentence;

  bool operator==(const Change&) const = default;
};

struct Status {
  std::string version;  ///< of the agent
  Time started{};
  std::string node_name;
  bool ready = false;
  std::string sentence;         ///< as systemctl status shows it
  std::vector<Change> changes;  ///< oldest first, the last ones only

  struct Installation {
    bool ready = false;
    std::string mode;         ///< "chained", "owned", "standalone"
    std::string description;  ///< "chained in 10-calico.conflist", or why it is not there
    std::string conf_dir;     ///< as the agent sees it
    std::string file;         ///< name in conf_dir; "" for none
    int position = -1;        ///< of our entry, from 0
    int plugins = 0;          ///< in that list
    std::uint64_t foreign_rewrites = 0;
    std::optional<Time> last_foreign_rewrite;
    std::string last_peer;  ///< who that was, when it could be told

    bool operator==(const Installation&) const = default;
  } installation;

  struct Watch {
    std::string phase;  ///< "starting", "listing", "watching", "waiting"
    bool synced = false;
    std::optional<Time> last_contact;
    std::uint64_t lists = 0;
    std::uint64_t restarts = 0;
    std::uint64_t expired = 0;
    std::string error;

    bool operator==(const Watch&) const = default;
  } watch;

  struct Credential {
    std::string what;  ///< "the kubelet's kubeconfig"
    std::string path;
    std::string server;
    std::optional<Time> expires;
    std::string error;  ///< why there is none

    bool operator==(const Credential&) const = default;
  } credential;

  std::uint64_t pods = 0;
  std::uint64_t in_mesh = 0;
  std::string repair_mode;  ///< as in the configuration
  std::uint64_t repaired = 0;
  std::uint64_t held_back = 0;

  bool operator==(const Status&) const = default;
};

/// How the plugin's last ADD for a pod ended.
struct AddReport {
  Time at{};
  std::string decision;  ///< "redirect", "failed", or why it was skipped
  std::string result;    ///< "success" or "error"
  std::string backend;
  std::string container_id;
  std::string netns;
  std::string message;  ///< of the error

  bool operator==(const AddReport&) const = default;
};

struct RepairReport {
  Time at{};
  std::string deed;  ///< "repaired", "repair_failed", "deleted", "evicted", "labelled"
  int attempts = 0;

  bool operator==(const RepairReport&) const = default;
};

struct PodEntry {
  std::string name_space;
  std::string name;
  std::string uid;
  std::string phase;
  std::vector<std::string> ips;
  bool in_mesh = false;
  std::optional<AddReport> add;  ///< of this run of the agent

  using Repair = RepairReport;
  std::optional<Repair> repair;  ///< the last thing done about it
  std::string held_reason;       ///< broken and waiting: as the metric names it, or "failed"
  std::string held_text;

  bool operator==(const PodEntry&) const = default;
};

struct PodPage {
  std::vector<PodEntry> pods;
  std::string next;  ///< to be asked with as `after`; "" at the end

  bool operator==(const PodPage&) const = default;
};

struct StatusQuery {
  bool operator==(const StatusQuery&) const = default;
};

struct PodsQuery {
  std::string after;
  std::string name_space;  ///< with `name`: that pod only
  std::string name;

  bool operator==(const PodsQuery&) const = default;
};

std::string to_json(const StatusQuery& query);
std::string to_json(const PodsQuery& query);
std::string to_json(const Status& status);
std::string to_json(const PodPage& page);

/// Errc::invalid_input for what is no such answer. Keys may be absent and unknown
/// ones are ignored: tool and agent may be of neighbouring versions.
base::Result<Status> parse_status(std::string_view text);
base::Result<PodPage> parse_pods(std::string_view text);

/// As much of `entries`, which are in order, as one message holds; sets `next`.
PodPage page_of(std::vector<PodEntry> entries);

}  // namespace agent
