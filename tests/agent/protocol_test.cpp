#include "agent/protocol.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace {

using agent::Answer;
using agent::Lookup;
using agent::Outcome;
using base::Errc;
using base::Error;
using std::chrono::microseconds;
using testing::HasSubstr;

Outcome full_outcome() {
  Outcome outcome;
  outcome.command = "ADD";
  outcome.decision = "failed";
  outcome.result = "error";
  outcome.error_code = 102;
  outcome.message = "pod shop/web: \"x\" differs";
  outcome.backend = "nftables";
  outcome.name_space = "shop";
  outcome.name = "web";
  outcome.uid = "u-1";
  outcome.container_id = "c0ffee";
  outcome.netns = "/run/netns/x";
  outcome.lookup = "agent";
  outcome.total = microseconds(1234);
  outcome.lookup_time = microseconds(0);
  outcome.rules_time = microseconds(7);
  outcome.verify_time = microseconds(INT64_MAX);
  return outcome;
}

template <typename T>
T message(const std::string& text) {
  auto parsed = agent::parse_message(text);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message << ": " << text;
    return {};
  }
  return std::get<T>(*parsed);
}

TEST(Protocol, LookupIsReadBackTheSame) {
  for (const auto& lookup : {Lookup{"shop", "web", "u-1"}, Lookup{"shop", "web", ""}})
    EXPECT_EQ(message<Lookup>(to_json(lookup)), lookup);
  EXPECT_EQ(to_json(Lookup{"shop", "web", "u-1"}),
            R"({"lookup":{"namespace":"shop","name":"web","uid":"u-1"}})");
}

TEST(Protocol, OutcomeIsReadBackTheSame) {
  EXPECT_EQ(message<Outcome>(to_json(full_outcome())), full_outcome());
  Outcome least;
  least.command = "DEL";
  least.result = "success";
  EXPECT_EQ(message<Outcome>(to_json(least)), least);
  EXPECT_EQ(to_json(least), R"({"outcome":{"command":"DEL","result":"success","totalMicros":0}})");
}

TEST(Protocol, EveryFieldOfAnOutcomeIsSent) {
  const auto json = nlohmann::json::parse(to_json(full_outcome())).at("outcome");
  EXPECT_EQ(json.size(), 16U) << "a field that is added to Outcome must be added here";
}

TEST(Protocol, AnOutcomesMessageIsOneBoundedLine) {
  auto outcome = full_outcome();
  outcome.message = "two\nlines\r\n";
  EXPECT_EQ(message<Outcome>(to_json(outcome)).message, "two lines  ");
  outcome.message = std::string(agent::max_message - 1, 'x') + "\xc3\xa9" + "more";
  EXPECT_EQ(message<Outcome>(to_json(outcome)).message, std::string(agent::max_message - 1, 'x'));
  outcome.message = "\xff";
  EXPECT_EQ(message<Outcome>(to_json(outcome)).message, "\xef\xbf\xbd");
  outcome.message = std::string(10 << 20, '\xff');
  EXPECT_LE(to_json(outcome).size(), agent::max_request);
  // a peer of another version may not cut it
  EXPECT_EQ(message<Outcome>(R"({"outcome":{"command":"ADD","result":"error","message":")" +
                             std::string(2000, 'y') + R"("}})")
                .message.size(),
            agent::max_message);
}

TEST(Protocol, UnknownKeysAreIgnored) {
  EXPECT_EQ(message<Lookup>(
                R"({"later":[1],"lookup":{"x":{},"name":"web","namespace":"shop","uid":null}})"),
            (Lookup{"shop", "web", ""}));
  const auto outcome = message<Outcome>(
      R"({"outcome":{"command":"LATER","result":"odd","new":null,"lookupMicros":null}})");
  EXPECT_EQ(outcome.command, "LATER");
  EXPECT_EQ(outcome.lookup_time, std::nullopt);
}

struct Bad {
  const char* text;
  const char* message;
};

TEST(Protocol, WhatIsNoMessageIsRefused) {
  for (
      const auto& [text, expected] : {
          Bad{"", "not valid JSON"},
          Bad{"{", "not valid JSON"},
          Bad{"{\"lookup\":\xff}", "not valid JSON"},
          Bad{"[]", "expected an object"},
          Bad{"\"lookup\"", "expected an object"},
          Bad{"{}", "one of lookup, outcome, status and pods"},
          Bad{R"({"lookup":null})", "one of lookup, outcome, status and pods"},
          Bad{R"({"lookup":{"namespace":"a","name":"b"},"outcome":{}})", "one of lookup"},
          Bad{R"({"lookup":[]})", "lookup: expected an object"},
          Bad{R"({"lookup":{"name":"b"}})", "lookup.namespace: must not be empty"},
          Bad{R"({"lookup":{"namespace":"a","name":""}})", "lookup.name: must not be empty"},
          Bad{R"({"lookup":{"namespace":1,"name":"b"}})", "lookup.namespace: expected a string"},
          Bad{R"({"lookup":{"namespace":"a","name":"b","uid":7}})", "lookup.uid: expected"},
          Bad{R"({"outcome":7})", "outcome: expected an object"},
          Bad{R"({"outcome":{"result":"success"}})", "outcome.command: must not be empty"},
          Bad{R"({"outcome":{"command":"ADD"}})", "outcome.result: must not be empty"},
          Bad{R"({"outcome":{"command":"ADD","result":"error","errorCode":2147483648}})",
              "outcome.errorCode: expected an integer from -2147483648 to 2147483647"},
          Bad{R"({"outcome":{"command":"ADD","result":"error","errorCode":1.5}})", "errorCode"},
          Bad{R"({"outcome":{"command":"ADD","result":"error","errorCode":"1"}})", "errorCode"},
          Bad{R"({"outcome":{"command":"ADD","result":"error","totalMicros":-1}})",
              "outcome.totalMicros: expected an integer from 0"},
          Bad{R"({"outcome":{"command":"ADD","result":"error","rulesMicros":9223372036854775808}})",
              "outcome.rulesMicros"},
          Bad{R"({"outcome":{"command":"ADD","result":"error","netns":{}}})", "outcome.netns"},
      }) {
    auto parsed = agent::parse_message(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::invalid_input) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr(expected)) << text;
  }
}

TEST(Protocol, MessagesAreBounded) {
  auto text = to_json(Lookup{"shop", "web", "u"});
  text.resize(agent::max_request, ' ');
  EXPECT_TRUE(agent::parse_message(text));
  text.push_back(' ');
  EXPECT_THAT(agent::parse_message(text).error().message, HasSubstr("longer than 16384 bytes"));
  const std::string deep(agent::max_request, '[');
  EXPECT_FALSE(agent::parse_message(deep));
  EXPECT_FALSE(agent::parse_answer(deep));
}

TEST(Protocol, AnswerWithAPod) {
  pod::Pod pod;
  pod.name = "web";
  pod.name_space = "shop";
  pod.uid = "u-1";
  pod.annotations["sidecar.istio.io/status"] = R"({"a":"b"})";
  const auto parsed = agent::parse_answer(to_json(Answer{pod, "debug"}));
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(std::get<pod::Pod>(parsed->pod), pod);
  EXPECT_EQ(parsed->log_level, "debug");
  EXPECT_EQ(agent::parse_answer(to_json(Answer{pod, ""}))->log_level, "");
}

TEST(Protocol, AnswerWithAnError) {
  for (auto code : {Errc::invalid_input, Errc::not_found, Errc::unavailable, Errc::unauthorized,
                    Errc::timeout, Errc::unsupported, Errc::mismatch, Errc::refused, Errc::io}) {
    const auto parsed =
        agent::parse_answer(to_json(Answer{Error{code, "HTTP \"404\"", 0}, "warn"}));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(std::get<Error>(parsed->pod).code, code);
    EXPECT_EQ(std::get<Error>(parsed->pod).message, "HTTP \"404\"");
    EXPECT_EQ(parsed->log_level, "warn");
  }
  const auto later = agent::parse_answer(R"({"error":{"code":"new_kind","x":1},"pod":null})");
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(std::get<Error>(later->pod).code, Errc::io);
  const auto huge = to_json(Answer{Error{Errc::io, std::string(1 << 20, '\x01'), 0}, ""});
  ASSERT_TRUE(agent::parse_answer(huge));
  EXPECT_EQ(std::get<Error>(agent::parse_answer(huge)->pod).message.size(), agent::max_message);
}

TEST(Protocol, TooLargeAPodIsAnError) {
  pod::Pod pod;
  pod.name = "web";
  pod.annotations["a"] = std::string(agent::max_answer - 200, 'x');
  EXPECT_TRUE(std::holds_alternative<pod::Pod>(
      agent::parse_answer(to_json(Answer{pod, "info"})).value().pod));
  pod.annotations["a"].append(200, 'x');
  const auto text = to_json(Answer{pod, "info"});
  EXPECT_LE(text.size(), agent::max_answer);
  const auto parsed = agent::parse_answer(text);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_THAT(std::get<Error>(parsed->pod).message, HasSubstr("too large for an answer"));
  EXPECT_EQ(parsed->log_level, "info");
}

TEST(Protocol, WhatIsNoAnswerIsRefused) {
  for (const auto& [text, expected] : {
           Bad{"", "not valid JSON"},
           Bad{"[]", "expected an object"},
           Bad{"{}", "either a pod or an error"},
           Bad{R"({"pod":null,"logLevel":"info"})", "either a pod or an error"},
           Bad{R"({"pod":{},"error":{"code":"io"}})", "either a pod or an error"},
           Bad{R"({"pod":[]})", "document: expected an object"},
           Bad{R"({"pod":{"metadata":{"name":7}}})", "metadata.name: expected a string"},
           Bad{R"({"error":"x"})", "error: expected an object"},
           Bad{R"({"error":{"message":"x"}})", "error.code: must not be empty"},
           Bad{R"({"error":{"code":7}})", "error.code: expected a string"},
           Bad{R"({"pod":{},"logLevel":7})", "answer.logLevel: expected a string"},
       }) {
    auto parsed = agent::parse_answer(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::invalid_input) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr(expected)) << text;
  }
  std::string padded = R"({"pod":{}})";
  padded.resize(agent::max_answer, ' ');
  EXPECT_TRUE(agent::parse_answer(padded));
  padded.push_back(' ');
  EXPECT_FALSE(agent::parse_answer(padded));
}

}  // namespace
