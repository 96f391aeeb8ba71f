#include "install/installer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "install/node.hpp"

namespace {

using install::Installer;
using install::Mode;
using install::Pass;
using install::Step;
using std::chrono::milliseconds;
using test_install::azure;
using test_install::bridge_conf;
using test_install::calico;
using test_install::cilium;
using test_install::Node;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string with_entry(const Node& node, const std::string& text) {
  auto result = cni::with_entry(text, node.desired.entry);
  return result ? *result : result.error().message;
}

std::string derived(const Node& node, const std::string& name, const std::string& text) {
  auto result = cni::derived_list(name, text, node.desired.entry);
  return result ? *result : result.error().message;
}

class InstallerTest : public testing::Test {
 protected:
  Pass pass() { return installer_->reconcile(node_.desired); }
  /// As after a restart of the service.
  Pass restarted() {
    installer_.emplace(node_.state_dir());
    return pass();
  }
  [[nodiscard]] std::string said(const Pass& result) const {
    return install::describe(node_.desired, result);
  }
  install::Uninstalled uninstall() { return install::uninstall(node_.state_dir()); }

  Node node_;
  std::optional<Installer> installer_{std::in_place, node_.state_dir()};
};

// --- chained ---------------------------------------------------------------

TEST_F(InstallerTest, ChainedEditsTheFirstList) {
  node_.conf("10-calico.conflist", calico, 0640);
  node_.conf("20-other.conflist", azure);
  const auto result = pass();
  ASSERT_FALSE(result.failure) << result.failure->error.message;
  EXPECT_TRUE(result.ready);
  EXPECT_TRUE(result.changed);
  EXPECT_FALSE(result.foreign);
  EXPECT_EQ(result.file, "10-calico.conflist");
  EXPECT_EQ(result.position, 2);
  EXPECT_EQ(result.plugins, 3U);
  EXPECT_EQ(said(result), "chained in 10-calico.conflist");
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico));
  EXPECT_EQ(Node::mode(node_.conf_dir() + "/10-calico.conflist"), 0640U);
  EXPECT_EQ(node_.conf("20-other.conflist"), azure);
  EXPECT_EQ(Node::read(node_.plugin()), std::string(5000, 'p'));
  EXPECT_EQ(Node::mode(node_.plugin()), 0755U);
  EXPECT_EQ(Node::read(node_.desired.kubeconfig_path), "kind: Config\n");
  EXPECT_EQ(Node::mode(node_.desired.kubeconfig_path), 0600U);
}

TEST_F(InstallerTest, ASecondPassOnlyReads) {
  node_.conf("10-calico.conflist", calico);
  pass();
  const auto inode = Node::inode(node_.conf_dir() + "/10-calico.conflist");
  const auto record = Node::inode(node_.state_dir() + "/record.json");
  for (int i = 0; i < 2; ++i) {
    const auto again = i == 0 ? pass() : restarted();
    EXPECT_TRUE(again.ready);
    EXPECT_FALSE(again.changed);
    EXPECT_FALSE(again.foreign);
    EXPECT_THAT(again.warnings, IsEmpty());
  }
  EXPECT_EQ(Node::inode(node_.conf_dir() + "/10-calico.conflist"), inode);
  EXPECT_EQ(Node::inode(node_.state_dir() + "/record.json"), record);
}

TEST_F(InstallerTest, WithoutANetworkItWaits) {
  for (const bool folder : {true, false}) {
    if (!folder) std::filesystem::remove(node_.conf_dir());
    const auto result = pass();
    EXPECT_FALSE(result.failure);
    EXPECT_FALSE(result.ready);
    EXPECT_EQ(result.file, "");
    EXPECT_EQ(said(result), "no CNI network configuration in " + node_.conf_dir() + " yet");
    EXPECT_EQ(std::filesystem::exists(node_.conf_dir()), folder) << "only ours to make for a file";
    EXPECT_TRUE(std::filesystem::exists(node_.plugin()));
  }
}

TEST_F(InstallerTest, InvalidFilesAreSkippedWithAWarning) {
  node_.conf("00-broken.conflist", R"({"name": "x", "plugins": []})");
  node_.age("00-broken.conflist");
  node_.conf("01-readme.txt", "hello");
  std::filesystem::create_directory(node_.conf_dir() + "/02-folder.conf");
  std::filesystem::create_symlink("/nowhere", node_.conf_dir() + "/03-link.conflist");
  ASSERT_EQ(::mkfifo((node_.conf_dir() + "/04-pipe.conf").c_str(), 0600), 0);
  node_.age("04-pipe.conf");
  node_.conf("10-calico.conflist", calico);
  const auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_EQ(result.file, "10-calico.conflist");
  EXPECT_THAT(result.warnings,
              ElementsAre(AllOf(HasSubstr("00-broken.conflist is skipped"), HasSubstr("empty")),
                          HasSubstr("04-pipe.conf is not a regular file")));
  EXPECT_EQ(node_.conf("00-broken.conflist"), R"({"name": "x", "plugins": []})");
}

TEST_F(InstallerTest, AChangedEntryIsReplacedAndNoPeerIsBlamed) {
  node_.conf("10-calico.conflist", calico);
  pass();
  node_.desired.entry.log_level = "debug";
  for (const bool restart : {false, true}) {
    const auto result = restart ? restarted() : pass();
    EXPECT_TRUE(result.changed);
    EXPECT_FALSE(result.foreign);
    EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico));
    node_.desired.entry.log_level = "error";
  }
}

TEST_F(InstallerTest, AForeignRewriteIsUndoneAndItsAuthorNamed) {
  struct Case {
    std::string file;
    std::string content;
    std::string peer;
  };
  for (const auto& [file, content, peer] :
       {Case{"10-calico.conflist", calico, "Calico"}, Case{"05-cilium.conflist", cilium, "Cilium"},
        Case{"10-azure.conflist", azure, "AKS"},
        Case{"10-x.conflist", R"({"name":"x","plugins":[{"type":"bridge"}]})", ""}}) {
    const Node node;
    std::optional<Installer> installer(std::in_place, node.state_dir());
    node.conf(file, content);
    ASSERT_TRUE(installer->reconcile(node.desired).ready) << file;
    for (const bool restart : {false, true}) {
      node.rename_over(file, content);
      if (restart) installer.emplace(node.state_dir());
      const auto result = installer->reconcile(node.desired);
      EXPECT_TRUE(result.ready);
      EXPECT_TRUE(result.foreign);
      EXPECT_EQ(result.peer, peer);
      EXPECT_EQ(node.conf(file), with_entry(node, content));
      if (peer == "Cilium") {
        EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("cni.exclusive=false")));
      }
      EXPECT_FALSE(installer->reconcile(node.desired).foreign);
    }
  }
}

TEST_F(InstallerTest, AForeignEntryOfOurTypeIsReplaced) {
  node_.conf("10-calico.conflist", calico);
  pass();
  auto other = node_.desired.entry;
  other.run_dir = "/elsewhere";
  node_.rename_over("10-calico.conflist", *cni::with_entry(calico, other));
  const auto result = pass();
  EXPECT_TRUE(result.foreign);
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico));
}

TEST_F(InstallerTest, OtherChangesAroundOurEntryAreNoFight) {
  node_.conf("10-calico.conflist", calico);
  pass();
  auto json = nlohmann::json::parse(node_.conf("10-calico.conflist"));  // sorts the keys
  json["plugins"].push_back({{"type", "linkerd-cni"}});
  const auto theirs = json.dump(1);
  node_.rename_over("10-calico.conflist", theirs);
  auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.foreign);
  EXPECT_FALSE(result.changed);
  EXPECT_EQ(result.position, 2);
  EXPECT_EQ(result.plugins, 4U);
  EXPECT_EQ(node_.conf("10-calico.conflist"), theirs);

  // but in front of the plugin that makes the interface it does not work, nor twice
  std::rotate(json["plugins"].begin(), json["plugins"].begin() + 2, json["plugins"].end());
  node_.rename_over("10-calico.conflist", json.dump());
  result = pass();
  EXPECT_TRUE(result.foreign);
  EXPECT_EQ(result.position, 3);
  json["plugins"].push_back(json["plugins"][0]);
  node_.rename_over("10-calico.conflist", json.dump());
  result = pass();
  EXPECT_EQ(result.position, 3);
  EXPECT_EQ(result.plugins, 4U);
}

TEST_F(InstallerTest, ANewFirstListTakesTheEntry) {
  node_.conf("10-calico.conflist", calico);
  pass();
  node_.conf("05-cilium.conflist", cilium);
  const auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_TRUE(result.foreign) << "pods went past us";
  EXPECT_EQ(result.peer, "Cilium");
  EXPECT_EQ(node_.conf("05-cilium.conflist"), with_entry(node_, cilium));
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico) << "taken out of the old one";
  node_.remove("05-cilium.conflist");
  EXPECT_EQ(pass().file, "10-calico.conflist");
  EXPECT_FALSE(pass().changed);
}

TEST_F(InstallerTest, TheListIsGoneAndComesBackUnderAnotherName) {
  node_.conf("10-calico.conflist", calico);
  pass();
  node_.remove("10-calico.conflist");
  auto result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_TRUE(result.foreign);
  EXPECT_EQ(said(result), "no CNI network configuration in " + node_.conf_dir() + " yet");
  result = pass();
  EXPECT_FALSE(result.foreign) << "counted once";
  node_.conf("15-calico.conflist", calico);
  result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.foreign) << "a new network is no undoing";
  EXPECT_THAT(node_.record(), Not(HasSubstr("10-calico")));
}

// --- chained to a single file ----------------------------------------------

TEST_F(InstallerTest, ASingleFileIsNeverTouched) {
  node_.conf("10-bridge.conf", bridge_conf);
  auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_EQ(result.file, "02-istio-cni.conflist");
  EXPECT_EQ(result.derived_from, "10-bridge.conf");
  EXPECT_EQ(said(result), "own list 02-istio-cni.conflist (from 10-bridge.conf)");
  EXPECT_EQ(node_.conf("10-bridge.conf"), bridge_conf);
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), derived(node_, "10-bridge.conf", bridge_conf));
  EXPECT_EQ(Node::mode(node_.conf_dir() + "/02-istio-cni.conflist"), 0600U);
  EXPECT_FALSE(pass().changed);

  // follows it
  auto changed = bridge_conf;
  changed.replace(changed.find("cni0"), 4, "cni1");
  node_.rename_over("10-bridge.conf", changed);
  result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.foreign);
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), derived(node_, "10-bridge.conf", changed));

  // and goes with it
  node_.remove("10-bridge.conf");
  result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_FALSE(result.foreign);
  EXPECT_THAT(node_.confs(), IsEmpty());
}

TEST_F(InstallerTest, ASingleFileThatBecomesAListIsEditedItself) {
  for (const auto* name : {"10-bridge.conflist", "01-first.conflist"}) {
    const Node node;
    Installer installer(node.state_dir());
    node.conf("10-bridge.conf", bridge_conf);
    installer.reconcile(node.desired);
    node.conf(name, calico);
    if (name == std::string("10-bridge.conflist")) node.remove("10-bridge.conf");
    const auto result = installer.reconcile(node.desired);
    EXPECT_TRUE(result.ready);
    EXPECT_EQ(result.file, name);
    EXPECT_EQ(result.foreign, name == std::string("01-first.conflist"))
        << "only what came before ours had undone it";
    EXPECT_FALSE(node.has("02-istio-cni.conflist"));
    EXPECT_EQ(node.conf(name), with_entry(node, calico));
  }
}

TEST_F(InstallerTest, TheOwnListSortsBeforeAnySingleFile) {
  struct Case {
    std::string primary;
    std::string taken;  ///< a list of somebody else under a name that we like
    std::string expected;
  };
  for (const auto& [primary, taken, expected] :
       {Case{"10-x.conf", "", "02-istio-cni.conflist"},
        Case{"01-x.conf", "", "00-istio-cni.conflist"},
        Case{"00-a.conf", "", "!00-istio-cni.conflist"},
        Case{"10-x.json", "", "02-istio-cni.conflist"}, Case{"!!.conf", "", ""}}) {
    const Node node;
    Installer installer(node.state_dir());
    node.conf(primary, bridge_conf);
    const auto result = installer.reconcile(node.desired);
    EXPECT_EQ(result.file, expected);
    EXPECT_EQ(result.ready, !expected.empty());
    EXPECT_EQ(node.conf(primary), bridge_conf);
    if (expected.empty()) {
      ASSERT_TRUE(result.failure);
      EXPECT_THAT(result.failure->error.message, HasSubstr("install.owned_conf_name"));
    }
  }
}

TEST_F(InstallerTest, AnOwnListThatAPeerChangesOrRemovesIsRestored) {
  node_.conf("10-bridge.conf", bridge_conf);
  pass();
  const auto ours = node_.conf("02-istio-cni.conflist");
  node_.remove("02-istio-cni.conflist");
  EXPECT_TRUE(pass().foreign);
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), ours);
  node_.rename_over("02-istio-cni.conflist", cilium);
  auto result = pass();
  EXPECT_TRUE(result.foreign);
  EXPECT_EQ(result.peer, "Cilium");
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), ours);
  std::filesystem::rename(node_.conf_dir() + "/02-istio-cni.conflist",
                          node_.conf_dir() + "/02-istio-cni.conflist.cilium_bak");
  result = restarted();
  EXPECT_TRUE(result.foreign);
  EXPECT_EQ(result.peer, "Cilium");
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), ours);
  ASSERT_THAT(uninstall().failures, IsEmpty());
  EXPECT_THAT(node_.confs(), ElementsAre("10-bridge.conf"));
}

// --- chained to a named file ------------------------------------------------

TEST_F(InstallerTest, ANamedFileAndItsAlternative) {
  struct Case {
    std::string asked;
    std::string there;
    std::string expected;
  };
  for (const auto& [asked, there, expected] :
       {Case{"20-n.conflist", "20-n.conflist", "20-n.conflist"},
        Case{"20-n.conf", "20-n.conflist", "20-n.conflist"},
        Case{"20-n.conflist", "20-n.conf", "02-istio-cni.conflist"},
        Case{"20-n.conf", "20-n.conf", "02-istio-cni.conflist"},
        Case{"20-n.conflist", "30-n.conflist", ""}}) {
    Node node;
    Installer installer(node.state_dir());
    node.desired.conf_name = asked;
    node.conf(there, there.ends_with("list") ? calico : bridge_conf);
    const auto result = installer.reconcile(node.desired);
    EXPECT_EQ(result.file, expected) << asked << " " << there;
    EXPECT_EQ(result.ready, !expected.empty());
    if (expected.empty()) {
      EXPECT_EQ(install::describe(node.desired, result),
                "no 20-n.conflist in " + node.conf_dir() + " yet");
    }
  }
}

TEST_F(InstallerTest, ANamedFileThatIsNotFirstIsNotReady) {
  node_.desired.conf_name = "10-calico.conflist";
  node_.conf("10-calico.conflist", calico);
  EXPECT_TRUE(pass().ready);
  node_.conf("05-cilium.conflist", cilium);
  auto result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_TRUE(result.foreign);
  EXPECT_EQ(result.peer, "Cilium");
  EXPECT_FALSE(result.failure);
  EXPECT_THAT(result.warnings, Contains(AllOf(HasSubstr("05-cilium.conflist first"),
                                              HasSubstr("install.cni_conf_name"))));
  EXPECT_THAT(said(result), HasSubstr("chained in 10-calico.conflist, but the runtime loads "
                                      "05-cilium.conflist first"));
  EXPECT_EQ(node_.conf("05-cilium.conflist"), cilium);
  // maintained nevertheless
  node_.rename_over("10-calico.conflist", calico);
  result = pass();
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico));
  EXPECT_FALSE(pass().foreign) << "told once";
  // with our entry in the first one nothing is lost
  node_.conf("05-cilium.conflist", with_entry(node_, cilium));
  EXPECT_TRUE(pass().ready);
}

// --- owned -------------------------------------------------------------------

TEST_F(InstallerTest, OwnedFollowsThePrimary) {
  node_.desired.mode = Mode::owned;
  node_.conf("10-calico.conflist", calico);
  auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_EQ(said(result), "owned list 02-istio-cni.conflist (from 10-calico.conflist)");
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), derived(node_, "10-calico.conflist", calico));
  EXPECT_FALSE(pass().changed);

  node_.rename_over("10-calico.conflist", cilium);
  result = restarted();
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.foreign) << "following is no fight";
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), derived(node_, "10-calico.conflist", cilium));

  node_.conf("05-a.conflist", azure);
  result = pass();
  EXPECT_EQ(result.derived_from, "05-a.conflist");
  EXPECT_FALSE(result.foreign);

  node_.remove("05-a.conflist");
  node_.remove("10-calico.conflist");
  result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_THAT(node_.confs(), IsEmpty());
}

TEST_F(InstallerTest, OwnedModeAndPermissions) {
  node_.desired.mode = Mode::owned;
  node_.desired.own_file_mode = 0640;
  node_.conf("10-calico.conflist", calico);
  pass();
  EXPECT_EQ(Node::mode(node_.conf_dir() + "/02-istio-cni.conflist"), 0640U);
  node_.desired.own_file_mode = 0600;
  EXPECT_TRUE(pass().changed);
  EXPECT_EQ(Node::mode(node_.conf_dir() + "/02-istio-cni.conflist"), 0600U);
}

TEST_F(InstallerTest, AnOwnedListThatIsNotFirstIsNotReady) {
  node_.desired.mode = Mode::owned;
  node_.conf("01-calico.conflist", calico);
  const auto result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_FALSE(result.failure);
  EXPECT_FALSE(result.foreign);
  EXPECT_THAT(said(result), AllOf(HasSubstr("the runtime loads 01-calico.conflist first"),
                                  HasSubstr("install.owned_conf_name"),
                                  HasSubstr("sorts before 01-calico.conflist")));
  node_.desired.owned_name = "00-istio-cni.conflist";
  EXPECT_TRUE(pass().ready);
  EXPECT_FALSE(node_.has("02-istio-cni.conflist")) << "the old name is undone";
}

TEST_F(InstallerTest, AFileOfOthersUnderOurNameIsLeftAlone) {
  for (const auto mode : {Mode::owned, Mode::standalone}) {
    Node node;
    Installer installer(node.state_dir());
    node.desired.mode = mode;
    node.desired.standalone_name = "02-istio-cni.conflist";
    node.conf("02-istio-cni.conflist", calico);
    node.conf("10-other.conflist", azure);
    const auto result = installer.reconcile(node.desired);
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.failure->step, Step::conf);
    EXPECT_THAT(result.failure->error.message, HasSubstr("was not made by istio-cni-node"));
    EXPECT_FALSE(result.ready);
    EXPECT_EQ(node.conf("02-istio-cni.conflist"), calico);
    install::uninstall(node.state_dir());
    EXPECT_EQ(node.conf("02-istio-cni.conflist"), calico);
  }
}

TEST_F(InstallerTest, TheGateHoldsANewNode) {
  node_.desired.mode = Mode::owned;
  node_.desired.gate = true;
  std::filesystem::remove(node_.conf_dir());
  auto result = pass();
  EXPECT_FALSE(result.failure);
  EXPECT_FALSE(result.ready);
  EXPECT_TRUE(result.gated);
  EXPECT_EQ(said(result), "gate in 02-istio-cni.conflist, but no CNI network configuration in " +
                              node_.conf_dir() + " yet");
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), cni::gate_list(node_.desired.entry));
  EXPECT_FALSE(pass().changed);

  node_.conf("10-calico.conflist", calico);
  result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.gated);
  EXPECT_FALSE(result.foreign);
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), derived(node_, "10-calico.conflist", calico));

  node_.remove("10-calico.conflist");
  result = pass();
  EXPECT_TRUE(result.gated);
  EXPECT_FALSE(result.ready);

  node_.desired.gate = false;
  result = pass();
  EXPECT_FALSE(result.gated);
  EXPECT_THAT(node_.confs(), IsEmpty());

  node_.desired.gate = true;
  pass();
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(node_.conf_dir())) << "made by us, empty again";
}

// --- standalone ---------------------------------------------------------------

TEST_F(InstallerTest, StandaloneIsReadyWhenPresent) {
  node_.desired.mode = Mode::standalone;
  node_.conf("00-multus.conf", R"({"type": "multus", "name": "multus"})");
  auto result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_EQ(said(result), "standalone in YYY-istio-cni.conf");
  EXPECT_EQ(node_.conf("YYY-istio-cni.conf"), cni::standalone_conf(node_.desired.entry));
  node_.remove("YYY-istio-cni.conf");
  result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_TRUE(result.foreign);
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_THAT(node_.confs(), ElementsAre("00-multus.conf"));
}

TEST_F(InstallerTest, ANameThatNoRuntimeReadsIsRefused) {
  node_.desired.mode = Mode::standalone;
  node_.desired.standalone_name = "istio-cni.conflist";  // which holds a list
  const auto result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_THAT(result.failure->error.message, HasSubstr("configure another name"));
  EXPECT_THAT(node_.confs(), IsEmpty());
}

// --- changes of mode and paths --------------------------------------------------

TEST_F(InstallerTest, EveryChangeOfModeUndoesTheOldPlace) {
  struct Setting {
    Mode mode;
    std::string conf_name;
    std::vector<std::string> files;  ///< that have our entry then
  };
  const std::vector<Setting> settings{{Mode::chained, "", {"10-calico.conflist"}},
                                      {Mode::chained, "20-b.conf", {"02-istio-cni.conflist"}},
                                      {Mode::owned, "", {"02-istio-cni.conflist"}},
                                      {Mode::standalone, "", {"YYY-istio-cni.conf"}}};
  for (const auto& from : settings) {
    for (const auto& to : settings) {
      Node node;
      Installer installer(node.state_dir());
      node.conf("10-calico.conflist", calico);
      node.conf("20-b.conf", bridge_conf);
      for (const auto* setting : {&from, &to}) {
        node.desired.mode = setting->mode;
        node.desired.conf_name = setting->conf_name;
        const auto result = installer.reconcile(node.desired);
        EXPECT_TRUE(result.ready) << install::describe(node.desired, result);
        EXPECT_FALSE(result.foreign) << "our own doing";
        std::vector<std::string> with;
        for (const auto& name : node.confs())
          if (cni::inspect(name, node.conf(name))->our_position() >= 0) with.push_back(name);
        EXPECT_EQ(with, setting->files);
      }
      EXPECT_FALSE(installer.reconcile(node.desired).changed);
      EXPECT_THAT(install::uninstall(node.state_dir()).failures, IsEmpty());
      EXPECT_THAT(node.confs(), ElementsAre("10-calico.conflist", "20-b.conf"));
      EXPECT_EQ(node.conf("10-calico.conflist"), calico);
      EXPECT_EQ(node.conf("20-b.conf"), bridge_conf);
    }
  }
}

TEST_F(InstallerTest, NewPathsAreServedBeforeOldOnesAreUndone) {
  node_.conf("10-calico.conflist", calico);
  pass();
  std::filesystem::create_directories(node_.path("new/net.d"));
  node_.desired.conf_dir = node_.path("new/net.d");
  node_.desired.bin_dirs = {node_.path("new/bin")};
  node_.desired.kubeconfig_path = node_.path("run/other");
  auto result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico)) << "nothing stands yet";
  EXPECT_TRUE(std::filesystem::exists(node_.plugin()));
  EXPECT_TRUE(std::filesystem::exists(node_.path("new/bin/istio-cni")));
  EXPECT_TRUE(std::filesystem::exists(node_.path("run/istio-cni-kubeconfig")));

  std::ofstream(node_.path("new/net.d/10-calico.conflist")) << cilium;
  result = restarted();
  EXPECT_TRUE(result.ready);
  EXPECT_FALSE(result.foreign);
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
  EXPECT_FALSE(std::filesystem::exists(node_.path("run/istio-cni-kubeconfig")));
  EXPECT_THAT(node_.record(), Not(HasSubstr("etc/net.d")));
}

// --- plugin and kubeconfig --------------------------------------------------------

TEST_F(InstallerTest, BinaryFoldersAreMadeWhenTheirParentIsThere) {
  node_.conf("10-calico.conflist", calico);
  node_.desired.bin_dirs = {node_.path("opt/cni/bin"), node_.path("opt/bin")};
  ASSERT_TRUE(pass().ready);
  EXPECT_EQ(Node::mode(node_.path("opt/cni")), 0755U);
  EXPECT_EQ(Node::mode(node_.path("opt/cni/bin")), 0755U);
  EXPECT_TRUE(std::filesystem::exists(node_.path("opt/cni/bin/istio-cni")));
  EXPECT_TRUE(std::filesystem::exists(node_.plugin()));
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(node_.path("opt/cni")));
  EXPECT_TRUE(std::filesystem::exists(node_.path("opt/bin"))) << "was there before";

  node_.desired.bin_dirs = {node_.path("typo/usr/cni/bin")};
  const auto result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(result.failure->step, Step::binary);
  EXPECT_THAT(result.failure->error.message, HasSubstr("create it, or configure another"));
}

TEST_F(InstallerTest, AnEarlierFailureStopsLaterStepsButLeavesWhatStands) {
  node_.conf("10-calico.conflist", calico);
  ASSERT_TRUE(pass().ready);
  const auto plugin = node_.desired.plugin_binary;
  // the folder of the plugin: a file in its place
  node_.desired.bin_dirs = {node_.path("opt/bin"), node_.path("src/plugin")};
  node_.rename_over("10-calico.conflist", calico);
  auto result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(result.failure->step, Step::binary);
  EXPECT_FALSE(result.ready);
  EXPECT_THAT(said(result), HasSubstr("plugin cannot be installed: "));
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico) << "no list may name a missing plugin";

  node_.desired.bin_dirs.pop_back();
  ASSERT_TRUE(pass().ready);
  node_.desired.kubeconfig_path = node_.path("src/plugin/config");
  result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(result.failure->step, Step::kubeconfig);
  EXPECT_EQ(result.file, "10-calico.conflist") << "what is there is still told";
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico));
}

TEST_F(InstallerTest, TheSourceOfThePluginIsMissing) {
  node_.conf("10-calico.conflist", calico);
  std::filesystem::rename(node_.desired.plugin_binary, node_.path("src/away"));
  auto result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_THAT(result.failure->error.message, HasSubstr("install.plugin_binary"));
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  std::filesystem::rename(node_.path("src/away"), node_.desired.plugin_binary);
  ASSERT_TRUE(pass().ready);
  std::filesystem::remove(node_.desired.plugin_binary);
  node_.rename_over("10-calico.conflist", calico);
  result = restarted();
  EXPECT_TRUE(result.ready) << "the copies are there: goes on";
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("installed copies stay")));
}

TEST_F(InstallerTest, ADamagedOrNewerPluginIsReplaced) {
  node_.conf("10-calico.conflist", calico);
  pass();
  std::ofstream(node_.plugin()) << "short";
  EXPECT_TRUE(pass().changed);
  EXPECT_EQ(Node::read(node_.plugin()), std::string(5000, 'p'));
  ::chmod(node_.plugin().c_str(), 0600);
  EXPECT_TRUE(pass().changed);
  EXPECT_EQ(Node::mode(node_.plugin()), 0755U);
  std::filesystem::remove(node_.plugin());
  EXPECT_TRUE(pass().changed);
  std::ofstream(node_.desired.plugin_binary) << std::string(6000, 'q');
  EXPECT_TRUE(restarted().changed);
  EXPECT_EQ(Node::read(node_.plugin()), std::string(6000, 'q'));
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
}

TEST_F(InstallerTest, AnEntryThatAPeerTookOutIsBackBeforeAllElse) {
  node_.conf("10-calico.conflist", calico);
  ASSERT_TRUE(pass().ready);
  const auto list = node_.conf("10-calico.conflist");
  std::ofstream(node_.plugin()) << "the one of the DaemonSet";
  node_.conf("10-calico.conflist", calico);
  std::ofstream(node_.desired.plugin_binary).close();  // empty: nothing can be copied
  auto result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(result.failure->step, Step::binary);
  EXPECT_EQ(node_.conf("10-calico.conflist"), list);
  // but no list is made to name a plugin that is not there
  std::filesystem::remove(node_.plugin());
  node_.conf("10-calico.conflist", calico);
  result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
}

TEST_F(InstallerTest, APluginThatWasThereAlreadyIsNotOursToRemove) {
  node_.conf("10-calico.conflist", calico);
  std::filesystem::copy(node_.desired.plugin_binary, node_.plugin());
  const auto inode = Node::inode(node_.plugin());
  ::chmod(node_.plugin().c_str(), 0555);
  ASSERT_TRUE(pass().ready);
  EXPECT_EQ(Node::inode(node_.plugin()), inode);
  EXPECT_EQ(Node::mode(node_.plugin()), 0555U) << "good enough";
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_TRUE(std::filesystem::exists(node_.plugin()));
}

TEST_F(InstallerTest, AReadOnlyPluginFolderIsFineWhenThePluginIsRight) {
  node_.conf("10-calico.conflist", calico);
  std::filesystem::copy(node_.desired.plugin_binary, node_.plugin());
  ::chmod(node_.plugin().c_str(), 0755);
  const int result = test_install::in_child([this] {
    const auto folder = node_.path("opt/bin");
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::mount(nullptr, folder.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0)
      return test_install::skip;
    if (!pass().ready) return 1;
    std::ofstream(node_.desired.plugin_binary) << "another";
    const auto failed = pass();
    if (!failed.failure || failed.failure->step != Step::binary) return 2;
    return failed.failure->error.message.find("opt/bin") == std::string::npos ? 3 : 0;
  });
  if (result == test_install::skip) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(result, 0);
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, calico)) << "what stands stays";
}

TEST_F(InstallerTest, TheKubeconfigFollowsTheCredential) {
  node_.conf("10-calico.conflist", calico);
  node_.desired.kubeconfig.reset();
  EXPECT_TRUE(pass().ready) << "the agent answers as well";
  EXPECT_FALSE(std::filesystem::exists(node_.desired.kubeconfig_path));
  node_.desired.kubeconfig = "one";
  node_.desired.kubeconfig_mode = 0640;
  EXPECT_TRUE(pass().changed);
  EXPECT_EQ(Node::mode(node_.desired.kubeconfig_path), 0640U);
  node_.desired.kubeconfig.reset();
  EXPECT_FALSE(pass().changed);
  EXPECT_EQ(Node::read(node_.desired.kubeconfig_path), "one") << "an old one stays";
  node_.desired.kubeconfig = "two";
  node_.desired.kubeconfig_mode = 0600;
  EXPECT_TRUE(pass().changed);
  EXPECT_EQ(Node::mode(node_.desired.kubeconfig_path), 0600U);
  std::filesystem::remove_all(node_.path("run"));  // a reboot
  EXPECT_TRUE(pass().changed);
  EXPECT_EQ(Node::read(node_.desired.kubeconfig_path), "two");
  EXPECT_EQ(Node::mode(node_.path("run")), 0700U);
}

// --- broken files -----------------------------------------------------------------

TEST_F(InstallerTest, AListThatAPowerFailureCutIsHealed) {
  for (const auto& left : {std::string(), std::string(100, '\0'), calico.substr(0, 80)}) {
    const Node node;
    {
      Installer installer(node.state_dir());
      node.conf("10-calico.conflist", calico);
      node.conf("99-loopback.conf", R"({"type":"loopback","name":"lo"})");
      installer.reconcile(node.desired);
    }
    node.conf("10-calico.conflist", left);
    node.age("10-calico.conflist");
    Installer installer(node.state_dir());
    const auto result = installer.reconcile(node.desired);
    EXPECT_TRUE(result.ready);
    EXPECT_FALSE(result.foreign);
    EXPECT_EQ(node.conf("10-calico.conflist"), with_entry(node, calico));
    EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("last good content is put back")));
  }
}

TEST_F(InstallerTest, AFileThatIsBeingWrittenIsGivenTime) {
  node_.conf("10-calico.conflist", calico);
  node_.conf("20-other.conflist", azure);
  pass();
  node_.conf("10-calico.conflist", "");  // truncated, to be written in place
  auto result = pass();
  EXPECT_FALSE(result.ready);
  EXPECT_FALSE(result.changed);
  EXPECT_GT(result.look_again.count(), 0);
  EXPECT_THAT(said(result), HasSubstr("10-calico.conflist is being written"));
  EXPECT_EQ(node_.conf("10-calico.conflist"), "") << "the writer's, not ours to heal yet";
  EXPECT_EQ(node_.conf("20-other.conflist"), azure) << "no hasty move";
  auto newer = calico;
  newer.replace(newer.find("k8s-pod-network"), 3, "new");
  node_.conf("10-calico.conflist", newer);
  result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, newer));

  node_.conf("10-calico.conflist", "{");
  result = pass();
  EXPECT_FALSE(result.changed);
  std::this_thread::sleep_for(result.look_again + milliseconds(50));
  result = pass();
  EXPECT_TRUE(result.ready);
  EXPECT_EQ(node_.conf("10-calico.conflist"), with_entry(node_, newer)) << "healed at last";
}

TEST_F(InstallerTest, OnlyWhatIsBrokenIsHealed) {
  node_.conf("10-calico.conflist", calico);
  node_.conf("20-other.conflist", azure);
  pass();
  node_.conf("10-calico.conflist", "{}");  // somebody meant it
  node_.age("10-calico.conflist");
  auto result = pass();
  EXPECT_EQ(node_.conf("10-calico.conflist"), "{}");
  EXPECT_EQ(result.file, "20-other.conflist");
  EXPECT_TRUE(result.ready);
  // a file that never was ours
  node_.conf("05-new.conflist", "");
  node_.age("05-new.conflist");
  result = pass();
  EXPECT_EQ(result.file, "20-other.conflist");
  EXPECT_EQ(node_.conf("05-new.conflist"), "");
  EXPECT_THAT(result.warnings, Contains(HasSubstr("05-new.conflist is skipped")));
}

TEST_F(InstallerTest, ABrokenSourceKeepsTheListMadeFromIt) {
  for (const auto mode : {Mode::owned, Mode::chained}) {
    Node node;
    Installer installer(node.state_dir());
    node.desired.mode = mode;
    node.conf("10-bridge.conf", bridge_conf);
    installer.reconcile(node.desired);
    const auto ours = node.conf("02-istio-cni.conflist");
    node.conf("10-bridge.conf", "");
    node.age("10-bridge.conf");
    const auto result = installer.reconcile(node.desired);
    EXPECT_TRUE(result.ready);
    EXPECT_EQ(node.conf("02-istio-cni.conflist"), ours);
    EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("keeps what it was made from")));
    // our own file is simply made again
    node.conf("10-bridge.conf", bridge_conf);
    node.conf("02-istio-cni.conflist", "");
    const auto again = installer.reconcile(node.desired);
    EXPECT_TRUE(again.ready);
    EXPECT_FALSE(again.foreign);
    EXPECT_EQ(node.conf("02-istio-cni.conflist"), ours);
  }
}

// --- record ------------------------------------------------------------------------

TEST_F(InstallerTest, TheRecordIsWrittenBeforeTheChange) {
  node_.conf("10-calico.conflist", calico);
  // no room for the record: nothing at all may happen
  std::filesystem::remove(node_.state_dir());
  std::ofstream(node_.state_dir()) << "a file";
  const auto result = pass();
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
  EXPECT_FALSE(std::filesystem::exists(node_.desired.kubeconfig_path));
}

TEST_F(InstallerTest, ALostOrDamagedRecordIsBegunAnew) {
  for (const auto& record :
       {std::string(), std::string("{"), std::string("[]"), std::string(R"({"version":7})"),
        std::string(R"({"version":1,"chosenBy":"","target":"","places":[{"confDir":"/x","edited":)"
                    R"(["../../etc/passwd"],"own":[]}],"kubeconfigs":[],"binaries":[],)"
                    R"("createdDirs":[]})")}) {
    Node node;
    node.conf("10-calico.conflist", calico);
    node.conf("20-b.conflist", azure);
    { Installer(node.state_dir()).reconcile(node.desired); }
    // a second list that an earlier version of us had edited
    node.conf("20-b.conflist", with_entry(node, azure));
    std::ofstream(node.state_dir() + "/record.json") << record;
    const auto blind = install::uninstall(node.state_dir());
    ASSERT_EQ(blind.failures.size(), 1U);
    EXPECT_THAT(blind.failures[0].message, HasSubstr("start the service once"));
    Installer installer(node.state_dir());
    const auto result = installer.reconcile(node.desired);
    EXPECT_TRUE(result.ready);
    EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("a new record")));
    EXPECT_THAT(installer.reconcile(node.desired).warnings, IsEmpty());
    EXPECT_EQ(node.conf("20-b.conflist"), azure) << "ours, and not the target";
    EXPECT_THAT(install::uninstall(node.state_dir()).failures, IsEmpty());
    EXPECT_EQ(node.conf("10-calico.conflist"), calico);
    EXPECT_FALSE(std::filesystem::exists(node.plugin()));
  }
}

TEST_F(InstallerTest, ARecordThatVanishesUnderARunningAgentIsWrittenAgain) {
  node_.conf("10-calico.conflist", calico);
  pass();
  const auto record = node_.record();
  std::filesystem::remove(node_.state_dir() + "/record.json");
  EXPECT_TRUE(pass().ready);
  EXPECT_EQ(node_.record(), record);
}

// --- uninstall -----------------------------------------------------------------------

TEST_F(InstallerTest, UninstallUndoesExactlyWhatWasDone) {
  node_.conf("10-calico.conflist", calico, 0640);
  pass();
  auto result = uninstall();
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_THAT(result.done, ElementsAre(HasSubstr("took our entry out of"),
                                       HasSubstr("removed " + node_.desired.kubeconfig_path),
                                       HasSubstr("removed " + node_.plugin())));
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  EXPECT_EQ(Node::mode(node_.conf_dir() + "/10-calico.conflist"), 0640U);
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
  EXPECT_FALSE(std::filesystem::exists(node_.desired.kubeconfig_path));
  EXPECT_THAT(test_support::entries(node_.state_dir()), IsEmpty());
  result = uninstall();
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_THAT(result.done, IsEmpty());
}

TEST_F(InstallerTest, UninstallCopesWithWhatOthersDidSince) {
  node_.conf("10-calico.conflist", calico);
  pass();
  // renamed by its owner, with changes; a copy; a file of his own
  auto edited = node_.conf("10-calico.conflist");
  edited.replace(edited.find("k8s-pod-network"), 3, "new");
  node_.remove("10-calico.conflist");
  node_.conf("15-calico.conflist", edited);
  node_.conf("30-mine.conf", bridge_conf);
  const auto result = uninstall();
  EXPECT_THAT(result.failures, IsEmpty());
  auto expected = calico;
  expected.replace(expected.find("k8s-pod-network"), 3, "new");
  EXPECT_EQ(node_.conf("15-calico.conflist"), expected);
  EXPECT_EQ(node_.conf("30-mine.conf"), bridge_conf);
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
}

TEST_F(InstallerTest, UninstallOnlyDeletesOwnFilesThatAreOurs) {
  node_.desired.mode = Mode::owned;
  node_.conf("10-calico.conflist", calico);
  pass();
  node_.conf("02-istio-cni.conflist", with_entry(node_, cilium));  // somebody's own now
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_EQ(node_.conf("02-istio-cni.conflist"), cilium) << "and only our entry is taken out";
}

TEST_F(InstallerTest, ThePluginStaysWhileAListNamesIt) {
  node_.conf("10-calico.conflist", calico);
  pass();
  for (const auto& [name, content] :
       {std::pair<std::string, std::string>{"zz.conf", cni::standalone_conf({})},
        {"zz.json", cni::standalone_conf({})},
        {"zz.conflist", R"({"name":"x","plugins":[{"type":"istio-cni"}]})"},
        {"zz.conflist", R"({"name":"x","plugins":[{"type":"istio-cni"})"}}) {
    node_.conf(name, content);
    const auto result = uninstall();
    EXPECT_THAT(result.failures,
                Contains(testing::Field(&base::Error::message,
                                        AllOf(HasSubstr("stays, as"), HasSubstr(name)))));
    EXPECT_TRUE(std::filesystem::exists(node_.plugin()));
    EXPECT_FALSE(node_.record().empty()) << "to be tried again";
    EXPECT_EQ(node_.conf(name), content);
    node_.remove(name);
  }
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  EXPECT_THAT(uninstall().failures, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
}

TEST_F(InstallerTest, WhatAnotherAgentHasTakenOverStays) {
  node_.conf("10-calico.conflist", calico);
  pass();
  const auto list = node_.conf("10-calico.conflist");
  std::ofstream(node_.plugin()) << "the one of the DaemonSet";
  auto result = uninstall();
  EXPECT_TRUE(result.left_to_another);
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_THAT(result.done, ElementsAre(HasSubstr("another installer of istio-cni")));
  EXPECT_TRUE(std::filesystem::exists(node_.plugin()));
  EXPECT_TRUE(std::filesystem::exists(node_.desired.kubeconfig_path));
  EXPECT_EQ(node_.conf("10-calico.conflist"), list);
  EXPECT_THAT(test_support::entries(node_.state_dir()), IsEmpty());
  result = uninstall();
  EXPECT_THAT(result.done, IsEmpty());
}

TEST_F(InstallerTest, ABrokenPluginIsNoTakingOver) {
  node_.conf("10-calico.conflist", calico);
  for (const bool empty : {true, false}) {
    ASSERT_TRUE(restarted().ready);
    std::filesystem::resize_file(node_.plugin(), empty ? 0 : 100);
    ::chmod(node_.plugin().c_str(), empty ? 0755 : 0644);
    EXPECT_FALSE(uninstall().left_to_another);
    EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  }
}

TEST_F(InstallerTest, UninstallGoesOnAfterAFailure) {
  node_.conf("10-calico.conflist", calico);
  pass();
  std::filesystem::remove(node_.desired.kubeconfig_path);
  std::filesystem::create_directory(node_.desired.kubeconfig_path);
  auto result = uninstall();
  EXPECT_EQ(result.failures.size(), 1U);
  EXPECT_EQ(node_.conf("10-calico.conflist"), calico);
  EXPECT_FALSE(std::filesystem::exists(node_.plugin()));
  std::filesystem::remove(node_.desired.kubeconfig_path);
  result = uninstall();
  EXPECT_THAT(result.failures, IsEmpty());
  EXPECT_THAT(test_support::entries(node_.state_dir()), IsEmpty());
}

TEST_F(InstallerTest, WithoutARecordThereIsNothingToUndo) {
  for (const auto& dir : {node_.state_dir(), node_.path("nowhere")}) {
    const auto result = install::uninstall(dir);
    EXPECT_THAT(result.failures, IsEmpty());
    EXPECT_THAT(result.done, IsEmpty());
  }
}

// --- words and patience -----------------------------------------------------------------

TEST(DescribeTest, EachStateIsOneClause) {
  struct Case {
    const char* expected;
    Mode mode;
    Pass pass;
  };
  const auto made = [](bool ready, const char* file, const char* from, bool gated,
                       const char* waiting) {
    Pass pass;
    pass.ready = ready;
    pass.file = file;
    pass.derived_from = from;
    pass.gated = gated;
    pass.waiting_for = waiting;
    return pass;
  };
  Pass failed;
  failed.failure = {Step::kubeconfig, {base::Errc::io, "disk full", 0}};
  const std::vector<Case> cases{
      {"chained in 10-a.conflist", Mode::chained, made(true, "10-a.conflist", "", false, "")},
      {"own list 02.conflist (from 10-a.conf)", Mode::chained,
       made(true, "02.conflist", "10-a.conf", false, "")},
      {"owned list 02.conflist (from 10-a.conf)", Mode::owned,
       made(true, "02.conflist", "10-a.conf", false, "")},
      {"standalone in y.conf", Mode::standalone, made(true, "y.conf", "", false, "")},
      {"gate in 02.conflist, but no network yet", Mode::owned,
       made(false, "02.conflist", "", true, "no network yet")},
      {"chained in 10-a.conflist, but 05 is first", Mode::chained,
       made(false, "10-a.conflist", "", false, "05 is first")},
      {"no network yet", Mode::chained, made(false, "", "", false, "no network yet")},
      {"not installed", Mode::chained, Pass{}},
      {"plugin's kubeconfig cannot be installed: disk full", Mode::chained, failed}};
  for (const auto& [expected, mode, pass] : cases) {
    install::Desired desired;
    desired.mode = mode;
    EXPECT_EQ(install::describe(desired, pass), expected);
  }
}

TEST(ReversionGuardTest, TenAreFreeThenItGrowsToASecond) {
  using Clock = install::ReversionGuard::Clock;
  for (const double random : {0.0, 0.5, 1.0}) {
    install::ReversionGuard guard;
    auto now = Clock::time_point(std::chrono::hours(1));
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(guard.reverted(now, random).count(), 0) << i;
      EXPECT_FALSE(guard.warn_now());
      now += milliseconds(400);
    }
    milliseconds last{0};
    for (int i = 0; i < 20; ++i) {
      const auto wait = guard.reverted(now, random);
      EXPECT_GT(wait.count(), 0);
      EXPECT_GE(wait, last);
      EXPECT_LE(wait, milliseconds(1000));
      EXPECT_EQ(guard.warn_now(), i == 0) << "once";
      last = wait;
      now += wait + milliseconds(2000);  // fewer than ten in 5 s, but no end
    }
    EXPECT_EQ(last.count(), static_cast<long>(500 + 500 * random));
    now += std::chrono::seconds(5);
    EXPECT_EQ(guard.reverted(now, random).count(), 0) << "a quiet time ends it";
    EXPECT_FALSE(guard.warn_now());
    for (int i = 0; i < 10; ++i) (void)guard.reverted(now, random);
    EXPECT_TRUE(guard.warn_now()) << "a new series, a new warning";
  }
}

TEST(ReversionGuardTest, SlowReversionsAreFree) {
  install::ReversionGuard guard;
  auto now = install::ReversionGuard::Clock::time_point(std::chrono::hours(1));
  for (int i = 0; i < 100; ++i, now += milliseconds(501))
    ASSERT_EQ(guard.reverted(now, 1).count(), 0) << i;
}

}  // namespace
