// Credential plugins: a command named in the kubeconfig that prints a token or
// a client certificate (client.authentication.k8s.io ExecCredential).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"

namespace kube {

struct ExecConfig {
  std::string command;  ///< looked up in PATH unless it contains "/"
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;  ///< added to our own
  std::string api_version;  ///< client.authentication.k8s.io/v1 or /v1beta1
  std::string install_hint;

  auto operator<=>(const ExecConfig&) const = default;
};

struct ExecCredential {
  std::string token;
  std::string cert_pem;
  std::string key_pem;
  std::optional<std::chrono::system_clock::time_point> expires;
};

/// Reads what a plugin printed. Pure. `api_version` is the one asked for.
base::Result<ExecCredential> parse_exec_credential(std::string_view json,
                                                   std::string_view api_version);

/// Runs the plugin, or takes its earlier answer: answers with an expiry are
/// remembered inside the process, by the whole of ExecConfig, until ten seconds
/// before they expire; those without for the life of the process, as client-go does.
/// The plugin gets no standard input, at most 1 MiB of its output is read, and
/// it is killed with its process group when the deadline passes. Two threads
/// may run the same plugin at once. Errors name the command.
base::Result<ExecCredential> exec_credential(const ExecConfig& config, base::Deadline deadline);

/// Forgets every remembered answer, for example after the API server said 401.
void forget_exec_credentials();

}  // namespace kube
