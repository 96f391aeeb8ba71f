// A Ruleset put into a network namespace, and looked up there again: the one
// sequence that the plugin runs at ADD and CHECK and the agent at a repair.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cni/netconf.hpp"
#include "netfilter/backend.hpp"
#include "redirect/ruleset.hpp"

namespace redirection {

/// What the sequence needs of the kernel, all of it in the network namespace of
/// the calling thread. One real implementation; fakes in tests.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual base::Result<bool> legacy_rules_present() = 0;
  virtual base::Status probe_nftables() = 0;
  virtual netfilter::Backend& nftables() = 0;
  virtual netfilter::Backend& iptables() = 0;
  virtual base::Status apply_routes(const redirect::Ruleset& ruleset) = 0;
  virtual base::Result<std::vector<std::string>> compare_routes(
      const redirect::Ruleset& ruleset) = 0;
};

std::unique_ptr<Kernel> make_kernel();

/// What was done, as far as it went; filled on failure too.
struct Trace {
  std::string backend;                   ///< the one that was used; "" when none was reached
  std::string backend_reason;            ///< why that one; "" from verify()
  std::chrono::microseconds rules{-1};   ///< choice, rules and routes; -1: not reached
  std::chrono::microseconds verify{-1};  ///< reading back and comparing; -1: not reached
};

/// Chooses a backend (with `automatic`: iptables where legacy rules are or the
/// kernel has no nftables), applies, removes what the other backend left here,
/// adds the routes, reads everything back and compares. May be repeated: what is
/// right already stays.
///
/// Errors: those of the backend, its name ahead; Errc::mismatch when what was
/// read back differs, naming the first differences.
base::Status program(Kernel& kernel, const redirect::Ruleset& ruleset, cni::BackendChoice backend,
                     Trace& trace);

/// Reads back and compares only, with the backend that program() would have
/// used, or nftables when rules of ours are there. Errors as of program().
base::Status verify(Kernel& kernel, const redirect::Ruleset& ruleset, cni::BackendChoice backend,
                    Trace& trace);

}  // namespace redirection
