// What the installer gets ready between two passes, for the next rewrite by a peer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "install/installer.hpp"
#include "install/node.hpp"
#include "support/spares.hpp"

namespace {

using install::Installer;
using test_install::azure;
using test_install::bridge_conf;
using test_install::calico;
using test_install::list;
using test_install::Node;
using test_install::own;
using testing::ElementsAre;

/// A spare for what is wanted now is made once; made again, the last one was used.
class PrepareTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test_support::keeps_spares(node_.conf_dir()))
      GTEST_SKIP() << node_.conf_dir() << " is of a kind that keeps no spare";
  }
  bool prepare() { return installer_.prepare(node_.desired); }
  install::Pass pass() { return installer_.reconcile(node_.desired); }

  Node node_;
  Installer installer_{node_.state_dir()};
};

TEST_F(PrepareTest, APeersRewriteOfTheSameIsAnsweredWithIt) {
  EXPECT_FALSE(prepare()) << "nothing is known to be wanted";
  EXPECT_FALSE(pass().ready);
  EXPECT_FALSE(prepare());
  node_.conf(list, calico);
  EXPECT_TRUE(pass().ready);
  const auto ours = node_.conf(list);
  EXPECT_TRUE(prepare());
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(pass().changed);
    EXPECT_FALSE(prepare());
    EXPECT_THAT(node_.confs(), ElementsAre(list));
    node_.rename_over(list, calico);
    EXPECT_FALSE(prepare()) << "not while the list is the peer's";
    EXPECT_TRUE(pass().foreign);
    EXPECT_EQ(node_.conf(list), ours);
    EXPECT_TRUE(prepare());
  }
  EXPECT_THAT(node_.confs(), ElementsAre(list));
}

TEST_F(PrepareTest, WhatIsWantedNowIsWhatIsPrepared) {
  node_.conf(list, calico);
  pass();
  EXPECT_TRUE(prepare());
  node_.desired.entry.log_level = "debug";
  EXPECT_TRUE(pass().changed);
  const auto ours = node_.conf(list);
  EXPECT_TRUE(prepare());
  node_.rename_over(list, calico);
  EXPECT_TRUE(pass().ready);
  EXPECT_TRUE(prepare());
  // another list, with what the peer has changed
  node_.rename_over(list, azure);
  EXPECT_TRUE(pass().ready);
  EXPECT_NE(node_.conf(list), ours);
  EXPECT_TRUE(prepare());
  node_.rename_over(list, azure);
  EXPECT_TRUE(pass().ready);
  EXPECT_TRUE(prepare());
}

TEST_F(PrepareTest, AnOwnListThatIsRemovedComesBackWithIt) {
  node_.conf("10-bridge.conf", bridge_conf);
  EXPECT_TRUE(pass().ready);
  const auto ours = node_.conf(own);
  EXPECT_TRUE(prepare());
  node_.remove(own);
  EXPECT_TRUE(pass().foreign);
  EXPECT_EQ(node_.conf(own), ours);
  EXPECT_EQ(Node::mode(node_.conf_dir() + "/" + own), node_.desired.own_file_mode);
  EXPECT_TRUE(prepare());
  // the list that a power failure has cut off, too
  node_.conf(own, "", node_.desired.own_file_mode);
  node_.age(own);
  EXPECT_TRUE(pass().ready);
  EXPECT_EQ(node_.conf(own), ours);
  EXPECT_TRUE(prepare());
}

}  // namespace
