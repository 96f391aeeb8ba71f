#include "istio-cni-node/status_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using istio_cni_node::assess;
using istio_cni_node::ChangeLog;
using istio_cni_node::Facts;
using istio_cni_node::Installed;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

Facts ready() {
  Facts facts;
  facts.first_pass_done = true;
  facts.installed = facts.in_list = true;
  facts.installation = "chained in 10-a.conflist";
  facts.watch.synced = true;
  return facts;
}

TEST(ChangeLogTest, PodsAreNoChange) {
  ChangeLog log;
  auto facts = ready();
  const auto noon = system_clock::time_point(seconds(1'795'000'000));
  EXPECT_TRUE(log.note(facts, assess(facts), noon));
  facts.pods = 5;
  EXPECT_FALSE(log.note(facts, assess(facts), noon));
  facts.installed = facts.in_list = false;
  facts.installation = "no CNI network configuration in /etc/cni/net.d yet";
  EXPECT_TRUE(log.note(facts, assess(facts), noon + seconds(1)));
  facts.credential = base::Error{base::Errc::not_found, "no credential"};
  EXPECT_TRUE(log.note(facts, assess(facts), noon + seconds(2)));
  ASSERT_EQ(log.changes().size(), 3U);
  EXPECT_TRUE(log.changes()[0].ready && log.changes()[0].in_list);
  EXPECT_FALSE(log.changes()[1].ready || log.changes()[1].in_list);
  EXPECT_EQ(log.changes()[1].at, noon + seconds(1));
}

TEST(ChangeLogTest, NotReadyWithThePluginInTheList) {
  ChangeLog log;
  auto facts = ready();
  facts.credential = base::Error{base::Errc::not_found, "no credential"};
  EXPECT_TRUE(log.note(facts, assess(facts), {}));
  EXPECT_FALSE(log.changes()[0].ready);
  EXPECT_TRUE(log.changes()[0].in_list);
}

TEST(ChangeLogTest, KeepsTheLastOnes) {
  ChangeLog log;
  auto facts = ready();
  for (int i = 0; i < 100; ++i) {
    facts.installation = "list " + std::to_string(i);
    EXPECT_TRUE(log.note(facts, assess(facts), system_clock::time_point(seconds(i))));
  }
  ASSERT_EQ(log.changes().size(), ChangeLog::kept);
  EXPECT_EQ(log.changes().back().at, system_clock::time_point(seconds(99)));
}

TEST(StatusReport, SaysWhatIsKnown) {
  auto facts = ready();
  facts.pods = 34;
  facts.in_mesh = 12;
  facts.watch.phase = kube::WatchState::Phase::waiting;
  const auto steady = steady_clock::now();
  facts.watch.last_contact = steady - seconds(90);
  facts.watch.last_error = base::Error{base::Errc::timeout, "silent"};
  const auto health = assess(facts);
  ChangeLog changes;
  const auto now = system_clock::time_point(seconds(1'795'000'000));
  changes.note(facts, health, now);
  Installed installed;
  installed.desired.mode = install::Mode::owned;
  installed.desired.conf_dir = "/host/etc/cni/net.d";
  installed.pass.file = "02-istio-cni.conflist";
  installed.pass.position = 2;
  installed.pass.plugins = 3;
  installed.foreign_rewrites = 4;
  kube::Credential credential;
  credential.place.what = "kubelet";
  credential.client.server = "https://10.0.0.1:6443";
  const auto status =
      istio_cni_node::status_report({facts, health, changes, installed, &credential,
                                     now - seconds(10), now, steady, "n1", "owned", "delete"});
  EXPECT_TRUE(status.ready);
  EXPECT_EQ(status.version, ICN_VERSION);
  EXPECT_EQ(status.started, now - seconds(10));
  EXPECT_EQ(status.installation.mode, "owned");
  EXPECT_EQ(status.installation.position, 2);
  EXPECT_EQ(status.installation.foreign_rewrites, 4U);
  EXPECT_EQ(status.watch.phase, "waiting");
  EXPECT_EQ(status.watch.last_contact, now - seconds(90));
  EXPECT_EQ(status.watch.error, "silent");
  EXPECT_EQ(status.credential.server, "https://10.0.0.1:6443");
  EXPECT_EQ(status.pods, 34U);
  EXPECT_EQ(status.changes.size(), 1U);
  EXPECT_EQ(status.repair_mode, "delete");
}

}  // namespace
