// What the state of the disk means. Pure.
#include "base/strings.hpp"
#include "istio-cnictl/disk.hpp"

namespace istio_cnictl {

using base::cat;

std::vector<std::string> problems_of(const DiskState& disk, bool agent_answers) {
  std::vector<std::string> problems;
  auto tell = [&](std::string text) { problems.push_back(std::move(text)); };
  if (!disk.conf_error.empty()) {
    tell(disk.conf_error);
  } else if (disk.first_file.empty()) {
    tell(cat("no CNI network configuration in ", disk.conf_dir));
  } else if (disk.file.empty()) {
    tell(cat("no file in ", disk.conf_dir, " names the plugin"));
  } else if (disk.mode != "standalone" && disk.file != disk.first_file) {
    tell(cat("the runtime loads ", disk.first_file, ", but the plugin is in ", disk.file));
  } else if (disk.gated) {
    tell(cat(disk.file, " lets no pod start until there is a primary network"));
  }
  bool usable = false;
  for (const auto& copy : disk.copies) usable = usable || (copy.present && copy.executable);
  for (const auto& copy : disk.copies)
    if (!usable) tell(cat(copy.path, copy.present ? " is not executable" : " is missing"));
  if (!agent_answers && !disk.kubeconfig_present)
    tell(cat(disk.kubeconfig, " is missing, and the agent does not answer in its place"));
  return problems;
}

std::string describe(const DiskState& disk) {
  if (disk.position < 0) {
    auto problems = problems_of(disk, true);
    return problems.empty() ? std::string("not installed") : problems.front();
  }
  return cat(disk.mode, " in ", disk.conf_dir, '/', disk.file, ", entry ", disk.position + 1,
             " of ", disk.plugins);
}

}  // namespace istio_cnictl
