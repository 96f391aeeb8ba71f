// Verdicts over pods that do not start: the plugin failed, is not there, or has
// not been called yet.
#include "base/strings.hpp"
#include "istio-cnictl/judge.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

std::string modprobe(const std::string& message) {
  constexpr std::string_view before = "module ";
  const auto at = message.find(before);
  if (at == std::string::npos) return "modprobe nf_tables nft_redir nft_chain_nat";
  const auto begin = at + before.size();
  const auto end = message.find_first_not_of("abcdefghijklmnopqrstuvwxyzREDICT0123456789_", begin);
  return cat("modprobe ", message.substr(begin, end - begin));
}

}  // namespace

void Judge::decide_failed(const Add& add) {
  const auto cause = classify(add.code, add.message);
  const auto message = printable(add.message, 600);
  if (cause == Cause::plugin_missing)
    return say(Finding::not_installed,
               cat("does not start: the list names the plugin, but the runtime does not find it: ",
                   message),
               {"istio-cnictl status", "systemctl restart istio-cni-node"});
  verdict_.cause = cause;
  std::string_view why;
  std::vector<std::string> next;
  switch (cause) {
    case Cause::bad_annotation:
      why = "an annotation of the pod cannot be used";
      next = {kubectl("get pod", "-o yaml"), kubectl("delete pod")};
      break;
    case Cause::credential:
      why = "the API server refuses the credential, or there is none";
      next = {"istio-cnictl status", "systemctl restart istio-cni-node"};
      break;
    case Cause::api_unreachable:
      why = "the pod could not be looked up";
      next = {"istio-cnictl status", "journalctl -u istio-cni-node --since -1h"};
      break;
    case Cause::gate:
      why = "there is no primary network on this node yet";
      next = {"istio-cnictl status", cat("ls ", facts_.disk.conf_dir)};
      break;
    case Cause::kernel:
      why = "the kernel lacks what redirection needs";
      next = {modprobe(add.message), "lsmod"};
      break;
    case Cause::host_namespace:
      why = "the runtime named the host's own network namespace";
      next = {"journalctl -u containerd -u crio --since -1h"};
      break;
    case Cause::rules_differ:
      why = "another program changes rules in the pod's namespace while it starts";
      next = {ours("rules --diff")};
      break;
    case Cause::configuration:
      why = "the network configuration is not valid";
      next = {"istio-cnictl status"};
      break;
    case Cause::plugin_missing:
    case Cause::other:
      why = "the plugin failed";
      next = {cat("journalctl -t istio-cni POD_NAME=", facts_.name.name)};
      break;
  }
  say(Finding::plugin_failed, cat("does not start: ", why, ": ", message), std::move(next));
}

void Judge::decide_not_started() {
  if (const auto now = not_installed_now(); !now.empty()) {
    say(Finding::not_installed,
        cat("has not started, and the plugin is not in place on this node: ", now),
        {"istio-cnictl status"});
    add_agent_command();
    return;
  }
  if (last_add() != nullptr)
    return say(Finding::not_started, "has not started yet; its rules are in place",
               {kubectl("describe pod")});
  // in place, and yet every pod that needs it would fail
  if (facts_.agent && !facts_.agent->ready)
    return say(Finding::not_installed,
               cat("has not started, and the plugin cannot do its work on this node: ",
                   facts_.agent->sentence),
               {"istio-cnictl status"});
  say(Finding::not_started, "has not started; the runtime has not called the plugin for it yet",
      {kubectl("describe pod")});
}

}  // namespace istio_cnictl
