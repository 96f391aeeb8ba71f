#include "kube/api.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <random>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "kube/async_support.hpp"
#include "support/patience.hpp"

namespace {

using base::cat;
using base::Errc;
using kube::ApiClient;
using kube::ApiRequest;
using std::chrono::milliseconds;
using test_support::ApiServer;
using test_support::ApiServerOptions;
using test_support::config_of;
using test_support::FakeProvider;
using test_support::Fault;
using test_support::run_until;
using testing::ElementsAre;
using testing::HasSubstr;
using Method = ApiRequest::Method;
using Answer = base::Result<kube::Response>;
using test_support::soon;

class Api : public testing::Test {
 protected:
  void begin(const kube::ClientConfig& config) {
    provider_.emplace(io_, config);
    client_.emplace(io_, *provider_);
  }
  Answer ask(ApiRequest request, base::Deadline deadline = soon()) {
    std::optional<Answer> answer;
    client_->request(std::move(request), deadline, [&](Answer got) { answer = std::move(got); });
    EXPECT_FALSE(answer.has_value()) << "called back at once";
    if (!run_until(
            io_, [&] { return answer.has_value(); }, std::chrono::seconds(30)))
      return base::Error{Errc::io, "the test waited in vain"};
    return *std::move(answer);
  }
  Answer get(const std::string& target = "/version", base::Deadline deadline = soon()) {
    return ask({Method::get, target, {}, {}}, deadline);
  }
  int status(const std::string& target = "/version") {
    auto answer = get(target);
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer ? answer->status : 0;
  }
  /// The error of one request, which must fail.
  base::Error failure(const kube::ClientConfig& config,
                      milliseconds span = std::chrono::seconds(20)) {
    begin(config);
    auto answer = get("/version", base::Deadline::after(span));
    if (answer) {
      ADD_FAILURE() << "status " << answer->status;
      return {};
    }
    EXPECT_THAT(answer.error().message, HasSubstr(config.server));
    return answer.error();
  }

  boost::asio::io_context io_;
  std::optional<FakeProvider> provider_;
  std::optional<ApiClient> client_;
};

constexpr char web[] = R"({"metadata":{"name":"web","namespace":"shop","uid":"u-1"}})";

TEST_F(Api, KeepsItsConnection) {
  ApiServer server;
  begin(config_of(server));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status(), 200);
  EXPECT_EQ(status("/api/v1/namespaces/shop/pods/none"), 404);
  EXPECT_EQ(server.connections(), 1U);
  EXPECT_EQ(server.requests(), 4U);
  EXPECT_EQ(client_->requests(), 4U);
}

TEST_F(Api, MethodsAndBodies) {
  ApiServer server;
  server.add_pod(web);
  begin(config_of(server));
  const std::string pod = "/api/v1/namespaces/shop/pods/web";
  auto patched = ask(
      {Method::patch, pod, "application/merge-patch+json", R"({"metadata":{"labels":{"a":"b"}}})"});
  ASSERT_TRUE(patched.ok());
  EXPECT_EQ(patched->status, 200);
  EXPECT_THAT(patched->body, HasSubstr(R"("labels":{"a":"b"})"));
  EXPECT_EQ(ask({Method::patch, pod, "application/json", "{}"})->status, 415);
  EXPECT_EQ(ask({Method::post, "/api/v1/namespaces/shop/events", "application/json",
                 R"({"reason":"Test"})"})
                ->status,
            201);
  EXPECT_THAT(server.events(), ElementsAre(R"({"reason":"Test"})"));

  server.set_eviction_status(429);
  EXPECT_EQ(ask({Method::post, pod + "/eviction", "application/json", "{}"})->status, 429);
  auto options = [](const std::string& key, const std::string& value) {
    return cat(R"({"preconditions":{")", key, "\":\"", value, "\"}}");
  };
  auto erase = [&](const std::string& body) {
    return ask({Method::del, pod, "application/json", body})->status;
  };
  EXPECT_EQ(erase(options("uid", "another")), 409);
  EXPECT_EQ(erase(options("resourceVersion", "1")), 409);
  EXPECT_EQ(status(pod), 200);
  EXPECT_EQ(erase(options("uid", "u-1")), 200);
  EXPECT_EQ(status(pod), 404);
  EXPECT_EQ(ask({Method::del, pod, {}, {}})->status, 404);

  server.add_pod(web);
  server.set_eviction_status(201);
  EXPECT_EQ(ask({Method::post, pod + "/eviction", "application/json", "{}"})->status, 201);
  EXPECT_EQ(status(pod), 404);
  EXPECT_EQ(server.connections(), 1U);
  EXPECT_THAT(server.request_log().front(), "PATCH " + pod);
}

TEST_F(Api, AtMostFourConnectionsAndTheRestInOrder) {
  ApiServer server;
  begin(config_of(server));
  server.inject({.kind = Fault::Kind::delay, .delay = milliseconds(50)}, 4);
  std::vector<int> order;
  for (int i = 0; i < 20; ++i)
    client_->request({Method::get, "/version", {}, {}}, soon(), [&order, i](Answer answer) {
      EXPECT_TRUE(answer.ok());
      order.push_back(i);
    });
  ASSERT_TRUE(run_until(io_, [&] { return order.size() == 20; }));
  EXPECT_EQ(server.connections(), 4U);
  std::vector<std::string> log = server.request_log();
  EXPECT_EQ(log.size(), 20U);
  std::sort(order.begin(), order.end());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_F(Api, TheQueueIsFirstInFirstOut) {
  ApiServer server;
  begin(config_of(server));
  server.inject({.kind = Fault::Kind::hang}, 3);
  for (int i = 0; i < 3; ++i)
    client_->request({Method::get, "/version", {}, {}}, soon(), [](const Answer&) {});
  ASSERT_TRUE(run_until(io_, [&] { return server.requests() == 3; }));
  // One connection is left: the answers come in order.
  std::vector<int> order;
  for (int i = 0; i < 10; ++i)
    client_->request({Method::get, cat("/version?", i), {}, {}}, soon(),
                     [&order, i](const Answer&) { order.push_back(i); });
  ASSERT_TRUE(run_until(io_, [&] { return order.size() == 10; }));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(Api, TheDeadlineCoversTheWait) {
  ApiServer server;
  begin(config_of(server));
  server.inject({.kind = Fault::Kind::hang}, 4);
  int hanging = 0;
  for (int i = 0; i < 4; ++i)
    client_->request({Method::get, "/version", {}, {}}, base::Deadline::after(milliseconds(600)),
                     [&hanging](Answer answer) {
                       ASSERT_FALSE(answer.ok());
                       EXPECT_EQ(answer.error().code, Errc::timeout);
                       ++hanging;
                     });
  auto answer = get("/version", base::Deadline::after(milliseconds(100)));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Errc::timeout);
  EXPECT_EQ(hanging, 0) << "it waited for the others";
  EXPECT_EQ(status(), 200) << "which free their places when their time is up";
  EXPECT_EQ(hanging, 4);
}

TEST_F(Api, ATricklingBodyEndsAtTheDeadline) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(fd.get(), generic, size), 0);
  ASSERT_EQ(::listen(fd.get(), 4), 0);
  ASSERT_EQ(::getsockname(fd.get(), generic, &size), 0);
  kube::ClientConfig config;
  config.server = "test-server";
  config.host = "127.0.0.1";
  config.port = ntohs(address.sin_port);
  config.tls = false;
  begin(config);
  std::optional<Answer> answer;
  client_->request({Method::get, "/", {}, {}}, base::Deadline::after(milliseconds(200)),
                   [&](Answer got) { answer = std::move(got); });
  test_support::run_for(io_, milliseconds(20));
  base::UniqueFd peer(::accept(fd.get(), nullptr, nullptr));
  ASSERT_TRUE(peer.valid());
  std::string_view head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
  ASSERT_GT(::send(peer.get(), head.data(), head.size(), 0), 0);
  auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(run_until(io_, [&] {
    (void)::send(peer.get(), "x", 1, MSG_NOSIGNAL);
    return answer.has_value();
  }));
  ASSERT_FALSE(answer->ok());
  EXPECT_EQ(answer->error().code, Errc::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begun,
            test_support::slowness * std::chrono::seconds(2));
}

TEST_F(Api, AStaleConnectionIsReplaced) {
  ApiServer server;
  for (bool at_once : {true, false}) {
    begin(config_of(server));
    auto before = server.connections();
    server.inject({.kind = Fault::Kind::close_after});
    EXPECT_EQ(status(), 200);
    // The end of the connection may be seen before the next request or not.
    if (!at_once) test_support::run_for(io_, milliseconds(50));
    EXPECT_EQ(status(), 200);
    EXPECT_EQ(server.connections(), before + 2);
  }
  // Dropped after it was received: once more, unless it is a POST.
  begin(config_of(server));
  EXPECT_EQ(status(), 200);
  server.inject({.kind = Fault::Kind::drop});
  EXPECT_EQ(status(), 200);
  server.inject({.kind = Fault::Kind::drop});
  auto post =
      ask({Method::post, "/api/v1/namespaces/shop/events", "application/json", R"({"a":1})"});
  ASSERT_FALSE(post.ok());
  EXPECT_EQ(post.error().code, Errc::unavailable);
  EXPECT_TRUE(server.events().empty());
  // On a new connection it is not tried again.
  auto sent = client_->requests();
  server.inject({.kind = Fault::Kind::drop}, 1);
  EXPECT_FALSE(get().ok());
  EXPECT_EQ(client_->requests(), sent + 1);
}

TEST_F(Api, UnauthorizedIsToldAndTriedOnceMore) {
  ApiServer server({.token = "new"});
  auto config = config_of(server);
  config.token = "old";
  begin(config);
  config.token = "new";
  provider_->next = config;
  EXPECT_EQ(status(), 200);
  EXPECT_THAT(provider_->rejections, ElementsAre(1U));
  EXPECT_EQ(server.requests(), 2U);
  // When the provider has nothing better, 401 is the answer.
  server.set_token("newer");
  EXPECT_EQ(status(), 401);
  EXPECT_EQ(server.requests(), 4U);
  EXPECT_GE(provider_->rejections.size(), 2U);
}

TEST_F(Api, AConnectionOfAnOlderCredentialIsNotUsed) {
  ApiServer server;
  begin(config_of(server));
  EXPECT_EQ(status(), 200);
  provider_->set(config_of(server, "localhost"));
  EXPECT_EQ(status(), 200);
  EXPECT_EQ(status(), 200);
  EXPECT_EQ(server.connections(), 2U);
}

TEST_F(Api, TheProvidersErrorAndItsSilence) {
  ApiServer server;
  begin(config_of(server));
  provider_->error = base::Error{Errc::not_found, "no kubeconfig"};
  auto answer = get();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Errc::not_found);
  EXPECT_THAT(answer.error().message, HasSubstr("no kubeconfig"));
  provider_->hang = true;
  auto late = get("/version", base::Deadline::after(milliseconds(50)));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Errc::timeout);
  // An answer that comes too late, or after the client's end, hurts nobody.
  provider_->held.at(0)(provider_->current);
  bool called = false;
  client_->request({Method::get, "/version", {}, {}}, soon(),
                   [&](const Answer&) { called = true; });
  ASSERT_TRUE(run_until(io_, [&] { return provider_->held.size() == 2; }));
  client_.reset();
  provider_->held.at(1)(provider_->current);
  io_.restart();
  io_.run();
  EXPECT_FALSE(called);
}

TEST_F(Api, HostNamesIpv6AndPlainHttp) {
  ApiServer server;
  begin(config_of(server, "localhost"));
  EXPECT_EQ(status(), 200);
  EXPECT_EQ(failure(config_of(server, "no-such-host.invalid")).code, Errc::unavailable);
  ApiServer plain({.tls = false});
  begin(config_of(plain));
  EXPECT_EQ(status(), 200);
  try {
    ApiServer six({.ipv6 = true});
    begin(config_of(six, "::1"));
    EXPECT_EQ(status(), 200);
  } catch (const std::exception&) {
    // no IPv6 loopback here
  }
}

TEST_F(Api, Certificates) {
  {
    ApiServer server;
    auto config = config_of(server);
    test_support::Authority other("other");
    config.ca_pem = other.cert_pem();
    EXPECT_EQ(failure(config).code, Errc::refused);
    config.ca_pem.clear();
    EXPECT_EQ(failure(config).code, Errc::refused);
    config.insecure = true;
    begin(config);
    EXPECT_EQ(status(), 200);
    config.insecure = false;
    config.ca_pem = "nonsense";
    begin(config);
    auto bad = get();
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.error().code, Errc::invalid_input);
    EXPECT_THAT(bad.error().message, HasSubstr("test: certificate-authority"));
  }
  {
    ApiServer server({.certificate = ApiServerOptions::Certificate::wrong_host});
    auto config = config_of(server);
    auto error = failure(config);
    EXPECT_EQ(error.code, Errc::refused);
    EXPECT_THAT(error.message, HasSubstr("IP address mismatch"));
    config.host = "localhost";
    EXPECT_THAT(failure(config).message, HasSubstr("hostname mismatch"));
    config.tls_server_name = "elsewhere.example";
    begin(config);
    EXPECT_EQ(status(), 200);
  }
  {
    ApiServer server({.certificate = ApiServerOptions::Certificate::expired});
    EXPECT_THAT(failure(config_of(server)).message, HasSubstr("certificate has expired"));
  }
  {
    ApiServer server({.require_client_cert = true});
    auto config = config_of(server);
    EXPECT_EQ(failure(config).code, Errc::unauthorized);
    EXPECT_FALSE(provider_->rejections.empty());
    config.cert_pem = server.client().cert_pem;
    config.key_pem = server.client().key_pem;
    begin(config);
    EXPECT_EQ(status(), 200);
  }
}

TEST_F(Api, Failures) {
  struct Case {
    Fault::Kind kind;
    Errc code;
    std::string_view message;
  };
  for (bool tls : {true, false}) {
    ApiServer server({.tls = tls});
    for (const auto& test :
         std::vector<Case>{{Fault::Kind::drop, Errc::unavailable, "closed the connection"},
                           {Fault::Kind::cut, Errc::unavailable, "closed the connection"},
                           {Fault::Kind::hang, Errc::timeout, "in time"},
                           {Fault::Kind::huge_body, Errc::invalid_input, "larger than 16777216"},
                           {Fault::Kind::huge_header, Errc::invalid_input, "header"},
                           {Fault::Kind::garbage, Errc::invalid_input, "not HTTP"}}) {
      server.inject({.kind = test.kind});
      bool hangs = test.kind == Fault::Kind::hang;
      auto error = failure(config_of(server), milliseconds(hangs ? 100 : 10000));
      EXPECT_EQ(error.code, test.code) << error.message;
      EXPECT_THAT(error.message, HasSubstr(std::string(test.message)));
    }
  }
  ApiServer plain({.tls = false});
  auto confused = config_of(plain);
  confused.tls = true;
  EXPECT_EQ(failure(confused).code, Errc::unavailable) << "it closes, at a loss";
  kube::ClientConfig nobody;
  nobody.server = "http://127.0.0.1:1";
  nobody.host = "127.0.0.1";
  nobody.port = 1;
  nobody.tls = false;
  EXPECT_EQ(failure(nobody).code, Errc::unavailable);
  begin(config_of(plain));
  for (const auto* target : {"", "version", "/a b", "/a\r\nX: y"}) {
    auto answer = get(target);
    ASSERT_FALSE(answer.ok()) << target;
    EXPECT_EQ(answer.error().code, Errc::invalid_input);
  }
  EXPECT_EQ(client_->requests(), 0U);
}

TEST_F(Api, ACallbackMayAskAgainOrEndTheClient) {
  ApiServer server;
  begin(config_of(server));
  int answers = 0;
  std::function<void(Answer)> again = [&](const Answer& answer) {
    EXPECT_TRUE(answer.ok());
    if (++answers < 10) {
      client_->request({Method::get, "/version", {}, {}}, soon(), again);
    } else {
      client_.reset();
    }
  };
  client_->request({Method::get, "/version", {}, {}}, soon(), again);
  client_->request({Method::get, "/version", {}, {}}, soon(), [](const Answer&) {});
  EXPECT_TRUE(run_until(io_, [&] { return !client_.has_value(); }));
  io_.restart();
  io_.run();
  EXPECT_EQ(answers, 10);
}

TEST_F(Api, NoCallbackAfterTheEndWheneverItComes) {
  ApiServer server;
  std::mt19937 random(4711);
  for (int round = 0; round < 100; ++round) {
    bool ended = false;
    boost::asio::io_context io;
    FakeProvider provider(io, config_of(server, round % 3 == 0 ? "localhost" : "127.0.0.1"));
    auto client = std::make_unique<ApiClient>(io, provider);
    for (int i = 0; i < 6; ++i)
      client->request({Method::get, "/version", {}, {}}, soon(),
                      [&ended](const Answer&) { EXPECT_FALSE(ended); });
    io.run_for(std::chrono::microseconds(random() % 6000));
    client.reset();
    ended = true;
    // The loop is either run to its end or thrown away.
    io.restart();
    if (round % 2 == 0) io.run_for(std::chrono::seconds(5));
    EXPECT_TRUE(round % 2 == 1 || io.stopped()) << "something is still waiting";
  }
}

}  // namespace
