// The process's environment. Not for beside another thread that changes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace base {

/// A variable's value; nothing where it is not set.
std::optional<std::string> environment(const std::string& name);

/// All of it, as "NAME=VALUE".
std::vector<std::string> environment_entries();

}  // namespace base
