#include "kube/json_splitter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/strings.hpp"

namespace {

using base::cat;
using base::Errc;
using kube::JsonSplitter;
using Mode = JsonSplitter::Mode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Outcome {
  std::vector<std::string> items;
  kube::ListHead head;
  base::Status fed = base::success();
  base::Status finished = base::success();
  std::size_t peak = 0;
};

Outcome split(Mode mode, std::string_view text, std::size_t chunk = std::string_view::npos,
              std::size_t max_item = kube::max_json_item) {
  Outcome outcome;
  JsonSplitter splitter(
      mode, [&](std::string_view item) { outcome.items.emplace_back(item); }, max_item);
  while (!text.empty() && outcome.fed) {
    // A copy of its own, so that a look beyond its end is seen by the sanitizer.
    std::vector<char> piece(
        text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(chunk, text.size())));
    outcome.fed = splitter.feed({piece.data(), piece.size()});
    text.remove_prefix(piece.size());
  }
  outcome.finished = splitter.finish();
  outcome.head = splitter.head();
  outcome.peak = splitter.peak();
  return outcome;
}

constexpr std::string_view pod_list =
    R"( {"kind":"PodList","apiVersion":"v1","metadata":{"selfLink":null,"resourceVersion":"42",)"
    R"("continue":"abc\u003d\/+","remainingItemCount":7,"x":{"continue":"no"}},"extra":[{"items":[{}]}],)"
    R"("items":[ {"a":"}]\"\\"} ,{"b":[[{"c":{}}],"{"]},{}] ,"kind2":"x"} )";

TEST(JsonSplitter, ListCutAnywhere) {
  for (std::size_t chunk = 1; chunk <= pod_list.size(); ++chunk) {
    auto outcome = split(Mode::list, pod_list, chunk);
    ASSERT_TRUE(outcome.fed.ok()) << chunk << ": " << outcome.fed.error().message;
    ASSERT_TRUE(outcome.finished.ok()) << chunk;
    ASSERT_THAT(outcome.items, ElementsAre(R"({"a":"}]\"\\"})", R"({"b":[[{"c":{}}],"{"]})", "{}"));
    EXPECT_EQ(outcome.head.kind, "PodList");
    EXPECT_EQ(outcome.head.resource_version, "42");
    EXPECT_EQ(outcome.head.continue_token, "abc=/+");
  }
}

TEST(JsonSplitter, ListForms) {
  for (std::string_view text :
       {R"({})", R"({"items":null})", R"({"items":[]})", R"({"items":{"a":[{}]}})",
        R"({"metadata":{},"items":[ ]})", R"({"a":1,"b":-1.5e+3,"c":true,"d":null})",
        R"({"metadata":{"items":[{}]}})"}) {
    auto outcome = split(Mode::list, text, 1);
    EXPECT_TRUE(outcome.finished.ok()) << text;
    EXPECT_THAT(outcome.items, IsEmpty()) << text;
  }
  // Escaped keys are the keys they stand for.
  EXPECT_THAT(split(Mode::list, R"({"i\u0074ems":[{"a":1}]})", 1).items, ElementsAre(R"({"a":1})"));
}

TEST(JsonSplitter, StatusInPlaceOfAList) {
  constexpr std::string_view text =
      R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
      R"("message":"pods is \"forbidden\"","reason":"Forbidden","details":{"code":1},"code":403})";
  for (std::size_t chunk : {std::size_t{1}, text.size()}) {
    auto outcome = split(Mode::list, text, chunk);
    EXPECT_TRUE(outcome.finished.ok());
    EXPECT_EQ(outcome.head.kind, "Status");
    EXPECT_EQ(outcome.head.code, 403);
    EXPECT_EQ(outcome.head.reason, "Forbidden");
    EXPECT_EQ(outcome.head.message, "pods is \"forbidden\"");
  }
  auto again = kube::parse_status(text);
  EXPECT_EQ(again.kind, "Status");
  EXPECT_EQ(again.code, 403);
  EXPECT_EQ(again.reason, "Forbidden");
  EXPECT_EQ(again.message, "pods is \"forbidden\"");
}

TEST(JsonSplitter, Mistakes) {
  struct Case {
    Mode mode;
    std::string_view text;
    std::string_view message;
  };
  for (const auto& test :
       std::vector<Case>{{Mode::list, "[", "expected an object"},
                         {Mode::list, "<html>", "expected an object"},
                         {Mode::list, "{a", "expected a key"},
                         {Mode::list, R"({"a" 1)", "expected a colon"},
                         {Mode::list, R"({"a":})", "expected a value"},
                         {Mode::list, R"({"a":1 2)", "expected a comma"},
                         {Mode::list, R"({"a":1,})", "expected a key"},
                         {Mode::list, R"({"items":[1])", "an item is not an object"},
                         {Mode::list, R"({"items":[null])", "an item is not an object"},
                         {Mode::list, R"({"items":[{},])", "an item is not an object"},
                         {Mode::list, R"({"items":[{} {})", "expected a comma"},
                         {Mode::list, R"({"items":[{"a":[}])", "brackets do not match"},
                         {Mode::list, R"({"items":[{]])", "brackets do not match"},
                         {Mode::list, R"({}{)", "something follows"},
                         {Mode::stream, "{}x", "expected an object"},
                         {Mode::stream, "[", "expected an object"},
                         {Mode::stream, "{]", "brackets do not match"}}) {
    for (std::size_t chunk : {std::size_t{1}, test.text.size()}) {
      auto outcome = split(test.mode, test.text, chunk);
      ASSERT_FALSE(outcome.fed.ok()) << test.text;
      EXPECT_EQ(outcome.fed.error().code, Errc::invalid_input);
      EXPECT_THAT(outcome.fed.error().message, HasSubstr(std::string(test.message))) << test.text;
      ASSERT_FALSE(outcome.finished.ok());
      EXPECT_EQ(outcome.finished.error().message, outcome.fed.error().message);
    }
  }
}

TEST(JsonSplitter, AnErrorStays) {
  JsonSplitter splitter(Mode::stream, [](std::string_view) { FAIL(); });
  auto first = splitter.feed("  x");
  ASSERT_FALSE(first.ok());
  EXPECT_THAT(first.error().message, HasSubstr("byte 2"));
  auto second = splitter.feed("{}");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().message, first.error().message);
}

TEST(JsonSplitter, EveryTruncationIsNoticed) {
  auto text = base::trim(pod_list);
  for (std::size_t size = 0; size < text.size(); ++size) {
    auto outcome = split(Mode::list, text.substr(0, size));
    ASSERT_TRUE(outcome.fed.ok()) << size;
    ASSERT_FALSE(outcome.finished.ok()) << size;
    EXPECT_EQ(outcome.finished.error().code, Errc::unavailable);
  }
}

TEST(JsonSplitter, Stream) {
  std::string text = "\n{\"type\":\"ADDED\",\"object\":{\"a\":\"\\\\\"}}\r\n{}{\"b\":[]} \n";
  for (std::size_t chunk = 1; chunk <= text.size(); ++chunk) {
    auto outcome = split(Mode::stream, text, chunk);
    ASSERT_TRUE(outcome.finished.ok()) << chunk;
    EXPECT_THAT(outcome.items, ElementsAre("{\"type\":\"ADDED\",\"object\":{\"a\":\"\\\\\"}}", "{}",
                                           "{\"b\":[]}"));
  }
  EXPECT_TRUE(split(Mode::stream, "").finished.ok());
  auto cut = split(Mode::stream, R"({}{"type":)");
  EXPECT_THAT(cut.items, ElementsAre("{}"));
  ASSERT_FALSE(cut.finished.ok());
  EXPECT_EQ(cut.finished.error().code, Errc::unavailable);
}

TEST(JsonSplitter, SizeIsBounded) {
  for (std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    auto fits = cat(R"({"a":")", std::string(92, 'x'), "\"}");
    ASSERT_EQ(fits.size(), 100U);
    auto outcome = split(Mode::stream, fits, chunk, 100);
    EXPECT_TRUE(outcome.finished.ok()) << chunk;
    EXPECT_EQ(outcome.peak, chunk < 100 ? 100U : 0U);
    auto large = split(Mode::stream, cat(' ', fits.substr(0, 98), "x\"}"), chunk, 100);
    ASSERT_FALSE(large.fed.ok()) << chunk;
    EXPECT_THAT(large.fed.error().message, HasSubstr("larger than 100"));
    EXPECT_THAT(large.items, IsEmpty());
  }
}

TEST(JsonSplitter, WhatIsNotAnItemHasNoBoundAndNoMemory) {
  JsonSplitter splitter(
      Mode::list, [](std::string_view) {}, 100);
  ASSERT_TRUE(splitter.feed(R"({"extra":{"text":")").ok());
  std::string filler(10000, 'y');
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(splitter.feed(filler).ok());
  ASSERT_TRUE(splitter.feed(R"("},"message":")").ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(splitter.feed(filler).ok());
  ASSERT_TRUE(splitter.feed(R"(","items":[]})").ok());
  EXPECT_TRUE(splitter.finish().ok());
  EXPECT_EQ(splitter.peak(), 0U);
  EXPECT_EQ(splitter.head().message.size(), 1024U);
}

TEST(JsonSplitter, AContinueTokenIsNeverCutShort) {
  auto text = [](std::size_t size) {
    return cat(R"({"metadata":{"continue":")", std::string(size, 'x'), "\"}}");
  };
  EXPECT_EQ(split(Mode::list, text(16384), 1).head.continue_token.size(), 16384U);
  EXPECT_FALSE(split(Mode::list, text(16385), 1).fed.ok());
}

TEST(JsonSplitter, DepthIsBounded) {
  auto nested = [](std::size_t levels) {
    return cat(R"({"a":)", std::string(levels - 1, '['), std::string(levels - 1, ']'), '}');
  };
  EXPECT_TRUE(split(Mode::stream, nested(128)).finished.ok());
  auto deep = split(Mode::stream, nested(129));
  ASSERT_FALSE(deep.fed.ok());
  EXPECT_THAT(deep.fed.error().message, HasSubstr("too deeply"));
}

TEST(WatchEvent, TypeAndObject) {
  auto event = kube::parse_watch_event(
      R"( { "object" : {"metadata":{"resourceVersion":"7"},"type":"no","x":"\"}"} , "type" : "ADDED" } )");
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->type, "ADDED");
  EXPECT_EQ(event->object, R"({"metadata":{"resourceVersion":"7"},"type":"no","x":"\"}"})");
  EXPECT_EQ(kube::resource_version_of(event->object), "7");
  for (std::string_view bad :
       {R"({})", R"({"type":"ADDED"})", R"({"object":{}})", R"({"type":1,"object":{}})",
        R"({"type":"ADDED","object":null})", R"({"type":"ADDED","object":[]})", R"({"type")", "",
        R"({"type":"a,"object":{}})", "{,}", "{\"\\"})
    EXPECT_FALSE(kube::parse_watch_event(bad).ok()) << bad;
}

TEST(WatchEvent, ResourceVersion) {
  EXPECT_EQ(kube::resource_version_of(R"({"spec":{"metadata":{"resourceVersion":"1"}}})"), "");
  EXPECT_EQ(kube::resource_version_of(R"({"metadata":{"a":{"resourceVersion":"1"}}})"), "");
  EXPECT_EQ(kube::resource_version_of(R"({"metadata":null})"), "");
  EXPECT_EQ(kube::resource_version_of(R"({"metadata":{"resourceVersion":5}})"), "");
  EXPECT_EQ(kube::resource_version_of(R"({"metadata":{"n":"a:{","resourceVersion":"a\u0062"}})"),
            "ab");
}

}  // namespace
