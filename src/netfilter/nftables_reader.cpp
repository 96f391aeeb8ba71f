#include "netfilter/nftables_reader.hpp"

#include <linux/netfilter.h>

#include <algorithm>

#include "base/strings.hpp"
#include "redirect/render.hpp"

namespace netfilter {

using base::Errc;
using base::Error;
using base::Result;
using base::Status;
using netlink::Attributes;
using netlink::MessageBuilder;
using netlink::Reply;
using netlink::Socket;
using redirect::Table;

namespace {

Error unreadable(std::string_view what) {
  return {Errc::invalid_input, base::cat("nftables: the kernel's ", what, " cannot be read")};
}

template <typename Fill, typename Each>
Status dump(Socket& socket, int type, const Fill& fill, const Each& each) {
  MessageBuilder request;
  request.begin(message_type(type), NLM_F_DUMP);
  request.header(nfgenmsg{NFPROTO_INET, NFNETLINK_V0, 0});
  fill(request);
  const auto replies = socket.talk(request);
  if (!replies) return replies.error();
  for (const Reply& reply : *replies) {
    const auto attributes = netlink::attributes_after(reply.payload, sizeof(nfgenmsg));
    if (!attributes) return attributes.error();
    if (auto status = each(*attributes); !status) return status;
  }
  return base::success();
}

Status read_chain(FoundTable& table, const Attributes& a) {
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

Status read_elements(Socket& socket, std::string_view table, Lookup& lookup) {
  bool ports_only = true;
  auto status = dump(
      socket, NFT_MSG_GETSETELEM,
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

Status read_rules(Socket& socket, Table table, FoundTable& found) {
  const std::string_view name = redirect::nft_name(table);
  return dump(
      socket, NFT_MSG_GETRULE,
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
            if (auto status = read_elements(socket, name, *lookup); !status) return status;
          }
        }
        chain->rules.push_back(*std::move(exprs));
        return base::success();
      });
}

}  // namespace

Result<FoundTables> read_tables(Socket& socket) {
  FoundTables found;
  auto status = dump(
      socket, NFT_MSG_GETTABLE, [](MessageBuilder&) {},
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

Status read_chains(Socket& socket, FoundTables& tables) {
  auto status = dump(
      socket, NFT_MSG_GETCHAIN, [](MessageBuilder&) {},
      [&](const Attributes& a) {
        for (auto& [table, found] : tables) {
          if (a.string(NFTA_CHAIN_TABLE) == redirect::nft_name(table)) return read_chain(found, a);
        }
        return base::success();
      });
  for (auto& [table, found] : tables) {
    if (!status) return status;
    status = read_rules(socket, table, found);
  }
  return status;
}

}  // namespace netfilter
