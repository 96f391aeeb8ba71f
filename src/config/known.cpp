#include "config/known.hpp"

#include <array>
#include <optional>

#include "base/strings.hpp"
#include "config/values.hpp"

namespace config {
namespace {

using base::cat;
using base::quote;

enum class Use {
  value,         ///< as our own setting
  if_not_empty,  ///< "" means the default there
  mode,
  port,
  conf_name,
  mounted_dir,
  install_mode,  ///< one of several that make it up
  repair_mode,
  nftables,
  log_levels,
  ambient,
  no_effect,          ///< a warning when it is not empty
  no_effect_if_true,  ///< a warning when it is true
};

struct Row {
  std::string_view variable;
  std::string_view flag;
  Use use;
  std::string_view key;   ///< the setting
  std::string_view note;  ///< no_effect: what to do instead
};

constexpr std::string_view not_ambient = "ambient mode is not supported";
constexpr std::string_view own_kubeconfig =
    "name the CA in a kubeconfig, and that in api.kubeconfig";

// In ascending precedence where several stand for one setting. The rest of
// AMBIENT_* matters in ambient mode only, and is ignored.
// clang-format off
constexpr std::array table{
  Row{"CNI_CONF_NAME", "cni-conf-name", Use::conf_name, "install.cni_conf_name", ""},
  Row{"CHAINED_CNI_PLUGIN", "chained-cni-plugin", Use::install_mode, "install.mode", ""},
  Row{"ISTIO_OWNED_CNI_CONFIG", "istio-owned-cni-config", Use::install_mode, "install.mode", ""},
  Row{"ISTIO_OWNED_CNI_CONF_FILENAME", "", Use::if_not_empty, "install.owned_conf_name", ""},
  Row{"ISTIO_OWNED_CNI_CONFIG_FILENAME", "istio-owned-cni-config-filename", Use::if_not_empty, "install.owned_conf_name", ""},
  Row{"MOUNTED_CNI_NET_DIR", "mounted-cni-net-dir", Use::mounted_dir, "install.cni_conf_dir", ""},
  Row{"CNI_AGENT_RUN_DIR", "cni-agent-run-dir", Use::value, "run_dir", ""},
  Row{"KUBECONFIG_MODE", "kubeconfig-mode", Use::mode, "install.kubeconfig_mode", ""},
  Row{"CNI_CONF_GROUP_READ", "cni-conf-group-read", Use::value, "install.conf_group_read", ""},
  Row{"KUBE_CA_FILE", "kube-ca-file", Use::no_effect, "", own_kubeconfig},
  Row{"SKIP_TLS_VERIFY", "skip-tls-verify", Use::no_effect_if_true, "", own_kubeconfig},
  Row{"MONITORING_PORT", "monitoring-port", Use::port, "metrics.address", ""},
  Row{"REPAIR_ENABLED", "repair-enabled", Use::repair_mode, "repair.mode", ""},
  Row{"REPAIR_REPAIR_PODS", "", Use::repair_mode, "repair.mode", ""},
  Row{"REPAIR_DELETE_PODS", "repair-delete-pods", Use::repair_mode, "repair.mode", ""},
  Row{"REPAIR_LABEL_PODS", "repair-label-pods", Use::repair_mode, "repair.mode", ""},
  Row{"REPAIR_BROKEN_POD_LABEL_KEY", "repair-broken-pod-label-key", Use::value, "repair.label_key", ""},
  Row{"REPAIR_BROKEN_POD_LABEL_VALUE", "repair-broken-pod-label-value", Use::value, "repair.label_value", ""},
  Row{"NODE_NAME", "", Use::if_not_empty, "api.node_name", ""},
  Row{"KUBERNETES_NODE_NAME", "", Use::if_not_empty, "api.node_name", ""},
  Row{"REPAIR_NODE_NAME", "repair-node-name", Use::if_not_empty, "api.node_name", ""},
  Row{"REPAIR_SIDECAR_ANNOTATION", "repair-sidecar-annotation", Use::value, "repair.sidecar_annotation", ""},
  Row{"REPAIR_INIT_CONTAINER_NAME", "repair-init-container-name", Use::value, "repair.init_container_name", ""},
  Row{"REPAIR_INIT_CONTAINER_TERMINATION_MESSAGE", "repair-init-container-termination-message", Use::value, "repair.init_container_termination_message", ""},
  Row{"REPAIR_INIT_CONTAINER_EXIT_CODE", "repair-init-container-exit-code", Use::value, "repair.init_container_exit_code", ""},
  Row{"REPAIR_LABEL_SELECTORS", "repair-label-selectors", Use::value, "repair.label_selectors", ""},
  Row{"REPAIR_FIELD_SELECTORS", "repair-field-selectors", Use::value, "repair.field_selectors", ""},
  Row{"EXCLUDE_NAMESPACES", "", Use::value, "plugin.exclude_namespaces", ""},
  Row{"POD_NAMESPACE", "", Use::value, "plugin.agent_namespace", ""},
  Row{"NATIVE_NFTABLES", "", Use::nftables, "plugin.backend", ""},
  Row{"AMBIENT_ENABLED", "ambient-enabled", Use::ambient, "", not_ambient},
  Row{"ENABLE_AMBIENT_DETECTION_RETRY", "enable-ambient-detection-retry", Use::no_effect_if_true, "", not_ambient},
  Row{"ZTUNNEL_UDS_ADDRESS", "ztunnel-uds-address", Use::no_effect, "", not_ambient},
  Row{"FORCE_IPTABLES_BINARY", "", Use::no_effect, "", "no iptables program is run; plugin.backend chooses the kernel's interface"},
  Row{"CNI_NETWORK_CONFIG", "cni-network-config", Use::no_effect, "", "the plugin's entry follows from these settings"},
  Row{"CNI_NETWORK_CONFIG_FILE", "cni-network-config-file", Use::no_effect, "", "the plugin's entry follows from these settings"},
  Row{"LOG_LEVEL", "", Use::no_effect, "", "set log.level (ISTIO_CNI_LOG_LEVEL)"},
  Row{"CTRLZ_PORT", "ctrlz_port", Use::no_effect, "", "there is no ControlZ server"},
  Row{"CTRLZ_ADDRESS", "ctrlz_address", Use::no_effect, "", "there is no ControlZ server"},
  Row{"", "log_output_level", Use::log_levels, "", ""},
  Row{"", "log_as_json", Use::no_effect_if_true, "", "the journal has every field on its own"},
  Row{"", "log_caller", Use::no_effect, "", "set log.level"},
  Row{"", "log_stacktrace_level", Use::no_effect, "", "set log.level"},
  Row{"", "log_target", Use::no_effect, "", "the log goes to the journal and to standard error"},
  Row{"", "vklog", Use::no_effect, "", "set log.level"},
};
// clang-format on

bool is_boolean(const Row& row) {
  switch (row.use) {
    case Use::install_mode:
    case Use::repair_mode:
    case Use::nftables:
    case Use::ambient:
    case Use::no_effect_if_true:
      return true;
    default:
      break;
  }
  const auto* setting = find_setting(row.key);
  return setting != nullptr && setting->kind == Kind::boolean;
}

bool own_flag(std::string_view flag) {
  for (const auto& setting : settings())
    if (setting.flag() == flag) return true;
  return false;
}

std::string not_boolean(std::string_view text) {
  return cat(quote(text), " is not a boolean; allowed: true or false");
}

void set_port(std::string_view text, const Place& place, Draft& draft) {
  // zero and less turn the server off
  const bool negative = text.starts_with('-');
  const auto port =
      base::parse_unsigned(text.substr(negative ? 1 : 0), negative ? INT64_MAX : 65535);
  if (!port) {
    draft.reject("metrics.address", place,
                 cat(quote(text), " is not a port (1 to 65535, or 0 for none)"));
    return;
  }
  draft.set_text("metrics.address", negative || *port == 0 ? "off" : cat(":", *port), place);
}

/// "default:info,cni-plugin:debug"; a level alone is the default scope's.
void set_log_levels(std::string_view text, const Place& place, Draft& draft) {
  for (const auto part : base::split_nonempty(text, ',')) {
    const auto colon = part.find(':');
    const auto scope =
        colon == std::string_view::npos ? "default" : base::trim(part.substr(0, colon));
    const auto level = base::trim(colon == std::string_view::npos ? part : part.substr(colon + 1));
    const bool agent = scope == "default" || scope == "cni-agent" || scope == "all";
    const bool plugin = scope == "cni-plugin" || scope == "all";
    if (agent) draft.set_text("log.level", level, place);
    if (plugin) draft.set_text("plugin.log_level", level, place);
    if (!agent && !plugin)
      draft.warn(place, cat("there is no log scope ", quote(scope),
                            " here, ignoring it; known: default, cni-agent, cni-plugin, all"));
  }
}

}  // namespace

std::vector<KnownFlag> known_flags() {
  std::vector<KnownFlag> flags;
  for (const auto& row : table) {
    if (row.flag.empty() || own_flag(row.flag)) continue;
    const auto help = row.use == Use::ambient                                          ? row.note
                      : row.use == Use::no_effect || row.use == Use::no_effect_if_true ? "no effect"
                      : row.use == Use::log_levels ? "log.level, plugin.log_level"
                                                   : row.key;
    flags.push_back({row.flag, is_boolean(row), help});
  }
  return flags;
}

KnownNames::KnownNames(const std::map<std::string, std::string>& variables,
                       const std::vector<GivenFlag>& flags) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    const auto& row = table[i];
    if (const auto found = variables.find(std::string(row.variable));
        !row.variable.empty() && found != variables.end())
      environment_[i] = {found->second, Place::in_environment(found->first), false};
    if (row.flag.empty() || own_flag(row.flag)) continue;
    for (const auto& flag : flags)
      if (flag.name == row.flag)
        flags_[i] = {flag.value, Place::on_command_line(cat("--", flag.name)), true};
  }
}

const KnownNames::Given* KnownNames::find(std::string_view variable) const {
  for (const auto* level : {&flags_, &environment_})
    for (const auto& [row, given] : *level)
      if (table[row].variable == variable) return &given;
  return nullptr;
}

void KnownNames::read_environment(Draft& draft) const { read(environment_, false, draft); }
void KnownNames::read_flags(Draft& draft) const { read(flags_, true, draft); }

void KnownNames::read(const Level& level, bool flags, Draft& draft) const {
  for (const auto& [number, given] : level) {
    const auto& row = table[number];
    const auto& [text, place, flag] = given;
    const auto truth = base::parse_go_bool(text);
    switch (row.use) {
      case Use::value:
        draft.set_text(row.key, text, place);
        break;
      case Use::if_not_empty:
        if (!text.empty()) draft.set_text(row.key, text, place);
        break;
      case Use::mode:
        if (const auto mode = parse_go_mode(text)) {
          draft.set_text(row.key, print_mode(*mode), place);
        } else {
          draft.reject(row.key, place, mode.error().message);
        }
        break;
      case Use::port:
        set_port(text, place, draft);
        break;
      case Use::mounted_dir:
        draft.set_text(row.key, text, place);
        break;
      case Use::install_mode:
      case Use::repair_mode:
        if (!truth) draft.reject(row.key, place, not_boolean(text));
        break;
      case Use::nftables:
        if (!truth) {
          draft.reject(row.key, place, not_boolean(text));
        } else if (*truth) {
          draft.set_text(row.key, "nftables", place);
        }
        break;
      case Use::log_levels:
        set_log_levels(text, place, draft);
        break;
      case Use::ambient:
        if (!truth) {
          draft.complain(place, not_boolean(text));
        } else if (*truth) {
          draft.complain(place, cat(row.note, " by this agent; set it to false"));
        }
        break;
      case Use::no_effect:
        if (!text.empty() && text != "0")
          draft.warn(place, cat("has no effect here, ignoring it: ", row.note));
        break;
      case Use::no_effect_if_true:
        if (!truth || *truth) draft.warn(place, cat("has no effect here, ignoring it: ", row.note));
        break;
      case Use::conf_name:
        break;  // below: it depends on the mode
    }
  }
  read_install_mode(flags, draft);
  read_repair_mode(flags, draft);
}

void KnownNames::read_install_mode(bool flags, Draft& draft) const {
  const auto* chained = find("CHAINED_CNI_PLUGIN");
  const auto* owned = find("ISTIO_OWNED_CNI_CONFIG");
  const auto value = [](const Given* given, bool otherwise) {
    return given == nullptr ? otherwise : base::parse_go_bool(given->text).value_or(otherwise);
  };
  const bool is_chained = value(chained, true);
  const bool is_owned = is_chained && value(owned, false);
  const bool from_flag = (chained != nullptr && chained->flag) || (owned != nullptr && owned->flag);
  if ((chained != nullptr || owned != nullptr) && from_flag == flags) {
    // the place to show is the one that decides
    const auto* decisive = is_owned || chained == nullptr ? owned : chained;
    draft.set_text("install.mode",
                   is_owned     ? "owned"
                   : is_chained ? "chained"
                                : "standalone",
                   decisive->place);
  }
  // without chaining, the name is that of the agent's own file
  const auto* name = find("CNI_CONF_NAME");
  if (name == nullptr || name->flag != flags) return;
  const bool standalone =
      chained != nullptr ? !is_chained : draft.config().install.mode == InstallMode::standalone;
  if (!standalone) {
    draft.set_text("install.cni_conf_name", name->text, name->place);
  } else if (!name->text.empty()) {
    draft.set_text("install.standalone_conf_name", name->text, name->place);
  }
}

void KnownNames::read_repair_mode(bool flags, Draft& draft) const {
  struct Way {
    std::string_view variable;
    std::string_view mode;
  };
  constexpr Way ways[] = {{"REPAIR_REPAIR_PODS", "repair"},
                          {"REPAIR_DELETE_PODS", "delete"},
                          {"REPAIR_LABEL_PODS", "label"}};
  const auto* enabled = find("REPAIR_ENABLED");
  const Given* any = nullptr;
  const Given* decisive = nullptr;
  std::string_view mode = "off";
  bool from_flag = enabled != nullptr && enabled->flag;
  for (const auto& way : ways) {
    const auto* given = find(way.variable);
    if (given == nullptr) continue;
    any = given;
    from_flag = from_flag || given->flag;
    if (decisive != nullptr || !base::parse_go_bool(given->text).value_or(false)) continue;
    decisive = given;
    mode = way.mode;
  }
  if (enabled != nullptr && !base::parse_go_bool(enabled->text).value_or(true)) {
    decisive = enabled;
    mode = "off";
  }
  // "enabled" alone names no way of repair: the mode stays
  if ((any == nullptr && decisive == nullptr) || from_flag != flags) return;
  draft.set_text("repair.mode", mode, (decisive != nullptr ? decisive : any)->place);
}

void KnownNames::resolve_mounts(Draft& draft) {
  constexpr std::string_view usual = "/host";
  const auto place = draft.place("install.cni_conf_dir");
  const auto& name = place.problem.key;
  if (name != "MOUNTED_CNI_NET_DIR" && name != "--mounted-cni-net-dir") return;
  const auto& path = draft.config().install.cni_conf_dir;
  if (path.empty()) return;
  const bool known_root = !draft.config().host_root.empty();
  const std::string root = known_root ? draft.config().host_root : std::string(usual);
  if (path.starts_with(cat(root, "/"))) {
    const auto below = path.substr(root.size());
    if (!known_root) draft.set_text("host_root", root, place);
    draft.set_text("install.cni_conf_dir", below, place);
  } else if (known_root) {
    draft.reject("install.cni_conf_dir", place,
                 cat(quote(path), " is not below host_root, ", quote(root),
                     "; it names the folder as the container sees it"));
  }
}

}  // namespace config
