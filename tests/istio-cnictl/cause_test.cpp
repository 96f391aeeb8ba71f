#include <gtest/gtest.h>

#include "istio-cnictl/verdict.hpp"

namespace {

using istio_cnictl::Cause;
using istio_cnictl::classify;

TEST(Cause, ByCode) {
  EXPECT_EQ(classify(100, ""), Cause::bad_annotation);
  EXPECT_EQ(classify(101, ""), Cause::kernel);
  EXPECT_EQ(classify(102, ""), Cause::rules_differ);
  EXPECT_EQ(classify(8, ""), Cause::host_namespace);
  EXPECT_EQ(classify(7, ""), Cause::configuration);
  EXPECT_EQ(classify(11, "gave up after 3 attempts: no route to host"), Cause::api_unreachable);
  EXPECT_EQ(classify(11, "x: HTTP 403 Forbidden: nope"), Cause::credential);
  EXPECT_EQ(classify(11, "the server refuses our client certificate"), Cause::credential);
  EXPECT_EQ(classify(11, "TLS handshake: certificate of \"10.0.0.1\": certificate has expired"),
            Cause::api_unreachable)
      << "the server's";
  EXPECT_EQ(classify(50, "no primary network on this node yet"), Cause::gate);
  EXPECT_EQ(classify(999, "whatever"), Cause::other);
}

TEST(Cause, ByWordsWhenTheRuntimeLeavesTheCodeOut) {
  EXPECT_EQ(classify(0, "failed to find plugin \"istio-cni\" in path [/opt/cni/bin]"),
            Cause::plugin_missing);
  EXPECT_EQ(classify(0, "pod a/b: the kernel lacks nftables"), Cause::kernel);
  EXPECT_EQ(classify(0, "cannot look up pod a/b: connection refused"), Cause::api_unreachable);
  EXPECT_EQ(classify(0, "cannot look up pod a/b: HTTP 401 Unauthorized"), Cause::credential);
  EXPECT_EQ(classify(0, "pod a/b: annotation x: y"), Cause::bad_annotation);
  EXPECT_EQ(classify(0, ""), Cause::other);
}

}  // namespace
