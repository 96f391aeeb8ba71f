// Network configuration files as a CNI runtime reads them, and our entry in
// them. Pure: text in, text out. CNI specification 1.1.0, section 1.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cni/netconf.hpp"

namespace cni {

inline constexpr std::string_view plugin_type = "istio-cni";

/// What our entry in a list says to the plugin.
struct PluginEntry {
  std::string log_level = "info";
  std::string run_dir = "/run/istio-cni";
  std::string kubeconfig;  ///< "" leaves the key out: RUN_DIR/istio-cni-kubeconfig
  std::vector<std::string> exclude_namespaces;
  std::string agent_namespace;
  BackendChoice backend = BackendChoice::automatic;
  std::chrono::milliseconds timeout{30000};

  bool operator==(const PluginEntry&) const = default;
};

/// The entry as an object, its keys always in the same order; `cniVersion` only
/// where it stands alone. Keys that would say what is the default anyway
/// (kubeconfig, backend, timeout_seconds) are left out.
nlohmann::ordered_json entry_json(const PluginEntry& entry, std::string_view cni_version = {});

enum class FileKind { list, single };

/// A file that a runtime would load.
struct Network {
  FileKind kind = FileKind::list;
  std::string name;                       ///< of the network
  std::string cni_version;                ///< "" when absent
  std::vector<std::string> plugin_types;  ///< in order
  std::string derived_from;  ///< the file name our own list says it was made from, else ""
  bool gate = false;         ///< our own list that lets no pod start yet

  /// Position of our (first) entry in plugin_types, or -1.
  [[nodiscard]] int our_position() const;
};

/// The file as a runtime would load it. `file_name` alone decides what is
/// expected: ".conflist" a list with a name and at least one plugin, ".conf" and
/// ".json" a single plugin; a list in a ".conf" is not loaded by any runtime, nor
/// a single plugin in a ".conflist". Of a key given twice the last one counts.
/// Errc::invalid_input, with line and column where the JSON is at fault, when a
/// runtime could not load it; Errc::not_found for a file of another extension,
/// which it never looks at. A single plugin may lack a name.
base::Result<Network> inspect(std::string_view file_name, std::string_view content);

/// The list with our entry last: an entry of ours elsewhere is removed, several
/// become one. Everything else keeps every byte: order, unknown keys, numbers,
/// white space; the entry is laid out as its neighbour is. `text` comes back as
/// it is when the entry is already last and equal (its keys in any order).
/// Errc::invalid_input when a runtime could not load the list, or when it has
/// "plugins" twice; Errc::mismatch when the result, parsed again, is not what it
/// should be (nothing may be written then).
base::Result<std::string> with_entry(std::string_view text, const PluginEntry& entry);

/// The list without our entries, everything else byte for byte. Undoes
/// with_entry on a list that had none. Asks for no more than a "plugins" array,
/// so that an entry is also removed from a list that no runtime can load.
/// Errc::invalid_input when no other plugin would be left: then the file is to
/// be removed.
base::Result<std::string> without_entry(std::string_view text);

/// Our own list made from another file, single or list: its plugins (minus ours)
/// and ours last. A list's top-level keys are kept, all of them; a single
/// plugin's cniVersion moves to the top, as it is (absent stays absent: what the
/// runtime makes of that must not change), and so does its name
/// ("k8s-pod-network" where it has none). "istioCni": {"derivedFrom": FILE_NAME}
/// records where it came from; runtimes ignore the key. Two spaces of
/// indentation, final newline. Errc as inspect; Errc::invalid_input also when the
/// file has no plugin but ours.
base::Result<std::string> derived_list(std::string_view file_name, std::string_view content,
                                       const PluginEntry& entry);

/// Our own list before any primary network exists: our plugin alone, with
/// "gate": true in its entry, which makes ADD fail with code 11 and STATUS
/// with 50 (cniVersion 1.1.0).
std::string gate_list(const PluginEntry& entry);

/// Our own single-plugin file (standalone mode, for a meta plugin), cniVersion
/// 0.3.1 as other tools write it.
std::string standalone_conf(const PluginEntry& entry);

}  // namespace cni
