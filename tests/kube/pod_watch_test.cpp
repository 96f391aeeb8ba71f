#include "kube/pod_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "kube/async_support.hpp"
#include "support/patience.hpp"

namespace {

using base::cat;
using base::Errc;
using kube::PodWatch;
using kube::WatchState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test_support::ApiServer;
using test_support::ApiServerOptions;
using test_support::config_of;
using test_support::FakeProvider;
using test_support::Fault;
using test_support::run_for;
using test_support::run_until;
using test_support::WatchFault;
using testing::ElementsAre;
using testing::HasSubstr;
using Phase = WatchState::Phase;

std::string pod_json(const std::string& name, const std::string& node = "node-1",
                     const std::string& label = "x", std::size_t filler = 0) {
  return cat(R"({"metadata":{"name":")", name, R"(","namespace":"shop","uid":"u-)", name,
             R"(","labels":{"l":")", label, R"("},"annotations":{"filler":")",
             std::string(filler, 'f'), R"("}},"spec":{"nodeName":")", node, R"("}})");
}

/// Keeps the pods as an agent does, and writes down what it is told.
class Recorder : public kube::PodObserver {
 public:
  void list_begin() override {
    note("begin");
    listed.clear();
    listing = true;
  }
  void upsert(pod::Pod pod) override {
    if (listing) {
      EXPECT_FALSE(listed.contains(pod.name)) << pod.name << " twice in one list";
      listed[pod.name] = pod;
    }
    note("+" + pod.name);
    pods[pod.name] = std::move(pod);
  }
  void list_end() override {
    EXPECT_TRUE(listing);
    listing = false;
    pods = listed;
    ++lists;
    note("end");
  }
  void remove(const std::string& name_space, const std::string& name,
              const std::string& uid) override {
    EXPECT_EQ(name_space, "shop");
    EXPECT_EQ(uid, "u-" + name);
    note("-" + name);
    pods.erase(name);
  }
  void watch_changed(const WatchState& state) override {
    phases.push_back(state.phase);
    if (state.last_error) errors.push_back(*state.last_error);
    if (on_change) on_change();
  }
  void note(const std::string& text) {
    if (calls.size() < 10000) calls.push_back(text);
    if (on_call) on_call(text);
  }

  std::map<std::string, pod::Pod> pods;
  std::map<std::string, pod::Pod> listed;
  bool listing = false;
  int lists = 0;
  std::vector<std::string> calls;
  std::vector<Phase> phases;
  std::vector<base::Error> errors;
  std::function<void()> on_change;
  std::function<void(const std::string&)> on_call;
};

class Watch : public testing::Test {
 protected:
  static kube::WatchOptions fast() {
    kube::WatchOptions options;
    options.node_name = "node-1";
    options.backoff_first = milliseconds(5);
    options.backoff_cap = milliseconds(100);
    options.request = seconds(5);
    options.random = [] { return 0.5; };
    return options;
  }
  void begin(const ApiServer& server, kube::WatchOptions options = fast()) {
    begin(config_of(server), std::move(options));
  }
  void begin(const kube::ClientConfig& config, kube::WatchOptions options = fast()) {
    provider_.emplace(io_, config);
    watch_.emplace(io_, *provider_, std::move(options), seen_);
    watch_->start();
  }
  [[nodiscard]] bool watching() const { return watch_->state().phase == Phase::watching; }
  bool wait(const std::function<bool()>& done) { return run_until(io_, done); }
  bool wait_for_label(const std::string& name, const std::string& label) {
    return wait([&] {
      auto found = seen_.pods.find(name);
      return found != seen_.pods.end() && found->second.labels.at("l") == label;
    });
  }
  /// Waits for a watch that began after the first `before`.
  bool wait_for_watch(const ApiServer& server) {
    return wait([&] { return server.watches() == 1 && watching(); });
  }
  static std::vector<std::string> lines_with(const ApiServer& server, const std::string& text) {
    std::vector<std::string> found;
    for (const auto& line : server.request_log())
      if (line.find(text) != std::string::npos) found.push_back(line);
    return found;
  }
  static std::vector<std::string> watch_lines(const ApiServer& server) {
    return lines_with(server, "watch=true");
  }

  boost::asio::io_context io_;
  Recorder seen_;
  std::optional<FakeProvider> provider_;
  std::optional<PodWatch> watch_;
};

TEST_F(Watch, SyncsInPages) {
  ApiServer server;
  for (int i = 0; i < 120; ++i) server.add_pod(pod_json(cat("pod-", i)));
  server.add_pod(pod_json("elsewhere", "node-2"));
  auto options = fast();
  begin(server, options);
  EXPECT_EQ(watch_->state().phase, Phase::starting);
  EXPECT_FALSE(watch_->state().synced);
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(seen_.pods.size(), 120U);
  EXPECT_EQ(seen_.pods.count("elsewhere"), 0U);
  EXPECT_EQ(seen_.calls.size(), 122U);
  EXPECT_EQ(seen_.calls.front(), "begin");
  EXPECT_EQ(seen_.calls.back(), "end");
  EXPECT_THAT(seen_.phases, ElementsAre(Phase::listing, Phase::watching));
  const auto& state = watch_->state();
  EXPECT_TRUE(state.synced);
  EXPECT_EQ(state.lists, 1U);
  EXPECT_EQ(state.restarts, 0U);
  EXPECT_FALSE(state.last_error.has_value());
  EXPECT_LT(std::chrono::steady_clock::now() - state.last_contact, seconds(5));
  auto log = server.request_log();
  ASSERT_EQ(log.size(), 4U);
  EXPECT_EQ(log[0], "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&limit=50");
  EXPECT_THAT(log[1], HasSubstr("&limit=50&continue=page%2B%2F"));
  EXPECT_EQ(log[3], cat("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&watch=true"
                        "&allowWatchBookmarks=true&resourceVersion=",
                        server.version(), "&timeoutSeconds=450"));
  EXPECT_EQ(server.connections(), 1U) << "pages and watch share a connection";
}

TEST_F(Watch, NoPodsAtAll) {
  ApiServer server;
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_THAT(seen_.calls, ElementsAre("begin", "end"));
}

TEST_F(Watch, SeesEachChange) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  seen_.calls.clear();
  server.add_pod(pod_json("b"));
  server.add_pod(pod_json("a", "node-1", "y"));
  server.add_pod(pod_json("c", ""));
  server.add_pod(pod_json("c"));
  server.add_pod(pod_json("d", "node-2"));
  server.remove_pod("shop", "b");
  ASSERT_TRUE(wait([&] { return seen_.calls.size() == 4; }));
  EXPECT_THAT(seen_.calls, ElementsAre("+b", "+a", "+c", "-b"));
  EXPECT_EQ(seen_.pods.at("a").labels.at("l"), "y");
  EXPECT_EQ(seen_.pods.size(), 2U);
}

TEST_F(Watch, ThousandsOfEvents) {
  ApiServer server;
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  for (int i = 0; i < 5000; ++i) server.add_pod(pod_json(cat("pod-", i % 50), "node-1", cat(i)));
  ASSERT_TRUE(wait_for_label("pod-49", "4999"));
  EXPECT_EQ(std::count_if(seen_.calls.begin(), seen_.calls.end(),
                          [](const std::string& call) { return call[0] == '+'; }),
            5000);
}

TEST_F(Watch, ABookmarkMovesTheResumePoint) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  for (int i = 0; i < 10; ++i) server.add_pod(pod_json("other", "node-2", cat(i)));
  auto contact = watch_->state().last_contact;
  server.send_bookmark();
  ASSERT_TRUE(wait([&] { return watch_->state().last_contact != contact; }));
  run_for(io_, milliseconds(20));
  auto bookmark = server.version();
  server.add_pod(pod_json("other", "node-2", "last"));
  server.disturb_watches(WatchFault::drop);
  ASSERT_TRUE(wait([&] { return watch_lines(server).size() == 2 && watching(); }));
  EXPECT_THAT(watch_lines(server)[1], HasSubstr(cat("resourceVersion=", bookmark, "&")));
  EXPECT_EQ(seen_.lists, 1);
}

TEST_F(Watch, AnOrdinaryEndIsNoFailure) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  auto options = fast();
  options.server_timeout = seconds(1);
  options.random = [] { return 0.0; };
  begin(server, options);
  ASSERT_TRUE(wait([&] { return watch_lines(server).size() == 3 && watching(); }));
  EXPECT_THAT(watch_lines(server)[0], HasSubstr("timeoutSeconds=1"));
  EXPECT_TRUE(seen_.errors.empty());
  EXPECT_EQ(std::count(seen_.phases.begin(), seen_.phases.end(), Phase::waiting), 0);
  EXPECT_EQ(watch_->state().restarts, 2U);
  EXPECT_EQ(seen_.lists, 1);
  EXPECT_EQ(server.connections(), 1U) << "the connection is used again";
}

TEST_F(Watch, AWatchThatEndsAtOnceLeadsToABackoff) {
  ApiServer server;
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  server.disturb_watches(WatchFault::close);
  ASSERT_TRUE(wait([&] { return watch_lines(server).size() == 2 && watching(); }));
  ASSERT_FALSE(seen_.errors.empty());
  EXPECT_THAT(seen_.errors[0].message, HasSubstr("ended it at once"));
  EXPECT_FALSE(watch_->state().last_error.has_value()) << "cleared when watching";
}

TEST_F(Watch, GoneAsAStatus) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  server.add_pod(pod_json("b"));
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  seen_.calls.clear();
  server.expire_history(ApiServer::Expiry::status);
  server.disturb_watches(WatchFault::drop);
  server.remove_pod("shop", "a");
  ASSERT_TRUE(wait([&] { return seen_.lists == 2 && watching(); }));
  EXPECT_EQ(watch_->state().expired, 1U);
  EXPECT_EQ(watch_->state().lists, 2U);
  EXPECT_EQ(seen_.pods.size(), 1U);
  EXPECT_EQ(seen_.pods.count("b"), 1U);
  seen_.calls.clear();
  server.add_pod(pod_json("c"));
  ASSERT_TRUE(wait([&] { return !seen_.calls.empty(); }));
  EXPECT_THAT(seen_.calls, ElementsAre("+c"));
}

TEST_F(Watch, GoneAsAnEvent) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  seen_.calls.clear();
  server.expire_history(ApiServer::Expiry::event);
  ASSERT_TRUE(wait([&] { return seen_.lists == 2 && watching(); }));
  EXPECT_THAT(seen_.calls, ElementsAre("begin", "+a", "end"));
  EXPECT_EQ(watch_->state().expired, 1U);
  EXPECT_EQ(std::count(seen_.phases.begin(), seen_.phases.end(), Phase::waiting), 0)
      << "the first time needs no back-off";
}

TEST_F(Watch, GoneInTheMiddleOfAList) {
  ApiServer server;
  for (int i = 0; i < 20; ++i) server.add_pod(pod_json(cat("pod-", i)));
  auto options = fast();
  options.page = 5;
  int pages = 0;
  seen_.on_call = [&](const std::string& call) {
    if (call[0] == '+' && ++pages == 8) server.expire_continue_tokens();
  };
  begin(server, options);
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(std::count(seen_.calls.begin(), seen_.calls.end(), "begin"), 2);
  EXPECT_EQ(std::count(seen_.calls.begin(), seen_.calls.end(), "end"), 1);
  EXPECT_EQ(seen_.pods.size(), 20U);
  EXPECT_EQ(watch_->state().expired, 1U);
  EXPECT_EQ(watch_->state().lists, 1U);
}

TEST_F(Watch, AListThatBreaksIsBegunAgain) {
  ApiServer server;
  for (int i = 0; i < 20; ++i) server.add_pod(pod_json(cat("pod-", i)));
  auto options = fast();
  options.page = 5;
  int items = 0;
  seen_.on_call = [&](const std::string& call) {
    if (call[0] != '+' || ++items != 8) return;
    server.inject({.kind = Fault::Kind::cut});
    server.inject({.kind = Fault::Kind::garbage});
    server.inject({.kind = Fault::Kind::status, .status = 500});
  };
  begin(server, options);
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(seen_.pods.size(), 20U);
  EXPECT_GE(std::count(seen_.calls.begin(), seen_.calls.end(), "begin"), 2);
  EXPECT_EQ(std::count(seen_.calls.begin(), seen_.calls.end(), "end"), 1);
  EXPECT_EQ(seen_.errors.size(), 6U) << "three, each told when waiting and when listing again";
}

TEST_F(Watch, ACutLosesAndRepeatsNothing) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  auto options = fast();
  options.backoff_cap = milliseconds(10);
  begin(server, options);
  ASSERT_TRUE(wait_for_watch(server));
  seen_.calls.clear();
  for (int i = 0; i < 20; ++i) {
    server.disturb_watches(WatchFault::cut);
    server.add_pod(pod_json(cat("one-", i)));
    server.add_pod(pod_json(cat("two-", i)));
    ASSERT_TRUE(wait([&] { return seen_.pods.contains(cat("two-", i)); }));
  }
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    expected.push_back(cat("+one-", i));
    expected.push_back(cat("+two-", i));
  }
  EXPECT_EQ(seen_.calls, expected);
  EXPECT_EQ(seen_.lists, 1);
  EXPECT_GE(watch_->state().restarts, 20U);
}

TEST_F(Watch, GarbageLeadsToANewWatch) {
  ApiServer server;
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  server.disturb_watches(WatchFault::garbage);
  ASSERT_TRUE(
      wait([&] { return watch_->state().restarts == 1 && server.watches() == 1 && watching(); }));
  EXPECT_THAT(seen_.errors.at(0).message, HasSubstr("watch pods"));
  server.add_pod(pod_json("a"));
  EXPECT_TRUE(wait([&] { return seen_.pods.size() == 1; }));
  EXPECT_EQ(seen_.lists, 1);
}

TEST_F(Watch, AHalfOpenConnectionIsGivenUp) {
  ApiServer server;
  auto options = fast();
  options.silence = milliseconds(300);
  begin(server, options);
  ASSERT_TRUE(wait_for_watch(server));
  server.disturb_watches(WatchFault::silence);
  server.add_pod(pod_json("a"));
  auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(wait([&] { return seen_.pods.size() == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, test_support::slowness * seconds(2));
  EXPECT_EQ(std::count(seen_.phases.begin(), seen_.phases.end(), Phase::waiting), 0);
  EXPECT_EQ(seen_.lists, 1);
}

TEST_F(Watch, BookmarksKeepAQuietWatch) {
  ApiServer server({.bookmarks = milliseconds(50)});
  auto options = fast();
  options.silence = milliseconds(250);
  begin(server, options);
  ASSERT_TRUE(wait_for_watch(server));
  run_for(io_, milliseconds(700));
  EXPECT_EQ(watch_->state().restarts, 0U);
  EXPECT_EQ(watch_lines(server).size(), 1U);
}

TEST_F(Watch, TheBackoffGrowsToItsCapAndIsReset) {
  ApiServer server;
  auto options = fast();
  options.backoff_first = milliseconds(10);
  options.backoff_cap = milliseconds(80);
  options.health = milliseconds(300);
  std::vector<std::chrono::steady_clock::time_point> waits;
  std::vector<milliseconds> pauses;
  seen_.on_change = [&] {
    auto now = std::chrono::steady_clock::now();
    if (seen_.phases.back() == Phase::waiting) waits.push_back(now);
    if (seen_.phases.back() == Phase::listing && !waits.empty())
      pauses.push_back(std::chrono::duration_cast<milliseconds>(now - waits.back()));
  };
  server.inject({.kind = Fault::Kind::status, .status = 500}, 6);
  begin(server, options);
  ASSERT_TRUE(wait_for_watch(server));
  ASSERT_EQ(pauses.size(), 6U);
  // With a random number of 0.5, three quarters of 10, 20, 40, 80, 80, 80.
  std::vector<int> expected{7, 15, 30, 60, 60, 60};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_GE(pauses[i].count(), expected[i]) << i;
  EXPECT_LT(pauses[0].count(), 30);
  EXPECT_EQ(seen_.errors.size(), 12U) << "each is told when waiting and when listing";

  run_for(io_, milliseconds(350));
  waits.clear();
  pauses.clear();
  auto restarted = std::chrono::steady_clock::now();
  server.disturb_watches(WatchFault::drop);
  ASSERT_TRUE(wait([&] { return watch_lines(server).size() == 2 && watching(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - restarted, test_support::slowness * milliseconds(50))
      << "reset by health";
}

TEST_F(Watch, ATokenRotatedBetweenConnections) {
  ApiServer server({.token = "one"});
  auto config = config_of(server);
  config.token = "one";
  begin(config);
  ASSERT_TRUE(wait_for_watch(server));
  server.set_token("two");
  config.token = "two";
  provider_->set(config);
  server.add_pod(pod_json("a"));
  ASSERT_TRUE(wait([&] { return seen_.pods.size() == 1; })) << "the open watch goes on";
  server.disturb_watches(WatchFault::close);
  ASSERT_TRUE(wait([&] { return watch_lines(server).size() == 2 && watching(); }));
  EXPECT_EQ(server.connections(), 2U) << "a connection of the old credential is not used";
  EXPECT_TRUE(provider_->rejections.empty());
  EXPECT_EQ(seen_.lists, 1);
}

TEST_F(Watch, ARefusedCredentialIsTold) {
  for (int code : {401, 403}) {
    ApiServer server;
    server.inject({.kind = Fault::Kind::status, .status = code}, 2);
    seen_ = {};
    begin(server);
    ASSERT_TRUE(wait_for_watch(server));
    EXPECT_THAT(provider_->rejections, ElementsAre(1U, 1U));
    ASSERT_FALSE(seen_.errors.empty());
    EXPECT_EQ(seen_.errors[0].code, Errc::unauthorized);
    EXPECT_THAT(seen_.errors[0].message, HasSubstr(cat("list pods: the API server answers ", code,
                                                       ": \"an injected fault\"")));
    watch_.reset();
  }
}

TEST_F(Watch, WrongHost) {
  ApiServer server({.certificate = ApiServerOptions::Certificate::wrong_host});
  begin(server);
  ASSERT_TRUE(wait([&] { return !seen_.errors.empty(); }));
  EXPECT_EQ(seen_.errors[0].code, Errc::refused);
  EXPECT_EQ(server.requests(), 0U);
  EXPECT_TRUE(seen_.calls.empty()) << "no list_begin without a list";
  EXPECT_FALSE(watch_->state().synced);
}

TEST_F(Watch, AServerThatComesUpLater) {
  ApiServerOptions options{.tls = false};
  kube::ClientConfig config;
  {
    ApiServer first(options);
    options.port = first.port();
    config = config_of(first);
  }
  begin(config);
  ASSERT_TRUE(wait([&] { return seen_.errors.size() >= 3; }));
  EXPECT_EQ(seen_.errors[0].code, Errc::unavailable);
  EXPECT_TRUE(seen_.calls.empty());
  ApiServer server(options);
  server.add_pod(pod_json("a"));
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(seen_.pods.size(), 1U);
}

TEST_F(Watch, NoCredentialYet) {
  ApiServer server;
  provider_.emplace(io_, config_of(server));
  provider_->error = base::Error{Errc::not_found, "no kubeconfig"};
  watch_.emplace(io_, *provider_, fast(), seen_);
  watch_->start();
  watch_->start();  // once is enough
  ASSERT_TRUE(wait([&] { return seen_.errors.size() >= 2; }));
  EXPECT_EQ(seen_.errors[0].code, Errc::not_found);
  provider_->error.reset();
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(server.watches(), 1U);
}

TEST_F(Watch, APodThatDoesNotParseIsSkipped) {
  ApiServer server;
  std::string bad =
      R"({"metadata":{"name":"bad","namespace":"shop","labels":7},"spec":{"nodeName":"node-1"}})";
  server.add_pod(pod_json("a"));
  server.add_pod(bad);
  server.add_pod(pod_json("c"));
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(seen_.pods.size(), 2U);
  ASSERT_EQ(seen_.errors.size(), 1U);
  EXPECT_THAT(seen_.errors[0].message, HasSubstr("skipped"));
  server.add_pod(bad);
  server.add_pod(pod_json("d"));
  ASSERT_TRUE(wait([&] { return seen_.pods.size() == 3; }));
  EXPECT_EQ(seen_.errors.size(), 2U);
  EXPECT_EQ(watch_->state().restarts, 0U);
  EXPECT_TRUE(watch_->state().last_error.has_value());
}

std::size_t peak_resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6));
  return 0;
}

/// Answers the first request with a list of `count` large pods that it never
/// holds as a whole, so that what this process needs is what the watch needs.
class LargeList {
 public:
  explicit LargeList(int count) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 4) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0)
      throw std::runtime_error("listen");
    config.server = "large-list";
    config.host = "127.0.0.1";
    config.port = ntohs(address.sin_port);
    config.tls = false;
    thread_ = std::thread([this, count] { serve(count); });
  }
  ~LargeList() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  kube::ClientConfig config;

 private:
  void serve(int count) {
    base::UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
    char request[4096];
    if (!peer.valid() || ::recv(peer.get(), request, sizeof request, 0) <= 0) return;
    auto send = [&](const std::string& text) {
      for (std::string_view rest = text; !rest.empty();) {
        auto sent = ::send(peer.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        rest.remove_prefix(static_cast<std::size_t>(sent));
      }
    };
    send(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        R"({"kind":"PodList","metadata":{"resourceVersion":"5"},"items":[)");
    for (int i = 0; i < count; ++i)
      send(cat(i > 0 ? "," : "", pod_json(cat("pod-", i), "node-1", "x", std::size_t{64} << 10)));
    send("]}");
  }

  base::UniqueFd listener_;
  std::thread thread_;
};

TEST_F(Watch, ALargeListNeedsLittleMemory) {
  struct Dropping : Recorder {
    void upsert(pod::Pod pod) override { names.push_back(pod.name); }
    std::vector<std::string> names;
  } dropping;
  auto load = [&](int count) {
    LargeList server(count);
    dropping.names.clear();
    provider_.emplace(io_, server.config);
    watch_.emplace(io_, *provider_, fast(), dropping);
    watch_->start();
    ASSERT_TRUE(wait([&] { return watch_->state().synced; }));
    EXPECT_EQ(dropping.names.size(), static_cast<std::size_t>(count));
    watch_.reset();
    run_for(io_, milliseconds(20));
  };
  load(2);
  [[maybe_unused]] auto before = peak_resident_kib();
  load(500 / test_support::slowness);
// sanitizers keep what was freed
#ifndef ICN_SANITIZED
  EXPECT_LT(peak_resident_kib() - before, 1024U) << "for a list of 32 MB";
#endif
}

TEST_F(Watch, AnOversizedPodIsAnErrorNotACrash) {
  ApiServer server({.tls = false});
  server.add_pod(pod_json("huge", "node-1", "x", std::size_t{5} << 20));
  begin(server);
  ASSERT_TRUE(wait([&] { return !seen_.errors.empty(); }));
  EXPECT_THAT(seen_.errors[0].message, HasSubstr("larger than"));
  server.add_pod(pod_json("huge"));
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(seen_.pods.size(), 1U);
}

TEST_F(Watch, WhatIsNotAPodListIsNoEmptyList) {
  ApiServer server;
  server.add_pod(pod_json("a"));
  server.inject({.kind = Fault::Kind::status, .status = 200});
  begin(server);
  ASSERT_TRUE(wait_for_watch(server));
  EXPECT_EQ(std::count(seen_.calls.begin(), seen_.calls.end(), "end"), 1);
  ASSERT_FALSE(seen_.errors.empty());
  EXPECT_THAT(seen_.errors[0].message, HasSubstr("not a PodList but \"Status\""));
}

TEST_F(Watch, TheObserverMayEndTheWatch) {
  for (std::string_view at : {"begin", "+pod-3", "end"}) {
    ApiServer server;
    for (int i = 0; i < 10; ++i) server.add_pod(pod_json(cat("pod-", i)));
    seen_ = {};
    seen_.on_call = [&](const std::string& call) {
      ASSERT_TRUE(watch_.has_value()) << "called after its end";
      if (call == at) watch_.reset();
    };
    begin(server);
    ASSERT_TRUE(wait([&] { return !watch_.has_value(); }));
    run_for(io_, milliseconds(30));
    EXPECT_EQ(seen_.calls.back(), at);
  }
}

TEST_F(Watch, NothingAfterTheEndWheneverItComes) {
  ApiServer server;
  for (int i = 0; i < 20; ++i) server.add_pod(pod_json(cat("pod-", i)));
  std::mt19937 random(42);
  for (int round = 0; round < 200; ++round) {
    boost::asio::io_context io;
    FakeProvider provider(io, config_of(server, round % 4 == 0 ? "localhost" : "127.0.0.1"));
    Recorder seen;
    auto options = fast();
    options.page = 5;
    if (round % 5 == 0) server.inject({.kind = Fault::Kind::status, .status = 503});
    auto watch = std::make_unique<PodWatch>(io, provider, options, seen);
    watch->start();
    io.run_for(std::chrono::microseconds(random() % 12000));
    watch.reset();
    auto calls = seen.calls.size() + seen.phases.size();
    io.restart();
    // The loop is either run to its end or thrown away.
    if (round % 2 == 0) {
      io.run_for(seconds(5));
      EXPECT_TRUE(io.stopped()) << "something is still waiting";
    }
    EXPECT_EQ(seen.calls.size() + seen.phases.size(), calls);
  }
  EXPECT_TRUE(wait([&] { return server.watches() == 0; })) << "the connections are closed";
}

}  // namespace
