// A Ruleset as text: for people, for `--dry-run` and for comparison.
#pragma once

#include <string>

#include "redirect/ruleset.hpp"

namespace redirect {

/// iptables-restore input of one family: `* table`, -N, -A/-I in the order of
/// creation, COMMIT. Empty when the family has no rules. Ends with a newline.
std::string iptables_restore_text(const Ruleset& ruleset, Family family);

/// One rule as a line of that text: "-A ISTIO_OUTPUT -o lo ... -j RETURN".
std::string iptables_rule_text(const Rule& rule, Family family);

/// nft commands of the whole ruleset, one a line. Ends with a newline.
std::string nft_commands(const Ruleset& ruleset);

/// One rule without its "add rule inet TABLE CHAIN" prefix.
std::string nft_rule_text(const Rule& rule);

/// nft commands that remove the tables: what cleaning up amounts to.
std::string nft_cleanup_commands();

}  // namespace redirect
