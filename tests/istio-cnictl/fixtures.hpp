// Facts about one pod, good in every respect until a test changes them.
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "base/time.hpp"
#include "istio-cnictl/verdict.hpp"

namespace test_support {

using istio_cnictl::Facts;

inline istio_cnictl::Time at(const std::string& clock) {
  return *base::parse_rfc3339("2026-11-24T" + clock + "Z");
}

inline pod::Pod mesh_pod() {
  pod::Pod pod;
  pod.name = "web-1";
  pod.name_space = "shop";
  pod.uid = "uid-1";
  pod.node_name = "n1";
  pod.phase = "Running";
  pod.ips = {"10.0.0.7"};
  pod.annotations["sidecar.istio.io/status"] = "{}";
  pod::Container proxy;
  proxy.name = "istio-proxy";
  proxy.args = {"proxy", "sidecar"};
  pod.containers = {proxy};
  return pod;
}

inline istio_cnictl::JournalEntry journal_add(const std::string& clock, const std::string& decision,
                                              const std::string& message,
                                              const std::string& code = "",
                                              const std::string& uid = "uid-1") {
  istio_cnictl::JournalEntry entry;
  entry.at = at(clock);
  entry.identifier = "istio-cni";
  entry.message = message;
  entry.fields = {{"CNI_COMMAND", "ADD"},
                  {"DECISION", decision},
                  {"POD_UID", uid},
                  {"POD_NAME", "web-1"},
                  {"POD_NAMESPACE", "shop"}};
  if (!code.empty()) entry.fields["ERROR_CODE"] = code;
  return entry;
}

inline istio_cnictl::JournalEntry journal_ready(const std::string& clock, bool ready,
                                                const std::string& sentence,
                                                std::optional<bool> in_list = std::nullopt) {
  istio_cnictl::JournalEntry entry;
  entry.at = at(clock);
  entry.identifier = "istio-cni-node";
  entry.message = sentence;
  entry.fields = {{"ISTIO_CNI_READY", ready ? "1" : "0"},
                  {"ISTIO_CNI_IN_LIST", in_list.value_or(ready) ? "1" : "0"}};
  return entry;
}

inline istio_cnictl::DiskState good_disk() {
  istio_cnictl::DiskState disk;
  disk.mode = "chained";
  disk.conf_dir = "/etc/cni/net.d";
  disk.found_in = "/etc/containerd/config.toml";
  disk.runtime = "containerd";
  disk.first_file = disk.file = "10-calico.conflist";
  disk.position = 1;
  disk.plugins = 2;
  disk.written = at("08:00:00");
  disk.source = "/usr/libexec/istio-cni-node/istio-cni";
  disk.copies = {{"/opt/cni/bin/istio-cni", true, true, true, "0.1.0", at("07:59:59")}};
  disk.kubeconfig = "/run/istio-cni/istio-cni-kubeconfig";
  disk.kubeconfig_present = true;
  disk.kubeconfig_mode = 0600;
  disk.recorded = true;
  return disk;
}

inline agent::Status good_status() {
  agent::Status status;
  status.version = "0.1.0";
  status.started = at("08:00:00");
  status.node_name = "n1";
  status.ready = true;
  status.sentence = "Ready: chained in 10-calico.conflist; 3 pods on this node, 1 in the mesh";
  status.changes = {{at("08:00:01"), true, true, status.sentence}};
  status.installation.ready = true;
  status.installation.mode = "chained";
  status.installation.description = "chained in 10-calico.conflist";
  status.installation.file = "10-calico.conflist";
  status.installation.position = 1;
  status.installation.plugins = 2;
  status.watch.phase = "watching";
  status.watch.synced = true;
  status.credential.what = "the kubelet's kubeconfig";
  status.credential.path = "/etc/kubernetes/kubelet.conf";
  status.pods = 3;
  status.in_mesh = 1;
  status.repair_mode = "delete";
  return status;
}

inline agent::PodEntry good_entry() {
  agent::PodEntry entry;
  entry.name_space = "shop";
  entry.name = "web-1";
  entry.uid = "uid-1";
  entry.phase = "Running";
  entry.in_mesh = true;
  entry.add = agent::AddReport{at("09:00:00"), "redirect",         "success", "nftables",
                               "c0ffee",       "/run/netns/cni-1", ""};
  return entry;
}

/// A pod that runs, was redirected at 09:00:00, and is well.
inline Facts good_facts() {
  Facts facts;
  facts.name = {"shop", "web-1"};
  facts.node = "n1";
  facts.now = at("10:00:00");
  istio_cnictl::FetchedPod fetched{mesh_pod(), istio_cnictl::PodView{}, "API server", ""};
  fetched.view->accepted = at("08:59:59");
  fetched.view->containers = {{.name = "istio-validation",
                               .init = true,
                               .state = istio_cnictl::ContainerView::State::terminated,
                               .reason = "Completed",
                               .message = "",
                               .exit_code = 0,
                               .started = at("09:00:01"),
                               .restarts = 0}};
  facts.pod = fetched;
  facts.events = std::vector<istio_cnictl::PodEvent>{};
  facts.agent = good_status();
  facts.entry = std::optional(good_entry());
  facts.journal = std::vector{journal_add("09:00:00", "redirect", "pod redirected")};
  facts.readiness =
      std::vector{journal_ready("08:00:01", true, "Ready: chained in 10-calico.conflist")};
  facts.repairs = repair::State{};
  facts.disk = good_disk();
  facts.decision = istio_cnictl::DecisionNow{};
  facts.live.emplace(istio_cnictl::LiveState{"/run/netns/cni-1", "plugin", "nftables", false, {}});
  facts.probe.emplace(std::vector{istio_cnictl::ProbeResult{
      redirect::Family::v4, istio_cnictl::ProbeResult::Outcome::arrived, "", {}}});
  return facts;
}

/// Its validation container found no redirection at 09:00:10.
inline void break_pod(Facts& facts) {
  facts.pod->pod.phase = "Pending";
  repair::Broken broken;
  broken.container = "istio-validation";
  broken.termination = {126, "Error", "", "2026-11-24T09:00:10Z"};
  facts.broken = broken;
}

/// Nobody knows of an ADD.
inline void forget_add(Facts& facts) {
  facts.journal = std::vector<istio_cnictl::JournalEntry>{};
  (*facts.entry)->add.reset();
}

inline void no_rules(Facts& facts) {
  facts.live.emplace(istio_cnictl::LiveState{
      "/run/netns/cni-1", "mounts", "nftables", true, {"istio-proxy-nat: table is missing"}});
  facts.probe.reset();
}

/// It started at 09:00, and the plugin came at 09:05.
inline void race(Facts& facts) {
  forget_add(facts);
  no_rules(facts);
  if (facts.agent)
    facts.agent->changes = {{at("09:05:00"), true, true, "Ready: chained in 10-calico.conflist"}};
  facts.readiness = std::vector{journal_ready("08:50:00", false, "Not ready: no CNI network yet"),
                                journal_ready("09:05:00", true, "Ready: chained")};
}

/// The pod waits for its sandbox: no container has run, nothing to look into.
inline void not_started(Facts& facts) {
  facts.pod->pod.phase = "Pending";
  facts.pod->pod.ips.clear();
  facts.pod->view->containers.clear();
  facts.live.emplace(base::Error{base::Errc::invalid_input, "the pod's status has no IP address"});
  facts.probe.reset();
  forget_add(facts);
}

/// Evidence of this source with this text in it.
inline auto evidence(const std::string& source, const std::string& text) {
  using istio_cnictl::Evidence;
  return testing::Contains(
      testing::AllOf(testing::Field(&Evidence::source, source),
                     testing::Field(&Evidence::text, testing::HasSubstr(text))));
}

}  // namespace test_support
