#include "istio-cnictl/pod_netns.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "istio-cnictl/live_text.hpp"
#include "netfilter/backend.hpp"
#include "netns/netns.hpp"
#include "netns/routes.hpp"
#include "redirection/here.hpp"
#include "validate/as_proxy.hpp"
#include "validate/probe.hpp"

namespace istio_cnictl {
namespace {

using base::Errc;
using base::Error;

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

/// A line of /proc/net/tcp (proc(5)), "0: 0100007F:3A99 00000000:0000 0A ...": is it
/// a listener (state 0A, TCP_LISTEN) on this port?
bool is_listener(std::string_view line, redirect::Port port) {
  const auto words = base::split_nonempty(line, ' ');
  if (words.size() < 4 || words[3] != "0A") return false;
  const auto colon = words[1].rfind(':');
  if (colon == std::string_view::npos) return false;
  const auto text = words[1].substr(colon + 1);
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value == port.value;
}

/// In the namespace: does somebody listen there?
bool listens(redirect::Port port) {
  constexpr std::size_t table_limit = std::size_t{8} << 20;
  for (const char* path : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
    auto text = base::read_file(path, table_limit);
    if (!text) continue;
    for (const auto line : base::split_nonempty(*text, '\n'))
      if (is_listener(line, port)) return true;
  }
  return false;
}

}  // namespace

base::Result<PodNetns> PodNetns::find(const pod::Pod& pod, const std::string& hint,
                                      const config::Config& config) {
  if (::geteuid() != 0)
    return Error{Errc::refused, "only root may look into a pod's network namespace"};
  auto found = repair::find_netns(pod, hint, repair::places_below(config.host_root));
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
    auto here = redirection::rules_here(plan);
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
    auto here = redirection::rules_here(plan);
    if (!here) return std::move(here).error();
    validate::ProbeConfig wanted;
    wanted.proxy_port = plan.config.proxy_port;
    wanted.inbound_port = plan.config.inbound_capture_port;
    wanted.timeout = timeout;
    wanted.listen = !listens(plan.config.inbound_capture_port);
    if (auto done = validate::become_proxy(plan.config); !done) return done;
    for (const auto family : here->families) {
      wanted.family = family;
      auto report = validate::run_probe(wanted);
      results.push_back(
          {family, report.outcome, std::move(report.failure), std::move(report.attempts)});
    }
    return base::success();
  });
  if (!status) return std::move(status).error();
  return results;
}

}  // namespace istio_cnictl
