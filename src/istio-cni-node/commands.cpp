#include "istio-cni-node/commands.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "base/environment.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"
#include "config/config.hpp"
#include "install/installer.hpp"
#include "istio-cni-node/agent.hpp"
#include "istio-cni-node/status_report.hpp"
#include "log/log.hpp"
#include "log/message_id.hpp"

namespace istio_cni_node {
namespace {

using base::cat;

void print(std::FILE* stream, std::string_view text) {
  (void)std::fwrite(text.data(), 1, text.size(), stream);
}

void complain(const std::vector<config::Problem>& problems) {
  for (const auto& problem : problems) print(stderr, problem.text() + "\n");
}

/// As istio-cni-node(8) says: 0, 1 for a bad configuration, 2 for wrong usage.
int exit_status(const std::vector<config::Problem>& problems) {
  const bool usage = std::any_of(problems.begin(), problems.end(), [](const auto& problem) {
    return problem.file == "command line";
  });
  if (usage) return 2;
  return problems.empty() ? 0 : 1;
}

/// The value of --config FILE or --config=FILE, else the default place.
std::string config_path(const Arguments& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) return arguments[i + 1];
    if (arguments[i].starts_with("--config=")) return arguments[i].substr(9);
  }
  return std::string(config::default_path);
}

config::Outcome load(const Arguments& arguments) {
  auto files = config::read_files(config_path(arguments));
  auto outcome = config::load(files.files, base::environment_entries(), arguments);
  outcome.problems.insert(outcome.problems.begin(), files.problems.begin(), files.problems.end());
  return outcome;
}

struct Command {
  std::string_view name;
  int (*run)(const Arguments&);
  std::string_view summary;
};

constexpr Command commands[] = {
    {"run", run_command, "run the agent (the default)"},
    {"check-config", check_config_command,
     "[FILE...]  check the configuration, or only the files given; silent when it is good"},
    {"print-config", print_config_command, "show every setting and where its value came from"},
    {"uninstall", uninstall_command,
     "take plugin and configuration out of this node; stop the service first"},
    {"version", version_command, "show the version"},
};

std::string usage() {
  std::string text =
      "usage: istio-cni-node [COMMAND] [--config FILE] [FLAGS]\n\n"
      "Keeps the istio-cni plugin installed on this node and answers its questions.\n\n"
      "Commands:\n";
  for (const auto& command : commands) {
    text.append(cat("  ", command.name));
    text.append(command.name.size() < 14 ? 14 - command.name.size() : 1, ' ');
    text.append(cat(command.summary, "\n"));
  }
  text.append("\nFlags (each overrides the setting of that name):\n");
  text.append(config::flags_help());
  text.append(
      "\nConfiguration: /etc/istio-cni-node/config.yaml. Status: systemctl status "
      "istio-cni-node.\n");
  return text;
}

}  // namespace

int run_command(const Arguments& arguments) {
  logging::Logger log("istio-cni-node");
  auto outcome = load(arguments);
  if (!outcome.problems.empty()) {
    for (const auto& problem : outcome.problems) log.error(cat("configuration: ", problem.text()));
    log.error(
        "not started: the configuration is bad (istio-cni-node check-config shows it as well)",
        {{"MESSAGE_ID", message_id::configuration_refused}});
    return exit_status(outcome.problems);
  }
  log.set_level(outcome.loaded.config.log_level);
  return run_agent(
      std::move(outcome.loaded), [&arguments] { return load(arguments); }, log);
}

int check_config_command(const Arguments& arguments) {
  std::vector<std::string> names;
  Arguments flags;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (!arguments[i].starts_with("-")) {
      names.push_back(arguments[i]);
      continue;
    }
    flags.push_back(arguments[i]);
    // "--flag value": the value is no file to check
    if (arguments[i].find('=') == std::string::npos && i + 1 < arguments.size() &&
        !arguments[i + 1].starts_with("-"))
      flags.push_back(arguments[++i]);
  }
  if (names.empty()) {
    auto outcome = load(flags);
    complain(outcome.loaded.warnings);
    complain(outcome.problems);
    return exit_status(outcome.problems);
  }
  // a file alone, as a configuration management tool is about to put it in place
  std::vector<config::File> files;
  std::vector<config::Problem> problems;
  for (const auto& name : names) {
    auto text = base::read_file(name);
    if (text)
      files.push_back({name, *std::move(text)});
    else
      problems.push_back({name, 0, 0, "", text.error().message});
  }
  auto outcome = config::load(files, {}, flags);
  problems.insert(problems.end(), outcome.problems.begin(), outcome.problems.end());
  complain(outcome.loaded.warnings);
  complain(problems);
  return exit_status(problems);
}

int print_config_command(const Arguments& arguments) {
  auto outcome = load(arguments);
  complain(outcome.problems);
  if (!outcome.problems.empty()) return exit_status(outcome.problems);
  print(stdout, config::print(outcome.loaded));
  return 0;
}

int uninstall_command(const Arguments& arguments) {
  // a bad configuration is no reason to leave the node as it is
  auto outcome = load(arguments);
  if (!outcome.problems.empty()) {
    complain(outcome.problems);
    print(stderr, cat("going on with the record in ", outcome.loaded.config.state_dir, "\n"));
  }
  const auto result = install::uninstall(outcome.loaded.config.state_dir);
  for (const auto& line : result.done) print(stdout, line + "\n");
  for (const auto& failure : result.failures) print(stderr, failure.message + "\n");
  if (!result.done.empty() && !result.left_to_another)
    logging::Logger("istio-cni-node").info(taken_out, readiness_fields(false, false));
  return result.failures.empty() ? 0 : 1;
}

int version_command(const Arguments&) {
  print(stdout, "istio-cni-node " ICN_VERSION "\n");
  return 0;
}

int dispatch(const Arguments& arguments) {
  if (!arguments.empty() &&
      (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help")) {
    print(stdout, usage());
    return 0;
  }
  if (!arguments.empty() && arguments[0] == "--version") return version_command({});
  if (arguments.empty() || arguments[0].starts_with("-")) return run_command(arguments);
  for (const auto& command : commands)
    if (command.name == arguments[0])
      return command.run(Arguments(std::next(arguments.begin()), arguments.end()));
  print(stderr, cat("istio-cni-node: no command ", base::quote(arguments[0]), "\n", usage()));
  return 2;
}

}  // namespace istio_cni_node
