#include "cni/args.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Args, KubeletsString) {
  auto args = cni::parse_args(
      "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;"
      "K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=123;FOO=bar");
  ASSERT_TRUE(args);
  EXPECT_EQ(args->pod_namespace, "shop");
  EXPECT_EQ(args->pod_name, "web-1");
  EXPECT_EQ(args->infra_container_id, "abc");
  EXPECT_EQ(args->pod_uid, "123");
}

TEST(Args, Empty) { EXPECT_EQ(cni::parse_args("")->pod_name, ""); }

TEST(Args, UnknownKeysNeedIgnoreUnknownAnywhere) {
  EXPECT_TRUE(cni::parse_args("FOO=bar;IgnoreUnknown=TRUE"));
  EXPECT_FALSE(cni::parse_args("FOO=bar"));
  EXPECT_FALSE(cni::parse_args("FOO=bar;IgnoreUnknown=false"));
}

TEST(Args, Malformed) {
  for (auto bad :
       {"K8S_POD_NAME", "K8S_POD_NAME=a=b", "K8S_POD_NAME=a;", ";", "=;=", "IgnoreUnknown=yes"})
    EXPECT_FALSE(cni::parse_args(bad)) << bad;
  EXPECT_FALSE(cni::parse_args(std::string(1 << 20, ';')));
  EXPECT_TRUE(cni::parse_args("K8S_POD_NAME=" + std::string(1 << 20, 'x')));
}

}  // namespace
