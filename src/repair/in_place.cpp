#include "repair/in_place.hpp"

#include <sys/prctl.h>

#include <thread>
#include <utility>
#include <variant>

#include "base/rooted.hpp"
#include "base/strings.hpp"
#include "base/users.hpp"
#include "netns/netns.hpp"
#include "redirection/here.hpp"
#include "redirection/program.hpp"
#include "validate/as_proxy.hpp"
#include "validate/probe.hpp"

namespace repair {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using redirect::Family;
using Clock = std::chrono::steady_clock;

std::chrono::microseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}

base::Status resolve_groups(redirect::Config& config, const std::string& host_root) {
  for (auto* owners : {&config.owner_groups_include.items, &config.owner_groups_exclude}) {
    for (auto& owner : *owners) {
      if (owner.id) continue;
      auto id = base::group_id(owner.text, base::resolve_below(host_root, "/etc/group"));
      if (!id) return std::move(id).error();
      owner.id = *id;
    }
  }
  return base::success();
}

/// A change of user makes the kernel take the whole process for one with
/// secrets, without core dumps: put back what was.
class KeepDumpable {
 public:
  KeepDumpable() = default;
  ~KeepDumpable() {
    if (before_ == 1) (void)::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  }
  KeepDumpable(const KeepDumpable&) = delete;
  KeepDumpable& operator=(const KeepDumpable&) = delete;

 private:
  int before_ = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
};

std::string failure_of(const validate::ProbeReport& report) {
  auto text = cat("the rules are there, but the probe failed: ", report.failure);
  if (!report.attempts.empty()) text.append(cat(" (", report.attempts.back(), ')'));
  return text;
}

base::Status probe(int fd, const redirect::Config& config, const std::vector<Family>& families,
                   std::chrono::milliseconds timeout) {
  const KeepDumpable keep;
  return netns::run_in_netns(fd, [&]() -> base::Status {
    auto status = validate::become_proxy(config);
    if (!status) return status;
    for (const auto family : families) {
      validate::ProbeConfig wanted;
      wanted.family = family;
      wanted.proxy_port = config.proxy_port;
      wanted.inbound_port = config.inbound_capture_port;
      wanted.timeout = timeout;
      const auto report = validate::run_probe(wanted);
      if (!report.ok()) return Error{Errc::mismatch, failure_of(report)};
    }
    return base::success();
  });
}

class Repair {
 public:
  Repair(const pod::Pod& pod, const InPlaceOptions& options) : pod_(pod), options_(options) {}

  InPlaceReport run(const std::string& hint) {
    auto status = work(hint);
    if (!status) {
      report_.outcome = InPlaceReport::Outcome::failed;
      report_.cause = status.error().message;
    }
    return std::move(report_);
  }

 private:
  base::Status work(const std::string& hint) {
    auto decision = redirect::decide(pod_, options_.host, options_.agent_namespace,
                                     options_.exclude_namespaces);
    if (!decision) return std::move(decision).error();
    if (auto* skip = std::get_if<redirect::Skip>(&*decision)) return skipped(*skip);
    auto plan = std::get<redirect::RedirectPlan>(*std::move(decision));
    report_.warnings = plan.warnings;
    if (auto status = resolve_groups(plan.config, options_.places.host_root); !status)
      return status;

    auto start = Clock::now();
    auto found = find_netns(pod_, hint, options_.places);
    report_.find = since(start);
    if (!found) return std::move(found).error();
    report_.netns = found->path;
    report_.found_by = found->by;

    std::vector<Family> families;
    redirection::Trace trace;
    auto programmed =
        netns::run_in_netns(found->fd.get(), [&] { return program(plan, families, trace); });
    report_.backend = trace.backend;
    report_.rules = trace.rules;
    report_.verify = trace.verify;
    if (!programmed) return programmed;

    start = Clock::now();
    auto probed = probe(found->fd.get(), plan.config, families, options_.probe_timeout);
    if (!probed && probed.error().code == Errc::mismatch) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      probed = probe(found->fd.get(), plan.config, families, options_.probe_timeout);
    }
    report_.probe = since(start);
    if (probed) report_.outcome = InPlaceReport::Outcome::repaired;
    return probed;
  }

  /// In the pod's namespace.
  base::Status program(const redirect::RedirectPlan& plan, std::vector<Family>& families,
                       redirection::Trace& trace) {
    auto here = redirection::rules_here(plan);
    if (!here) return std::move(here).error();
    families = here->families;
    const auto& ruleset = here->ruleset;
    report_.warnings.insert(report_.warnings.end(), ruleset.warnings.begin(),
                            ruleset.warnings.end());
    const auto kernel = redirection::make_kernel();
    return redirection::program(*kernel, ruleset, options_.backend, trace);
  }

  base::Status skipped(const redirect::Skip& skip) {
    report_.outcome = InPlaceReport::Outcome::skipped;
    report_.cause = cat(redirect::to_string(skip.reason), ": ", skip.detail);
    return base::success();
  }

  const pod::Pod& pod_;
  const InPlaceOptions& options_;
  InPlaceReport report_;
};

}  // namespace

InPlaceReport repair_in_place(const pod::Pod& pod, const std::string& netns_hint,
                              const InPlaceOptions& options) {
  return Repair(pod, options).run(netns_hint);
}

}  // namespace repair
