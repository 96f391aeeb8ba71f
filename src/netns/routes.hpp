// Addresses and policy routes that a Ruleset needs beside its rules, in the
// calling thread's network namespace (rtnetlink(7)).
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "redirect/ruleset.hpp"

namespace netns {

/// ::6/128 on lo, and the policy rule with its local route, for IPv4 and, if
/// the ruleset says so, IPv6. What is there already stays; no link is brought
/// up. Errc::unsupported when IPv6 is wanted but disabled in this namespace.
base::Status apply_routes(const redirect::Ruleset& ruleset);

/// What is missing of it, one line each; changes nothing.
base::Result<std::vector<std::string>> compare_routes(const redirect::Ruleset& ruleset);

/// Removes it again; what is absent is no error. The address ::6/128 too.
base::Status remove_routes(const redirect::Ruleset& ruleset);

}  // namespace netns
