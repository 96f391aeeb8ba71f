// What happened before: the installation at the pod's start, and its ADDs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "istio-cnictl/fixtures.hpp"
#include "istio-cnictl/verdict.hpp"

namespace {

using namespace test_support;
using base::Errc;
using base::Error;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(InstallationThen, ByTheChangesBeforeAndWhileThePodStarted) {
  using InList = istio_cnictl::Then::InList;
  auto facts = good_facts();
  const auto then = [&](const std::string& from, const std::string& to) {
    return installation_during(at(from), at(to), facts);
  };
  facts.agent->changes = {{at("08:00:00"), false, false, "Not ready: starting"},
                          {at("08:00:01"), true, true, "Ready: a"},
                          {at("09:00:00"), false, false, "Not ready: taken out"},
                          {at("10:00:00"), true, true, "Ready: c"}};
  facts.readiness = std::vector{journal_ready("07:00:00", false, "Not ready: b")};
  EXPECT_EQ(then("07:30:00", "07:31:00").in_list, InList::no);
  EXPECT_EQ(then("08:00:00", "08:00:00").text, "Not ready: b") << "starting says nothing";
  EXPECT_EQ(then("08:30:00", "08:31:00").in_list, InList::yes);
  EXPECT_EQ(then("07:59:00", "08:31:00").in_list, InList::partly);
  EXPECT_EQ(then("07:59:00", "08:31:00").text, "Not ready: b");
  EXPECT_EQ(then("08:30:00", "10:31:00").in_list, InList::partly) << "away for a while";
  EXPECT_EQ(then("08:30:00", "10:31:00").text, "Not ready: taken out");
  EXPECT_EQ(then("06:00:00", "06:30:00").in_list, InList::unknown);
  EXPECT_EQ(then("06:00:00", "07:30:00").in_list, InList::no);
  facts.readiness = std::vector<istio_cnictl::JournalEntry>{};
  EXPECT_EQ(then("06:00:00", "08:30:00").in_list, InList::unknown) << "it came in between";
  facts.readiness = Error{Errc::io, "no journal"};
  facts.agent = Error{Errc::io, "no agent"};
  EXPECT_THAT(then("07:00:00", "07:00:01").text, HasSubstr("written last after the pod"));
  EXPECT_THAT(then("09:00:00", "09:00:01").source, IsEmpty());
}

TEST(InstallationThen, AJournalOfAnEarlierVersion) {
  auto facts = good_facts();
  facts.agent->changes.clear();
  auto entry = journal_ready("08:00:00", true, "Ready: a");
  entry.fields.erase("ISTIO_CNI_IN_LIST");
  facts.readiness = std::vector{entry};
  EXPECT_EQ(installation_during(at("09:00:00"), at("09:00:01"), facts).in_list,
            istio_cnictl::Then::InList::yes);
}

TEST(Adds, AreOfThisPodAndInOrder) {
  auto facts = good_facts();
  facts.journal = std::vector{journal_add("09:00:00", "redirect", "pod redirected"),
                              journal_add("08:00:00", "failed", "x", "11", "uid-0")};
  const auto adds = adds_of(facts);
  ASSERT_EQ(adds.size(), 2U);
  EXPECT_EQ(adds[0].source, "journal");
  EXPECT_EQ(adds[1].source, "agent");
}

}  // namespace
