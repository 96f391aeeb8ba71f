// Property: what loads without a problem prints as YAML that loads as the same;
// every problem has a message and, in a file, a place; no setting is out of its
// bounds.
//
// Input: the file, then lines "NAME=VALUE" (variables) and "--FLAG..." (flags)
// after a line "%%".
#include "config/config.hpp"

#include "base/strings.hpp"
#include "fuzz/check.hpp"

namespace {

void check_problem(const config::Problem& problem) {
  fuzz::require(!problem.message.empty(), "a problem has a message");
  fuzz::require(problem.line >= 0 && problem.column >= 0, "places count from 1");
}

void check_config(const config::Config& config) {
  fuzz::require(config.run_dir.starts_with('/') && config.run_dir.size() <= 90,
                "run_dir is a short absolute path");
  fuzz::require(config.host_root.empty() || config.host_root.starts_with('/'),
                "host_root is an absolute path");
  fuzz::require(config.plugin.timeout.count() >= 1000 && config.plugin.timeout.count() <= 600'000,
                "the timeout has its bounds");
  fuzz::require(config.repair.per_owner >= 1 && config.repair.per_node >= 1, "limits are positive");
  fuzz::require(config.metrics.enabled == (config.metrics.port != 0), "a server has a port");
  fuzz::require(!config.install.gate || config.install.mode == config::InstallMode::owned,
                "the gate needs mode owned");
  fuzz::require(config.install.owned_conf_name.find('/') == std::string::npos,
                "a file's name has no folder");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto end = input.find("\n%%\n");
  std::vector<std::string> environment;
  std::vector<std::string> arguments;
  if (end != std::string_view::npos)
    for (const auto line : base::split(input.substr(end + 4), '\n'))
      (line.starts_with('-') ? arguments : environment).emplace_back(line);

  const config::File file{"config.yaml", std::string(input.substr(0, end))};
  const auto outcome = config::load({file}, environment, arguments);
  for (const auto& problem : outcome.problems) check_problem(problem);
  for (const auto& warning : outcome.loaded.warnings) check_problem(warning);
  if (!outcome.problems.empty()) return 0;

  check_config(outcome.loaded.config);
  const auto again = config::load({{"printed", config::print(outcome.loaded)}}, {}, {});
  fuzz::require(again.problems.empty(), "what is printed loads");
  fuzz::require(again.loaded.config == outcome.loaded.config, "what is printed loads as the same");
  fuzz::require(config::differences(again.loaded.config, outcome.loaded.config).empty(),
                "equal configurations do not differ");
  return 0;
}
