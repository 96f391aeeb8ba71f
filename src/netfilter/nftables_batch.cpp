#include "netfilter/nftables_batch.hpp"

#include <endian.h>
#include <linux/netfilter.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.hpp"
#include "redirect/render.hpp"

namespace netfilter {

using base::Errc;
using base::Error;
using base::Status;
using netlink::Socket;
using redirect::Chain;
using redirect::Table;

namespace {

// TYPE_INET_SERVICE in nftables' include/datatype.h: lets nft print the set.
constexpr std::uint32_t key_type_inet_service = 13;
// NFTNL_UDATA_SET_KEYBYTEORDER (libnftnl/udata.h) = BYTEORDER_BIG_ENDIAN
constexpr std::array<std::uint8_t, 6> key_byte_order{0, 4, 2, 0, 0, 0};
// Keeps one NFTA_SET_ELEM_LIST_ELEMENTS within its 16-bit length.
constexpr std::size_t elements_per_message = 1000;

}  // namespace

Batch::Batch() { marker(NFNL_MSG_BATCH_BEGIN); }

void Batch::add_table(Table table, bool must_be_new) {
  message(NFT_MSG_NEWTABLE, NLM_F_CREATE | (must_be_new ? NLM_F_EXCL : 0),
          {.kind = Item::Kind::table, .table = table});
  builder_.put_string(NFTA_TABLE_NAME, redirect::nft_name(table));
  builder_.put_be32(NFTA_TABLE_FLAGS, 0);
}

void Batch::delete_table(Table table) {
  message(NFT_MSG_DELTABLE, 0, {.kind = Item::Kind::deletion, .table = table});
  builder_.put_string(NFTA_TABLE_NAME, redirect::nft_name(table));
}

void Batch::add_chain(Table table, Chain chain) {
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

void Batch::add_rule(Table table, Chain chain, std::size_t position, WantedRule& wanted) {
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

Status Batch::commit(Socket& socket) {
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

std::string Batch::Item::what() const {
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

std::string Batch::Item::needs() const {
  if (kind == Kind::table) return "tables of family inet (CONFIG_NF_TABLES_INET)";
  const auto base = kind == Kind::chain ? base_chain(table, chain) : std::nullopt;
  if (!base) return {};
  return base::cat("chain type ", base->type, " (module nft_chain_", base->type, ')');
}

std::string Batch::Item::any_module() const {
  if (kind != Kind::rule) return {};
  std::vector<std::string> names;
  for (const Expr& expr : rule->exprs) {
    const std::string name(kernel_name(expr));
    if (module_name(expr).empty()) continue;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  if (names.empty()) return {};
  return base::cat("nftables expression ", base::join(names, " or "), " (module nft_",
                   base::join(names, ", nft_"), ')');
}

void Batch::message(int type, int flags, Item item) {
  // An acknowledgement of the first one proves that the kernel took the batch.
  const bool first = items_.size() == 1;
  builder_.begin(message_type(type), static_cast<std::uint16_t>(flags | (first ? NLM_F_ACK : 0)),
                 static_cast<std::uint32_t>(items_.size()));
  builder_.header(nfgenmsg{NFPROTO_INET, NFNETLINK_V0, 0});
  items_.push_back(std::move(item));
}

void Batch::marker(std::uint16_t type) {
  builder_.begin(type, 0, static_cast<std::uint32_t>(items_.size()));
  builder_.header(nfgenmsg{AF_UNSPEC, NFNETLINK_V0, htobe16(NFNL_SUBSYS_NFTABLES)});
  items_.emplace_back();
}

void Batch::add_set(const Lookup& lookup, Item item) {
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

Error Batch::failure(const netlink::Ack& ack) const {
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
  if (needs.empty() && ack.offset == 0 && ack.error == ENOENT) needs = item.any_module();
  if (lacking && !needs.empty()) {
    return {Errc::unsupported,
            base::cat("the kernel lacks the ", needs, ": ", item.what(), ": ", cause.message),
            ack.error};
  }
  Error error = Error(cause).wrap(item.what()).wrap("nftables");
  if (ack.error == EOPNOTSUPP) error.code = Errc::unsupported;
  return error;
}

}  // namespace netfilter
