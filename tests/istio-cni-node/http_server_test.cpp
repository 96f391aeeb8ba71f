#include "istio-cni-node/http_server.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>

#include "istio-cni-node/http_client.hpp"
#include "istio-cni-node/listener.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using istio_cni_node::HttpLimits;
using istio_cni_node::HttpRequest;
using istio_cni_node::HttpResponse;
using istio_cni_node::HttpServer;
using test_support::RawClient;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
}

class HttpServerTest : public testing::Test {
 protected:
  ~HttpServerTest() override { finish(); }

  void listen(HttpLimits limits = {}, const std::string& host = "127.0.0.1") {
    auto server = HttpServer::listen_tcp(io_, host, 0, limits, handler());
    ASSERT_TRUE(server) << server.error().message;
    server_.emplace(*std::move(server));
    run();
  }
  void listen_unix(const std::string& path, HttpLimits limits = {}) {
    auto server = HttpServer::listen_unix(io_, path, 0666, limits, handler());
    ASSERT_TRUE(server) << server.error().message;
    server_.emplace(*std::move(server));
    run();
  }
  HttpServer::Handler handler() {
    return [this](const HttpRequest& request) {
      ++handled_;
      if (request.path == "/throw") throw std::runtime_error("secret");
      if (request.path == "/large")
        return HttpResponse{200, "text/plain", std::string(4 << 20, 'x')};
      return HttpResponse{request.path == "/503" ? 503 : 200, "text/plain",
                          request.method + " " + request.path + " " + request.body};
    };
  }
  void run() {
    thread_ = std::thread([this] { io_.run(); });
  }
  /// On the server's thread, as the agent does it.
  void on_server(const std::function<void()>& what) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      what();
      done.set_value();
    });
    done.get_future().wait();
  }
  void finish() {
    if (!thread_.joinable()) return;
    on_server([this] { server_.reset(); });
    work_.reset();
    thread_.join();  // ends by itself: nothing is left behind
  }
  [[nodiscard]] RawClient client() const { return RawClient::tcp(server_->port()); }

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::optional<HttpServer> server_;
  std::thread thread_;
  std::atomic<int> handled_{0};
};

TEST_F(HttpServerTest, KeepsAliveAndAnswersInOrder) {
  listen();
  auto one = client();
  one.send(get("/a") + get("/503"));
  const auto first = one.read_answer();
  EXPECT_THAT(first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(first, HasSubstr("Content-Type: text/plain\r\nContent-Length: 7\r\n"));
  EXPECT_THAT(first, EndsWith("\r\n\r\nGET /a "));
  EXPECT_THAT(first, Not(HasSubstr("Server:")));
  EXPECT_THAT(one.read_answer(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  one.send(get("/c", "Connection: close\r\n"));
  EXPECT_THAT(one.read_all(), EndsWith("GET /c "));
}

TEST_F(HttpServerTest, HeadHasTheLengthAndNoBody) {
  listen();
  auto one = client();
  one.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + get("/b"));
  EXPECT_THAT(one.read_answer(true), HasSubstr("Content-Length: 7\r\n"));
  EXPECT_THAT(one.read_answer(), StartsWith("HTTP/1.1 200 OK\r\n")) << "no body in between";
}

TEST_F(HttpServerTest, Http10) {
  listen();
  auto one = client();
  one.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_THAT(one.read_all(), HasSubstr("Connection: close\r\n"));
  auto other = client();
  other.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(other.read_answer(), HasSubstr("Connection: keep-alive\r\n"));
  other.send("GET /b HTTP/1.0\r\n\r\n");
  EXPECT_THAT(other.read_all(), EndsWith("GET /b "));
}

TEST_F(HttpServerTest, RefusesAndClosesWithoutAskingTheHandler) {
  listen();
  auto brew = client();
  brew.send("BREW / HTTP/1.1\r\nHost: x\r\n\r\n" + get("/a"));
  const auto answer = brew.read_all();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("GET /a")));
  auto garbage = client();
  garbage.send("\x16\x03\x01 nonsense\r\n\r\n");
  EXPECT_THAT(garbage.read_all(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, AClientThatStillSendsGetsItsRefusal) {
  HttpLimits limits;
  limits.body = 10;
  listen(limits);
  auto one = client();
  ASSERT_TRUE(one.send("POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" +
                       std::string(200000, 'x')));
  std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(one.send(std::string(100000, 'x'))) << "no reset while the rest is on its way";
  one.end_sending();
  EXPECT_THAT(one.read_all(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, BodiesAndExpectations) {
  HttpLimits limits;
  limits.body = 10;
  listen(limits);
  auto one = client();
  one.send("POST /log HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(one.read_answer(), "HTTP/1.1 100 Continue\r\n\r\n");
  one.send("abc");
  EXPECT_THAT(one.read_answer(), EndsWith("POST /log abc"));
  one.send(
      "POST /log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
  EXPECT_THAT(one.read_answer(), EndsWith("POST /log ab"));
}

TEST_F(HttpServerTest, AHandlerThatThrowsGives500AndNoSecret) {
  listen();
  auto one = client();
  one.send(get("/throw") + get("/a"));
  const auto answer = one.read_answer();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("secret")));
  EXPECT_THAT(one.read_answer(), EndsWith("GET /a "));
}

TEST_F(HttpServerTest, ASlowRequestIsCutOffEvenWhenItAlwaysGoesOn) {
  HttpLimits limits;
  limits.request = 300ms;
  listen(limits);
  auto drip = client();
  const auto start = std::chrono::steady_clock::now();
  drip.send("GET / HTTP/1.1\r\nHost: x\r\n");
  for (int i = 0; i < 100 && drip.send("A: b\r\n"); ++i) std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(drip.closed());
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, 250ms);
  EXPECT_LT(took, test_support::slowness * 1500ms);
  auto mute = client();
  EXPECT_TRUE(mute.closed(2s)) << "a new client has the request's time to begin";
}

TEST_F(HttpServerTest, AClientThatDoesNotReadIsCutOff) {
  HttpLimits limits;
  limits.request = 300ms;
  limits.connections = 1;
  listen(limits);
  auto stuck = client();
  stuck.send(get("/large"));
  std::this_thread::sleep_for(700ms);
  auto other = client();
  other.send(get("/a"));
  EXPECT_THAT(other.read_answer(), EndsWith("GET /a "));
}

TEST_F(HttpServerTest, IdleConnectionsEnd) {
  HttpLimits limits;
  limits.request = 300ms;
  limits.idle = 800ms;
  listen(limits);
  auto one = client();
  one.send(get("/a"));
  ASSERT_THAT(one.read_answer(), EndsWith("GET /a "));
  EXPECT_FALSE(one.closed(500ms)) << "idle longer than a request may take";
  EXPECT_TRUE(one.closed(2s));
}

TEST_F(HttpServerTest, OneTooManyTakesTheOldestIdlePlace) {
  HttpLimits limits;
  limits.connections = 3;
  listen(limits);
  auto busy = client();
  busy.send("GET /busy HTTP/1.1\r\n");  // older, but not idle
  std::this_thread::sleep_for(20ms);
  auto oldest = client();
  oldest.send(get("/1"));
  ASSERT_THAT(oldest.read_answer(), EndsWith("GET /1 "));
  auto second = client();
  second.send(get("/2"));
  ASSERT_THAT(second.read_answer(), EndsWith("GET /2 "));
  auto third = client();
  third.send(get("/3"));
  ASSERT_THAT(third.read_answer(), EndsWith("GET /3 "));
  EXPECT_TRUE(oldest.closed(2s));
  second.send(get("/2"));
  EXPECT_THAT(second.read_answer(), EndsWith("GET /2 "));
  busy.send("Host: x\r\n\r\n");
  EXPECT_THAT(busy.read_answer(), EndsWith("GET /busy "));
}

TEST_F(HttpServerTest, WithoutAnIdleOneTheNewOneIsClosed) {
  HttpLimits limits;
  limits.connections = 2;
  listen(limits);
  auto one = client();
  auto two = client();
  one.send("GET /1 HTTP/1.1\r\n");
  two.send("GET /2 HTTP/1.1\r\n");
  std::this_thread::sleep_for(50ms);
  auto three = client();
  EXPECT_TRUE(three.closed(2s));
  one.send("Host: x\r\n\r\n");
  EXPECT_THAT(one.read_answer(), EndsWith("GET /1 "));
}

TEST_F(HttpServerTest, ManyAtOnceAreAllAnswered) {
  listen();
  std::vector<RawClient> clients;
  for (int i = 0; i < 110; ++i) {
    clients.push_back(client());
    clients.back().send(get("/a", "Connection: close\r\n"));
  }
  int answered = 0;
  for (auto& one : clients) answered += one.read_all().ends_with("GET /a ") ? 1 : 0;
  EXPECT_EQ(answered, 110);
}

TEST_F(HttpServerTest, OutOfDescriptorsIsAPauseNotAnEnd) {
  listen();
  auto waiting = RawClient::tcp(1);  // a socket made while there still are some
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<base::UniqueFd> fillers;
  auto one = client();
  one.send(get("/a"));
  ASSERT_THAT(one.read_answer(), EndsWith("GET /a "));
  base::UniqueFd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto tight = before;
  tight.rlim_cur = 3;  // whatever is open stays open
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(server_->port());
  const bool connected =
      ::connect(late.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  const auto request = get("/late", "Connection: close\r\n");
  (void)!::write(late.get(), request.data(), request.size());
  std::this_thread::sleep_for(150ms);
  one.send(get("/b"));
  const auto meanwhile = one.read_answer();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(connected);
  EXPECT_THAT(meanwhile, EndsWith("GET /b ")) << "who is connected is served";
  std::string answer(4096, '\0');
  answer.resize(static_cast<std::size_t>(
      std::max<ssize_t>(0, ::recv(late.get(), answer.data(), answer.size(), 0))));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(HttpServerTest, ClosesEverythingAtOnceAndCallsNobodyAfterwards) {
  listen();
  auto idle = client();
  idle.send(get("/a"));
  ASSERT_THAT(idle.read_answer(), EndsWith("GET /a "));
  auto half = client();
  half.send("GET /b HTTP/1.1\r\n");
  std::this_thread::sleep_for(20ms);
  const auto port = server_->port();
  on_server([&] {
    half.send("Host: x\r\n\r\n");  // whole before the server ends, read only after
    server_.reset();
  });
  EXPECT_TRUE(idle.closed(2s));
  (void)half.read_all(2s);
  EXPECT_EQ(handled_, 1);
  EXPECT_FALSE(RawClient::tcp(port).connected());
  on_server([&] {
    EXPECT_TRUE(HttpServer::listen_tcp(io_, "127.0.0.1", port, {}, handler()))
        << "connections that linger do not keep the port";
  });
}

TEST_F(HttpServerTest, MayEndInItsOwnHandler) {
  auto server = HttpServer::listen_tcp(io_, "127.0.0.1", 0, {}, [this](const HttpRequest&) {
    server_.reset();
    return HttpResponse{};
  });
  ASSERT_TRUE(server);
  server_.emplace(*std::move(server));
  auto one = client();
  run();
  one.send(get("/a"));
  EXPECT_EQ(one.read_all(2s), "");
}

TEST_F(HttpServerTest, AssigningClosesTheOldOne) {
  listen();
  const auto old = server_->port();
  on_server([&] {
    auto next = HttpServer::listen_tcp(io_, "127.0.0.1", 0, {}, handler());
    ASSERT_TRUE(next);
    *server_ = *std::move(next);
  });
  EXPECT_FALSE(RawClient::tcp(old).connected());
  auto one = client();
  one.send(get("/a"));
  EXPECT_THAT(one.read_answer(), EndsWith("GET /a "));
}

TEST_F(HttpServerTest, TheContextMayGoFirst) {
  std::optional<HttpServer> server;
  std::optional<RawClient> one;
  {
    boost::asio::io_context io;
    auto made = HttpServer::listen_tcp(io, "127.0.0.1", 0, {}, handler());
    ASSERT_TRUE(made);
    auto inner = *std::move(made);
    one.emplace(RawClient::tcp(inner.port()));
    one->send("GET /");
    io.run_for(50ms);  // a connection is half-way when all of it ends
  }
  EXPECT_TRUE(one->closed(2s));
}

TEST_F(HttpServerTest, EveryAddressOfBothFamilies) {
  listen({}, "");
  auto v4 = client();
  v4.send(get("/4"));
  EXPECT_THAT(v4.read_answer(), EndsWith("GET /4 "));
  auto v6 = RawClient::tcp6(server_->port());
  if (!v6.connected()) GTEST_SKIP() << "no IPv6 loopback here";
  v6.send(get("/6"));
  EXPECT_THAT(v6.read_answer(), EndsWith("GET /6 "));
}

TEST_F(HttpServerTest, OneAddressIsOneAddress) {
  listen({}, "127.0.0.1");
  EXPECT_FALSE(RawClient::tcp6(server_->port()).connected());
  on_server([&] {
    auto name = HttpServer::listen_tcp(io_, "localhost", 0, {}, handler());
    EXPECT_TRUE(name) << name.error().message;
  });
}

TEST_F(HttpServerTest, ErrorsNameTheAddressAndTheWayOut) {
  listen();
  const auto port = server_->port();
  auto taken = HttpServer::listen_tcp(io_, "127.0.0.1", port, {}, handler());
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(taken.error().message, HasSubstr("configure another port"));
  EXPECT_EQ(taken.error().sys, EADDRINUSE);
  auto every = HttpServer::listen_tcp(io_, "", port, {}, handler());
  ASSERT_FALSE(every);
  EXPECT_THAT(every.error().message, HasSubstr("port " + std::to_string(port)));
  auto foreign = HttpServer::listen_tcp(io_, "192.0.2.1", 0, {}, handler());
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("192.0.2.1"));
  EXPECT_THAT(foreign.error().message, HasSubstr("this node does not have the address"));
  auto v6 = HttpServer::listen_tcp(io_, "2001:db8::1", 99, {}, handler());
  ASSERT_FALSE(v6);
  EXPECT_THAT(v6.error().message, HasSubstr("[2001:db8::1]:99"));
  auto nonsense = HttpServer::listen_tcp(io_, "no such host", 1, {}, handler());
  ASSERT_FALSE(nonsense);
  EXPECT_THAT(nonsense.error().message, HasSubstr("no such host"));
}

class UnixServerTest : public HttpServerTest {
 protected:
  test_support::TempDir dir_;
  std::string path_ = dir_.path("log.sock");
};

TEST_F(UnixServerTest, ServesWithTheModeWhateverTheUmask) {
  const auto mask = ::umask(0077);
  listen_unix(path_);
  ::umask(mask);
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0666U);
  EXPECT_EQ(server_->port(), 0);
  auto one = RawClient::unix_stream(path_);
  one.send(get("/a"));
  EXPECT_THAT(one.read_answer(), EndsWith("GET /a "));
  finish();
  EXPECT_NE(::lstat(path_.c_str(), &status), 0) << "the file goes with the server";
}

TEST_F(UnixServerTest, ReplacesAStaleFileAndItsOwnLeftover) {
  for (const auto* name : {"log.sock", "log.sock~"}) {
    auto left = istio_cni_node::UnixListener::make(dir_.path(name), 0600, SOCK_STREAM, 16);
    ASSERT_TRUE(left) << left.error().message;
  }
  ASSERT_EQ(::access(path_.c_str(), F_OK), 0) << "a crash leaves the file";
  listen_unix(path_);
  auto one = RawClient::unix_stream(path_);
  one.send(get("/a"));
  EXPECT_THAT(one.read_answer(), EndsWith("GET /a "));
  EXPECT_NE(::access(dir_.path("log.sock~").c_str(), F_OK), 0);
}

TEST_F(UnixServerTest, ALiveSocketIsAnErrorAndGoesOn) {
  listen_unix(path_);
  auto second = HttpServer::listen_unix(io_, path_, 0666, {}, handler());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::Errc::refused);
  EXPECT_THAT(second.error().message, HasSubstr(path_));
  auto one = RawClient::unix_stream(path_);
  one.send(get("/a"));
  EXPECT_THAT(one.read_answer(), EndsWith("GET /a "));
}

TEST_F(UnixServerTest, WhatIsNoSocketIsLeftAlone) {
  dir_.write("log.sock", "precious");
  auto server = HttpServer::listen_unix(io_, path_, 0666, {}, handler());
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message, HasSubstr("no socket"));
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
  auto nowhere = HttpServer::listen_unix(io_, dir_.path("none/log.sock"), 0666, {}, handler());
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message, HasSubstr("none/log.sock"));
  auto longer = HttpServer::listen_unix(io_, "/" + std::string(120, 'x'), 0666, {}, handler());
  ASSERT_FALSE(longer);
  EXPECT_THAT(longer.error().message, HasSubstr("shorter"));
}

TEST_F(UnixServerTest, ASuccessorsFileStays) {
  listen_unix(path_);
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  auto successor = istio_cni_node::UnixListener::make(path_, 0600, SOCK_STREAM, 16);
  ASSERT_TRUE(successor);
  finish();
  EXPECT_EQ(::access(path_.c_str(), F_OK), 0);
}

TEST_F(UnixServerTest, ClientsHaveCloseOnExec) {
  listen_unix(path_);
  auto one = RawClient::unix_stream(path_);
  one.send(get("/a"));
  ASSERT_THAT(one.read_answer(), EndsWith("GET /a "));
  int sockets = 0;
  on_server([&] {
    for (int fd = 3; fd < 64; ++fd) {
      struct stat status {};
      if (::fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) continue;
      ++sockets;
      EXPECT_TRUE((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) << fd;
    }
  });
  EXPECT_GE(sockets, 3);
}

}  // namespace
