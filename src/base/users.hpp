// Users and groups from /etc/passwd and /etc/group alone: no NSS module is
// loaded, so this works in a static program and never asks a network.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace base {

/// Errc::not_found names the user and the file.
Result<std::uint32_t> user_id(const std::string& name, const std::string& file = "/etc/passwd");
Result<std::uint32_t> group_id(const std::string& name, const std::string& file = "/etc/group");

}  // namespace base
