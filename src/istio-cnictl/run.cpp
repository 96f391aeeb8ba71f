#include <algorithm>

#include "base/strings.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/json_form.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

std::optional<std::string> variable(const std::vector<std::string>& environment,
                                    const std::string& name) {
  for (const auto& entry : environment)
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return entry.substr(name.size() + 1);
  return std::nullopt;
}

/// "istio-cnictl: MESSAGE\n": the message.
std::string_view without_name(std::string_view line) {
  constexpr std::string_view name = "istio-cnictl: ";
  if (line.starts_with(name)) line.remove_prefix(name.size());
  return base::trim(line);
}

bool wants_color(Color color, bool terminal, const std::vector<std::string>& environment) {
  if (color != Color::automatic) return color == Color::always;
  // https://no-color.org: set and not empty
  return terminal && variable(environment, "NO_COLOR").value_or("").empty() &&
         variable(environment, "TERM").value_or("") != "dumb";
}

int dispatch(Context& context) {
  switch (context.options.command) {
    case Command::status:
      return status_command(context);
    case Command::pods:
      return pods_command(context);
    case Command::explain:
      return explain_command(context);
    case Command::rules:
      return rules_command(context);
    case Command::validate:
      return validate_command(context);
    case Command::support_bundle:
      return support_bundle_command(context);
    case Command::version:
      return version_command(context);
    case Command::help:
      break;
  }
  context.out = help_text(context.options.help_on);
  return exit_good;
}

}  // namespace

int run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        bool terminal, Streams& streams) {
  auto options = parse_options(arguments);
  if (!options) {
    streams.err = cat("istio-cnictl: ", options.error().message, '\n');
    return exit_usage;
  }
  if (options->command == Command::help) {
    streams.out = help_text(options->help_on);
    return exit_good;
  }
  const auto file =
      options->config_file.empty() ? std::string(config::default_path) : options->config_file;
  auto files = config::read_files(file);
  auto outcome = config::load(files.files, environment, options->settings);
  const bool bad_flag =
      std::any_of(outcome.problems.begin(), outcome.problems.end(),
                  [](const config::Problem& problem) { return problem.file == "command line"; });
  // the tool is there for the day on which the configuration is bad: it goes on
  for (const auto* problems : {&files.problems, &outcome.problems})
    for (const auto& problem : *problems)
      streams.err.append(cat("istio-cnictl: configuration: ", problem.text(), '\n'));
  if (bad_flag) return exit_usage;

  Node node(outcome.loaded.config, make_journal(options->journal_dir),
            [&environment](const std::string& name) { return variable(environment, name); });
  const Style style(wants_color(options->color, terminal, environment));
  Context context{*options, outcome.loaded, node, style, streams.out, streams.err};
  const auto said_before = streams.err.size();
  const int status = dispatch(context);
  // what failed is JSON too
  if (options->format == Format::json && streams.out.empty() && status != exit_good)
    streams.out =
        dump({{"error", without_name(std::string_view(streams.err).substr(said_before))}});
  return status;
}

}  // namespace istio_cnictl
