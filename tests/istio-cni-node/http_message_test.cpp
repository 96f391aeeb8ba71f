#include "istio-cni-node/http_message.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

using istio_cni_node::http_head;
using istio_cni_node::HttpInput;
using istio_cni_node::HttpLimits;
using Next = HttpInput::Next;

HttpLimits with_body(std::size_t body) {
  HttpLimits limits;
  limits.body = body;
  return limits;
}

/// All requests in `bytes`, given in pieces of `step`, as "METHOD PATH BODY;",
/// and "!STATUS" at a refusal, "+" for a wish to go on.
std::string requests_in(std::string_view bytes, const HttpLimits& limits,
                        std::size_t step = 1 << 20) {
  HttpInput input(limits);
  std::string seen;
  for (;;) {
    switch (input.next()) {
      case Next::more: {
        if (bytes.empty()) return seen;
        EXPECT_GT(input.room(), 0U);
        const auto piece = bytes.substr(0, std::min(step, input.room()));
        input.append(piece);
        bytes.remove_prefix(piece.size());
        break;
      }
      case Next::go_on:
        seen.append("+");
        break;
      case Next::request: {
        const auto got = input.take();
        seen.append(got.request.method + " " + got.request.path + " " + got.request.body + ";");
        if (!got.keep_alive) return seen + "close";
        break;
      }
      case Next::refused:
        return seen + "!" + std::to_string(input.refusal().status);
    }
  }
}

struct Case {
  const char* name;
  std::string bytes;
  std::size_t body;
  const char* expected;
};

std::string post(const std::string& fields, const std::string& body) {
  return "POST /log HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body;
}
std::string with_fields(const std::string& fields) {
  return "GET / HTTP/1.1\r\n" + fields + "\r\n";
}

const Case cases[] = {
    {"a plain request", with_fields("Host: x\r\n"), 0, "GET / ;"},
    {"HEAD is shown as GET", "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 0, "GET /metrics ;"},
    {"the query is cut", "GET /metrics?a=/b HTTP/1.1\r\nHost: x\r\n\r\n", 0, "GET /metrics ;"},
    {"absolute form", "GET http://h:1/readyz?x HTTP/1.1\r\nHost: x\r\n\r\n", 0, "GET /readyz ;"},
    {"absolute form without path", "GET HTTP://h HTTP/1.1\r\nHost: x\r\n\r\n", 0, "GET / ;"},
    {"no path", "GET metrics HTTP/1.1\r\nHost: x\r\n\r\n", 0, "!400"},
    {"asterisk", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 0, "!400"},
    {"one empty line before", "\r\n" + with_fields("Host: x\r\n"), 0, "GET / ;"},
    {"two empty lines before", "\r\n\r\n" + with_fields("Host: x\r\n"), 0, "!400"},
    {"a continued field", with_fields("Host: x\r\nA: b\r\n c\r\n"), 0, "!400"},
    {"a continued first field", "GET / HTTP/1.1\r\n\tHost: x\r\n\r\n", 0, "!400"},
    {"a field without colon", with_fields("Host: x\r\nA\r\n"), 0, "!400"},
    {"pipelined", with_fields("Host: x\r\n") + "HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n", 0,
     "GET / ;GET /b ;"},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n" + with_fields("Host: x\r\n"), 0, "GET / ;close"},
    {"HTTP/1.0 that keeps alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, "GET / ;"},
    {"Connection: close", with_fields("Host: x\r\nConnection: Close\r\n"), 0, "GET / ;close"},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 0, "!505"},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, "!505"},
    {"TLS hello", std::string("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 11), 0, "!400"},
    {"no Host", with_fields(""), 0, "!400"},
    {"two Hosts", with_fields("Host: x\r\nHost: x\r\n"), 0, "!400"},
    {"space before colon", with_fields("Host : x\r\n"), 0, "!400"},
    {"NUL in a field", with_fields(std::string("Host: x\0y\r\n", 11)), 0, "!400"},
    {"unknown method", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 0, "!405"},
    {"DELETE", "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 9, "!405"},
    {"POST where no body is taken", post("", ""), 0, "!405"},
    {"body where none is taken", post("Content-Length: 1\r\n", "x"), 0, "!413"},
    {"GET with a body", with_fields("Host: x\r\nContent-Length: 3\r\n") + "abc", 0, "!413"},
    {"chunked body where none is taken",
     with_fields("Host: x\r\nTransfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\n\r\n", 0, "!413"},
    {"Content-Length 0", with_fields("Host: x\r\nContent-Length: 0\r\n"), 0, "GET / ;"},
    {"body", post("Content-Length: 3\r\n", "abc") + with_fields("Host: x\r\n"), 3,
     "POST /log abc;GET / ;"},
    {"body too long", post("Content-Length: 4\r\n", "abcd"), 3, "!413"},
    {"body far too long", post("Content-Length: 18446744073709551615\r\n", ""), 3, "!413"},
    {"length above 64 bits", post("Content-Length: 18446744073709551616\r\n", ""), 3, "!400"},
    {"negative length", post("Content-Length: -1\r\n", ""), 3, "!400"},
    {"two lengths", post("Content-Length: 3\r\nContent-Length: 2\r\n", "abc"), 3, "!400"},
    {"chunked", post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"), 3,
     "POST /log abc;"},
    {"chunked and empty", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 3, "POST /log ;"},
    {"chunked, empty, with trailer",
     post("Transfer-Encoding: chunked\r\n", "0\r\nT: v\r\n\r\n") + with_fields("Host: x\r\n"), 3,
     "POST /log ;GET / ;"},
    {"chunked with trailer",
     post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX: y\r\n\r\n") +
         with_fields("Host: x\r\n"),
     3, "POST /log abc;GET / ;"},
    {"chunked body too long",
     post("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), 3, "!413"},
    {"bad chunk size", post("Transfer-Encoding: chunked\r\n", "z\r\nab\r\n"), 3, "!400"},
    {"bad chunk end", post("Transfer-Encoding: chunked\r\n", "1\r\nabcdef\r\n"), 3, "!400"},
    // what ends where must be beyond doubt
    {"length and chunked", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", ""), 3,
     "!400"},
    {"chunked and length", post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", ""), 3,
     "!400"},
    {"other coding", post("Transfer-Encoding: gzip\r\n", "GET / HTTP/1.1\r\n\r\n"), 99, "!501"},
    {"two codings", post("Transfer-Encoding: gzip, chunked\r\n", ""), 99, "!501"},
    {"coding after chunked", post("Transfer-Encoding: chunked, identity\r\n", ""), 99, "!501"},
    {"coding in two fields", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", ""),
     99, "!501"},
    {"coding and length", post("Transfer-Encoding: x\r\nContent-Length: 2\r\n", "ab"), 99, "!501"},
    {"coding of HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 99, "!400"},
    {"garbage after a request",
     with_fields("Host: x\r\n") + "\x01\x02garbage\r\n\r\n" + with_fields("Host: x\r\n"), 0,
     "GET / ;!400"},
    {"a refused body is no request", post("Content-Length: 60\r\n", with_fields("Host: evil\r\n")),
     3, "!413"},
    {"unknown expectation", post("Expect: wonders\r\nContent-Length: 1\r\n", "a"), 3, "!417"},
    {"expectation of HTTP/1.0",
     "POST / HTTP/1.0\r\nExpect: 100-continue\r\n"
     "Content-Length: 1\r\n\r\na",
     3, "POST / a;close"},
    {"a body that is too long need not go on",
     post("Expect: 100-continue\r\nContent-Length: 4\r\n", ""), 3, "!413"},
};

class Messages : public testing::TestWithParam<Case> {};

TEST_P(Messages, Whole) {
  EXPECT_EQ(requests_in(GetParam().bytes, with_body(GetParam().body)), GetParam().expected);
}

TEST_P(Messages, AnyPieces) {
  for (const std::size_t step : {1U, 2U, 3U, 7U})
    EXPECT_EQ(requests_in(GetParam().bytes, with_body(GetParam().body), step), GetParam().expected)
        << "in pieces of " << step;
}

INSTANTIATE_TEST_SUITE_P(All, Messages, testing::ValuesIn(cases), [](const auto& test) {
  std::string name;
  for (const char c : std::string(test.param.name)) name.push_back(std::isalnum(c) ? c : '_');
  return name;
});

TEST(HttpInput, TargetsAndHeadersAreBounded) {
  const auto target = [](std::size_t size) {
    return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n";
  };
  const auto max = istio_cni_node::max_http_target;
  EXPECT_EQ(requests_in(target(max), {}), "GET /" + std::string(max - 1, 'a') + " ;");
  EXPECT_EQ(requests_in(target(max + 1), {}), "!414");
  EXPECT_EQ(requests_in(target(100000), {}), "!414");
  EXPECT_EQ(requests_in(target(100000), {}, 100), "!414");
  EXPECT_EQ(requests_in(with_fields("Host: x\r\nX: " + std::string(8000, 'y') + "\r\n"), {}),
            "GET / ;");
  EXPECT_EQ(requests_in(with_fields("Host: x\r\nX: " + std::string(8200, 'y') + "\r\n"), {}),
            "!431");
  std::string many = "Host: x\r\n";
  for (int i = 0; i < 3000; ++i) many.append("A: b\r\n");
  EXPECT_EQ(requests_in(with_fields(many), {}), "!431");
  EXPECT_EQ(requests_in(with_fields(many), {}, 10), "!431");
}

TEST(HttpInput, ChunkFramingIsBounded) {
  const auto start = post("Transfer-Encoding: chunked\r\n", "");
  for (const std::size_t step : {std::size_t{1} << 20, std::size_t{1000}}) {
    EXPECT_EQ(requests_in(start + "1;" + std::string(100000, 'x'), with_body(99), step), "!400");
    std::string trailers = "0\r\n";
    for (int i = 0; i < 20000; ++i) trailers.append("A: b\r\n");
    EXPECT_EQ(requests_in(start + trailers, with_body(99), step), "!400");
  }
}

TEST(HttpInput, BareLineFeedsAreNoLineEnds) {
  for (const std::size_t step : {1U, 3U, 1000U})
    for (const char* bytes :
         {"GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: x\r\n\n", "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n"}) {
      const auto seen = requests_in(bytes, {}, step);
      EXPECT_EQ(seen.find("GET"), std::string::npos) << bytes << " gives " << seen;
    }
}

TEST(HttpInput, GoesOnOnceAndOnlyWhenTheBodyIsAwaited) {
  HttpInput input(with_body(10));
  const auto head = post("Expect: 100-continue\r\nContent-Length: 3\r\n", "");
  input.append(head);
  ASSERT_EQ(input.next(), Next::go_on);
  ASSERT_EQ(input.next(), Next::more);
  input.append("a");
  ASSERT_EQ(input.next(), Next::more);
  input.append("bc");
  ASSERT_EQ(input.next(), Next::request);
  EXPECT_EQ(input.take().request.body, "abc");
  input.append(head + "a");
  EXPECT_EQ(input.next(), Next::more) << "the client did not wait";
  input.append("bc" + post("Expect: 100-Continue\r\nContent-Length: 0\r\n", ""));
  ASSERT_EQ(input.next(), Next::request);
  (void)input.take();
  EXPECT_EQ(input.next(), Next::request) << "there is no body to wait for";
}

TEST(HttpInput, IdleMeansNoByteOfARequest) {
  HttpInput input({});
  EXPECT_TRUE(input.idle());
  EXPECT_EQ(input.next(), Next::more);
  EXPECT_TRUE(input.idle());
  input.append("\r\n");
  EXPECT_EQ(input.next(), Next::more);
  EXPECT_FALSE(input.idle()) << "empty lines do not keep a connection alive";
  input.append("G");
  EXPECT_FALSE(input.idle());
  ASSERT_EQ(input.next(), Next::more);
  EXPECT_FALSE(input.idle());
  input.append("ET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_EQ(input.next(), Next::request);
  (void)input.take();
  EXPECT_TRUE(input.idle());
}

TEST(HttpInput, ARefusalIsFinalAndHasAReason) {
  HttpInput input({});
  input.append("BREW / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_EQ(input.next(), Next::refused);
  EXPECT_EQ(input.refusal().body, "this method is not allowed\n");
  EXPECT_EQ(input.allowed(), "GET, HEAD");
  input.append(with_fields("Host: x\r\n"));
  EXPECT_EQ(input.next(), Next::refused);
  EXPECT_EQ(HttpInput(with_body(1)).allowed(), "GET, HEAD, POST");
}

TEST(HttpHead, SaysWhatIsNeededAndNoMore) {
  const auto when = std::chrono::system_clock::from_time_t(784111777);
  EXPECT_EQ(http_head({200, "text/plain", "12345"}, {true, false, ""}, when),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(http_head({405, "", ""}, {false, false, "GET, HEAD"}, when),
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Length: 0\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n");
  EXPECT_NE(http_head({}, {true, true, ""}, when).find("Connection: keep-alive\r\n"),
            std::string::npos);
}

}  // namespace
