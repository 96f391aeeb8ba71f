#include "istio-cni-node/log_relay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "istio-cni-node/http_client.hpp"
#include "istio-cni-node/http_server.hpp"
#include "log/relay.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using istio_cni_node::parse_relayed;
using logging::Level;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr std::int64_t moment = 1626856337362512;
constexpr const char* moment_text = "2021-07-21T08:32:17.362512Z";

/// A body of these log objects.
std::string body_of(const std::vector<std::string>& objects) {
  return nlohmann::json(objects).dump();
}
std::string entry(const std::string& more = "", const std::string& level = "info",
                  const std::string& message = "m") {
  return nlohmann::json({{"level", level}, {"time", moment_text}, {"msg", message}})
      .dump()
      .insert(1, more);
}

TEST(LogRelay, AnEntryAsTheKnownPluginSendsIt) {
  const auto entries = parse_relayed(body_of(
      {R"({"level":"warn","time":"2021-07-21T08:32:17.362512Z","scope":"cni-plugin","msg":" excluded \n",)"
       R"("pod":"shop/web-1","if":"eth0"})"}));
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].unix_micros, moment);
  EXPECT_EQ(entries[0].level, Level::warn);
  EXPECT_EQ(entries[0].message, "excluded");
  EXPECT_THAT(entries[0].fields, ElementsAre(Pair("SCOPE", "cni-plugin"), Pair("POD", "shop/web-1"),
                                             Pair("IF", "eth0")));
}

TEST(LogRelay, LevelsOutsideTheFourAreDropped) {
  std::vector<std::string> objects;
  for (const auto* level :
       {"debug", "info", "warn", "error", "fatal", "none", "warning", "INFO", "trace", ""})
    objects.push_back(entry("", level));
  std::vector<Level> levels;
  for (const auto& one : parse_relayed(body_of(objects))) levels.push_back(one.level);
  EXPECT_THAT(levels, ElementsAre(Level::debug, Level::info, Level::warn, Level::error));
}

TEST(LogRelay, BadPartsDoNotSpoilGoodOnes) {
  nlohmann::json body = nlohmann::json::array();
  body.push_back(1);
  body.push_back(nullptr);
  body.push_back({{"msg", "an object, not a string"}});
  for (const auto* text :
       {"", "{", "[]", "\"text\"", "not json", R"({"level":"info","time":"2021-07-21T08:32:17Z"})",
        R"({"msg":"m","time":"2021-07-21T08:32:17Z"})", R"({"msg":"m","level":"info"})",
        R"({"msg":"m","level":"info","time":"yesterday"})",
        R"({"msg":"m","level":"info","time":1626856337})",
        R"({"msg":1,"level":"info","time":"2021-07-21T08:32:17Z"})",
        R"({"msg":"m","level":["info"],"time":"2021-07-21T08:32:17Z"})"})
    body.push_back(text);
  body.push_back(entry("", "info", "good"));
  const auto entries = parse_relayed(body.dump());
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].message, "good");
}

TEST(LogRelay, BodiesThatAreNoArrayGiveNothing) {
  for (const std::string body : {"", "null", "{}", "\"x\"", "[", "[\"a\"", "[]x", "nonsense"})
    EXPECT_THAT(parse_relayed(body), IsEmpty()) << body;
  EXPECT_THAT(parse_relayed(std::string(1 << 20, '[')), IsEmpty());
  EXPECT_THAT(parse_relayed(R"([")" + entry() + R"("])"), IsEmpty());
}

TEST(LogRelay, BytesThatAreNoUtf8CostOnlyThemselves) {
  auto body = body_of({entry("", "info", "caf@"), entry("", "info", "good")});
  body[body.find('@')] = '\xe9';
  const auto entries = parse_relayed(body);
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].message, "caf\xef\xbf\xbd");
}

TEST(LogRelay, OneLineWhateverIsInIt) {
  const auto entries = parse_relayed(
      body_of({entry("", "info", "a\nlevel=fatal\r\x1b[2J\t\x7f" + std::string(1, '\0') + "b")}));
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].message, "a level=fatal  [2J   b");
}

TEST(LogRelay, FieldNames) {
  const std::pair<std::string, std::string> cases[] = {
      {"pod", "POD"},
      {"istio.io/rev-2", "ISTIO_IO_REV_2"},
      {"Caller", "CALLER"},
      {"_PID", "PID"},
      {"7up", "UP"},
      {"\xc3\xa9t", "T"},
      {std::string(100, 'a'), std::string(64, 'A')},
      {"priority", ""},
      {"_MESSAGE", ""},
      {"Message", ""},
      {"syslog.identifier", ""},
      {"code_file", ""},
      {"message_id", ""},
      {"", ""},
      {"42", ""},
  };
  for (const auto& [key, expected] : cases) {
    nlohmann::json object{{"level", "info"}, {"time", moment_text}, {"msg", "m"}, {key, "v"}};
    const auto entries = parse_relayed(body_of({object.dump()}));
    ASSERT_THAT(entries, SizeIs(1)) << key;
    if (expected.empty())
      EXPECT_THAT(entries[0].fields, IsEmpty()) << key;
    else
      EXPECT_THAT(entries[0].fields, ElementsAre(Pair(expected, "v"))) << key;
  }
}

TEST(LogRelay, ValuesThatAreNoText) {
  const auto entries = parse_relayed(
      body_of({entry(R"("n":1.5,"b":true,"z":null,"o":{"a":[1, "x"]},"t":"line\nfeed",)")}));
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_THAT(entries[0].fields,
              ElementsAre(Pair("N", "1.5"), Pair("B", "true"), Pair("Z", "null"),
                          Pair("O", R"({"a":[1,"x"]})"), Pair("T", "line\nfeed")));
}

TEST(LogRelay, EverythingIsBounded) {
  EXPECT_THAT(parse_relayed(body_of(std::vector<std::string>(3000, entry()))), SizeIs(1000));
  EXPECT_THAT(parse_relayed(body_of({entry("", "info", std::string(70000, 'x')), entry()})),
              SizeIs(1));
  std::string fields;
  for (int i = 0; i < 100; ++i) fields.append("\"f" + std::to_string(i) + "\":1,");
  // a cut never ends within a character
  std::string wide;
  while (wide.size() < 20000) wide.append("\xe2\x82\xac");
  const auto entries = parse_relayed(
      body_of({entry("", "info", wide), entry(fields), entry("\"v\":\"" + wide + "\",")}));
  ASSERT_THAT(entries, SizeIs(3));
  EXPECT_EQ(entries[0].message.size(), 8190U);
  EXPECT_THAT(entries[1].fields, SizeIs(32));
  ASSERT_THAT(entries[2].fields, SizeIs(1));
  EXPECT_EQ(entries[2].fields[0].second.size(), 4095U);
  EXPECT_THAT(parse_relayed(
                  body_of({entry("\"d\":" + std::string(200, '[') + std::string(200, ']') + ",")})),
              IsEmpty());
}

TEST(LogRelay, TimesBefore1970CanBePrinted) {
  const auto entries =
      parse_relayed(body_of({R"({"level":"info","time":"1969-12-31T23:59:59.25Z","msg":"old"})"}));
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(logging::format_line(entries[0].unix_micros, Level::info, "old", {}),
            "1969-12-31T23:59:59.250000Z\tinfo\told\n");
}

/// The plugin's side against the agent's.
class RelayTest : public testing::Test {
 protected:
  void listen(mode_t mode = 0666) {
    istio_cni_node::HttpLimits limits;
    limits.body = std::size_t{1} << 20;
    auto server = istio_cni_node::HttpServer::listen_unix(
        io_, path_, mode, limits, [this](const istio_cni_node::HttpRequest& request) {
          ++requests_;
          line_ = request.method + " " + request.path;
          for (auto& one : parse_relayed(request.body)) entries_.push_back(std::move(one));
          return istio_cni_node::HttpResponse{};
        });
    ASSERT_TRUE(server) << server.error().message;
    thread_ = std::thread([this, inner = *std::move(server)]() mutable {
      io_.run();
      const auto end = std::move(inner);
    });
  }
  void stop() {
    if (!thread_.joinable()) return;
    io_.stop();
    thread_.join();
  }
  void TearDown() override { stop(); }

  test_support::TempDir dir_;
  std::string path_ = dir_.path("log.sock");
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_;
  int requests_ = 0;
  std::string line_;
  std::vector<istio_cni_node::RelayedEntry> entries_;
};

TEST_F(RelayTest, WhatThePluginLogsArrivesWhole) {
  listen();
  logging::Relay relay;
  logging::Logger log("istio-cni", "");
  log.set_sink([&](auto micros, auto level, auto message, const auto& fields) {
    relay.record(micros, level, message, fields);
  });
  log.set_context({{"POD_NAME", "web-1"}});
  testing::internal::CaptureStderr();
  log.debug("below the level");
  log.info("pod redirected", {{"DECISION", "redirect"}});
  log.error("quote \" backslash \\ caf\xc3\xa9 bad \xff", {{"POD_NETNS", "a\nb\x01"}});
  (void)testing::internal::GetCapturedStderr();
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  relay.send(path_);
  relay.send(path_);  // nothing left
  stop();
  EXPECT_EQ(requests_, 1);
  EXPECT_EQ(line_, "POST /log");
  ASSERT_THAT(entries_, SizeIs(2));
  EXPECT_EQ(entries_[0].level, Level::info);
  EXPECT_EQ(entries_[0].message, "pod redirected");
  EXPECT_LT(now - entries_[0].unix_micros, 5'000'000);
  EXPECT_THAT(entries_[0].fields,
              ElementsAre(Pair("SCOPE", "cni-plugin"), Pair("POD_NAME", "web-1"),
                          Pair("DECISION", "redirect")));
  EXPECT_EQ(entries_[1].message, "quote \" backslash \\ caf\xc3\xa9 bad \xef\xbf\xbd");
  EXPECT_THAT(entries_[1].fields, testing::Contains(Pair("POD_NETNS", "a\nb\x01")));
}

TEST_F(RelayTest, LargeLogsAreBoundedAndStillWhole) {
  listen();
  logging::Relay relay;
  const std::string line(1000, 'x');
  for (int i = 0; i < 500; ++i) relay.record(moment, Level::info, line, {});
  relay.send(path_);
  stop();
  EXPECT_EQ(requests_, 1);
  EXPECT_GT(entries_.size(), 200U);
  EXPECT_LT(entries_.size(), 260U);
}

TEST_F(RelayTest, TheKnownForm) {
  EXPECT_EQ(logging::format_json(moment, Level::warn, "m",
                                 {{"POD", "a/b"}, {"pod", "twice"}, {"MSG", "no"}, {"IF", "eth0"}}),
            R"({"level":"warn","time":"2021-07-21T08:32:17.362512Z","scope":"cni-plugin",)"
            R"("msg":"m","pod":"a/b","if":"eth0"})");
}

TEST_F(RelayTest, WithoutAnAgentNothingHappens) {
  logging::Relay relay;
  const auto quick = [&](const std::string& path) {
    relay.record(moment, Level::info, "m", {});
    const auto start = std::chrono::steady_clock::now();
    relay.send(path);
    return std::chrono::steady_clock::now() - start < 500ms;
  };
  EXPECT_TRUE(quick(dir_.path("none.sock")));
  EXPECT_TRUE(quick(dir_.write("file.sock", "")));
  EXPECT_TRUE(quick("/" + std::string(200, 'x')));
  listen();
  stop();
  EXPECT_TRUE(quick(path_)) << "nobody listens any more";
}

TEST_F(RelayTest, AnAgentThatDoesNotAnswerCostsTheDeadlineAndNoMore) {
  const base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  logging::Relay relay;
  for (int i = 0; i < 400; ++i) relay.record(moment, Level::info, std::string(900, 'x'), {});
  const auto start = std::chrono::steady_clock::now();
  relay.send(path_, 200ms);  // more than the socket's buffer takes
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, 180ms);
  EXPECT_LT(took, test_support::slowness * 1s);
}

TEST_F(RelayTest, OnlyToRootOrOurselves) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give the socket away";
  listen();
  ASSERT_EQ(::chown(path_.c_str(), 65534, 65534), 0);
  logging::Relay relay;
  relay.record(moment, Level::info, "m", {});
  relay.send(path_);
  stop();
  EXPECT_EQ(requests_, 0);
}

}  // namespace
