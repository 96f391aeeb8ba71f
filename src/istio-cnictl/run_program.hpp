// Runs a program for the few words it says.
#pragma once

#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"

namespace istio_cnictl {

/// Standard output and error together, at most 64 KiB. No standard input, an
/// environment of PATH alone, and killed when the deadline passes. The exit
/// status does not count.
base::Result<std::string> run_program(const std::string& path,
                                      const std::vector<std::string>& arguments,
                                      base::Deadline deadline);

}  // namespace istio_cnictl
