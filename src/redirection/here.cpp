#include "redirection/here.hpp"

#include "netns/addresses.hpp"

namespace redirection {

base::Result<Here> rules_here(const redirect::RedirectPlan& plan) {
  using redirect::Family;
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

}  // namespace redirection
