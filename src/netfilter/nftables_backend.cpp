// The nftables backend: three tables of family inet, written in one transaction
// over NETLINK_NETFILTER (net/netfilter/nf_tables_api.c, nfnetlink.c).
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/strings.hpp"
#include "netfilter/backend.hpp"
#include "netfilter/nftables_batch.hpp"
#include "netfilter/nftables_reader.hpp"
#include "netfilter/nftables_tables.hpp"
#include "netlink/message.hpp"
#include "netlink/socket.hpp"
#include "redirect/render.hpp"

namespace netfilter {

namespace {

using base::Error;
using base::Result;
using base::Status;
using netlink::MessageBuilder;
using netlink::Socket;
using redirect::Ruleset;
using redirect::Table;

constexpr std::string_view hook_name(std::uint32_t hook) {
  constexpr std::array<std::string_view, 5> names{"prerouting", "input", "forward", "output",
                                                  "postrouting"};
  return hook < names.size() ? names[hook] : "unknown";
}

std::string base_text(const std::optional<BaseChain>& base) {
  if (!base) return "no hook";
  return base::cat("type ", base->type, " hook ", hook_name(base->hook), " priority ",
                   base->priority);
}

void compare_chain(Table table, const WantedChain& wanted, FoundChain& found,
                   std::vector<std::string>& out) {
  const std::string where =
      base::cat(redirect::nft_name(table), ' ', redirect::nft_name(wanted.chain));
  if (found.base) found.base->type = found.type_name;
  const auto expected = base_chain(table, wanted.chain);
  if (found.base != expected) {
    out.push_back(
        base::cat(where, ": expected ", base_text(expected), ", found ", base_text(found.base)));
  }
  if (found.drops) out.push_back(base::cat(where, ": expected policy accept, found another"));
  const std::size_t count = std::max(wanted.rules.size(), found.rules.size());
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_wanted = i < wanted.rules.size();
    const bool is_found = i < found.rules.size();
    if (is_wanted && is_found && wanted.rules[i].exprs == found.rules[i]) continue;
    out.push_back(base::cat(
        where, " rule ", i + 1, ": expected ",
        is_wanted ? base::cat('"', redirect::nft_rule_text(*wanted.rules[i].rule), '"') : "none",
        ", found ", is_found ? base::cat('"', describe(found.rules[i]), '"') : "none"));
  }
}

void compare_table(const WantedTable& wanted, FoundTable& found, std::vector<std::string>& out) {
  const std::string_view name = redirect::nft_name(wanted.table);
  if (found.dormant) out.push_back(base::cat(name, ": the table is dormant"));
  for (const WantedChain& chain : wanted.chains) {
    const auto match = std::find_if(
        found.chains.begin(), found.chains.end(),
        [&](const FoundChain& c) { return c.name == redirect::nft_name(chain.chain); });
    if (match == found.chains.end()) {
      out.push_back(base::cat(name, ' ', redirect::nft_name(chain.chain), ": chain is missing"));
    } else {
      compare_chain(wanted.table, chain, *match, out);
    }
  }
  for (const FoundChain& chain : found.chains) {
    const bool is_wanted = std::any_of(
        wanted.chains.begin(), wanted.chains.end(),
        [&](const WantedChain& c) { return chain.name == redirect::nft_name(c.chain); });
    if (!is_wanted) out.push_back(base::cat(name, ' ', chain.name, ": unexpected chain"));
  }
}

/// Reads the kernel; `present` gets the tables of ours that exist.
Result<Comparison> compare_tables(Socket& socket, const std::vector<WantedTable>& wanted,
                                  std::vector<Table>& present) {
  auto found = read_tables(socket);
  if (!found) return no_nftables(found.error());
  for (const auto& [table, content] : *found) present.push_back(table);
  Comparison result;
  result.absent = found->empty();
  if (!found->empty()) {
    if (auto status = read_chains(socket, *found); !status) {
      return Error(status.error()).wrap("read nftables rules");
    }
  }
  for (const Table table : all_tables) {
    const auto want = std::find_if(wanted.begin(), wanted.end(),
                                   [table](const WantedTable& w) { return w.table == table; });
    const auto have = found->find(table);
    if (want != wanted.end() && have != found->end()) {
      compare_table(*want, have->second, result.differences);
    } else if (want != wanted.end()) {
      result.differences.push_back(base::cat(redirect::nft_name(table), ": table is missing"));
    } else if (have != found->end()) {
      result.differences.push_back(base::cat(redirect::nft_name(table), ": unexpected table"));
    }
  }
  return result;
}

class Nftables final : public Backend {
 public:
  [[nodiscard]] std::string_view name() const override { return "nftables"; }

  Status apply(const Ruleset& ruleset) override {
    auto wanted = wanted_tables(ruleset);
    if (!wanted) return wanted.error();
    auto socket = Socket::make(NETLINK_NETFILTER);
    if (!socket) return no_nftables(socket.error());
    constexpr int attempts = 3;
    for (int attempt = 1;; ++attempt) {
      auto status = apply_once(*socket, *wanted);
      // Another program made one of our tables since we looked.
      const bool raced = !status && status.error().sys == EEXIST;
      if (!raced || attempt == attempts) return status;
    }
  }

  Result<Comparison> compare(const Ruleset& ruleset) override {
    const auto wanted = wanted_tables(ruleset);
    if (!wanted) return wanted.error();
    auto socket = Socket::make(NETLINK_NETFILTER);
    if (!socket) return no_nftables(socket.error());
    std::vector<Table> present;
    return compare_tables(*socket, *wanted, present);
  }

  Status remove(const Ruleset& /*ruleset*/) override {
    auto socket = Socket::make(NETLINK_NETFILTER);
    if (!socket) return no_nftables(socket.error());
    const auto found = read_tables(*socket);
    if (!found) return no_nftables(found.error());
    if (found->empty()) return base::success();
    Batch batch;
    for (const auto& [table, content] : *found) drop(batch, table);
    return batch.commit(*socket);
  }

 private:
  static Status apply_once(Socket& socket, std::vector<WantedTable>& wanted) {
    std::vector<Table> present;
    const auto state = compare_tables(socket, wanted, present);
    if (!state) return state.error();
    if (state->equal()) return base::success();
    Batch batch;
    for (const Table table : present) drop(batch, table);
    for (WantedTable& table : wanted) {
      batch.add_table(table.table, true);
      for (const WantedChain& chain : table.chains) batch.add_chain(table.table, chain.chain);
      for (WantedChain& chain : table.chains) {
        std::size_t position = 0;
        for (WantedRule& rule : chain.rules) {
          batch.add_rule(table.table, chain.chain, ++position, rule);
        }
      }
    }
    return batch.commit(socket);
  }

  /// Adding it first makes the deletion succeed even if it vanished meanwhile.
  static void drop(Batch& batch, Table table) {
    batch.add_table(table, false);
    batch.delete_table(table);
  }
};

}  // namespace

std::unique_ptr<Backend> make_nftables() { return std::make_unique<Nftables>(); }

Status probe_nftables() {
  auto socket = Socket::make(NETLINK_NETFILTER);
  if (!socket) return no_nftables(socket.error());
  MessageBuilder request;
  request.begin(message_type(NFT_MSG_GETGEN), NLM_F_ACK);
  request.header(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, 0});
  const auto reply = socket->talk(request);
  if (!reply) return no_nftables(reply.error());
  return base::success();
}

}  // namespace netfilter
