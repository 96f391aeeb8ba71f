#include <csignal>
#include <cstdlib>
#include <exception>

#include "base/environment.hpp"
#include "base/strings.hpp"
#include "istio-iptables/flow.hpp"
#include "istio-iptables/options.hpp"
#include "istio-iptables/system.hpp"

namespace {

int run_command(const std::vector<std::string>& args, logging::Logger& logger) {
  using namespace istio_iptables;
  auto options = parse_options(args, base::environment);
  if (!options) {
    logger.error(options.error().message);
    return exit_failed;
  }
  logger.set_level(log_level(options->log_output_level));
  const auto system = make_system(logger);
  if (options->command == Command::run) return run(*options, *system);
  const auto text = options->command == Command::help
                        ? help_text()
                        : base::cat("istio-iptables ", ICN_VERSION, "\n");
  auto status = system->write_stdout(text);
  if (status) return exit_ok;
  logger.error(status.error().message);
  return exit_failed;
}

}  // namespace

int main(int argc, char** argv) {
  logging::Logger logger("istio-iptables");
  try {
    (void)std::signal(SIGPIPE, SIG_IGN);  // a closed output is an error to report
    return run_command(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), logger);
  } catch (const std::exception& failure) {
    logger.error(base::cat("unexpected failure: ", failure.what()));
    return istio_iptables::exit_failed;
  }
}
