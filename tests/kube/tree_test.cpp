#include "kube/tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace {

using kube::parse_tree;
using kube::Tree;
using testing::HasSubstr;

std::string error_of(std::string_view text) {
  auto tree = parse_tree(text);
  return tree ? "no error" : tree.error().message;
}

TEST(Tree, YamlAndJsonAreOneShape) {
  for (std::string_view text :
       {"a: x\nb: [y, {c: z}]\nd:\n", R"({"a":"x","b":["y",{"c":"z"}],"d":null})"}) {
    auto tree = parse_tree(text);
    ASSERT_TRUE(tree.ok()) << tree.error().message;
    EXPECT_EQ(tree->find("a")->scalar, "x");
    ASSERT_EQ(tree->find("b")->items.size(), 2U);
    EXPECT_EQ(tree->find("b")->items[1].find("c")->scalar, "z");
    EXPECT_EQ(tree->find("d")->kind, Tree::Kind::null);
    EXPECT_EQ(tree->find("e"), nullptr);
  }
}

TEST(Tree, LastDuplicateWinsAndAliasesExpand) {
  auto tree = parse_tree("a: &x {k: 1}\nb: *x\na: 2\n");
  ASSERT_TRUE(tree.ok()) << tree.error().message;
  EXPECT_EQ(tree->find("a")->scalar, "2");
  EXPECT_EQ(tree->find("b")->find("k")->scalar, "1");
}

TEST(Tree, Malformed) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of("{\n  \"a\": x}"), HasSubstr("not valid JSON (line 2, column 8)"));
  EXPECT_THAT(error_of("{} {}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("a: [b\nc: d"), HasSubstr("not valid YAML"));
  EXPECT_THAT(error_of("a: *nobody"), HasSubstr("not valid YAML"));
  EXPECT_THAT(error_of("? [a]\n: b\n"), HasSubstr("not a scalar"));
  EXPECT_THAT(error_of("x: &x {a: b}\ny:\n  <<: *x\n"), HasSubstr("merge keys"));
  EXPECT_THAT(error_of("a: &x [*x]\n"), HasSubstr("alias"));
}

TEST(Tree, DepthIsBounded) {
  EXPECT_THAT(error_of(std::string(1 << 19, '[')), HasSubstr("deeper than 100"));
  EXPECT_THAT(error_of("{\"a\":" + std::string(1 << 19, '[')), HasSubstr("deeper than 100"));
  std::string blocks;
  for (int i = 0; i < 50000; ++i) blocks += "- ";
  EXPECT_THAT(error_of(blocks + "x"), HasSubstr("deeper than 100"));
}

TEST(Tree, AliasBombIsRefused) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    auto before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int n = 1; n < 10; ++n) text += "," + before;
    text += "]\n";
  }
  EXPECT_THAT(error_of(text), HasSubstr("too many nodes or aliases"));

  std::string large = "a: &a " + std::string(200000, 'x') + "\nb: [";
  for (int i = 0; i < 10000; ++i) large += "*a,";
  EXPECT_THAT(error_of(large + "]\n"), HasSubstr("too many nodes or aliases"));
}

TEST(Tree, LargeDocumentsEndSoon) {
  auto begin = std::chrono::steady_clock::now();
  std::string keys = "{";
  std::string yaml;
  for (int i = 0; i < 40000; ++i) {
    keys += "\"k" + std::to_string(i) + "\":1,";
    yaml += "k" + std::to_string(i) + ": 1\n";
  }
  EXPECT_TRUE(parse_tree(keys + "\"z\":1}").ok());
  EXPECT_TRUE(parse_tree(yaml).ok());
  for (const char* piece :
       {"[",     "{",   "- ",   "? ", ": ", "&a ", "*a ",  "!",    "\"",   "'",  "|\n",
        "a:\n ", "[a,", "{a: ", "%",  "#",  "\t",  "\xff", "<<: ", "--- ", "a ", "\\"}) {
    std::string text = "x";
    while (text.size() < 200000) text += piece;
    (void)parse_tree(text).ok();
    (void)parse_tree(std::string_view(text).substr(1)).ok();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

}  // namespace
