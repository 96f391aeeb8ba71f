#include "istio-cnictl/pod_netns.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/rooted.hpp"
#include "base/strings.hpp"
#include "istio-cnictl/connect_probe.hpp"
#include "istio-cnictl/live_text.hpp"
#include "netfilter/backend.hpp"
#include "netns/addresses.hpp"
#include "netns/netns.hpp"
#include "netns/routes.hpp"
#include "validate/probe.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using redirect::Family;

struct Here {
  redirect::Ruleset ruleset;
  std::vector<Family> families;
};

/// In the namespace: the rules that ADD makes for its addresses.
base::Result<Here> rules_here(const redirect::RedirectPlan& plan) {
  auto addresses = netns::local_addresses();
  if (!addresses) return std::move(addresses).error();
  auto host_ip = netns::choose_host_ip(*addresses, plan.dual_stack);
  if (!host_ip) return std::move(host_ip).error();
  auto config = plan.config;
  config.ipv6 = host_ip->ipv6;
  Here here{redirect::build_ruleset(config), {host_ip->ip.family}};
  if (host_ip->ipv6 && host_ip->ip.family == Family::v4) here.families.push_back(Family::v6);
  return here;
}

using Compared = base::Result<netfilter::Comparison>;

base::Result<LiveState> compare_here(const redirect::Ruleset& ruleset, cni::BackendChoice wanted) {
  Compared nftables = Error{Errc::unsupported, "the kernel has no nftables"};
  if (auto offered = netfilter::probe_nftables())
    nftables = netfilter::make_nftables()->compare(ruleset);
  else
    nftables = std::move(offered).error();
  const Compared iptables = netfilter::make_iptables()->compare(ruleset);
  if (!nftables && !iptables) return Error(nftables.error()).wrap("read the rules");

  const bool in_nftables = nftables && !nftables->absent;
  const bool in_iptables = iptables && !iptables->absent;
  const bool use_nftables =
      nftables &&
      (in_nftables || (!in_iptables && wanted != cni::BackendChoice::iptables) || !iptables);
  const auto& used = use_nftables ? *nftables : *iptables;
  LiveState state;
  state.backend = use_nftables ? "nftables" : "iptables";
  state.absent = !in_nftables && !in_iptables;
  state.differences = used.differences;
  if (in_nftables && in_iptables)
    state.differences.emplace_back(
        "rules of ours are in legacy iptables too: traffic is redirected twice");
  auto routes = netns::compare_routes(ruleset);
  if (!routes) return std::move(routes).error().wrap("read the routes");
  std::move(routes->begin(), routes->end(), std::back_inserter(state.differences));
  return state;
}

/// The calling thread alone gives up its user and group, for good: the C
/// library's functions would do it to the whole process.
base::Status become(std::uint32_t uid, std::uint32_t gid) {
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0 || ::syscall(SYS_setresuid, uid, uid, uid) != 0)
    return base::system_error(cat("become user ", uid, " for the probe"), errno);
  return base::success();
}

std::uint32_t first_id(const std::vector<redirect::Owner>& owners) {
  constexpr std::uint32_t proxy = 1337;
  return owners.empty() ? proxy : owners.front().id.value_or(proxy);
}

ProbeResult full_probe(Family family, const redirect::Config& config,
                       std::chrono::milliseconds timeout) {
  validate::ProbeConfig wanted;
  wanted.family = family;
  wanted.proxy_port = config.proxy_port;
  wanted.inbound_port = config.inbound_capture_port;
  wanted.timeout = timeout;
  auto report = validate::run_probe(wanted);
  using Outcome = ProbeResult::Outcome;
  auto outcome = Outcome::arrived;
  if (!report.ok) {
    outcome = Outcome::timeout;
    if (report.failure.find("refused") != std::string::npos) outcome = Outcome::refused;
    if (report.failure.find("no listener") != std::string::npos) outcome = Outcome::failed;
  }
  return {family, outcome, std::move(report.failure), std::move(report.attempts)};
}

}  // namespace

base::Result<PodNetns> PodNetns::find(const pod::Pod& pod, const std::string& hint,
                                      const config::Config& config) {
  if (::geteuid() != 0)
    return Error{Errc::refused, "only root may look into a pod's network namespace"};
  repair::Places places;
  places.host_root = config.host_root;
  if (!config.host_root.empty()) places.proc = base::resolve_below(config.host_root, "/proc");
  auto found = repair::find_netns(pod, hint, places);
  if (!found) return std::move(found).error();
  return PodNetns(*std::move(found));
}

base::Result<LiveText> PodNetns::text() const {
  LiveText text;
  auto status = netns::run_in_netns(found_.fd.get(), [&] {
    text = read_live_text();
    return base::success();
  });
  if (!status) return std::move(status).error();
  return text;
}

base::Result<LiveState> PodNetns::compare(const redirect::RedirectPlan& plan,
                                          cni::BackendChoice backend) const {
  LiveState state;
  auto status = netns::run_in_netns(found_.fd.get(), [&]() -> base::Status {
    auto here = rules_here(plan);
    if (!here) return std::move(here).error();
    auto compared = compare_here(here->ruleset, backend);
    if (!compared) return std::move(compared).error();
    state = *std::move(compared);
    return base::success();
  });
  if (!status) return std::move(status).error();
  state.netns = found_.path;
  state.found_by = found_.by;
  return state;
}

base::Result<std::vector<ProbeResult>> PodNetns::probe(const redirect::RedirectPlan& plan,
                                                       std::chrono::milliseconds timeout) const {
  std::vector<ProbeResult> results;
  auto status = netns::run_in_netns(found_.fd.get(), [&]() -> base::Status {
    auto here = rules_here(plan);
    if (!here) return std::move(here).error();
    const bool proxy = listens(plan.config.inbound_capture_port);
    auto done = become(first_id(plan.config.proxy_uids), first_id(plan.config.proxy_gids));
    if (!done) return done;
    for (const auto family : here->families)
      results.push_back(proxy ? connect_probe(family, timeout)
                              : full_probe(family, plan.config, timeout));
    return base::success();
  });
  if (!status) return std::move(status).error();
  return results;
}

}  // namespace istio_cnictl
