// What a program says about itself: "containerd --version".
#pragma once

#include <string>
#include <vector>

namespace istio_cnictl {

/// The first line that it prints, on its output or else on its standard error,
/// however it ends; "" when it cannot be run or does not end within a few seconds.
/// It gets an environment of PATH alone.
std::string first_line_of(const std::string& program,
                          const std::vector<std::string>& arguments = {});

}  // namespace istio_cnictl
