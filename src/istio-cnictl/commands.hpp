// The commands. Each gathers, judges and prints; `out` and `err` are what goes
// to standard output and error.
#pragma once

#include <string>
#include <vector>

#include "istio-cnictl/node.hpp"
#include "istio-cnictl/options.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {

constexpr int exit_good = 0;
constexpr int exit_bad = 1;
constexpr int exit_usage = 2;
constexpr int exit_unknown = 3;

struct Context {
  const Options& options;
  const config::Loaded& loaded;  ///< the agent's configuration
  Node& node;
  const Style& style;
  std::string& out;
  std::string& err;
};

// one file each
int status_command(Context& context);
int pods_command(Context& context);
int explain_command(Context& context);
int rules_command(Context& context);
int validate_command(Context& context);
int support_bundle_command(Context& context);
int version_command(Context& context);

/// All of it: `arguments` without the program's name, `environment` as
/// "NAME=VALUE" strings. `terminal`: standard output is one.
struct Streams {
  std::string out;
  std::string err;
};
int run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        bool terminal, Streams& streams);

}  // namespace istio_cnictl
