#include "istio-cni-node/plugin_versions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/strings.hpp"
#include "support/temp_dir.hpp"

namespace {

using istio_cni_node::plugin_version_of;
using istio_cni_node::PluginVersions;
using istio_cni_node::VersionFinder;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string words = "CNI plugin istio-cni ";

std::string found_in(const std::string& text, std::size_t piece) {
  VersionFinder finder;
  for (std::size_t at = 0; at < text.size(); at += piece)
    if (finder.feed(text.substr(at, piece))) break;
  return finder.version();
}

TEST(PluginVersions, OfThePluginOfThisBuild) {
  EXPECT_EQ(plugin_version_of(ICN_PLUGIN), ICN_VERSION);
  EXPECT_EQ(plugin_version_of("/bin/true"), "unknown");
  EXPECT_EQ(plugin_version_of("/bin/no-such-program"), "unknown");
  EXPECT_EQ(plugin_version_of("/bin"), "unknown");
}

TEST(PluginVersions, FoundWhereverThePiecesEnd) {
  const auto text = std::string(50, '\0') + "CNI plugin istio" + words + "1.2.3~rc1+b\nCNI" +
                    std::string(50, 'x');
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(found_in(text, piece), "1.2.3~rc1+b") << piece;
}

TEST(PluginVersions, WhatIsNoVersion) {
  for (const auto& text : {words, words + "1.0", words + "\n", words + "\xff\n",
                           words + std::string(65, '1') + "\n", words + std::string(100'000, '1')})
    for (const std::size_t piece : {1U, 7U, 200'000U})
      EXPECT_EQ(found_in(text, piece), "") << text.substr(0, 40);
  EXPECT_EQ(found_in(words + "\n" + words + "2.0\n", 5), "2.0");
  EXPECT_EQ(found_in(words + std::string(64, '1') + "\n", 5), std::string(64, '1'));
}

TEST(PluginVersions, OfEachFolderAndReadAgainWhenItChanges) {
  const test_support::TempDir dir;
  for (const auto* folder : {"a", "b", "none"}) std::filesystem::create_directory(dir.path(folder));
  const auto install = [&](const std::string& folder, const std::string& version) {
    const auto file = dir.write(folder + "/.new", words + version + "\n");
    std::filesystem::rename(file, dir.path(folder + "/istio-cni"));
  };
  PluginVersions versions;
  const std::vector<std::string> dirs{dir.path("a"), dir.path("b"), dir.path("none"),
                                      dir.path("missing")};
  EXPECT_THAT(versions.look(dirs), IsEmpty());
  install("a", "0.1.0");
  install("b", "0.1.0");
  EXPECT_THAT(versions.look(dirs), ElementsAre("0.1.0"));
  install("b", "0.2.0");
  EXPECT_THAT(versions.look(dirs), ElementsAre("0.1.0", "0.2.0"));
  dir.write("a/istio-cni", "another program");
  EXPECT_THAT(versions.look(dirs), ElementsAre("0.2.0", "unknown"));
  EXPECT_THAT(versions.look({dir.path("b")}), ElementsAre("0.2.0"));
  std::filesystem::remove(dir.path("b/istio-cni"));
  EXPECT_THAT(versions.look({dir.path("b")}), IsEmpty());
}

}  // namespace
