#include "istio-cni-node/daemonset.hpp"

#include <gtest/gtest.h>

namespace istio_cni_node {
namespace {

constexpr std::string_view node =
    R"({"metadata":{"name":"n1","labels":{"zone":"a","cores":"8","empty":""}}})";

std::string with_terms(const std::string& terms) {
  return R"({"metadata":{},"spec":{"template":{"spec":{"affinity":{"nodeAffinity":)"
         R"({"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":)" +
         terms + "}}}}}}}";
}

struct Case {
  const char* name;
  std::string daemonset;
  bool wanted;
};

TEST(DaemonSet, WantsTheNode) {
  auto expression = [](const std::string& requirement) {
    return with_terms(R"([{"matchExpressions":[)" + requirement + "]}]");
  };
  const Case cases[] = {
      {"no affinity", R"({"metadata":{},"spec":{"template":{"spec":{}}}})", true},
      {"being deleted",
       R"({"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"template":{"spec":{}}}})",
       false},
      {"node selector",
       R"({"metadata":{},"spec":{"template":{"spec":{"nodeSelector":{"zone":"a"}}}}})", true},
      {"other node selector",
       R"({"metadata":{},"spec":{"template":{"spec":{"nodeSelector":{"zone":"b"}}}}})", false},
      {"In", expression(R"({"key":"zone","operator":"In","values":["b","a"]})"), true},
      {"In, other", expression(R"({"key":"zone","operator":"In","values":["b"]})"), false},
      {"NotIn", expression(R"({"key":"zone","operator":"NotIn","values":["a"]})"), false},
      {"NotIn, absent label", expression(R"({"key":"none","operator":"NotIn","values":["a"]})"),
       true},
      {"Exists, empty value", expression(R"({"key":"empty","operator":"Exists"})"), true},
      {"DoesNotExist", expression(R"({"key":"zone","operator":"DoesNotExist"})"), false},
      {"Gt", expression(R"({"key":"cores","operator":"Gt","values":["7"]})"), true},
      {"Lt", expression(R"({"key":"cores","operator":"Lt","values":["8"]})"), false},
      {"Gt of no number", expression(R"({"key":"zone","operator":"Gt","values":["7"]})"), false},
      {"unknown operator", expression(R"({"key":"zone","operator":"Like","values":["a"]})"), false},
      {"all of a term",
       expression(
           R"({"key":"zone","operator":"In","values":["a"]},{"key":"none","operator":"Exists"})"),
       false},
      {"any of the terms",
       with_terms(R"([{"matchExpressions":[{"key":"none","operator":"Exists"}]},)"
                  R"({"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}])"),
       true},
      {"another node's name",
       with_terms(R"([{"matchFields":[{"key":"metadata.name","operator":"In","values":["n2"]}]}])"),
       false},
      {"an empty term matches nothing", with_terms("[{}]"), false},
      {"no terms match nothing", with_terms("[]"), false},
  };
  for (const auto& test : cases) {
    auto wanted = wants_node(test.daemonset, node);
    ASSERT_TRUE(wanted) << test.name << ": " << wanted.error().message;
    EXPECT_EQ(*wanted, test.wanted) << test.name;
  }
}

TEST(DaemonSet, WhatIsNoJsonIsAnError) {
  EXPECT_FALSE(wants_node("{", node));
  EXPECT_FALSE(wants_node("{}", "nonsense"));
}

}  // namespace
}  // namespace istio_cni_node
