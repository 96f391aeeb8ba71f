// The words and the patience of the installer. Pure.
#include <algorithm>

#include "base/strings.hpp"
#include "install/installer.hpp"

namespace install {

using base::cat;

std::string describe(const Desired& desired, const Pass& pass) {
  if (pass.failure) {
    const auto* step = pass.failure->step == Step::binary       ? "plugin"
                       : pass.failure->step == Step::kubeconfig ? "plugin's kubeconfig"
                                                                : "CNI configuration";
    return cat(step, " cannot be installed: ", pass.failure->error.message);
  }
  std::string where;
  if (!pass.file.empty()) {
    if (pass.gated)
      where = cat("gate in ", pass.file);
    else if (!pass.derived_from.empty())
      where = cat(desired.mode == Mode::owned ? "owned" : "own", " list ", pass.file, " (from ",
                  pass.derived_from, ")");
    else if (desired.mode == Mode::standalone)
      where = cat("standalone in ", pass.file);
    else
      where = cat("chained in ", pass.file);
  }
  if (pass.ready) return where;
  if (where.empty()) return pass.waiting_for.empty() ? "not installed" : pass.waiting_for;
  return pass.waiting_for.empty() ? where : cat(where, ", but ", pass.waiting_for);
}

std::chrono::milliseconds ReversionGuard::reverted(Clock::time_point now, double random) {
  using std::chrono::milliseconds;
  constexpr std::chrono::seconds window{5};
  constexpr std::size_t free_of_charge = 10;
  constexpr milliseconds shortest{50};
  constexpr milliseconds longest{1000};

  // Slowed down, a peer cannot reach ten in 5 s any more; so a series ends only
  // when there was none at all for that long.
  if (!recent_.empty() && now - recent_.back() >= window) {
    recent_.clear();
    over_ = 0;
    warned_ = false;
  }
  std::erase_if(recent_, [&](Clock::time_point at) { return now - at >= window; });
  recent_.push_back(now);
  if (recent_.size() > free_of_charge + 1) recent_.erase(recent_.begin());
  if (over_ == 0 && recent_.size() <= free_of_charge) return milliseconds{0};

  const auto full = std::min(longest, shortest * (1 << std::min(over_, 10)));
  ++over_;
  // between half of it and all of it
  const double part = 0.5 + 0.5 * std::clamp(random, 0.0, 1.0);
  return milliseconds(static_cast<milliseconds::rep>(static_cast<double>(full.count()) * part));
}

bool ReversionGuard::warn_now() { return over_ > 0 && !std::exchange(warned_, true); }

}  // namespace install
