// One transaction of nf_tables, and for each of its messages what it is about, so
// that a refusal can be told in the user's terms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "netfilter/nftables_tables.hpp"
#include "netlink/message.hpp"
#include "netlink/socket.hpp"

namespace netfilter {

class Batch {
 public:
  Batch();

  /// `must_be_new`: one that exists makes the transaction fail with EEXIST.
  void add_table(redirect::Table table, bool must_be_new);
  void delete_table(redirect::Table table);
  void add_chain(redirect::Table table, redirect::Chain chain);
  /// `position` counts from 1. `wanted` must outlive the batch; its sets get their
  /// numbers.
  void add_rule(redirect::Table table, redirect::Chain chain, std::size_t position,
                WantedRule& wanted);

  /// All of it or nothing. Errc::unsupported names what the kernel lacks.
  base::Status commit(netlink::Socket& socket);

 private:
  /// What a message is about. Words are made of it only when it is refused.
  struct Item {
    enum class Kind { transaction, table, deletion, chain, rule, set, elements };
    Kind kind = Kind::transaction;
    redirect::Table table{};
    redirect::Chain chain{};
    std::size_t position = 0;            ///< of the rule in its chain, from 1
    const WantedRule* rule = nullptr;    ///< of kinds rule, set and elements
    std::vector<std::size_t> offsets{};  ///< of the rule's expressions in the message

    [[nodiscard]] std::string what() const;
    /// What an ENOENT or EOPNOTSUPP says is missing, as far as the kind tells.
    [[nodiscard]] std::string needs() const;
    /// Kernels before extended acks do not say which expression it was.
    [[nodiscard]] std::string any_module() const;
  };

  void message(int type, int flags, Item item);
  void marker(std::uint16_t type);
  void add_set(const Lookup& lookup, Item item);
  [[nodiscard]] base::Error failure(const netlink::Ack& ack) const;

  netlink::MessageBuilder builder_;
  std::vector<Item> items_;  ///< by sequence number
  std::uint32_t sets_ = 0;
};

}  // namespace netfilter
