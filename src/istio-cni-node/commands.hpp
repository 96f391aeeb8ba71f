// The subcommands of istio-cni-node. Each takes the arguments after its name
// and returns the exit status: 0 success, 1 failure, 2 wrong usage.
#pragma once

#include <string>
#include <vector>

namespace istio_cni_node {

using Arguments = std::vector<std::string>;

int run_command(const Arguments& arguments);
int check_config_command(const Arguments& arguments);
int print_config_command(const Arguments& arguments);
int uninstall_command(const Arguments& arguments);
int version_command(const Arguments& arguments);

/// Chooses one; without a name it is `run`.
int dispatch(const Arguments& arguments);

}  // namespace istio_cni_node
