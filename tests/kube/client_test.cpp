#include "kube/client.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "kube/kubeconfig.hpp"
#include "kube/pod_source.hpp"
#include "support/apiserver.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::Errc;
using test_support::ApiServer;
using test_support::ApiServerOptions;
using test_support::Fault;
using test_support::soon;
using testing::AllOf;
using testing::HasSubstr;

base::Deadline shortly() { return base::Deadline::after(std::chrono::milliseconds(300)); }

kube::ClientConfig config_of(const ApiServer& server, const std::string& host = "127.0.0.1") {
  kube::ClientConfig config;
  config.source = "test";
  config.server = server.url();
  config.host = host;
  config.port = server.port();
  config.ca_pem = server.ca_pem();
  return config;
}

kube::Client make(const kube::ClientConfig& config) {
  auto client = kube::Client::make(config);
  if (!client) throw std::runtime_error(client.error().message);
  return std::move(*client);
}

/// The error of one request, which must fail.
base::Error failure(const kube::ClientConfig& config, base::Deadline deadline = soon()) {
  auto client = make(config);
  auto response = client.get("/version", deadline);
  if (response) {
    ADD_FAILURE() << "status " << response->status;
    return {};
  }
  EXPECT_THAT(response.error().message, HasSubstr(config.server));
  return response.error();
}

int status_of(const kube::ClientConfig& config) {
  auto client = make(config);
  auto response = client.get("/version", soon());
  EXPECT_TRUE(response.ok()) << response.error().message;
  return response ? response->status : 0;
}

TEST(Client, ReusesItsConnection) {
  ApiServer server;
  auto client = make(config_of(server));
  for (int i = 0; i < 3; ++i) {
    auto response = client.get("/version", soon());
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_THAT(response->body, HasSubstr("major"));
  }
  EXPECT_EQ(server.connections(), 1U);
  EXPECT_EQ(server.requests(), 3U);
}

TEST(Client, ConnectsAgainWhenTheIdleConnectionWasClosed) {
  ApiServer server;
  server.inject({.kind = Fault::Kind::close_after});
  auto client = make(config_of(server));
  ASSERT_TRUE(client.get("/version", soon()).ok());
  auto again = client.get("/version", soon());
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(server.connections(), 2U);
}

TEST(Client, HostNames) {
  ApiServer server;
  EXPECT_EQ(status_of(config_of(server, "localhost")), 200);
  auto unknown = config_of(server, "no-such-host.invalid");
  EXPECT_EQ(failure(unknown).code, Errc::unavailable);
}

TEST(Client, Ipv6) {
  std::optional<ApiServer> server;
  try {
    server.emplace(ApiServerOptions{.ipv6 = true});
  } catch (const std::exception&) {
    GTEST_SKIP() << "no IPv6 loopback here";
  }
  EXPECT_EQ(status_of(config_of(*server, "::1")), 200);
}

TEST(Client, PlainHttp) {
  ApiServer server({.tls = false});
  auto config = config_of(server);
  config.tls = false;
  EXPECT_EQ(status_of(config), 200);
}

TEST(Client, CertificateOfAnotherAuthority) {
  ApiServer server;
  test_support::Authority other("other");
  auto config = config_of(server);
  config.ca_pem = other.cert_pem();
  auto error = failure(config);
  EXPECT_EQ(error.code, Errc::refused);
  EXPECT_THAT(error.message, HasSubstr("self-signed certificate in certificate chain"));
  config.ca_pem.clear();
  EXPECT_EQ(failure(config).code, Errc::refused);
  config.insecure = true;
  EXPECT_EQ(status_of(config), 200);
}

TEST(Client, CertificateForAnotherHost) {
  ApiServer server({.certificate = ApiServerOptions::Certificate::wrong_host});
  auto config = config_of(server);
  auto error = failure(config);
  EXPECT_EQ(error.code, Errc::refused);
  EXPECT_THAT(error.message, HasSubstr("IP address mismatch"));
  config.host = "localhost";
  EXPECT_THAT(failure(config).message, HasSubstr("hostname mismatch"));
  config.tls_server_name = "elsewhere.example";
  EXPECT_EQ(status_of(config), 200);
}

TEST(Client, ExpiredCertificate) {
  ApiServer server({.certificate = ApiServerOptions::Certificate::expired});
  auto error = failure(config_of(server));
  EXPECT_EQ(error.code, Errc::refused);
  EXPECT_THAT(error.message, HasSubstr("certificate has expired"));
}

TEST(Client, ClientCertificate) {
  ApiServer server({.require_client_cert = true});
  auto config = config_of(server);
  EXPECT_EQ(failure(config).code, Errc::unauthorized);
  config.cert_pem = server.client().cert_pem;
  config.key_pem = server.client().key_pem;
  EXPECT_EQ(status_of(config), 200);
  auto foreign = test_support::Authority("other").client("someone");
  config.cert_pem = foreign.cert_pem;
  config.key_pem = foreign.key_pem;
  EXPECT_EQ(failure(config).code, Errc::unauthorized);
}

TEST(Client, Token) {
  ApiServer server({.token = "secret"});
  auto config = config_of(server);
  EXPECT_EQ(status_of(config), 401);
  config.token = "secret";
  EXPECT_EQ(status_of(config), 200);
}

TEST(Client, BadMaterialIsNamed) {
  ApiServer server;
  auto message = [](const kube::ClientConfig& config) {
    auto client = kube::Client::make(config);
    return client ? std::string("no error") : client.error().message;
  };
  auto config = config_of(server);
  config.ca_pem = "nonsense";
  EXPECT_THAT(message(config), AllOf(HasSubstr("test"), HasSubstr("certificate-authority")));
  config = config_of(server);
  config.ca_pem += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(message(config), HasSubstr("certificate-authority"));
  config = config_of(server);
  config.cert_pem = server.client().cert_pem;
  EXPECT_THAT(message(config), HasSubstr("client-key"));
  config.key_pem = test_support::Authority("o").client("x").key_pem;
  EXPECT_THAT(message(config), HasSubstr("client-key: does not fit"));
  config.cert_pem = "x";
  EXPECT_THAT(message(config), HasSubstr("client-certificate"));
  config = config_of(server);
  config.token = "a\r\nb";
  EXPECT_THAT(message(config), HasSubstr("control characters"));
  auto client = make(config_of(server));
  EXPECT_EQ(client.get("/a b", soon()).error().code, Errc::invalid_input);
  EXPECT_EQ(client.get("", soon()).error().code, Errc::invalid_input);
}

/// Listens and never answers: the kernel accepts, nobody speaks.
struct Mute {
  explicit Mute(bool listening = true) {
    fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (listening) ::listen(fd.get(), 8);
    socklen_t size = sizeof address;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    config.server = "https://mute";
    config.host = "127.0.0.1";
    config.port = ntohs(address.sin_port);
    config.insecure = true;
  }
  base::UniqueFd fd;
  kube::ClientConfig config;
};

TEST(Client, HandshakeIsBoundedByTheDeadline) {
  Mute mute;
  auto error = failure(mute.config, shortly());
  EXPECT_EQ(error.code, Errc::timeout);
  EXPECT_THAT(error.message, HasSubstr("TLS handshake"));
}

TEST(Client, RefusedConnectionNamesThePort) {
  Mute mute(false);
  auto error = failure(mute.config);
  EXPECT_EQ(error.code, Errc::unavailable);
  EXPECT_THAT(error.message,
              HasSubstr(base::cat("127.0.0.1 port ", mute.config.port, ": Connection refused")));
}

TEST(Client, PeerWithoutTls) {
  ApiServer server({.tls = false});
  auto config = config_of(server);
  auto error = failure(config);
  EXPECT_THAT(error.message, HasSubstr("TLS handshake"));
}

TEST(Client, Faults) {
  ApiServer server;
  auto config = config_of(server);
  auto with = [&](Fault::Kind kind, base::Deadline deadline) {
    server.inject({.kind = kind});
    return failure(config, deadline);
  };
  EXPECT_EQ(with(Fault::Kind::drop, soon()).code, Errc::unavailable);
  auto cut = with(Fault::Kind::cut, soon());
  EXPECT_EQ(cut.code, Errc::unavailable);
  EXPECT_THAT(cut.message, HasSubstr("closed the connection"));
  EXPECT_EQ(with(Fault::Kind::hang, shortly()).code, Errc::timeout);
  auto body = with(Fault::Kind::huge_body, soon());
  EXPECT_EQ(body.code, Errc::invalid_input);
  EXPECT_THAT(body.message, HasSubstr("larger than 16777216 bytes"));
  auto header = with(Fault::Kind::huge_header, soon());
  EXPECT_EQ(header.code, Errc::invalid_input);
  EXPECT_THAT(header.message, HasSubstr("header"));
  auto garbage = with(Fault::Kind::garbage, soon());
  EXPECT_EQ(garbage.code, Errc::invalid_input);
  EXPECT_THAT(garbage.message, HasSubstr("not HTTP"));
  server.inject({.kind = Fault::Kind::delay, .delay = std::chrono::milliseconds(50)});
  EXPECT_EQ(status_of(config), 200);
  server.inject({.kind = Fault::Kind::status, .status = 503});
  EXPECT_EQ(status_of(config), 503);
}

TEST(Client, RecoversAfterATimeout) {
  ApiServer server;
  server.inject({.kind = Fault::Kind::hang});
  auto client = make(config_of(server));
  EXPECT_EQ(client.get("/version", shortly()).error().code, Errc::timeout);
  EXPECT_TRUE(client.get("/version", soon()).ok());
}

TEST(Client, ThroughAKubeconfig) {
  test_support::TempDir dir;
  ApiServer server({.token = "secret", .require_client_cert = true});
  server.add_pod(R"({"metadata":{"name":"web","namespace":"shop","uid":"u"}})");
  server.write_kubeconfig(dir.path("kubeconfig"));
  auto config = kube::load_kubeconfig(dir.path("kubeconfig"), soon());
  ASSERT_TRUE(config.ok()) << config.error().message;
  auto client = make(*config);
  auto pod = kube::get_pod(client, "shop", "web", soon());
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(pod->uid, "u");
}

}  // namespace
