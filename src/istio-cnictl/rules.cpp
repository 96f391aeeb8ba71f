// istio-cnictl rules: what would be programmed, what is there, the difference.
#include <unistd.h>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/expected.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/pod_netns.hpp"
#include "netfilter/backend.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using base::Error;

constexpr std::size_t pod_limit = std::size_t{4} << 20;

class Rules {
 public:
  explicit Rules(Context& context) : context_(context), options_(context.options) {}

  int run() {
    auto pod = fetch();
    if (!pod) return fail(pod.error(), exit_unknown);
    const auto decision = decide_as_plugin(*pod, context_.node.config());
    if (options_.rules == Options::Rules::live) return live(*pod);
    if (!decision) return fail(decision.error(), exit_bad);
    if (const auto* skip = std::get_if<redirect::Skip>(&*decision)) return skipped(*skip);
    const auto& plan = std::get<redirect::RedirectPlan>(*decision);
    for (const auto& warning : plan.warnings) note(warning);
    return options_.rules == Options::Rules::diff ? diff(*pod, plan) : expected(*pod, plan);
  }

 private:
  int fail(const Error& error, int status) {
    context_.err.append(cat("istio-cnictl: ", error.message, '\n'));
    return status;
  }
  void note(std::string_view text) { context_.err.append(cat("istio-cnictl: ", text, '\n')); }

  base::Result<pod::Pod> fetch() {
    if (!options_.pod_file.empty()) {
      const bool standard = options_.pod_file == "-";
      auto text = standard ? base::read_fd(STDIN_FILENO, "standard input", pod_limit)
                           : base::read_file(options_.pod_file, pod_limit);
      if (!text) return std::move(text).error();
      return pod_from_text(*text, standard ? "standard input" : options_.pod_file);
    }
    auto fetched = context_.node.pod(*options_.pod);
    if (!fetched) return std::move(fetched).error();
    return std::move(fetched->pod);
  }

  int skipped(const redirect::Skip& skip) {
    const auto reason = redirect::to_string(skip.reason);
    if (options_.format == Format::json)
      context_.out = dump({{"decision", reason}, {"detail", skip.detail}, {"rules", ""}});
    else
      note(cat("no rules: the pod is left as it is: ", reason, ": ", skip.detail));
    return exit_good;
  }

  [[nodiscard]] bool use_nftables() const {
    auto backend = options_.backend;
    if (backend == cni::BackendChoice::automatic) backend = context_.node.config().plugin.backend;
    if (backend != cni::BackendChoice::automatic) return backend == cni::BackendChoice::nftables;
    return netfilter::probe_nftables().ok();
  }

  int expected(const pod::Pod& pod, const redirect::RedirectPlan& plan) {
    auto config = plan.config;
    if (options_.ipv6 == Ipv6::automatic) {
      const auto wanted = wants_ipv6(pod, plan.dual_stack);
      if (!wanted) note("the pod has no address yet: IPv4 alone (--ipv6 on or off says which)");
      config.ipv6 = wanted.value_or(false);
    } else {
      config.ipv6 = options_.ipv6 == Ipv6::on;
    }
    const auto ruleset = redirect::build_ruleset(config);
    for (const auto& warning : ruleset.warnings) note(warning);
    const bool nftables = use_nftables();
    auto text = text_of(ruleset, nftables);
    if (options_.format == Format::json)
      context_.out = dump({{"decision", "redirect"},
                           {"backend", nftables ? "nftables" : "iptables"},
                           {"ipv6", config.ipv6},
                           {"rules", text}});
    else
      context_.out = std::move(text);
    return exit_good;
  }

  base::Result<PodNetns> find(const pod::Pod& pod) {
    std::string hint;
    if (auto entry = context_.node.agent_pod(*options_.pod); entry && *entry && (*entry)->add)
      hint = (*entry)->add->netns;
    return PodNetns::find(pod, hint, context_.node.config());
  }

  int live(const pod::Pod& pod) {
    auto netns = find(pod);
    if (!netns) return fail(netns.error(), exit_unknown);
    auto text = netns->text();
    if (!text) return fail(text.error(), exit_unknown);
    for (const auto& problem : text->problems) note(problem);
    if (options_.format == Format::json) {
      context_.out = dump({{"netns", netns->path()},
                           {"nftables", text->nftables},
                           {"iptables", text->iptables_v4},
                           {"ip6tables", text->iptables_v6},
                           {"problems", text->problems}});
    } else {
      const auto part = [&](std::string_view title, const std::string& rules) {
        if (!rules.empty()) context_.out.append(cat("# ", title, '\n', rules));
      };
      part("nftables", text->nftables);
      part("iptables, legacy", text->iptables_v4);
      part("ip6tables, legacy", text->iptables_v6);
      if (context_.out.empty()) note(cat("no rules at all in ", netns->path()));
    }
    return text->problems.empty() ? exit_good : exit_unknown;
  }

  int diff(const pod::Pod& pod, const redirect::RedirectPlan& plan) {
    auto netns = find(pod);
    if (!netns) return fail(netns.error(), exit_unknown);
    auto backend = options_.backend;
    if (backend == cni::BackendChoice::automatic) backend = context_.node.config().plugin.backend;
    auto state = netns->compare(plan, backend);
    if (!state) return fail(state.error(), exit_unknown);
    const bool equal = state->differences.empty();
    if (options_.format == Format::json) {
      context_.out = dump({{"netns", state->netns},
                           {"backend", state->backend},
                           {"equal", equal},
                           {"absent", state->absent},
                           {"differences", state->differences}});
    } else if (equal) {
      note(cat("exactly the expected rules in ", state->netns, " (", state->backend, ')'));
    } else {
      if (state->absent) note(cat("no rules of ours in ", state->netns));
      for (const auto& line : state->differences)
        context_.out.append(printable(line)).push_back('\n');
    }
    return equal ? exit_good : exit_bad;
  }

  Context& context_;
  const Options& options_;
};

}  // namespace

int rules_command(Context& context) { return Rules(context).run(); }

}  // namespace istio_cnictl
