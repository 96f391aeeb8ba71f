// Backend: a Ruleset in the kernel of the calling thread's network namespace.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "redirect/ruleset.hpp"

namespace netfilter {

/// What a namespace holds, compared with what it should hold.
struct Comparison {
  /// Nothing of ours is there.
  bool absent = false;
  /// One line for each difference, in words: "nat ISTIO_OUTPUT rule 3: expected
  /// ..., found ...". Empty: exactly the expected redirection.
  std::vector<std::string> differences;
  [[nodiscard]] bool equal() const { return differences.empty(); }
};

/// Works on the network namespace of the calling thread; every socket is opened
/// inside the call and closed before it returns, so no handle can outlive a
/// change of namespace. Never executes a program and takes no lock.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// Makes our tables or chains exactly `ruleset`; rules of others are kept.
  /// Errc::unsupported names the missing table, match or expression.
  /// nftables: one transaction. iptables: one commit per table and family.
  [[nodiscard]] virtual base::Status apply(const redirect::Ruleset& ruleset) = 0;

  /// Reads back and compares; changes nothing.
  [[nodiscard]] virtual base::Result<Comparison> compare(const redirect::Ruleset& ruleset) = 0;

  /// Removes all that apply() makes, whatever ruleset it was; `ruleset` names
  /// the rules in built-in chains that are ours. Nothing there: success.
  [[nodiscard]] virtual base::Status remove(const redirect::Ruleset& ruleset) = 0;
};

std::unique_ptr<Backend> make_nftables();
std::unique_ptr<Backend> make_iptables();

/// True when this namespace holds legacy xtables rules (IPv4 or IPv6), ours or
/// another's. Reads /proc/thread-self/net first, so no module is loaded.
base::Result<bool> legacy_rules_present();

/// Success when the kernel offers the backend here; the error says what is missing.
base::Status probe_nftables();
base::Status probe_iptables();

}  // namespace netfilter
