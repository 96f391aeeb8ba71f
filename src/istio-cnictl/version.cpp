// istio-cnictl version: of everything that matters here.
#include <sys/utsname.h>

#include "base/strings.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/versions.hpp"

namespace istio_cnictl {

Versions read_versions(Node& node) {
  Versions versions;
  versions.tool = ICN_VERSION;
  if (auto status = node.agent_status(); status) versions.agent = status->version;
  const auto disk = read_disk(node.config());
  for (const auto& copy : disk.copies)
    if (copy.present) versions.plugins.emplace_back(copy.path, copy.version);
  versions.runtime = disk.runtime;
  utsname kernel{};
  if (::uname(&kernel) == 0) versions.kernel = base::cat(kernel.release, ' ', kernel.machine);
  return versions;
}

int version_command(Context& context) {
  const auto versions = read_versions(context.node);
  if (context.options.format == Format::json) {
    Json plugins = Json::array();
    for (const auto& [path, version] : versions.plugins)
      plugins.push_back({{"path", path}, {"version", version}});
    context.out = dump({{"istio-cnictl", versions.tool},
                        {"istio-cni-node", versions.agent},
                        {"plugins", plugins},
                        {"kernel", versions.kernel},
                        {"runtime", versions.runtime}});
    return exit_good;
  }
  std::vector<std::vector<Cell>> rows{
      {{"istio-cnictl"}, {versions.tool}},
      {{"istio-cni-node"}, {versions.agent.empty() ? "does not answer" : versions.agent}}};
  for (const auto& [path, version] : versions.plugins)
    rows.push_back({{"istio-cni"}, {base::cat(version.empty() ? "unknown" : version, ", ", path)}});
  rows.push_back({{"kernel"}, {versions.kernel}});
  if (!versions.runtime.empty()) rows.push_back({{"runtime"}, {versions.runtime}});
  context.out = table(rows, context.style);
  return exit_good;
}

}  // namespace istio_cnictl
