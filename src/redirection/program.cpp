#include "redirection/program.hpp"

#include "base/strings.hpp"

namespace redirection {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using redirect::Ruleset;
using Clock = std::chrono::steady_clock;

std::chrono::microseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}

/// `may_fall_back`: to iptables, should the kernel turn out to lack nftables.
struct Choice {
  netfilter::Backend* backend;
  std::string reason;
  bool legacy_present = false;
  bool may_fall_back = false;
};

base::Result<Choice> choose(Kernel& kernel, cni::BackendChoice wanted) {
  auto legacy = kernel.legacy_rules_present();
  if (!legacy) return std::move(legacy).error();
  switch (wanted) {
    case cni::BackendChoice::nftables:
      return Choice{&kernel.nftables(), "configured", *legacy};
    case cni::BackendChoice::iptables:
      return Choice{&kernel.iptables(), "configured", *legacy};
    case cni::BackendChoice::automatic:
      break;
  }
  if (*legacy) return Choice{&kernel.iptables(), "legacy iptables rules in the namespace", true};
  return Choice{&kernel.nftables(), "offered by the kernel", false, true};
}

base::Status compare_with(Kernel& kernel, netfilter::Backend& backend, const Ruleset& ruleset) {
  auto comparison = backend.compare(ruleset);
  if (!comparison) return std::move(comparison).error().wrap("read the rules back");
  auto differences = std::move(comparison->differences);
  auto routes = kernel.compare_routes(ruleset);
  if (!routes) return std::move(routes).error().wrap("read the routes back");
  differences.insert(differences.end(), routes->begin(), routes->end());
  if (differences.empty()) return base::success();
  constexpr std::size_t shown = 10;
  std::string text = comparison->absent ? "no redirection in the namespace"
                                        : "the namespace does not hold the expected redirection";
  for (std::size_t i = 0; i < differences.size() && i < shown; ++i)
    text.append(cat(i == 0 ? ": " : "; ", differences[i]));
  if (differences.size() > shown) text.append(cat("; and ", differences.size() - shown, " more"));
  return Error{Errc::mismatch, std::move(text)};
}

}  // namespace

base::Status program(Kernel& kernel, const Ruleset& ruleset, cni::BackendChoice backend,
                     Trace& trace) {
  const auto start = Clock::now();
  auto choice = choose(kernel, backend);
  if (!choice) return std::move(choice).error();
  auto status = choice->backend->apply(ruleset);
  // asked only now: nearly every kernel has nftables
  if (!status && choice->may_fall_back &&
      (status.error().code == Errc::unsupported || !kernel.probe_nftables())) {
    choice = Choice{&kernel.iptables(), status.error().message, choice->legacy_present};
    status = choice->backend->apply(ruleset);
    if (!status && status.error().code == Errc::unsupported) {
      auto lacking = std::move(status).error().wrap(choice->backend->name());
      // either would do
      lacking.message = cat(kernel.nftables().name(), ": ", choice->reason, "; ", lacking.message);
      return lacking;
    }
  }
  if (!status) return std::move(status).error().wrap(choice->backend->name());
  // what another backend left here would redirect a second time
  if (choice->backend != &kernel.nftables()) {
    if (kernel.probe_nftables().ok())
      if (auto removed = kernel.nftables().remove(ruleset); !removed) return removed;
  } else if (choice->legacy_present) {
    if (auto removed = kernel.iptables().remove(ruleset); !removed) return removed;
  }
  if (auto routed = kernel.apply_routes(ruleset); !routed) return routed;
  trace.rules = since(start);
  trace.backend = choice->backend->name();
  trace.backend_reason = choice->reason;

  const auto verify_start = Clock::now();
  auto verified = compare_with(kernel, *choice->backend, ruleset);
  trace.verify = since(verify_start);
  return verified;
}

base::Status verify(Kernel& kernel, const Ruleset& ruleset, cni::BackendChoice backend,
                    Trace& trace) {
  const auto start = Clock::now();
  auto choice = choose(kernel, backend);
  if (!choice) return std::move(choice).error();
  auto* used = choice->backend;
  if (choice->may_fall_back && !kernel.probe_nftables()) used = &kernel.iptables();
  // ADD may have chosen nftables before somebody else's legacy rules came
  if (backend == cni::BackendChoice::automatic && choice->legacy_present &&
      kernel.probe_nftables().ok()) {
    auto held = kernel.nftables().compare(ruleset);
    if (held && !held->absent) used = &kernel.nftables();
  }
  trace.backend = used->name();
  auto status = compare_with(kernel, *used, ruleset);
  trace.verify = since(start);
  return status;
}

}  // namespace redirection
