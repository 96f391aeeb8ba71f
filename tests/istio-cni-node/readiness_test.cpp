#include "istio-cni-node/readiness.hpp"

#include <gtest/gtest.h>

namespace istio_cni_node {
namespace {

using Phase = kube::WatchState::Phase;

Facts ready_facts() {
  Facts facts;
  facts.first_pass_done = true;
  facts.installation = "chained in 10-calico.conflist";
  facts.installed = true;
  facts.watch.phase = Phase::watching;
  facts.watch.synced = true;
  facts.pods = 34;
  facts.in_mesh = 12;
  return facts;
}

TEST(Readiness, ReadySaysWhereAndHowMany) {
  auto facts = ready_facts();
  auto health = assess(facts);
  EXPECT_TRUE(health.ready);
  EXPECT_EQ(health.sentence,
            "Ready: chained in 10-calico.conflist; 34 pods on this node, 12 in the mesh");
  facts.pods = 1;
  facts.in_mesh = 0;
  facts.repaired = 1;
  facts.held_back = 2;
  EXPECT_EQ(
      assess(facts).sentence,
      "Ready: chained in 10-calico.conflist; 1 pod on this node, 0 in the mesh; 1 repaired; 2 "
      "held back");
}

TEST(Readiness, NotReadyGivesTheReason) {
  Facts facts;
  EXPECT_EQ(assess(facts).sentence, "Not ready: starting");
  EXPECT_FALSE(assess(facts).ready);
  facts.first_pass_done = true;
  facts.installation = "no CNI network configuration in /etc/cni/net.d yet";
  EXPECT_EQ(assess(facts).sentence,
            "Not ready: no CNI network configuration in /etc/cni/net.d yet");
  EXPECT_FALSE(assess(facts).ready);
}

TEST(Readiness, WhatIsHeldBackIsToldWhenNotReadyToo) {
  Facts facts;
  facts.first_pass_done = true;
  facts.installation = "no CNI network configuration in /etc/cni/net.d yet";
  facts.held_back = 3;
  EXPECT_EQ(assess(facts).sentence,
            "Not ready: no CNI network configuration in /etc/cni/net.d yet; 3 held back");
}

TEST(Readiness, WithoutACredentialThePluginCannotWork) {
  auto facts = ready_facts();
  facts.credential = base::Error{base::Errc::not_found, "no kubeconfig"};
  auto health = assess(facts);
  EXPECT_FALSE(health.ready);
  EXPECT_EQ(health.sentence, "Not ready: chained in 10-calico.conflist, but no kubeconfig");
}

TEST(Readiness, AnUnreachableApiServerIsSaidAndDoesNotMakeTheNodeUnready) {
  auto facts = ready_facts();
  facts.watch.phase = Phase::waiting;
  facts.watch.last_error = base::Error{base::Errc::unavailable, "connection refused"};
  auto health = assess(facts);
  EXPECT_TRUE(health.ready);
  EXPECT_EQ(health.sentence,
            "Ready: chained in 10-calico.conflist; 34 pods on this node, 12 in the mesh (no longer "
            "watched: connection refused)");
  facts.watch.synced = false;
  EXPECT_EQ(assess(facts).sentence,
            "Ready: chained in 10-calico.conflist; pods not known: connection refused");
  facts.watch.last_error.reset();
  EXPECT_EQ(assess(facts).sentence, "Ready: chained in 10-calico.conflist; pods not known yet");
}

}  // namespace
}  // namespace istio_cni_node
