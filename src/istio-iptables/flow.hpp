// What the command does, in order: learn what the options leave open, program
// or remove the rules, validate.
#pragma once

#include "istio-iptables/options.hpp"
#include "istio-iptables/system.hpp"

namespace istio_iptables {

constexpr int exit_ok = 0;
constexpr int exit_failed = 1;
/// Tells a failed validation from anything else; the repair controller looks
/// for it.
constexpr int exit_invalid = 126;

/// Logs every failure, once, and returns the exit code.
int run(const Options& options, System& system);

/// The level of `--log_output_level`: "LEVEL" or "SCOPE:LEVEL,...", of which
/// the scopes `default` and `all` count here.
logging::Level log_level(std::string_view output_level);

}  // namespace istio_iptables
