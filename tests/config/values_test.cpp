#include "config/values.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace config {
namespace {

using namespace std::chrono_literals;

TEST(Duration, Spellings) {
  const std::pair<std::string, std::chrono::milliseconds> good[] = {
      {"30s", 30s}, {"1500ms", 1500ms}, {"2m", 2min}, {"30", 30s}, {"0", 0s}};
  for (const auto& [text, span] : good) EXPECT_EQ(*parse_duration(text), span) << text;
  for (const auto* bad : {"", "s", "ms", "m", "1h", "-1s", "+1s", "1 s", "1.5s", "1m30s",
                          "9999999999999999999s", "0x1s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(print_duration(90s), "90s");
  EXPECT_EQ(print_duration(1500ms), "1500ms");
}

TEST(EndpointText, Spellings) {
  const std::pair<std::string, Endpoint> good[] = {{"off", {false, "", 0}},
                                                   {":1", {true, "", 1}},
                                                   {"127.0.0.1:65535", {true, "127.0.0.1", 65535}},
                                                   {"localhost:80", {true, "localhost", 80}},
                                                   {"[::]:80", {true, "::", 80}},
                                                   {"[fe80::1]:80", {true, "fe80::1", 80}}};
  for (const auto& [text, endpoint] : good) {
    EXPECT_EQ(*parse_endpoint(text), endpoint) << text;
    EXPECT_EQ(print_endpoint(endpoint), text);
  }
  for (const auto* bad :
       {"", ":", ":0", ":65536", ":-1", "80", "a b:80", "[]:80", "[::1]", "[::1:80", "::1:80",
        "[127.0.0.1]:80", "*:80", "http://a:80", "Off", "a:80:"})
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
}

TEST(Mode, OctalAndAsTheKnownAgentHasIt) {
  EXPECT_EQ(*parse_mode("0600"), 0600U);
  EXPECT_EQ(*parse_mode("0o640"), 0640U);
  EXPECT_EQ(print_mode(0600), "0600");
  for (const auto* bad : {"", "0", "600", "384", "0800", "0200", "01600", "0x180", "rw", "-0600"})
    EXPECT_FALSE(parse_mode(bad)) << bad;
  EXPECT_EQ(*parse_go_mode("384"), 0600U);
  EXPECT_EQ(*parse_go_mode("0600"), 0600U);
  for (const auto* bad : {"", "0", "128", "512", "-1", "3.5"})
    EXPECT_FALSE(parse_go_mode(bad)) << bad;
}

TEST(LabelSelector, Grammar) {
  for (const auto* good : {"", "a", "!a", "a=b", "a==b", "a!=b", "a = b , c", "a=", "a in (b)",
                           "a notin (b, c)", "a in (,b)", "x/a=b,!c", "a>1", "a<2", " a "})
    EXPECT_TRUE(check_label_selector(good)) << good;
  for (const auto* bad : {",", "a,", "=b", "a=b=c", "a b", "a in b", "a in (b", "a in (b c)", "a=$",
                          "-a", "a!b", "a>b", "!", "a in", "in (a)b", "a\n=b"})
    EXPECT_FALSE(check_label_selector(bad)) << bad;
}

TEST(FieldSelector, FieldsAndOperators) {
  for (const auto* good : {"", "metadata.name=a", "metadata.namespace!=a,status.phase==Running",
                           "metadata.name=a\\,b", "spec.nodeName=", "status.podIP=::1"})
    EXPECT_TRUE(check_field_selector(good)) << good;
  for (const auto* bad : {"metadata.name", "=a", "!=a", "spec.containers=a", "metadata.name=a,",
                          "metadata.uid=1", ","})
    EXPECT_FALSE(check_field_selector(bad)) << bad;
}

TEST(Names, AsKubernetesHasThem) {
  const std::string long_name(64, 'a');
  EXPECT_TRUE(check_qualified_name("a.b-c/d_E.f"));
  for (const auto& bad : {std::string("A/b"), std::string("a/"), std::string("/a"),
                          std::string("a/b/c"), std::string("-a"), std::string("a b"), long_name})
    EXPECT_FALSE(check_qualified_name(bad)) << bad;
  EXPECT_TRUE(check_label_value(""));
  EXPECT_TRUE(check_label_value("A.b_c-1"));
  EXPECT_FALSE(check_label_value(long_name));
  EXPECT_FALSE(check_label_value("a/b"));
  EXPECT_TRUE(check_node_name("ip-10-0-0-1.ec2.internal"));
  EXPECT_TRUE(check_node_name(long_name));
  for (const auto* bad : {"", "a..b", ".a", "a_b", "a."}) EXPECT_FALSE(check_node_name(bad)) << bad;
  EXPECT_FALSE(check_namespace(long_name));
}

TEST(YamlText, IsQuotedWhereAParserCouldMistakeIt) {
  const std::pair<std::string, std::string> cases[] = {
      {"chained", "chained"}, {"/a/b.c", "/a/b.c"},  {"", "\"\""},
      {"true", "\"true\""},   {"NO", "\"NO\""},      {"~", "\"~\""},
      {"0600", "\"0600\""},   {"a: b", "\"a: b\""},  {"a\"\\", "\"a\\\"\\\\\""},
      {"a\nb", "\"a\\nb\""},  {"\x01", "\"\\x01\""}, {"null", "\"null\""}};
  for (const auto& [text, yaml] : cases) EXPECT_EQ(yaml_text(text), yaml);
}

TEST(Nearest, FindsTypingErrorsOnly) {
  const std::vector<std::string> words = {"chained", "owned", "standalone"};
  EXPECT_EQ(nearest("chaind", words), "chained");
  EXPECT_EQ(nearest("OWNED", words), "owned");
  EXPECT_EQ(nearest("stand-alone", words), "standalone");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest("xyz", words), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), words), "");
}

}  // namespace
}  // namespace config
