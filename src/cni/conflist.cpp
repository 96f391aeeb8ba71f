#include "cni/conflist.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "cni/conflist_parse.hpp"

namespace cni {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using detail::Json;

constexpr std::string_view record_key = "istioCni";
constexpr std::string_view origin_key = "derivedFrom";
/// Networks of ours that carry no other plugin.
constexpr std::string_view own_network = "istio-cni";
/// For a single plugin without a name; the one that other tools fill in.
constexpr std::string_view fallback_network = "k8s-pod-network";
constexpr std::string_view gate_version = "1.1.0";
constexpr std::string_view standalone_version = "0.3.1";

Error bad(std::string_view what, std::string_view problem) {
  return Error{Errc::invalid_input, cat(what, " ", problem)};
}

const Json* find(const Json& object, std::string_view key) {
  auto at = object.find(std::string(key));
  return at == object.end() ? nullptr : &*at;
}

/// A string, or "" where the key is absent or null: how Go fills a field.
base::Result<std::string> optional_string(const Json& object, std::string_view key,
                                          std::string_view what) {
  const auto* value = find(object, key);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string()) return bad(what, cat("has a ", key, " that is not a string"));
  return value->get<std::string>();
}

/// What is checked of every plugin, in a list or alone; gives its type.
base::Result<std::string> plugin_type_of(const Json& plugin, std::string_view what) {
  if (!plugin.is_object()) return bad(what, "is not an object");
  for (auto key : {"name", "cniVersion"})
    if (auto value = optional_string(plugin, key, what); !value) return value;
  auto type = optional_string(plugin, "type", what);
  if (type && type->empty()) return bad(what, "has no type");
  return type;
}

bool closes_gate(const Json& plugin) {
  const auto* gate = find(plugin, "gate");
  return detail::is_ours(plugin) && gate != nullptr && gate->is_boolean() && gate->get<bool>();
}

base::Result<Network> read_single(const Json& document, std::string_view what) {
  auto type = plugin_type_of(document, what);
  if (!type) {
    if (!document.contains("type") && document.contains("plugins"))
      return bad(what, "holds a list, which runtimes read only from a file named .conflist");
    return std::move(type).error();
  }
  Network network;
  network.kind = FileKind::single;
  network.name = *optional_string(document, "name", what);
  network.cni_version = *optional_string(document, "cniVersion", what);
  network.plugin_types.push_back(std::move(*type));
  network.gate = closes_gate(document);
  return network;
}

/// Keys of a list that libcni checks and nothing else uses.
base::Status check_disable_check(const Json& document, std::string_view what) {
  const auto* value = find(document, "disableCheck");
  if (value == nullptr || value->is_boolean()) return base::success();
  if (value->is_string()) {
    const auto word = base::to_lower(value->get<std::string>());
    if (word == "true" || word == "false") return base::success();
  }
  return bad(what, "has a disableCheck that is neither true nor false");
}

std::string list_text(std::string_view version, std::string_view name, Json plugin) {
  Json list = Json::object();
  list["cniVersion"] = version;
  list["name"] = name;
  list["plugins"] = Json::array({std::move(plugin)});
  return detail::dump(list, 2) + "\n";
}

Json origin(std::string_view file_name) {
  Json record = Json::object();
  record[std::string(origin_key)] = file_name;
  return record;
}

}  // namespace

namespace detail {

base::Result<Json> parse_config(std::string_view text, std::string_view what) {
  if (text.empty()) return bad(what, "is empty");
  if (text.starts_with("\xEF\xBB\xBF"))
    return bad(what, "starts with a byte order mark, which runtimes refuse");
  if (text.find('\0') != std::string_view::npos)
    return bad(what, "has NUL bytes, as an interrupted write leaves them");
  auto document = base::parse_json(text, what);
  if (document && !document->is_object()) return bad(what, "is not a JSON object");
  return document;
}

base::Result<Network> read_list(const Json& document, std::string_view what) {
  Network network;
  network.kind = FileKind::list;
  // unlike a plugin's, a list's keys must not be null
  const auto* name = find(document, "name");
  if (name == nullptr || !name->is_string() || name->get_ref<const std::string&>().empty())
    return bad(what, "has no name");
  network.name = name->get<std::string>();
  if (const auto* version = find(document, "cniVersion")) {
    if (!version->is_string()) return bad(what, "has a cniVersion that is not a string");
    network.cni_version = version->get<std::string>();
  }
  if (auto status = check_disable_check(document, what); !status) return std::move(status).error();

  const auto* plugins = find(document, "plugins");
  if (plugins == nullptr) return bad(what, "has no plugins: it is not a list");
  if (!plugins->is_array()) return bad(what, "has plugins that are not a list");
  if (plugins->empty()) return bad(what, "has an empty list of plugins");
  for (std::size_t i = 0; i < plugins->size(); ++i) {
    auto type = plugin_type_of((*plugins)[i], cat(what, ": plugin ", i + 1));
    if (!type) return std::move(type).error();
    network.plugin_types.push_back(std::move(*type));
    if (closes_gate((*plugins)[i])) network.gate = true;
  }
  if (const auto* record = find(document, record_key); record != nullptr && record->is_object()) {
    const auto* from = find(*record, origin_key);
    if (from != nullptr && from->is_string()) network.derived_from = from->get<std::string>();
  }
  return network;
}

bool is_ours(const Json& plugin) {
  if (!plugin.is_object()) return false;
  const auto* type = find(plugin, "type");
  return type != nullptr && type->is_string() && type->get_ref<const std::string&>() == plugin_type;
}

std::string dump(const Json& json, int indentation) {
  return json.dump(indentation, ' ', false, Json::error_handler_t::replace);
}

}  // namespace detail

int Network::our_position() const {
  const auto at = std::find(plugin_types.begin(), plugin_types.end(), plugin_type);
  return at == plugin_types.end() ? -1 : static_cast<int>(at - plugin_types.begin());
}

Json entry_json(const PluginEntry& entry, std::string_view cni_version) {
  Json json = Json::object();
  json["name"] = plugin_type;
  json["type"] = plugin_type;
  if (!cni_version.empty()) json["cniVersion"] = cni_version;
  json["plugin_log_level"] = entry.log_level;
  json["cni_agent_run_dir"] = entry.run_dir;
  if (!entry.kubeconfig.empty()) json["kubeconfig"] = entry.kubeconfig;
  json["ambient_enabled"] = false;
  json["enablement_selectors"] = Json::array();
  json["exclude_namespaces"] = Json(entry.exclude_namespaces);
  json["pod_namespace"] = entry.agent_namespace;
  json["native_nftables"] = entry.backend == BackendChoice::nftables;
  if (entry.backend == BackendChoice::nftables) json["backend"] = "nftables";
  if (entry.backend == BackendChoice::iptables) json["backend"] = "iptables";
  if (entry.timeout != PluginEntry{}.timeout) {
    const auto millis = entry.timeout.count();
    if (millis % 1000 == 0)
      json["timeout_seconds"] = millis / 1000;
    else
      json["timeout_seconds"] = static_cast<double>(millis) / 1000;
  }
  json["enable_ambient_detection_retry"] = false;
  return json;
}

base::Result<Network> inspect(std::string_view file_name, std::string_view content) {
  const bool list = file_name.ends_with(".conflist");
  if (!list && !file_name.ends_with(".conf") && !file_name.ends_with(".json"))
    return Error{Errc::not_found,
                 cat(file_name,
                     " is no network configuration: runtimes read files that end in "
                     ".conflist, .conf or .json")};
  auto document = detail::parse_config(content, file_name);
  if (!document) return std::move(document).error();
  return list ? detail::read_list(*document, file_name) : read_single(*document, file_name);
}

base::Result<std::string> derived_list(std::string_view file_name, std::string_view content,
                                       const PluginEntry& entry) {
  auto network = inspect(file_name, content);
  if (!network) return std::move(network).error();
  auto document = detail::parse_config(content, file_name);
  if (!document) return std::move(document).error();

  Json plugins = Json::array();
  auto keep = [&plugins](const Json& plugin) {
    if (!detail::is_ours(plugin)) plugins.push_back(plugin);
  };
  Json list = Json::object();
  if (network->kind == FileKind::list) {
    for (const auto& plugin : document->at("plugins")) keep(plugin);
    for (const auto& [key, value] : document->items()) {
      if (key == record_key) continue;
      if (key == "plugins") list[std::string(record_key)] = origin(file_name);
      list[key] = value;
    }
  } else {
    if (const auto* version = find(*document, "cniVersion");
        version != nullptr && !version->is_null())
      list["cniVersion"] = *version;
    list["name"] = network->name.empty() ? fallback_network : std::string_view(network->name);
    list[std::string(record_key)] = origin(file_name);
    document->erase("cniVersion");
    keep(*document);
  }
  if (plugins.empty()) return bad(file_name, cat("has no plugin but ", plugin_type));
  plugins.push_back(entry_json(entry));
  list["plugins"] = std::move(plugins);
  return detail::dump(list, 2) + "\n";
}

std::string gate_list(const PluginEntry& entry) {
  auto plugin = entry_json(entry);
  plugin["gate"] = true;
  return list_text(gate_version, own_network, std::move(plugin));
}

std::string standalone_conf(const PluginEntry& entry) {
  return detail::dump(entry_json(entry, standalone_version), 2) + "\n";
}

}  // namespace cni
