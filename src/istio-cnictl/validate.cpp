// istio-cnictl validate: the probe, inside the pod's namespace as the proxy's user.
#include "base/strings.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/expected.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/pod_netns.hpp"
#include "validate/probe.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
constexpr std::chrono::milliseconds probe_patience{5000};

base::Result<std::vector<ProbeResult>> probe(Node& node, const PodName& name) {
  auto fetched = node.pod(name);
  if (!fetched) return std::move(fetched).error();
  auto decision = decide_as_plugin(fetched->pod, node.config());
  if (!decision) return std::move(decision).error();
  if (const auto* skip = std::get_if<redirect::Skip>(&*decision))
    return base::Error{
        base::Errc::refused,
        cat("the pod is not redirected: ", redirect::to_string(skip->reason), ": ", skip->detail)};
  std::string hint;
  if (auto entry = node.agent_pod(name); entry && *entry && (*entry)->add)
    hint = (*entry)->add->netns;
  auto netns = PodNetns::find(fetched->pod, hint, node.config());
  if (!netns) return std::move(netns).error();
  return netns->probe(std::get<redirect::RedirectPlan>(*decision), probe_patience);
}

}  // namespace

int validate_command(Context& context) {
  auto results = probe(context.node, *context.options.pod);
  if (!results) {
    context.err.append(cat("istio-cnictl: ", results.error().message, '\n'));
    return exit_unknown;
  }
  bool good = true;
  Json json = Json::array();
  for (const auto& result : *results) {
    const bool arrived = result.outcome == ProbeResult::Outcome::arrived;
    good = good && arrived;
    json.push_back(json_of(result));
    const std::string_view family = result.family == redirect::Family::v4 ? "IPv4" : "IPv6";
    context.out.append(
        cat(family, ": ",
            context.style.paint(arrived ? Tone::good : Tone::bad,
                                arrived ? "redirected traffic arrives" : printable(result.failure)),
            '\n'));
    for (const auto& attempt : result.attempts)
      context.out.append(cat("  ", printable(attempt), '\n'));
  }
  if (!good) context.out.append(cat(validate::failure_advice(), '\n'));
  if (context.options.format == Format::json)
    context.out = dump({{"pod", context.options.pod->text()}, {"good", good}, {"probes", json}});
  return good ? exit_good : exit_bad;
}

}  // namespace istio_cnictl
