// Property: annotations that are accepted give rules that render for both
// backends, line by line and with nothing but printable ASCII (no value adds a
// line of its own), and that encode for the kernel.
//
// Input: lines KEY=VALUE; "$KEY=VALUE" goes to the proxy's environment instead.
#include <algorithm>
#include <map>

#include "base/strings.hpp"
#include "fuzz/check.hpp"
#include "netfilter/xtables_rule.hpp"
#include "redirect/decide.hpp"
#include "redirect/render.hpp"

namespace {

using redirect::Family;
using Strings = std::map<std::string, std::string>;

void check_lines(const std::string& text, std::initializer_list<std::string_view> starts) {
  for (const auto line : base::split_nonempty(text, '\n')) {
    fuzz::require(
        std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; }),
        "rules are printable ASCII");
    fuzz::require(std::any_of(starts.begin(), starts.end(),
                              [&](std::string_view start) { return line.starts_with(start); }),
                  "every line is a command");
  }
}

void check_rules(redirect::Config config) {
  for (const bool ipv6 : {false, true}) {
    config.ipv6 = ipv6;
    const auto ruleset = redirect::build_ruleset(config);
    for (const auto family : {Family::v4, Family::v6}) {
      check_lines(redirect::iptables_restore_text(ruleset, family),
                  {"* ", "-N ", "-A ", "-I ", "COMMIT"});
      for (const auto& rule : ruleset.rules)
        if (rule.families.has(family))
          fuzz::require(netfilter::encode_rule(rule, family).ok(), "every rule encodes");
    }
    check_lines(redirect::nft_commands(ruleset), {"add ", "flush ", "insert "});
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pod::Pod pod;
  pod.name = "pod";
  pod.name_space = "namespace";
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod::Container proxy;
  proxy.name = "istio-proxy";
  for (auto line : base::split(fuzz::text_of(data, size), '\n')) {
    const bool environment = line.starts_with('$');
    if (environment) line.remove_prefix(1);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    Strings& into = environment ? proxy.env : pod.annotations;
    into[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  }
  pod.containers.push_back(std::move(proxy));

  redirect::Config config;
  bool none = false;
  const auto applied = redirect::apply_annotations(pod.annotations, config, none);
  const auto decision = redirect::decide(pod, {});
  if (!applied) {
    fuzz::require(!decision || std::holds_alternative<redirect::Skip>(*decision),
                  "no plan comes from a bad annotation");
    return 0;
  }
  fuzz::require(decision.ok(), "only annotations make a decision fail");
  if (const auto* plan = std::get_if<redirect::RedirectPlan>(&*decision)) {
    fuzz::require(!none, "no plan for the mode NONE");
    check_rules(plan->config);
  } else if (!none) {
    check_rules(config);
  }
  return 0;
}
