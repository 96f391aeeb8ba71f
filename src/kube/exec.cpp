#include "kube/exec.hpp"

#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/program.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Clock = std::chrono::system_clock;

constexpr std::size_t max_output = std::size_t{1} << 20;

struct Cache {
  std::mutex mutex;
  std::map<ExecConfig, ExecCredential> answers;
};

Cache& cache() {
  static Cache instance;
  return instance;
}

std::vector<std::string> environment(const ExecConfig& config) {
  auto info = nlohmann::json{{"apiVersion", config.api_version},
                             {"kind", "ExecCredential"},
                             {"spec", {{"interactive", false}}}};
  auto added = config.env;
  added.emplace_back("KUBERNETES_EXEC_INFO", info.dump());
  std::vector<std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    auto name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : added) replaced = replaced || key == name;
    if (!replaced) out.emplace_back(text);
  }
  for (const auto& [key, value] : added) out.push_back(cat(key, '=', value));
  return out;
}

base::Result<std::string> run(const ExecConfig& config, base::Deadline deadline) {
  auto end =
      base::run_program({config.command, config.args, environment(config), max_output}, deadline);
  if (!end) return std::move(end).error();
  if (end->status == 0) return std::move(end->output);
  const auto said = base::trim(end->complaints);
  return Error{Errc::unavailable,
               said.empty() ? end->how() : cat(end->how(), ": ", base::quote(said, 300))};
}

}  // namespace

base::Result<ExecCredential> parse_exec_credential(std::string_view text,
                                                   std::string_view api_version) {
  auto bad = [](std::string message) { return Error{Errc::invalid_input, std::move(message)}; };
  auto json = base::parse_json(text, "its output");
  if (!json) return std::move(json).error();
  if (!json->is_object()) return bad("its output is not a JSON object");
  auto field = [](const nlohmann::ordered_json& object, const char* key) -> std::string {
    auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (field(*json, "kind") != "ExecCredential") return bad("its output is not an ExecCredential");
  if (field(*json, "apiVersion") != api_version)
    return bad(cat("it answers with apiVersion ", base::quote(field(*json, "apiVersion")),
                   ", expected ", base::quote(api_version)));
  auto status = json->find("status");
  if (status == json->end() || !status->is_object()) return bad("its output has no status");
  for (const char* key :
       {"token", "clientCertificateData", "clientKeyData", "expirationTimestamp"}) {
    auto found = status->find(key);
    if (found != status->end() && !found->is_string() && !found->is_null())
      return bad(cat("status.", key, " is not a string"));
  }
  ExecCredential out;
  out.token = field(*status, "token");
  out.cert_pem = field(*status, "clientCertificateData");
  out.key_pem = field(*status, "clientKeyData");
  if (out.cert_pem.empty() != out.key_pem.empty())
    return bad("status has only one of clientCertificateData and clientKeyData");
  if (out.token.empty() && out.cert_pem.empty())
    return bad("status has neither a token nor a client certificate");
  if (auto when = field(*status, "expirationTimestamp"); !when.empty()) {
    out.expires = base::parse_rfc3339(when);
    if (!out.expires)
      return bad(cat("status.expirationTimestamp is not an RFC 3339 time: ", base::quote(when)));
  }
  return out;
}

base::Result<ExecCredential> exec_credential(const ExecConfig& config, base::Deadline deadline) {
  constexpr auto margin = std::chrono::seconds(10);
  try {
    {
      std::lock_guard lock(cache().mutex);
      auto known = cache().answers.find(config);
      if (known != cache().answers.end() &&
          (!known->second.expires || *known->second.expires - margin > Clock::now()))
        return known->second;
    }
    auto what = cat("exec ", base::quote(config.command));
    auto output = run(config, deadline);
    if (!output) {
      auto error = std::move(output).error().wrap(what);
      if (error.sys == ENOENT && !config.install_hint.empty())
        error.message += cat(" (", base::quote(config.install_hint, 500), ")");
      return error;
    }
    auto credential = parse_exec_credential(*output, config.api_version);
    if (!credential) return std::move(credential).error().wrap(what);
    std::lock_guard lock(cache().mutex);
    cache().answers[config] = *credential;
    return credential;
  } catch (const std::exception& error) {
    return Error{Errc::io, cat("exec ", base::quote(config.command), ": ", error.what())};
  }
}

void forget_exec_credentials() {
  std::lock_guard lock(cache().mutex);
  cache().answers.clear();
}

}  // namespace kube
