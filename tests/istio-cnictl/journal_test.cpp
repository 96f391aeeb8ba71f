// Reading journal files, made by systemd-journal-remote from the export format.
#include "istio-cnictl/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "support/temp_dir.hpp"

namespace {

using istio_cnictl::JournalEntry;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

constexpr const char* writer = "/lib/systemd/systemd-journal-remote";

auto message(const std::string& text) { return Field(&JournalEntry::message, text); }

/// One entry of the export format (systemd.io/JOURNAL_EXPORT_FORMATS).
std::string entry(int second, const std::string& fields, const std::string& user = "0") {
  const auto micros = std::to_string(1800000000000000LL + second * 1000000LL);
  return "__REALTIME_TIMESTAMP=" + micros +
         "\n__MONOTONIC_TIMESTAMP=" + std::to_string(second + 1) +
         "\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_UID=" + user + "\n" + fields + "\n\n";
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::FILE* file = std::fopen(writer, "re"))
      std::fclose(file);
    else
      GTEST_SKIP() << "needs systemd-journal-remote";
  }
  /// The journal of these entries.
  std::unique_ptr<istio_cnictl::Journal> journal(const std::string& entries) {
    const auto input = dir_.write("entries", entries);
    const auto command = std::string(writer) + " -o " + dir_.path("made.journal") + " " + input +
                         " >" + dir_.path("log") + " 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return istio_cnictl::make_journal(dir_.path());
  }
  test_support::TempDir dir_;
};

TEST_F(JournalTest, OfAPodByNameUidAndContainer) {
  auto made = journal(
      entry(1,
            "MESSAGE=by name\nSYSLOG_IDENTIFIER=istio-cni\nPRIORITY=6\nPOD_NAMESPACE=shop\n"
            "POD_NAME=web-1\nPOD_UID=u-0\nCNI_COMMAND=ADD\nDECISION=failed\nERROR_CODE=11") +
      entry(2, "MESSAGE=other namespace\nPOD_NAMESPACE=other\nPOD_NAME=web-1") +
      entry(3, "MESSAGE=by uid\nPOD_UID=u-1") + entry(4, "MESSAGE=by container\nCONTAINER_ID=c1") +
      entry(5, "MESSAGE=forged\nPOD_NAMESPACE=shop\nPOD_NAME=web-1", "1000") +
      entry(6, "MESSAGE=unrelated"));
  auto found = made->of_pod("shop", "web-1", "u-1", "c1", 100);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_THAT(*found, ElementsAre(message("by name"), message("by uid"), message("by container")));
  const auto& first = found->front();
  EXPECT_EQ(first.identifier, "istio-cni");
  EXPECT_EQ(first.priority, 6);
  EXPECT_EQ(first.field("ERROR_CODE"), "11");
  EXPECT_EQ(first.field("DECISION"), "failed");
  EXPECT_EQ(first.field("CONTAINER_ID"), "");
  EXPECT_EQ(first.at.time_since_epoch(), std::chrono::seconds(1800000001));

  auto last = made->of_pod("shop", "web-1", "u-1", "c1", 1);
  ASSERT_TRUE(last.ok());
  EXPECT_THAT(*last, ElementsAre(message("by container")));
  auto by_name = made->of_pod("shop", "web-1", "", "", 100);
  ASSERT_TRUE(by_name.ok());
  EXPECT_THAT(*by_name, ElementsAre(message("by name")));
}

TEST_F(JournalTest, ReadinessAndAll) {
  auto made =
      journal(entry(1, "MESSAGE=Not ready\nISTIO_CNI_READY=0\nSYSLOG_IDENTIFIER=istio-cni-node") +
              entry(2, "MESSAGE=Ready\nISTIO_CNI_READY=1\nSYSLOG_IDENTIFIER=istio-cni-node") +
              entry(3, "MESSAGE=plugin\nSYSLOG_IDENTIFIER=istio-cni") +
              entry(4, "MESSAGE=started\nUNIT=istio-cni-node.service") +
              entry(5, "MESSAGE=kubelet\nSYSLOG_IDENTIFIER=kubelet"));
  auto ready = made->readiness(100);
  ASSERT_TRUE(ready.ok());
  EXPECT_THAT(*ready, ElementsAre(message("Not ready"), message("Ready")));
  EXPECT_EQ(ready->back().field("ISTIO_CNI_READY"), "1");
  auto all = made->all(3);
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(*all, ElementsAre(message("Ready"), message("plugin"), message("started")));
}

TEST(Journal, AnEmptyFolderHasNoEntries) {
  test_support::TempDir dir;
  auto found = istio_cnictl::make_journal(dir.path())->of_pod("a", "b", "", "", 10);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_THAT(*found, IsEmpty());
  EXPECT_FALSE(istio_cnictl::make_journal("/nonexistent")->all(10).ok());
}

TEST_F(JournalTest, AddsOfAllPods) {
  const std::string plugin = "SYSLOG_IDENTIFIER=istio-cni\nCNI_COMMAND=";
  auto made = journal(entry(1, "MESSAGE=one\nPOD_UID=u-1\nDECISION=redirect\n" + plugin + "ADD") +
                      entry(2, "MESSAGE=deleted\nPOD_UID=u-1\n" + plugin + "DEL") +
                      entry(3, "MESSAGE=two\nPOD_UID=u-2\nDECISION=failed\n" + plugin + "ADD") +
                      entry(4, "MESSAGE=forged\nDECISION=redirect\n" + plugin + "ADD", "1000") +
                      entry(5, "MESSAGE=a peer's\nCNI_COMMAND=ADD\nSYSLOG_IDENTIFIER=bridge"));
  auto found = made->adds(100);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_THAT(*found, ElementsAre(message("one"), message("two")));
  EXPECT_EQ((*found)[1].field("POD_UID"), "u-2");
  EXPECT_THAT(*made->adds(1), ElementsAre(message("two")));
}

}  // namespace
