// The probe's user.
#pragma once

#include "base/result.hpp"
#include "redirect/config.hpp"

namespace validate {

/// The calling thread alone takes the user and group of the proxy, for good; the
/// first of each in `config`. Errors name the missing capability.
base::Status become_proxy(const redirect::Config& config);

}  // namespace validate
