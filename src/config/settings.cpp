#include "config/settings.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.hpp"
#include "config/values.hpp"

namespace config {
namespace {

using base::cat;
using base::quote;
using base::Status;
using Help = std::vector<std::string>;

/// Reaches a member of the configuration; made of a generic lambda without captures.
template <typename T>
struct Member {
  template <typename Access>
  Member(Access)
      : write([](Config& config) -> T& { return Access{}(config); }),
        read([](const Config& config) -> const T& { return Access{}(config); }) {}

  T& (*write)(Config&);
  const T& (*read)(const Config&);
};

template <typename T>
Status store(base::Result<T> parsed, T& member) {
  if (!parsed) return std::move(parsed).error();
  member = *std::move(parsed);
  return base::success();
}

/// Text, after `parse` has checked it and brought it into one form.
Setting parsed_text(std::string key, Member<std::string> member,
                    base::Result<std::string> (*parse)(std::string_view), Help help) {
  return {.key = std::move(key),
          .kind = Kind::text,
          .words = {},
          .set = [member, parse](
                     Config& config,
                     const Value& value) { return store(parse(value.text), member.write(config)); },
          .print = [member](const Config& config) { return yaml_text(member.read(config)); },
          .restart = false,
          .help = std::move(help)};
}

using Check = Status (*)(std::string_view);

/// Text as it is; `check` is not asked about "" when that is `optional`.
Setting text(std::string key, Member<std::string> member, bool optional, Check check, Help help) {
  auto setting = parsed_text(std::move(key), member, nullptr, std::move(help));
  setting.set = [member, optional, check](Config& config, const Value& value) -> Status {
    if (!optional || !value.text.empty())
      if (auto status = check(value.text); !status) return status;
    member.write(config) = value.text;
    return base::success();
  };
  return setting;
}

template <typename T>
Setting word(std::string key, Member<T> member, std::vector<std::pair<std::string, T>> words,
             Help help) {
  Setting setting{.key = std::move(key),
                  .kind = Kind::word,
                  .words = {},
                  .set = {},
                  .print = {},
                  .restart = false,
                  .help = std::move(help)};
  for (const auto& [name, value] : words) setting.words.push_back(name);
  setting.print = [member, words](const Config& config) {
    const auto found = std::find_if(words.begin(), words.end(), [&](const auto& entry) {
      return entry.second == member.read(config);
    });
    return yaml_text(found == words.end() ? std::string_view() : found->first);
  };
  setting.set = [member, words = std::move(words), names = setting.words](
                    Config& config, const Value& value) -> Status {
    for (const auto& [name, meaning] : words) {
      if (name != value.text) continue;
      member.write(config) = meaning;
      return base::success();
    }
    const auto meant = nearest(value.text, names);
    return base::Error{
        base::Errc::invalid_input,
        cat(quote(value.text), " is not allowed here; allowed: ", alternatives(names),
            meant.empty() ? "" : cat("; did you mean ", meant, "?"))};
  };
  return setting;
}

Setting boolean(std::string key, Member<bool> member, Help help) {
  return {
      .key = std::move(key),
      .kind = Kind::boolean,
      .words = {},
      .set = [member](Config& config, const Value& value) -> Status {
        if (value.text != "true" && value.text != "false")
          return base::Error{base::Errc::invalid_input,
                             cat(quote(value.text), " is neither true nor false")};
        member.write(config) = value.text == "true";
        return base::success();
      },
      .print = [member](const Config& config) { return member.read(config) ? "true" : "false"; },
      .restart = false,
      .help = std::move(help)};
}

Setting number(std::string key, Member<int> member, int min, int max, Help help) {
  return {.key = std::move(key),
          .kind = Kind::number,
          .words = {},
          .set =
              [member, min, max](Config& config, const Value& value) {
                return store(parse_number(value.text, min, max), member.write(config));
              },
          .print = [member](const Config& config) { return cat(member.read(config)); },
          .restart = false,
          .help = std::move(help)};
}

/// `parse` checks one element.
Setting list(std::string key, Member<std::vector<std::string>> member,
             base::Result<std::string> (*parse)(std::string_view), Help help) {
  return {.key = std::move(key),
          .kind = Kind::list,
          .words = {},
          .set = [member, parse](Config& config, const Value& value) -> Status {
            std::vector<std::string> items;
            for (const auto& item : value.items)
              if (auto status = store(parse(item), items.emplace_back()); !status) return status;
            member.write(config) = std::move(items);
            return base::success();
          },
          .print = [member](const Config& config) { return yaml_list(member.read(config)); },
          .restart = false,
          .help = std::move(help)};
}

Setting endpoint(std::string key, Member<Endpoint> member, Help help) {
  return {
      .key = std::move(key),
      .kind = Kind::text,
      .words = {},
      .set =
          [member](Config& config, const Value& value) {
            return store(parse_endpoint(value.text), member.write(config));
          },
      .print =
          [member](const Config& config) { return yaml_text(print_endpoint(member.read(config))); },
      .restart = false,
      .help = std::move(help)};
}

Setting needs_restart(Setting setting) {
  setting.restart = true;
  setting.help.emplace_back("A change takes effect with a restart, not with a reload.");
  return setting;
}

Setting kubeconfig_mode() {
  return {.key = "install.kubeconfig_mode",
          .kind = Kind::mode,
          .words = {},
          .set =
              [](Config& config, const Value& value) {
                return store(parse_mode(value.text), config.install.kubeconfig_mode);
              },
          .print =
              [](const Config& config) {
                return cat("\"", print_mode(config.install.kubeconfig_mode), "\"");
              },
          .restart = false,
          .help = {"Permissions of the plugin's kubeconfig, octal with a leading zero. It holds a",
                   "credential."}};
}

Setting plugin_timeout() {
  return {.key = "plugin.timeout",
          .kind = Kind::text,
          .words = {},
          .set = [](Config& config, const Value& value) -> Status {
            using namespace std::chrono_literals;
            const auto span = parse_duration(value.text);
            if (!span) return span.error();
            if (*span < 1s || *span > 10min)
              return base::Error{base::Errc::invalid_input,
                                 cat(quote(value.text), " is not between 1s and 10m")};
            config.plugin.timeout = *span;
            return base::success();
          },
          .print = [](const Config& config) { return print_duration(config.plugin.timeout); },
          .restart = false,
          .help = {"The longest that one command of the plugin may take: 30s, 1500ms, 2m, or whole",
                   "seconds (1s to 10m)."}};
}

const std::vector<std::pair<std::string, logging::Level>> levels = {
    {"debug", logging::Level::debug}, {"info", logging::Level::info},
    {"warn", logging::Level::warn},   {"error", logging::Level::error},
    {"fatal", logging::Level::fatal}, {"none", logging::Level::none}};

Status list_name(std::string_view name) { return check_file_name(name, {".conflist"}); }
Status own_name(std::string_view name) { return check_file_name(name, {".conf", ".conflist"}); }
Status runtime_name(std::string_view name) {
  return check_file_name(name, {".conf", ".conflist", ".json"});
}
Status lines_of_text(std::string_view value) { return check_text(value, true); }
base::Result<std::string> parse_namespace(std::string_view name) {
  if (auto status = check_namespace(name); !status) return std::move(status).error();
  return std::string(name);
}

// NOLINTNEXTLINE(bugprone-macro-parentheses): a member cannot stand in parentheses
#define MEMBER(path) [](auto& c) -> auto& { return c.path; }

std::vector<Setting> make_settings() {
  std::vector<Setting> all;
  const auto add = [&](Setting setting) { all.push_back(std::move(setting)); };

  add(needs_restart(parsed_text("run_dir", MEMBER(run_dir), parse_run_dir,
                                {"Folder of the agent's sockets and the plugin's kubeconfig."})));
  add(needs_restart(parsed_text(
      "state_dir", MEMBER(state_dir), parse_path,
      {"Folder of the record of what was installed where, which uninstalling needs."})));
  add(needs_restart(parsed_text(
      "host_root", MEMBER(host_root), parse_optional_path,
      {"Where the host's files are: \"\" for a service of the host, /host in a DaemonSet. It is",
       "put before the paths of the host that are named below."})));
  add(boolean("log_relay", MEMBER(log_relay),
              {"Listen on log.sock in run_dir and write the plugin's log lines to standard output;",
               "for a DaemonSet, so that kubectl logs shows them."}));

  add(word<logging::Level>(
      "log.level", MEMBER(log_level), levels,
      {"The least severe messages that are logged: debug, info, warn, error,", "fatal or none."}));

  add(parsed_text(
      "api.kubeconfig", MEMBER(api.kubeconfig), parse_optional_path,
      {"Credential for the API server. \"\": kubeconfig in /etc/istio-cni-node if there",
       "is one, else the kubelet's, else the pod's service account."}));
  add(text("api.node_name", MEMBER(api.node_name), true, check_node_name,
           {"This node's name in the cluster. \"\": the credential's, else the host's name."}));

  add(word<InstallMode>("install.mode", MEMBER(install.mode),
                        {{"chained", InstallMode::chained},
                         {"owned", InstallMode::owned},
                         {"standalone", InstallMode::standalone}},
                        {"chained: an entry at the end of the list that the runtime loads first.",
                         "owned: a list of our own that sorts first and follows the primary's.",
                         "standalone: a file of our own with our plugin only, for Multus."}));
  add(boolean("install.gate", MEMBER(install.gate),
              {"With mode owned: refuse pods until there is a primary network, so that none starts",
               "without the mesh's plugin on a fresh node."}));
  add(parsed_text(
      "install.cni_conf_dir", MEMBER(install.cni_conf_dir), parse_optional_path,
      {"Folder of network configurations. \"\": as the container runtime is configured."}));
  add(list("install.cni_bin_dirs", MEMBER(install.cni_bin_dirs), parse_path,
           {"Folders of plugins, a list. []: as the container runtime is configured."}));
  add(text("install.cni_conf_name", MEMBER(install.cni_conf_name), true, runtime_name,
           {"With mode chained: the file to edit. \"\": the one that the runtime loads first."}));
  add(text("install.owned_conf_name", MEMBER(install.owned_conf_name), false, list_name,
           {"Name of our own list (.conflist). It must sort before the primary's file."}));
  add(text("install.standalone_conf_name", MEMBER(install.standalone_conf_name), false, own_name,
           {"Name of our own file with mode standalone (.conf or .conflist)."}));
  add(kubeconfig_mode());
  add(boolean("install.conf_group_read", MEMBER(install.conf_group_read),
              {"Let the group read network configurations of our own (0640 instead of 0600)."}));
  add(word<OnStop>(
      "install.on_stop", MEMBER(install.on_stop),
      {{"keep", OnStop::keep}, {"remove", OnStop::remove}, {"auto", OnStop::automatic}},
      {"What stopping the agent does to the installation. keep: nothing. remove: takes it out.",
       "auto, for a DaemonSet: takes it out unless the DaemonSet still wants this node."}));
  add(parsed_text("install.plugin_binary", MEMBER(install.plugin_binary), parse_path,
                  {"The plugin that is copied into the runtime's folders."}));

  add(word<logging::Level>("plugin.log_level", MEMBER(plugin.log_level), levels,
                           {"As log.level, for the plugin; takes effect with the next pod."}));
  add(word<cni::BackendChoice>("plugin.backend", MEMBER(plugin.backend),
                               {{"auto", cni::BackendChoice::automatic},
                                {"nftables", cni::BackendChoice::nftables},
                                {"iptables", cni::BackendChoice::iptables}},
                               {"How pods are redirected: auto, nftables or iptables."}));
  add(list("plugin.exclude_namespaces", MEMBER(plugin.exclude_namespaces), parse_namespace,
           {"Namespaces whose pods are never redirected, a list."}));
  add(text("plugin.agent_namespace", MEMBER(plugin.agent_namespace), true, check_namespace,
           {"Namespace of the agent's DaemonSet, whose own pods must be able to start. \"\" on a",
            "host."}));
  add(plugin_timeout());

  add(word<RepairMode>(
      "repair.mode", MEMBER(repair.mode),
      {{"off", RepairMode::off},
       {"delete", RepairMode::del},
       {"repair", RepairMode::repair},
       {"repair-then-delete", RepairMode::repair_then_delete},
       {"label", RepairMode::label}},
      {"What is done to pods that started without redirection: off, delete, repair",
       "(redirect them in place), repair-then-delete, or label."}));
  add(boolean("repair.evict", MEMBER(repair.evict),
              {"Delete by eviction, which respects disruption budgets."}));
  add(text("repair.sidecar_annotation", MEMBER(repair.sidecar_annotation), true,
           check_qualified_name, {"Only pods with this annotation are looked at. \"\": all."}));
  add(text("repair.init_container_name", MEMBER(repair.init_container_name), true,
           check_container_name,
           {"The init container whose failure shows a broken pod. \"\": any."}));
  add(text("repair.init_container_termination_message",
           MEMBER(repair.init_container_termination_message), true, lines_of_text,
           {"Its termination message. \"\": any."}));
  add(number("repair.init_container_exit_code", MEMBER(repair.init_container_exit_code), 0, 255,
             {"Its exit code. 0: any."}));
  add(text("repair.label_selectors", MEMBER(repair.label_selectors), true, check_label_selector,
           {"Only pods with these labels, such as \"app=web,tier!=test\". \"\": all."}));
  add(text("repair.field_selectors", MEMBER(repair.field_selectors), true, check_field_selector,
           {"Only pods with these fields, such as \"metadata.namespace!=test\". \"\": all."}));
  add(text("repair.label_key", MEMBER(repair.label_key), false, check_qualified_name,
           {"With mode label: the label that broken pods get."}));
  add(text("repair.label_value", MEMBER(repair.label_value), true, check_label_value,
           {"Its value."}));
  add(number("repair.per_owner", MEMBER(repair.per_owner), 1, 1'000'000,
             {"The most repairs of the pods of one owner in 10 minutes."}));
  add(number("repair.per_node", MEMBER(repair.per_node), 1, 1'000'000,
             {"The most repairs on this node in a minute."}));

  add(endpoint(
      "metrics.address", MEMBER(metrics),
      {"Where /metrics is served: HOST:PORT, [IPV6]:PORT, :PORT for every address, or off."}));
  add(endpoint("health.address", MEMBER(health),
               {"Where /healthz and /readyz are served, written as metrics.address."}));
  return all;
}

#undef MEMBER

constexpr std::pair<std::string_view, std::string_view> sections[] = {
    {"log", "The agent's own log."},
    {"api", "The Kubernetes API server."},
    {"install", "How the plugin is installed, and kept installed."},
    {"plugin", "What the plugin is told."},
    {"repair", "Pods that started before the plugin was there."},
    {"metrics", "Metrics for Prometheus."},
    {"health", "Readiness for probes."}};

}  // namespace

std::string Setting::section() const {
  const auto dot = key.find('.');
  return dot == std::string::npos ? std::string() : key.substr(0, dot);
}

std::string Setting::name() const {
  const auto dot = key.find('.');
  return dot == std::string::npos ? key : key.substr(dot + 1);
}

std::string Setting::variable() const {
  std::string out = cat("ISTIO_CNI_", key);
  for (char& c : out) c = c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::string Setting::flag() const {
  auto out = key;
  for (char& c : out)
    if (c == '.' || c == '_') c = '-';
  return out;
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = make_settings();
  return all;
}

const Setting* find_setting(std::string_view key) {
  for (const auto& setting : settings())
    if (setting.key == key) return &setting;
  return nullptr;
}

std::string_view section_help(std::string_view section) {
  for (const auto& [name, help] : sections)
    if (name == section) return help;
  return {};
}

bool is_section(std::string_view name) { return !section_help(name).empty(); }

base::Result<Value> value_of_text(const Setting& setting, std::string_view text) {
  Value value;
  if (setting.kind == Kind::list) {
    for (const auto part : base::split(text, ','))
      if (const auto item = base::trim(part); !item.empty()) value.items.emplace_back(item);
  } else if (setting.kind == Kind::boolean) {
    const auto parsed = base::parse_go_bool(text);
    if (!parsed)
      return base::Error{base::Errc::invalid_input,
                         cat(quote(text), " is not a boolean; allowed: true or false")};
    value.text = *parsed ? "true" : "false";
  } else {
    value.text = std::string(text);
  }
  return value;
}

}  // namespace config
