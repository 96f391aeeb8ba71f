// The verdict over a pod: what is the matter with it, how that is known, and
// what to do next. Pure: facts in, words out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "istio-cnictl/facts.hpp"

namespace istio_cnictl {

enum class Finding : std::uint8_t {
  // good
  healthy,
  repaired,      ///< rules were put in by the agent, and work
  skipped,       ///< left as it is, as it asks
  host_network,  ///< uses the host's network: nothing to redirect
  finished,      ///< runs no more
  // not good
  not_installed,          ///< the node's plugin is not in place now
  started_before_plugin,  ///< the race
  not_redirected,         ///< not the race: the plugin was there, and is not known to have run
  skipped_at_start,       ///< was left alone then, and would be redirected now
  plugin_failed,
  rules_missing,
  rules_changed,
  validation_failed,   ///< the rules are right and traffic does not arrive
  recovering,          ///< all is right now; the pod waits to be started again
  evicted_repeatedly,  ///< breaks again and again; held back
  // unknown
  no_such_pod,
  other_node,
  not_scheduled,
  not_started,
  unverified,
};
/// "started-before-plugin"...
std::string_view to_string(Finding finding);
/// 0, 1 or 3.
int exit_code(Finding finding);

/// Why the plugin failed.
enum class Cause : std::uint8_t {
  bad_annotation,
  api_unreachable,
  credential,
  gate,            ///< no primary network yet
  kernel,          ///< lacks a feature
  host_namespace,  ///< CNI_NETNS was the host's
  rules_differ,    ///< did not read back what it wrote
  configuration,   ///< the list is not valid
  plugin_missing,  ///< the runtime found no such file
  other,
};
std::string_view to_string(Cause cause);
/// `code`: the CNI error's, 0 when unknown. `message`: the plugin's or the runtime's.
Cause classify(int code, std::string_view message);

struct Evidence {
  std::optional<Time> at;
  std::string source;  ///< "journal", "agent", "API server", "events", "disk", "namespace", "probe"
  std::string text;

  bool operator==(const Evidence&) const = default;
};

struct Verdict {
  Finding finding = Finding::unverified;
  std::optional<Cause> cause;      ///< of plugin_failed
  std::string sentence;            ///< without the pod's name in front
  std::vector<Evidence> evidence;  ///< with times first, oldest first
  std::vector<std::string> next;   ///< commands, the best first
};

Verdict judge(const Facts& facts);

/// One ADD that the plugin finished, or that the runtime says failed.
struct Add {
  Time at{};
  bool success = false;
  std::string decision;
  int code = 0;
  std::string message;
  std::string backend;
  std::string source;
};
/// Of this pod (by uid, where one is known), oldest first.
std::vector<Add> adds_of(const Facts& facts);

/// Did the list that the runtime loads name the plugin while the pod started?
/// A node that is not ready may have it there all the same: without a credential
/// the plugin runs, and refuses the pod.
struct Then {
  enum class InList : std::uint8_t {
    unknown,
    no,
    partly,  ///< it was put in, or taken out, meanwhile
    yes,
  } in_list = InList::unknown;
  std::string text;  ///< of the state without the plugin, else of the last one
  std::string source;
  std::optional<Time> at;  ///< of the change that says so
};
/// The plugin ran, if it did, between these two.
Then installation_during(Time from, Time to, const Facts& facts);
/// Of the pod; nothing: it has not started, as far as is known.
std::optional<Then> installation_at_start(const Facts& facts);

}  // namespace istio_cnictl
