#include "cni/netconf.hpp"

#include <cmath>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace cni {
namespace {

using base::cat;
using base::quote;
using Json = nlohmann::ordered_json;

Failure wrong_type(std::string_view key, std::string_view expected) {
  return Failure{Code::decoding_failure, cat("network configuration: ", key, " is not ", expected),
                 ""};
}

/// A key's value, or nullptr when it is absent or null.
const Json* value_of(const Json& json, std::string_view key) {
  auto at = json.find(std::string(key));
  return at == json.end() || at->is_null() ? nullptr : &*at;
}

std::optional<Failure> read_string(const Json& json, std::string_view key, std::string& out) {
  const auto* value = value_of(json, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return wrong_type(key, "a string");
  out = value->get<std::string>();
  return std::nullopt;
}

std::optional<Failure> read_bool(const Json& json, std::string_view key, bool& out) {
  const auto* value = value_of(json, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return wrong_type(key, "true or false");
  out = value->get<bool>();
  return std::nullopt;
}

/// libcni's rule for network names: a letter or digit, then those and _ . -
bool valid_name(std::string_view name) {
  auto alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || !alnum(name[0])) return false;
  for (char c : name)
    if (!alnum(c) && c != '_' && c != '.' && c != '-') return false;
  return true;
}

}  // namespace

std::variant<Netconf, Failure> parse_netconf(std::string_view text) {
  auto parsed = base::parse_json(text, "network configuration");
  if (!parsed)
    return Failure{Code::decoding_failure, parsed.error().message,
                   cat("received: ", quote(text, 4096))};
  const auto& json = *parsed;
  if (!json.is_object())
    return Failure{Code::decoding_failure, "network configuration is not a JSON object", ""};

  std::string version_text;
  if (auto failure = read_string(json, "cniVersion", version_text)) return *failure;
  if (version_text.empty()) version_text = "0.1.0";  // the specification's default
  auto version = Version::parse(version_text);
  if (!version)
    return Failure{Code::incompatible_version,
                   cat("incompatible CNI versions: the configuration asks for ",
                       quote(version_text), ", supported are 0.1.0 to 1.1.0"),
                   ""};
  Netconf conf{.version = *version,
               .name = {},
               .log_level = {},
               .kubeconfig = {},
               .exclude_namespaces = {},
               .agent_namespace = {},
               .prev_result = {}};
  if (auto failure = read_string(json, "name", conf.name)) return *failure;
  if (!valid_name(conf.name))
    return Failure{Code::invalid_config,
                   conf.name.empty()
                       ? std::string("network configuration has no name")
                       : cat("network configuration: name ", quote(conf.name),
                             " has characters other than letters, digits, '_', '.', '-'"),
                   ""};
  if (auto failure = read_string(json, "plugin_log_level", conf.log_level)) return *failure;
  if (auto failure = read_string(json, "cni_agent_run_dir", conf.run_dir)) return *failure;
  if (conf.run_dir.empty()) conf.run_dir = "/run/istio-cni";
  if (auto failure = read_string(json, "kubeconfig", conf.kubeconfig)) return *failure;
  if (conf.kubeconfig.empty()) conf.kubeconfig = conf.run_dir + "/istio-cni-kubeconfig";
  if (auto failure = read_string(json, "pod_namespace", conf.agent_namespace)) return *failure;

  if (const auto* list = value_of(json, "exclude_namespaces")) {
    if (!list->is_array()) return wrong_type("exclude_namespaces", "a list of strings");
    for (const auto& item : *list) {
      if (!item.is_string()) return wrong_type("exclude_namespaces", "a list of strings");
      conf.exclude_namespaces.push_back(item.get<std::string>());
    }
  }
  // accepted for existing entries; they steer ambient mode only
  bool ignored = false;
  for (auto key : {"ambient_enabled", "enable_ambient_detection_retry"})
    if (auto failure = read_bool(json, key, ignored)) return *failure;
  if (const auto* selectors = value_of(json, "enablement_selectors");
      selectors != nullptr && !selectors->is_array())
    return wrong_type("enablement_selectors", "a list");

  if (auto failure = read_bool(json, "gate", conf.gate)) return *failure;

  bool native_nftables = false;
  if (auto failure = read_bool(json, "native_nftables", native_nftables)) return *failure;
  if (native_nftables) conf.backend = BackendChoice::nftables;
  std::string backend;
  if (auto failure = read_string(json, "backend", backend)) return *failure;
  if (backend == "nftables") {
    conf.backend = BackendChoice::nftables;
  } else if (backend == "iptables") {
    conf.backend = BackendChoice::iptables;
  } else if (backend == "auto") {
    conf.backend = BackendChoice::automatic;
  } else if (!backend.empty()) {
    return Failure{Code::invalid_config,
                   cat("network configuration: backend is ", quote(backend),
                       "; allowed: auto, nftables, iptables"),
                   ""};
  }
  if (const auto* timeout = value_of(json, "timeout_seconds")) {
    if (!timeout->is_number()) return wrong_type("timeout_seconds", "a number");
    const auto seconds = timeout->get<double>();
    if (!(seconds >= 0.001 && seconds <= 600))
      return Failure{Code::invalid_config,
                     "network configuration: timeout_seconds is not between 0.001 and 600", ""};
    conf.timeout = std::chrono::milliseconds(std::llround(seconds * 1000));
  }
  if (const auto* previous = value_of(json, "prevResult")) conf.prev_result = *previous;
  return conf;
}

// --- results -----------------------------------------------------------

namespace {

Failure bad_result(std::string_view what) {
  return Failure{Code::decoding_failure, cat("network configuration: prevResult", what), ""};
}

/// Lists of objects with one required string each; nothing else is looked at.
std::optional<Failure> check_list(const Json& result, std::string_view list,
                                  std::string_view required) {
  const auto* items = value_of(result, list);
  if (items == nullptr) return std::nullopt;
  if (!items->is_array()) return bad_result(cat(".", list, " is not a list"));
  for (const auto& item : *items) {
    if (!item.is_object()) return bad_result(cat(".", list, " has an element that is no object"));
    const auto* value = value_of(item, required);
    if (value == nullptr || !value->is_string())
      return bad_result(cat(".", list, " has an element without ", required));
  }
  return std::nullopt;
}

bool is_v6(std::string_view address) { return address.find(':') != std::string_view::npos; }

}  // namespace

std::variant<std::string, Failure> result_json(const Netconf& conf) {
  const auto first_list = *Version::parse("0.3.0");
  const auto first_without_ip_version = *Version::parse("1.0.0");
  Json result = conf.prev_result ? *conf.prev_result : Json::object();
  if (!result.is_object()) return bad_result(" is not an object");
  std::string own_version;
  if (const auto* value = value_of(result, "cniVersion")) {
    if (!value->is_string()) return bad_result(".cniVersion is not a string");
    own_version = value->get<std::string>();
  }
  if (!own_version.empty() && own_version != conf.version.text()) {
    // before 0.3.0 the two versions are one format
    const auto parsed = Version::parse(own_version);
    if (!(parsed && *parsed < first_list && conf.version < first_list))
      return bad_result(
          cat(" has cniVersion ", quote(own_version), ", the configuration ", conf.version.text()));
  }
  Json out;
  out["cniVersion"] = conf.version.text();
  for (auto& [key, value] : result.items())
    if (key != "cniVersion") out[key] = value;

  if (conf.version < first_list) {
    if (value_of(out, "ip4") == nullptr && value_of(out, "ip6") == nullptr)
      return Failure{Code::internal,
                     "cannot convert the result: no valid IP addresses (cniVersion 0.1.0 and "
                     "0.2.0 need one)",
                     ""};
  } else {
    if (auto failure = check_list(out, "interfaces", "name")) return *failure;
    if (auto failure = check_list(out, "ips", "address")) return *failure;
    if (auto failure = check_list(out, "routes", "dst")) return *failure;
    if (conf.version < first_without_ip_version && value_of(out, "ips") != nullptr)
      for (auto& ip : out["ips"])
        if (value_of(ip, "version") == nullptr)
          ip["version"] = is_v6(ip["address"].get<std::string>()) ? "6" : "4";
  }
  if (const auto* dns = value_of(out, "dns"); dns != nullptr && !dns->is_object())
    return bad_result(".dns is not an object");
  if (conf.version < first_without_ip_version) {
    if (value_of(out, "dns") == nullptr) out["dns"] = Json::object();
  } else if (const auto* dns = value_of(out, "dns"); dns != nullptr && dns->empty()) {
    out.erase("dns");
  }
  return out.dump() + "\n";
}

}  // namespace cni
