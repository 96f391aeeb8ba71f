// Our tables as the kernel holds them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "netfilter/nftables_tables.hpp"
#include "netlink/socket.hpp"

namespace netfilter {

struct FoundChain {
  std::string name;
  std::optional<BaseChain> base;  ///< `type` views `type_name`
  std::string type_name;
  bool drops = false;  ///< policy other than accept
  std::vector<std::vector<Expr>> rules;
};
struct FoundTable {
  bool dormant = false;
  std::vector<FoundChain> chains;
};
using FoundTables = std::map<redirect::Table, FoundTable>;

/// Which of our tables exist, without their chains.
base::Result<FoundTables> read_tables(netlink::Socket& socket);

/// Fills in their chains and rules.
base::Status read_chains(netlink::Socket& socket, FoundTables& tables);

}  // namespace netfilter
