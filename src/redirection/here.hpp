// What a plan comes to in one network namespace.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "redirect/decide.hpp"
#include "redirect/ruleset.hpp"

namespace redirection {

struct Here {
  redirect::Ruleset ruleset;
  std::vector<redirect::Family> families;  ///< that have rules
};

/// For the addresses of the calling thread's network namespace. Errors as of
/// netns::choose_host_ip.
base::Result<Here> rules_here(const redirect::RedirectPlan& plan);

}  // namespace redirection
