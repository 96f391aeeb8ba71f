#include "kube/exec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>

#include "base/file.hpp"
#include "kube/kubeconfig.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::Errc;
using test_support::soon;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* v1 = "client.authentication.k8s.io/v1";

std::string answer(const std::string& status) {
  return R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{)" +
         status + "}}";
}

class Exec : public testing::Test {
 protected:
  Exec() { kube::forget_exec_credentials(); }

  kube::ExecConfig plugin(const std::string& script) {
    kube::ExecConfig config;
    config.command =
        dir_.write("plugin", "#!/bin/sh\necho run >> " + dir_.path("runs") + "\n" + script, 0755);
    config.api_version = v1;
    return config;
  }
  std::size_t runs() {
    auto text = base::read_file(dir_.path("runs"));
    return text ? text->size() / 4 : 0;
  }

  test_support::TempDir dir_;
};

TEST_F(Exec, TokenIsRememberedUntilItExpires) {
  auto config = plugin(
      "echo '" + answer(R"("token":"tok","expirationTimestamp":"2099-01-01T00:00:00Z")") + "'");
  for (int i = 0; i < 2; ++i) {
    auto got = kube::exec_credential(config, soon());
    ASSERT_TRUE(got.ok()) << got.error().message;
    EXPECT_EQ(got->token, "tok");
  }
  EXPECT_EQ(runs(), 1U);
  config.args = {"other"};
  EXPECT_TRUE(kube::exec_credential(config, soon()).ok());
  EXPECT_EQ(runs(), 2U);
}

TEST_F(Exec, ExpiredTokenIsAskedForAgain) {
  auto config =
      plugin("echo '" +
             answer(R"("token":"tok","expirationTimestamp":"2001-01-01T00:00:00+01:00")") + "'");
  EXPECT_TRUE(kube::exec_credential(config, soon()).ok());
  EXPECT_TRUE(kube::exec_credential(config, soon()).ok());
  EXPECT_EQ(runs(), 2U);
}

TEST_F(Exec, GetsArgumentsAndEnvironment) {
  auto config =
      plugin(R"(case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 3;; esac
cat > /dev/null
printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s-%s-%s"}}' "$1" "$2" "$EXTRA")");
  config.args = {"a", "b"};
  config.env = {{"EXTRA", "c"}};
  auto got = kube::exec_credential(config, soon());
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->token, "a-b-c");
}

TEST_F(Exec, FailureTellsStatusAndComplaint) {
  auto got = kube::exec_credential(plugin("echo 'please log in' >&2; exit 7"), soon());
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Errc::unavailable);
  EXPECT_THAT(got.error().message,
              AllOf(HasSubstr("/plugin"), HasSubstr("exit status 7"), HasSubstr("please log in")));
}

TEST_F(Exec, MissingCommandShowsTheHint) {
  kube::ExecConfig config;
  config.command = dir_.path("gone");
  config.api_version = v1;
  config.install_hint = "install it";
  auto got = kube::exec_credential(config, soon());
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(got.error().message, AllOf(HasSubstr("No such file"), HasSubstr("install it")));
}

TEST_F(Exec, DeadlineKillsThePlugin) {
  auto begin = std::chrono::steady_clock::now();
  auto got = kube::exec_credential(plugin("sleep 60"),
                                   base::Deadline::after(std::chrono::milliseconds(300)));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Errc::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(Exec, OutputIsBounded) {
  auto got = kube::exec_credential(
      plugin("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"), soon());
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Errc::invalid_input);
  EXPECT_THAT(got.error().message, HasSubstr("more than"));
  auto noisy = kube::exec_credential(
      plugin("head -c 3000000 /dev/zero >&2; echo '" + answer(R"("token":"t")") + "'"), soon());
  EXPECT_TRUE(noisy.ok()) << noisy.error().message;
}

TEST(ExecAnswer, Mistakes) {
  auto message = [](const std::string& text) {
    auto got = kube::parse_exec_credential(text, v1);
    return got ? std::string("no error") : got.error().message;
  };
  EXPECT_THAT(message(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(message("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("{}"), HasSubstr("not an ExecCredential"));
  EXPECT_THAT(message(R"({"kind":"ExecCredential","apiVersion":"x/v9"})"), HasSubstr("x/v9"));
  EXPECT_THAT(message(answer("")), HasSubstr("neither a token"));
  EXPECT_THAT(message(answer(R"("token":1)")), HasSubstr("status.token is not a string"));
  EXPECT_THAT(message(answer(R"("clientCertificateData":"x")")), HasSubstr("only one of"));
  EXPECT_THAT(message(answer(R"("token":"t","expirationTimestamp":"soon")")),
              HasSubstr("RFC 3339"));
  EXPECT_EQ(message(answer(R"("token":"t","expirationTimestamp":"2030-01-01T00:00:00.5+02:00")")),
            "no error");
}

TEST_F(Exec, LoadKubeconfigRunsIt) {
  plugin("echo '" + answer(R"("token":"tok","clientCertificateData":"C","clientKeyData":"K")") +
         "'");
  auto file =
      dir_.write("kubeconfig",
                 "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
                 "clusters: [{name: k, cluster: {server: 'https://x'}}]\n"
                 "users: [{name: u, user: {exec: {command: ./plugin, apiVersion: "
                 "client.authentication.k8s.io/v1}}}]\n");
  auto loaded = kube::load_kubeconfig(file, soon());
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->token, "tok");
  EXPECT_EQ(loaded->cert_pem, "C");
  EXPECT_EQ(loaded->key_pem, "K");
}

}  // namespace
