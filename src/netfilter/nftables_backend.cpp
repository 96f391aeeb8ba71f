// The nftables backend: three tables of family inet, written in one transaction
// over NETLINK_NETFILTER (net/netfilter/nf_tables_api.c, nfnetlink.c).
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "base/strings.hpp"
#include "netfilter/backend.hpp"
#include "netfilter/nftables_expr.hpp"
#include "netlink/message.hpp"
#include "netlink/socket.hpp"
#include "redirect/render.hpp"

namespace netfilter {

namespace {

using base::Errc;
using base::Error;
using base::Result;
using base::Status;
using netlink::Attributes;
using netlink::MessageBuilder;
using netlink::Reply;
using netlink::Socket;
using redirect::Chain;
using redirect::Ruleset;
using redirect::Table;

// TYPE_INET_SERVICE in nftables' include/datatype.h: lets nft print the set.
constexpr std::uint32_t key_type_inet_service = 13;
// NFTNL_UDATA_SET_KEYBYTEORDER (libnftnl/udata.h) = BYTEORDER_BIG_ENDIAN
constexpr std::array<std::uint8_t, 6> key_byte_order{0, 4, 2, 0, 0, 0};
// Keeps one NFTA_SET_ELEM_LIST_ELEMENTS within its 16-bit length.
constexpr std::size_t elements_per_message = 1000;

constexpr std::array all_tables{Table::nat, Table::mangle, Table::raw};
// Every table's chains are made in this order, so that listings look alike.
constexpr std::array all_chains{
    Chain::prerouting, Chain::output,      Chain::divert,        Chain::tproxy,     Chain::inbound,
    Chain::redirect,   Chain::in_redirect, Chain::output_custom, Chain::output_dns, Chain::drop};

constexpr std::uint16_t message_type(int message) {
  return static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message);
}

// --- what should be there --------------------------------------------------

struct BaseChain {
  std::string_view type;
  std::uint32_t hook;
  std::int32_t priority;
  bool operator==(const BaseChain&) const = default;
};

std::optional<BaseChain> base_chain(Table table, Chain chain) {
  if (!redirect::is_builtin(chain)) return std::nullopt;
  const std::uint32_t hook = chain == Chain::output ? NF_INET_LOCAL_OUT : NF_INET_PRE_ROUTING;
  switch (table) {
    case Table::nat:
      return BaseChain{"nat", hook, -100};
    // Only type `route` looks up the route again after a mark changed.
    case Table::mangle:
      return BaseChain{chain == Chain::output ? "route" : "filter", hook, -150};
    case Table::raw:
      return BaseChain{"filter", hook, -300};
  }
  return std::nullopt;
}

struct WantedRule {
  const redirect::Rule* rule;  ///< owned by the Ruleset
  std::vector<Expr> exprs;
};
struct WantedChain {
  Chain chain;
  std::vector<WantedRule> rules;
};
struct WantedTable {
  Table table;
  std::vector<WantedChain> chains;
};

Result<std::vector<WantedTable>> wanted_tables(const Ruleset& ruleset) {
  const auto used = redirect::tables_in_use(ruleset, std::nullopt);
  std::vector<WantedTable> tables;
  for (const Table table : all_tables) {
    if (std::find(used.begin(), used.end(), table) == used.end()) continue;
    WantedTable wanted{table, {}};
    const auto resolved = redirect::resolve(ruleset, table, std::nullopt);
    for (const Chain chain : all_chains) {
      const auto found = std::find_if(resolved.begin(), resolved.end(),
                                      [chain](const auto& c) { return c.chain == chain; });
      if (found == resolved.end()) continue;
      WantedChain filled{chain, {}};
      for (const redirect::Rule* rule : found->rules) {
        auto exprs = translate(*rule);
        if (!exprs) {
          return Error(exprs.error())
              .wrap(base::cat(redirect::nft_name(table), ' ', redirect::nft_name(chain), ": ",
                              redirect::nft_rule_text(*rule)));
        }
        filled.rules.push_back({rule, *std::move(exprs)});
      }
      wanted.chains.push_back(std::move(filled));
    }
    tables.push_back(std::move(wanted));
  }
  return tables;
}

// --- writing -----------------------------------------------------------------

/// `cause`, or that nftables is missing altogether when this is what it says.
Error no_nftables(const Error& cause) {
  if (cause.sys != EPROTONOSUPPORT && cause.sys != EAFNOSUPPORT && cause.sys != EINVAL &&
      cause.sys != EOPNOTSUPP) {
    return Error(cause).wrap("nftables");
  }
  return {Errc::unsupported,
          base::cat("the kernel lacks nftables (module nf_tables): ", cause.message), cause.sys};
}

/// One transaction, and for each message what it is about.
class Batch {
 public:
  Batch() { marker(NFNL_MSG_BATCH_BEGIN); }

  /// `must_be_new`: one that exists makes the transaction fail with EEXIST.
  void add_table(Table table, bool must_be_new) {
    message(NFT_MSG_NEWTABLE, NLM_F_CREATE | (must_be_new ? NLM_F_EXCL : 0),
            {.kind = Item::Kind::table, .table = table});
    builder_.put_string(NFTA_TABLE_NAME, redirect::nft_name(table));
    builder_.put_be32(NFTA_TABLE_FLAGS, 0);
  }

  void delete_table(Table table) {
    message(NFT_MSG_DELTABLE, 0, {.kind = Item::Kind::deletion, .table = table});
    builder_.put_string(NFTA_TABLE_NAME, redirect::nft_name(table));
  }

  void add_chain(Table table, Chain chain) {
    message(NFT_MSG_NEWCHAIN, NLM_F_CREATE,
            {.kind = Item::Kind::chain, .table = table, .chain = chain});
    builder_.put_string(NFTA_CHAIN_TABLE, redirect::nft_name(table));
    builder_.put_string(NFTA_CHAIN_NAME, redirect::nft_name(chain));
    const auto base = base_chain(table, chain);
    if (!base) return;
    builder_.put_string(NFTA_CHAIN_TYPE, base->type);
    const auto hook = builder_.nest(NFTA_CHAIN_HOOK);
    builder_.put_be32(NFTA_HOOK_HOOKNUM, base->hook);
    builder_.put_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(base->priority));
  }

  /// `wanted` must outlive the batch; its sets get their numbers.
  void add_rule(Table table, Chain chain, std::size_t position, WantedRule& wanted) {
    Item item{Item::Kind::set, table, chain, position, &wanted, {}};
    for (Expr& expr : wanted.exprs) {
      if (auto* lookup = std::get_if<Lookup>(&expr)) {
        lookup->set_id = ++sets_;
        add_set(*lookup, item);
      }
    }
    item.kind = Item::Kind::rule;
    item.offsets.reserve(wanted.exprs.size());
    message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, std::move(item));
    builder_.put_string(NFTA_RULE_TABLE, redirect::nft_name(table));
    builder_.put_string(NFTA_RULE_CHAIN, redirect::nft_name(chain));
    const auto list = builder_.nest(NFTA_RULE_EXPRESSIONS);
    for (const Expr& expr : wanted.exprs) {
      items_.back().offsets.push_back(builder_.offset());
      encode(builder_, expr);
    }
  }

  Status commit(Socket& socket) {
    marker(NFNL_MSG_BATCH_END);
    if (builder_.overflowed()) return Error{Errc::invalid_input, "nftables rule exceeds 64 KiB"};
    const auto acks = socket.batch(builder_.bytes());
    if (!acks) return Error(acks.error()).wrap("nftables transaction");
    bool confirmed = false;
    for (const netlink::Ack& ack : *acks) {
      if (ack.error != 0) return failure(ack);
      confirmed = true;
    }
    if (!confirmed) return Error{Errc::io, "nftables transaction: the kernel did not confirm it"};
    return base::success();
  }

 private:
  /// What a message is about. Words are made of it only when it is refused.
  struct Item {
    enum class Kind { transaction, table, deletion, chain, rule, set, elements };
    Kind kind = Kind::transaction;
    Table table{};
    Chain chain{};
    std::size_t position = 0;            ///< of the rule in its chain, from 1
    const WantedRule* rule = nullptr;    ///< of kinds rule, set and elements
    std::vector<std::size_t> offsets{};  ///< of the rule's expressions in the message

    [[nodiscard]] std::string what() const {
      const auto name = redirect::nft_name(table);
      switch (kind) {
        case Kind::transaction:
          break;
        case Kind::table:
          return base::cat("table ", name);
        case Kind::deletion:
          return base::cat("delete table ", name);
        case Kind::chain:
          return base::cat(name, " chain ", redirect::nft_name(chain));
        case Kind::rule:
        case Kind::set:
        case Kind::elements:
          return base::cat(name, ' ', redirect::nft_name(chain), " rule ", position, " \"",
                           redirect::nft_rule_text(*rule->rule), '"',
                           kind == Kind::rule  ? ""
                           : kind == Kind::set ? ": set"
                                               : ": set elements");
      }
      return "transaction";
    }

    /// What an ENOENT or EOPNOTSUPP says is missing, as far as the kind tells.
    [[nodiscard]] std::string needs() const {
      if (kind == Kind::table) return "tables of family inet (CONFIG_NF_TABLES_INET)";
      const auto base = kind == Kind::chain ? base_chain(table, chain) : std::nullopt;
      if (!base) return {};
      return base::cat("chain type ", base->type, " (module nft_chain_", base->type, ')');
    }
  };

  void message(int type, int flags, Item item) {
    // An acknowledgement of the first one proves that the kernel took the batch.
    const bool first = items_.size() == 1;
    builder_.begin(message_type(type), static_cast<std::uint16_t>(flags | (first ? NLM_F_ACK : 0)),
                   static_cast<std::uint32_t>(items_.size()));
    builder_.header(nfgenmsg{NFPROTO_INET, NFNETLINK_V0, 0});
    items_.push_back(std::move(item));
  }

  void marker(std::uint16_t type) {
    builder_.begin(type, 0, static_cast<std::uint32_t>(items_.size()));
    builder_.header(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, htobe16(NFNL_SUBSYS_NFTABLES)});
    items_.emplace_back();
  }

  void add_set(const Lookup& lookup, Item item) {
    const Table table = item.table;
    message(NFT_MSG_NEWSET, NLM_F_CREATE, item);
    item.kind = Item::Kind::elements;
    builder_.put_string(NFTA_SET_TABLE, redirect::nft_name(table));
    builder_.put_string(NFTA_SET_NAME, anonymous_set_name);
    builder_.put_be32(NFTA_SET_FLAGS, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT);
    builder_.put_be32(NFTA_SET_KEY_TYPE, key_type_inet_service);
    builder_.put_be32(NFTA_SET_KEY_LEN, sizeof(std::uint16_t));
    builder_.put_be32(NFTA_SET_ID, lookup.set_id);
    {
      const auto desc = builder_.nest(NFTA_SET_DESC);
      builder_.put_be32(NFTA_SET_DESC_SIZE, static_cast<std::uint32_t>(lookup.ports.size()));
    }
    builder_.put(NFTA_SET_USERDATA, key_byte_order);
    for (std::size_t at = 0; at < lookup.ports.size(); at += elements_per_message) {
      message(NFT_MSG_NEWSETELEM, NLM_F_CREATE, item);
      builder_.put_string(NFTA_SET_ELEM_LIST_TABLE, redirect::nft_name(table));
      builder_.put_string(NFTA_SET_ELEM_LIST_SET, anonymous_set_name);
      builder_.put_be32(NFTA_SET_ELEM_LIST_SET_ID, lookup.set_id);
      const auto elements = builder_.nest(NFTA_SET_ELEM_LIST_ELEMENTS);
      const std::size_t end = std::min(lookup.ports.size(), at + elements_per_message);
      for (std::size_t i = at; i < end; ++i) {
        const auto element = builder_.nest(NFTA_LIST_ELEM);
        const auto key = builder_.nest(NFTA_SET_ELEM_KEY);
        builder_.put_be16(NFTA_DATA_VALUE, lookup.ports[i]);
      }
    }
  }

  [[nodiscard]] Error failure(const netlink::Ack& ack) const {
    const Error cause = netlink::to_error(ack);
    const bool lacking = ack.error == ENOENT || ack.error == EOPNOTSUPP;
    // Number 0 is the batch itself: refused as a whole, or failed to commit.
    if (ack.seq == 0 || ack.seq >= items_.size()) return no_nftables(cause);
    const Item& item = items_[ack.seq];
    std::string needs = item.needs();
    for (std::size_t i = 0; i < item.offsets.size(); ++i) {
      const Expr& expr = item.rule->exprs[i];
      if (item.offsets[i] != ack.offset || module_name(expr).empty()) continue;
      needs =
          base::cat("nftables expression ", kernel_name(expr), " (module ", module_name(expr), ')');
    }
    if (needs.empty() && ack.offset == 0 && ack.error == ENOENT) needs = any_module(item);
    if (lacking && !needs.empty()) {
      return {Errc::unsupported,
              base::cat("the kernel lacks the ", needs, ": ", item.what(), ": ", cause.message),
              ack.error};
    }
    Error error = Error(cause).wrap(item.what()).wrap("nftables");
    if (ack.error == EOPNOTSUPP) error.code = Errc::unsupported;
    return error;
  }

  /// Kernels before extended acks do not say which expression it was.
  static std::string any_module(const Item& item) {
    if (item.kind != Item::Kind::rule) return {};
    std::vector<std::string> names;
    for (const Expr& expr : item.rule->exprs) {
      const std::string name(kernel_name(expr));
      if (module_name(expr).empty()) continue;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    if (names.empty()) return {};
    return base::cat("nftables expression ", base::join(names, " or "), " (module nft_",
                     base::join(names, ", nft_"), ')');
  }

  MessageBuilder builder_;
  std::vector<Item> items_;  ///< by sequence number
  std::uint32_t sets_ = 0;
};

// --- reading -----------------------------------------------------------------

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

Error unreadable(std::string_view what) {
  return {Errc::invalid_input, base::cat("nftables: the kernel's ", what, " cannot be read")};
}

/// Reads our tables as the kernel holds them.
class Reader {
 public:
  explicit Reader(Socket& socket) : socket_(socket) {}

  /// Which of our tables exist, without their chains.
  Result<std::map<Table, FoundTable>> tables() {
    std::map<Table, FoundTable> found;
    auto status = dump(
        NFT_MSG_GETTABLE, [](MessageBuilder&) {},
        [&](const Attributes& a) {
          const auto name = a.string(NFTA_TABLE_NAME);
          for (const Table table : all_tables) {
            if (name != redirect::nft_name(table)) continue;
            const std::uint32_t flags = a.be32(NFTA_TABLE_FLAGS).value_or(0);
            found[table].dormant = (flags & NFT_TABLE_F_DORMANT) != 0;
          }
          return base::success();
        });
    if (!status) return status.error();
    return found;
  }

  /// Fills in chains and rules.
  Status fill(std::map<Table, FoundTable>& tables) {
    auto status = dump(
        NFT_MSG_GETCHAIN, [](MessageBuilder&) {},
        [&](const Attributes& a) {
          for (auto& [table, found] : tables) {
            if (a.string(NFTA_CHAIN_TABLE) == redirect::nft_name(table)) return chain(found, a);
          }
          return base::success();
        });
    for (auto& [table, found] : tables) {
      if (!status) return status;
      status = rules(table, found);
    }
    return status;
  }

 private:
  template <typename Fill, typename Each>
  Status dump(int type, const Fill& fill, const Each& each) {
    MessageBuilder request;
    request.begin(message_type(type), NLM_F_DUMP);
    request.header(nfgenmsg{NFPROTO_INET, NFNETLINK_V0, 0});
    fill(request);
    const auto replies = socket_.talk(request);
    if (!replies) return replies.error();
    for (const Reply& reply : *replies) {
      const auto attributes = netlink::attributes_after(reply.payload, sizeof(nfgenmsg));
      if (!attributes) return attributes.error();
      if (auto status = each(*attributes); !status) return status;
    }
    return base::success();
  }

  static Status chain(FoundTable& table, const Attributes& a) {
    const auto name = a.string(NFTA_CHAIN_NAME);
    if (!name) return unreadable("chain");
    FoundChain& chain = table.chains.emplace_back();
    chain.name = *name;
    if (a.find(NFTA_CHAIN_HOOK) == nullptr) return base::success();
    const auto hook = a.nested(NFTA_CHAIN_HOOK);
    if (!hook) return hook.error();
    const auto number = hook->be32(NFTA_HOOK_HOOKNUM);
    const auto priority = hook->be32(NFTA_HOOK_PRIORITY);
    if (!number || !priority) return unreadable("chain hook");
    chain.type_name = a.string(NFTA_CHAIN_TYPE).value_or("");
    chain.base = BaseChain{{}, *number, static_cast<std::int32_t>(*priority)};
    chain.drops = a.be32(NFTA_CHAIN_POLICY).value_or(NF_ACCEPT) != NF_ACCEPT;
    return base::success();
  }

  Status rules(Table table, FoundTable& found) {
    const std::string_view name = redirect::nft_name(table);
    return dump(
        NFT_MSG_GETRULE,
        [&](MessageBuilder& request) { request.put_string(NFTA_RULE_TABLE, name); },
        [&](const Attributes& a) -> Status {
          if (a.string(NFTA_RULE_TABLE) != name) return base::success();
          const auto in = a.string(NFTA_RULE_CHAIN);
          const auto chain = std::find_if(found.chains.begin(), found.chains.end(),
                                          [&](const FoundChain& c) { return c.name == in; });
          if (chain == found.chains.end()) return unreadable("rule");
          const netlink::Attribute* list = a.find(NFTA_RULE_EXPRESSIONS);
          auto exprs = decode_list(list == nullptr ? netlink::Bytes{} : list->payload);
          if (!exprs) return exprs.error();
          for (Expr& expr : *exprs) {
            if (auto* lookup = std::get_if<Lookup>(&expr)) {
              if (auto status = elements(name, *lookup); !status) return status;
            }
          }
          chain->rules.push_back(*std::move(exprs));
          return base::success();
        });
  }

  Status elements(std::string_view table, Lookup& lookup) {
    bool ports_only = true;
    auto status = dump(
        NFT_MSG_GETSETELEM,
        [&](MessageBuilder& request) {
          request.put_string(NFTA_SET_ELEM_LIST_TABLE, table);
          request.put_string(NFTA_SET_ELEM_LIST_SET, lookup.set_name);
        },
        [&](const Attributes& a) -> Status {
          const auto list = a.nested(NFTA_SET_ELEM_LIST_ELEMENTS);
          if (!list) return list.error();
          for (const auto& item : *list) {
            const auto element = Attributes::parse(item.payload);
            if (!element) return element.error();
            const auto key = element->nested(NFTA_SET_ELEM_KEY);
            if (!key) return key.error();
            const netlink::Attribute* value = key->find(NFTA_DATA_VALUE);
            const auto port = value == nullptr ? std::nullopt : value->be16();
            ports_only = ports_only && port && element->find(NFTA_SET_ELEM_FLAGS) == nullptr;
            lookup.ports.push_back(port.value_or(0));
          }
          return base::success();
        });
    std::sort(lookup.ports.begin(), lookup.ports.end());
    // Not a plain set of ports, so not ours: an empty one equals no rule of ours.
    if (!ports_only) lookup.ports.clear();
    return status;
  }

  Socket& socket_;
};

// --- comparing ---------------------------------------------------------------

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
  Reader reader(socket);
  auto found = reader.tables();
  if (!found) return no_nftables(found.error());
  for (const auto& [table, content] : *found) present.push_back(table);
  Comparison result;
  result.absent = found->empty();
  if (!found->empty()) {
    if (auto status = reader.fill(*found); !status) {
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
    const auto found = Reader(*socket).tables();
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
