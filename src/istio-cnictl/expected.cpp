#include "istio-cnictl/expected.hpp"

#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "pod/parse.hpp"
#include "redirect/render.hpp"
#include "redirect/types.hpp"

namespace istio_cnictl {

using base::cat;
using base::Errc;
using base::Error;
using redirect::Family;

base::Result<redirect::Decision> decide_as_plugin(const pod::Pod& pod,
                                                  const config::Config& config) {
  return redirect::decide(pod, {}, config.plugin.agent_namespace, config.plugin.exclude_namespaces);
}

DecisionNow in_words(const base::Result<redirect::Decision>& decision) {
  using Kind = DecisionNow::Kind;
  if (!decision) return {Kind::error, "", decision.error().message};
  if (const auto* skip = std::get_if<redirect::Skip>(&*decision))
    return {Kind::skip, std::string(redirect::to_string(skip->reason)), skip->detail};
  return {Kind::redirect, "", ""};
}

std::optional<bool> wants_ipv6(const pod::Pod& pod, bool dual_stack) {
  std::optional<bool> wanted;
  for (const auto& text : pod.ips) {
    const auto ip = redirect::Ip::parse(text);
    if (!ip) continue;
    const bool v6 = ip->family == Family::v6;
    if (!wanted) wanted = v6;
    if (dual_stack && v6) wanted = true;
  }
  return wanted;
}

std::string text_of(const redirect::Ruleset& ruleset, bool nftables) {
  if (nftables) return redirect::nft_commands(ruleset);
  return redirect::iptables_restore_text(ruleset, Family::v4) +
         redirect::iptables_restore_text(ruleset, Family::v6);
}

base::Result<pod::Pod> pod_from_text(std::string_view text, std::string_view name) {
  auto trimmed = base::trim(text);
  if (trimmed.empty() || trimmed.front() != '{')
    return Error{Errc::invalid_input,
                 cat(name, ": no JSON; a pod is given as kubectl get pod -o json prints it")};
  auto json = base::parse_json(trimmed, name);
  if (!json) return std::move(json).error();
  if (const auto items = json->find("items"); items != json->end() && items->is_array()) {
    if (items->size() != 1)
      return Error{Errc::invalid_input,
                   cat(name, ": a list of ", items->size(), " objects; give one pod")};
    return pod_from_text(items->front().dump(), name);
  }
  const auto kind = json->find("kind");
  if (kind != json->end() && *kind != "Pod")
    return Error{Errc::invalid_input,
                 cat(name, ": this is a ", kind->is_string() ? kind->get<std::string>() : "thing",
                     ", not a Pod; what is injected is only seen in the pod itself")};
  auto pod = pod::parse_pod(trimmed);
  if (!pod) return std::move(pod).error().wrap(name);
  return pod;
}

}  // namespace istio_cnictl
