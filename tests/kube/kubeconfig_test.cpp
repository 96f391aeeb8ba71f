#include "kube/kubeconfig.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/strings.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::Errc;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* path = "/etc/cni/kubeconfig";

/// Files that exist for a test, by path.
kube::ReadFile files(std::map<std::string, std::string> content = {}) {
  return [content](const std::string& name) -> base::Result<std::string> {
    auto found = content.find(name);
    if (found == content.end())
      return base::Error{Errc::not_found, "open " + name + ": No such file or directory"};
    return found->second;
  };
}

std::string config(const std::string& cluster, const std::string& user = "token: t") {
  return "apiVersion: v1\nkind: Config\ncurrent-context: ctx\n"
         "contexts:\n- name: ctx\n  context: {cluster: local, user: me}\n"
         "clusters:\n- name: local\n  cluster: {" +
         cluster +
         "}\n"
         "users:\n- name: me\n  user: {" +
         user + "}\n";
}

kube::Kubeconfig good(const std::string& text, const kube::ReadFile& read = files()) {
  auto result = kube::parse_kubeconfig(text, path, read);
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return {};
  }
  return *result;
}

base::Error bad(const std::string& text, const kube::ReadFile& read = files()) {
  auto result = kube::parse_kubeconfig(text, path, read);
  if (result) {
    ADD_FAILURE() << "no error for:\n" << text;
    return {};
  }
  EXPECT_THAT(result.error().message, StartsWith("kubeconfig /etc/cni/kubeconfig: "));
  return result.error();
}

TEST(Kubeconfig, EveryField) {
  auto parsed =
      good(config("server: 'https://api.example:6443/k8s/', tls-server-name: kubernetes,"
                  " certificate-authority-data: Q0E=",
                  "token: abc, client-certificate-data: Q0VSVA==, client-key-data: S0VZ"));
  const auto& client = parsed.client;
  EXPECT_EQ(client.server, "https://api.example:6443/k8s/");
  EXPECT_TRUE(client.tls);
  EXPECT_EQ(client.host, "api.example");
  EXPECT_EQ(client.port, 6443);
  EXPECT_EQ(client.base_path, "/k8s");
  EXPECT_EQ(client.tls_server_name, "kubernetes");
  EXPECT_EQ(client.ca_pem, "CA");
  EXPECT_EQ(client.cert_pem, "CERT");
  EXPECT_EQ(client.key_pem, "KEY");
  EXPECT_EQ(client.token, "abc");
  EXPECT_FALSE(client.insecure);
  EXPECT_EQ(client.source, "kubeconfig /etc/cni/kubeconfig");
  EXPECT_FALSE(parsed.exec.has_value());
}

TEST(Kubeconfig, JsonIsTheSame) {
  auto parsed = good(R"({"kind":"Config","current-context":"c",
    "contexts":[{"name":"other"},{"name":"c","context":{"cluster":"k","user":"u"}}],
    "clusters":[{"name":"k","cluster":{"server":"https://10.0.0.1","insecure-skip-tls-verify":true}}],
    "users":[{"name":"u","user":{"token":"abc"}}]})");
  EXPECT_EQ(parsed.client.host, "10.0.0.1");
  EXPECT_EQ(parsed.client.port, 443);
  EXPECT_TRUE(parsed.client.insecure);
  EXPECT_EQ(parsed.client.token, "abc");
}

struct Server {
  const char* url;
  bool tls;
  const char* host;
  int port;
  const char* base_path;
};
class ServerUrl : public testing::TestWithParam<Server> {};
TEST_P(ServerUrl, IsTakenApart) {
  auto client = good(config(base::cat("server: '", GetParam().url, "'"))).client;
  EXPECT_EQ(client.tls, GetParam().tls);
  EXPECT_EQ(client.host, GetParam().host);
  EXPECT_EQ(client.port, GetParam().port);
  EXPECT_EQ(client.base_path, GetParam().base_path);
}
INSTANTIATE_TEST_SUITE_P(
    Kubeconfig, ServerUrl,
    testing::Values(Server{"https://10.96.0.1:443", true, "10.96.0.1", 443, ""},
                    Server{"http://localhost", false, "localhost", 80, ""},
                    Server{"https://[fd00::1]:6443/", true, "fd00::1", 6443, ""},
                    Server{"https://[::1]", true, "::1", 443, ""},
                    Server{"HTTPS://Api_1.x/a/b//", true, "Api_1.x", 443, "/a/b"}));

class BadServerUrl : public testing::TestWithParam<const char*> {};
TEST_P(BadServerUrl, IsNamed) {
  auto error = bad(config(base::cat("server: '", GetParam(), "'")));
  EXPECT_EQ(error.code, Errc::invalid_input);
  EXPECT_EQ(error.message,
            base::cat("kubeconfig /etc/cni/kubeconfig: clusters[local].cluster.server: "
                      "not an http(s) URL: ",
                      base::quote(GetParam())));
}
INSTANTIATE_TEST_SUITE_P(Kubeconfig, BadServerUrl,
                         testing::Values("10.0.0.1:443", "ftp://x", "https://", "https://:443",
                                         "https://x:0", "https://x:65536", "https://x:",
                                         "https://[::1", "https://[x]", "https://[::1]x",
                                         "https://u@x", "https://x?a", "https://x#a", "https://a b",
                                         "https://::1", "https://x\\y"));

TEST(Kubeconfig, FilesAreRelativeToTheKubeconfig) {
  auto read = files({{"/etc/cni/ca.crt", "CA"},
                     {"/etc/cni/pki/c.crt", "CERT"},
                     {"/abs/c.key", "KEY"},
                     {"/etc/cni/token", " tok\n"}});
  auto client = good(config("server: 'https://x', certificate-authority: ca.crt",
                            "client-certificate: pki/c.crt, client-key: /abs/c.key,"
                            " token: old, tokenFile: token"),
                     read)
                    .client;
  EXPECT_EQ(client.ca_pem, "CA");
  EXPECT_EQ(client.cert_pem, "CERT");
  EXPECT_EQ(client.key_pem, "KEY");
  EXPECT_EQ(client.token, "tok");
}

TEST(Kubeconfig, DataWinsOverFiles) {
  auto client = good(config("server: 'https://x', certificate-authority: missing,"
                            " certificate-authority-data: Q0E="))
                    .client;
  EXPECT_EQ(client.ca_pem, "CA");
}

TEST(Kubeconfig, UnreadableTokenFileFallsBackToToken) {
  EXPECT_EQ(good(config("server: 'https://x'", "token: old, tokenFile: gone")).client.token, "old");
  auto error = bad(config("server: 'https://x'", "tokenFile: gone"));
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("users[me].user.tokenFile"), HasSubstr("/etc/cni/gone")));
}

TEST(Kubeconfig, WithoutUser) {
  auto parsed = good(
      "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
      "clusters: [{name: k, cluster: {server: 'http://x'}}]\n");
  EXPECT_EQ(parsed.client.token, "");
}

TEST(Kubeconfig, Exec) {
  auto parsed = good(
      config("server: 'https://x'",
             "exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/get, args: [a, '1'],"
             " env: [{name: A, value: b}], installHint: get it, interactiveMode: Never}"));
  ASSERT_TRUE(parsed.exec.has_value());
  EXPECT_EQ(parsed.exec->command, "/etc/cni/bin/get");
  EXPECT_THAT(parsed.exec->args, testing::ElementsAre("a", "1"));
  EXPECT_THAT(parsed.exec->env, testing::ElementsAre(testing::Pair("A", "b")));
  EXPECT_EQ(parsed.exec->install_hint, "get it");
  auto with_token = good(
      config("server: 'https://x'",
             "token: t, exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: get}"));
  EXPECT_FALSE(with_token.exec.has_value());
}

struct Mistake {
  std::string text;
  const char* message;
  Errc code = Errc::invalid_input;
};
class Mistakes : public testing::TestWithParam<Mistake> {};
TEST_P(Mistakes, NameFileAndField) {
  auto error = bad(GetParam().text);
  EXPECT_THAT(error.message, HasSubstr(GetParam().message));
  EXPECT_EQ(error.code, GetParam().code);
}
const std::string x = "server: 'https://x'";
const std::string exec_v1 = "exec: {apiVersion: client.authentication.k8s.io/v1, command: c, ";
INSTANTIATE_TEST_SUITE_P(
    Kubeconfig, Mistakes,
    testing::Values(
        Mistake{"", "is empty"}, Mistake{" \n", "is empty"},
        Mistake{"# only\n", "current-context: not set"}, Mistake{"{", "not valid JSON"},
        Mistake{"a: [", "not valid YAML"}, Mistake{"[]", "not a mapping"},
        Mistake{"text", "not a mapping"},
        Mistake{"kind: Pod", "kind: expected \"Config\", found \"Pod\""},
        Mistake{"contexts: []", "current-context: not set"},
        Mistake{"current-context: c", "contexts: no entry is named \"c\""},
        Mistake{"current-context: c\ncontexts: {}", "contexts: not a list"},
        Mistake{"current-context: c\ncontexts: [x]", "contexts[0]: not a mapping"},
        Mistake{"current-context: [c]", "current-context: not a string"},
        Mistake{"current-context: c\ncontexts: [{name: c}]",
                "contexts[c].context.cluster: not set"},
        Mistake{"current-context: c\ncontexts: [{name: c}, {name: c}]",
                "contexts: two entries are named \"c\""},
        Mistake{"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]",
                "clusters: no entry is named \"k\""},
        Mistake{"{\"current-context\": 1}", "current-context: not a string"},
        Mistake{config(""), "clusters[local].cluster.server: not set"},
        Mistake{config(x + ", proxy-url: 'http://p'"), "clusters[local].cluster.proxy-url: proxies",
                Errc::unsupported},
        Mistake{config(x + ", insecure-skip-tls-verify: maybe"),
                "clusters[local].cluster.insecure-skip-tls-verify: neither true nor false"},
        Mistake{config(x + ", insecure-skip-tls-verify: true, certificate-authority-data: Q0E="),
                "insecure-skip-tls-verify: contradicts"},
        Mistake{config(x + ", certificate-authority-data: '*'"),
                "clusters[local].cluster.certificate-authority-data: not base64"},
        Mistake{config(x + ", certificate-authority: gone"),
                "clusters[local].cluster.certificate-authority: open /etc/cni/gone",
                Errc::not_found},
        Mistake{config(x, "username: u"), "users[me].user.username: basic", Errc::unsupported},
        Mistake{config(x, "password: p"), "users[me].user.password: basic", Errc::unsupported},
        Mistake{config(x, "auth-provider: {name: gcp}"), "users[me].user.auth-provider",
                Errc::unsupported},
        Mistake{config(x, "client-certificate-data: Q0E="), "users[me].user.client-key: not set"},
        Mistake{config(x, "client-key-data: Q0E="), "users[me].user.client-certificate: not set"},
        Mistake{config(x, "token: \"a\\r\\nX: y\""), "users[me].user.token: has blanks"},
        Mistake{config(x, "exec: {}"), "users[me].user.exec.command: not set"},
        Mistake{config(x, "exec: 1"), "users[me].user.exec: not a mapping"},
        Mistake{config(x, "exec: {command: c}"), "users[me].user.exec.apiVersion: expected"},
        Mistake{config(x, "exec: {command: c, apiVersion: client.authentication.k8s.io/v1alpha1}"),
                "v1alpha1"},
        Mistake{config(x, exec_v1 + "args: [[]]}"), "users[me].user.exec.args[0]: not a string"},
        Mistake{config(x, exec_v1 + "env: [{value: a}]}"), "users[me].user.exec.env[0].name"},
        Mistake{config(x, exec_v1 + "provideClusterInfo: true}"), "exec.provideClusterInfo",
                Errc::unsupported},
        Mistake{config(x, exec_v1 + "interactiveMode: Always}"), "exec.interactiveMode",
                Errc::unsupported},
        Mistake{std::string((1 << 20) + 1, '#'), "larger than 1 MiB"},
        Mistake{std::string(1 << 20, '['), "deeper than 100"}));

TEST(LoadKubeconfig, ReadsFromDisk) {
  test_support::TempDir dir;
  dir.write("ca.crt", "CA");
  auto file = dir.write("kubeconfig", config("server: 'https://x', certificate-authority: ca.crt"));
  auto loaded = kube::load_kubeconfig(file, base::Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->ca_pem, "CA");
  auto missing =
      kube::load_kubeconfig(dir.path("gone"), base::Deadline::after(std::chrono::seconds(5)));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr(dir.path("gone")));
}

TEST(InCluster, ReadsTheServiceAccount) {
  test_support::TempDir dir;
  dir.write("token", "tok\n");
  dir.write("ca.crt", "CA");
  auto made = kube::in_cluster_config("fd00::1", "443", dir.path());
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->server, "https://[fd00::1]:443");
  EXPECT_EQ(made->host, "fd00::1");
  EXPECT_EQ(made->token, "tok");
  EXPECT_EQ(made->ca_pem, "CA");
  auto outside = kube::in_cluster_config(nullptr, "443", dir.path());
  ASSERT_FALSE(outside.ok());
  EXPECT_EQ(outside.error().code, Errc::not_found);
  EXPECT_FALSE(kube::in_cluster_config("10.0.0.1", "x", dir.path()).ok());
  EXPECT_FALSE(kube::in_cluster_config("10.0.0.1/a", "1", dir.path()).ok());
  EXPECT_FALSE(kube::in_cluster_config("10.0.0.1", "443", dir.path("none")).ok());
}

}  // namespace
