#include "repair/selector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repair/fixtures.hpp"

namespace {

using repair::FieldSelector;
using repair::LabelSelector;
using testing::HasSubstr;
using Labels = std::map<std::string, std::string>;

TEST(LabelSelector, MatchesAsTheApiServerDoes) {
  const Labels labels{{"app", "web"}, {"tier", "front"}, {"example.com/zone", "a-1"},
                      {"empty", ""},  {"size", "7"},     {"bad", "7x"}};
  struct Case {
    const char* selector;
    bool matches;
  };
  for (const auto& [selector, matches] : std::vector<Case>{
           {"", true},
           {"  ", true},
           {"app=web", true},
           {"app==web", true},
           {" app = web ", true},
           {"app=api", false},
           {"app=web,tier=front", true},
           {"app=web,tier=back", false},
           {"app!=web", false},
           {"app!=api", true},
           {"other!=x", true},
           {"app in (web)", true},
           {"app in (api, web)", true},
           {"app in(api,web),tier", true},
           {"app in (api)", false},
           {"other in (x)", false},
           {"app notin (web)", false},
           {"app notin (api)", true},
           {"other notin (x)", true},
           {"app", true},
           {"other", false},
           {"!app", false},
           {"!other", true},
           {"! other", true},
           {"example.com/zone=a-1", true},
           {"empty=", true},
           {"empty=,app", true},
           {"app=", false},
           {"empty in (,x)", true},
           {"app in (,x)", false},
           {"size>6", true},
           {"size > 7", false},
           {"size<8", true},
           {"other<8", false},
           {"bad<8", false},
           {"in", false},
           {"in=x", false},
       }) {
    auto parsed = LabelSelector::parse(selector);
    ASSERT_TRUE(parsed.ok()) << selector << ": " << parsed.error().message;
    EXPECT_EQ(parsed->matches(labels), matches) << selector;
  }
}

TEST(LabelSelector, QuotesWhatIsWrong) {
  for (const char* selector : {"app=web,",   ",app",         "app=web tier=x",
                               "app in web", "app in (web",  "app in (web tier)",
                               "=x",         "app=web=x",    "!app=web",
                               "-app=web",   "app=-web",     "app=we$b",
                               "app>x",      "app>",         "/x=y",
                               "a/b/c=d",    "app ~ web",    "!",
                               "app in",     "app notin ()x"}) {
    auto parsed = LabelSelector::parse(selector);
    ASSERT_FALSE(parsed.ok()) << selector;
    EXPECT_EQ(parsed.error().code, base::Errc::invalid_input);
    EXPECT_THAT(parsed.error().message, HasSubstr(selector));
  }
}

TEST(FieldSelector, MatchesEachField) {
  auto pod = test_support::broken_pod();
  pod.service_account = "sa,1";
  struct Case {
    const char* selector;
    bool matches;
  };
  for (const auto& [selector, matches] : std::vector<Case>{
           {"", true},
           {"metadata.name=web-1", true},
           {"metadata.name==web-1", true},
           {"metadata.name!=web-1", false},
           {"metadata.name=web-2", false},
           {"metadata.namespace=shop,spec.nodeName=node-1", true},
           {"metadata.namespace=shop,spec.nodeName=node-2", false},
           {"spec.restartPolicy=Always", true},
           {"spec.restartPolicy!=Never", true},
           {"spec.serviceAccountName=sa\\,1", true},
           {"status.phase=Pending", true},
           {"status.phase!=Running,", true},
           {"status.podIP=10.9.0.2", true},
           {"status.podIP=", false},
       }) {
    auto parsed = FieldSelector::parse(selector);
    ASSERT_TRUE(parsed.ok()) << selector << ": " << parsed.error().message;
    EXPECT_EQ(parsed->matches(pod), matches) << selector;
  }
  pod.ips.clear();
  EXPECT_TRUE(FieldSelector::parse("status.podIP=")->matches(pod));
}

TEST(FieldSelector, QuotesWhatIsWrong) {
  for (const char* selector : {"metadata.name", "metadata.name!web", "metadata.name=a=b",
                               "metadata.name=a\\x", "metadata.name=a\\"})
    EXPECT_FALSE(FieldSelector::parse(selector).ok()) << selector;
  auto unknown = FieldSelector::parse("spec.schedulerName=x");
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, HasSubstr("spec.schedulerName"));
  EXPECT_THAT(unknown.error().message, HasSubstr("status.podIP"));
}

}  // namespace
