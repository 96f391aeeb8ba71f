#include "istio-cnictl/redact.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using istio_cnictl::names_secret;
using istio_cnictl::redact;
using testing::HasSubstr;
using testing::Not;

TEST(Redact, PrivateKeysAndCertificates) {
  EXPECT_EQ(
      redact("a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\nAQEE\n-----END EC PRIVATE KEY-----\nb"),
      "a\n-----BEGIN EC PRIVATE KEY-----(removed)-----END EC PRIVATE KEY-----\nb");
  EXPECT_THAT(redact("\"x\":\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\""),
              Not(HasSubstr("MIIB")));
  EXPECT_THAT(redact("-----BEGIN PRIVATE KEY-----\nMIIcut off"), Not(HasSubstr("MIIcut")));
}

TEST(Redact, Tokens) {
  const std::string token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2RlIn0.c2lnbmF0dXJl-_x";
  for (const auto& text : {"saw " + token + " there", "Authorization: Bearer " + token,
                           "{\"k8s_auth\":\"" + token + "\"}"}) {
    EXPECT_THAT(redact(text), Not(HasSubstr("c2lnbmF0dXJl"))) << text;
    EXPECT_THAT(redact(text), Not(HasSubstr("eyJzdWIi"))) << text;
  }
  EXPECT_THAT(redact("authorization: Basic dXNlcjpwYXNzd29yZA=="), Not(HasSubstr("dXNlcjpw")));
  EXPECT_EQ(redact("the basic network of bearer pods"), "the basic network of bearer pods");
}

TEST(Redact, ValuesOfSecretKeys) {
  EXPECT_EQ(redact("token: abc def"), "token: (removed) def");
  EXPECT_EQ(redact("  client-key-data: QUJD\nserver: x"),
            "  client-key-data: (removed)\nserver: x");
  EXPECT_EQ(redact("{\"k8s_auth_token\": \"a\\\"b\", \"name\": \"net\"}"),
            "{\"k8s_auth_token\": \"(removed)\", \"name\": \"net\"}");
  EXPECT_EQ(redact("WEAVE_PASSWORD='s3cret' --token=t0 key=k1,next=2"),
            "WEAVE_PASSWORD='(removed)' --token=(removed) key=(removed),next=2");
  EXPECT_EQ(redact("secret:\nnext: 1"), "secret:\nnext: 1");
  EXPECT_EQ(redact(R"("secret": {"a": 1})"), R"("secret": {"a": 1})");
}

TEST(Redact, UrlsAndLongBase64) {
  EXPECT_EQ(redact("https://user:pass@host/x http://host"), "https://(removed)@host/x http://host");
  const std::string blob(260, 'A');
  EXPECT_EQ(redact("data " + blob + " end"), "data (removed) end");
}

TEST(Redact, WhatIsNoSecretStays) {
  for (const std::string text :
       {"repair.label_key: cni.istio.io/uninitialized",
        "api:\n  kubeconfig: /etc/kubernetes/kubelet.conf", "tokenFile: /var/run/token",
        "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN",
        "POD_UID=0f3a5d1e-9d0a-4f0e-8a5b-9d3c5f1c2b7a NETNS=/run/netns/cni-1",
        "\"kubeconfig\": \"/run/istio-cni/istio-cni-kubeconfig\""})
    EXPECT_EQ(redact(text), text);
}

TEST(Redact, Keys) {
  EXPECT_TRUE(names_secret("client-certificate-data"));
  EXPECT_TRUE(names_secret("apiKey"));
  EXPECT_TRUE(names_secret("key"));
  EXPECT_FALSE(names_secret("tokenFile"));
  EXPECT_FALSE(names_secret("monkey"));
}

}  // namespace
