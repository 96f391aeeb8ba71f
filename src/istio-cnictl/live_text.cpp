#include "istio-cnictl/live_text.hpp"

#include <linux/netfilter.h>

#undef _GNU_SOURCE  // the header defines it without asking
#include <nftables/libnftables.h>

#include <memory>

#include "base/strings.hpp"
#include "netfilter/xtables_rule.hpp"
#include "netfilter/xtables_socket.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using redirect::Family;

struct Freer {
  void operator()(nft_ctx* context) const { ::nft_ctx_free(context); }
};

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : text; }

/// By the library that nft itself is made of, so that rules of others are
/// complete too.
void read_nftables(LiveText& out) {
  const std::unique_ptr<nft_ctx, Freer> context(::nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context || ::nft_ctx_buffer_output(context.get()) != 0 ||
      ::nft_ctx_buffer_error(context.get()) != 0) {
    out.problems.emplace_back("nftables: no memory");
    return;
  }
  ::nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_NUMERIC_PROTO);
  const int status = ::nft_run_cmd_from_buffer(context.get(), "list ruleset");
  out.nftables = text_or_empty(::nft_ctx_get_output_buffer(context.get()));
  if (status != 0)
    out.problems.push_back(
        cat("nftables: ", base::trim(text_or_empty(::nft_ctx_get_error_buffer(context.get())))));
}

void read_iptables(Family family, std::string& out, std::vector<std::string>& problems) {
  auto names = netfilter::existing_xtables(family);
  if (!names) {
    problems.push_back(names.error().message);
    return;
  }
  if (names->empty()) return;
  auto socket = netfilter::XtSocket::open(family);
  if (!socket) {
    problems.push_back(socket.error().message);
    return;
  }
  for (const auto& name : *names) {
    auto blob = socket->read(name);
    auto table = blob ? netfilter::XtTable::parse(family, *blob)
                      : base::Result<netfilter::XtTable>(blob.error());
    if (table)
      out.append(table_text(name, *table));
    else
      problems.push_back(cat(name, ": ", table.error().message));
  }
}

std::string_view policy_text(std::int32_t policy) {
  return policy == -NF_DROP - 1 ? "DROP" : "ACCEPT";
}

}  // namespace

std::string table_text(std::string_view name, const netfilter::XtTable& table) {
  auto out = cat('*', name, '\n');
  for (const auto& chain : table.chains())
    out.append(cat(':', chain.name, ' ',
                   chain.hook ? policy_text(chain.policy) : std::string_view("-"), '\n'));
  for (const auto& chain : table.chains())
    for (const auto& rule : chain.rules)
      out.append(cat("-A ", chain.name, ' ', netfilter::describe_rule(rule, table.family()), '\n'));
  return out.append("COMMIT\n");
}

LiveText read_live_text() {
  LiveText text;
  read_nftables(text);
  read_iptables(Family::v4, text.iptables_v4, text.problems);
  read_iptables(Family::v6, text.iptables_v6, text.problems);
  return text;
}

}  // namespace istio_cnictl
