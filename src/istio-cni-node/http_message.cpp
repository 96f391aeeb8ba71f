#include "istio-cni-node/http_message.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>
#include <ctime>
#include <optional>
#include <utility>

#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

namespace http = boost::beast::http;
using base::cat;
using Parser = http::request_parser<http::string_body>;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

HttpResponse refusal_of(int status, std::string_view reason) {
  return {status, "text/plain; charset=utf-8", cat(reason, "\n")};
}

/// The path of a request target in origin or absolute form; empty for others.
std::string_view path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    const auto start = target.substr(0, scheme.size());
    if (!boost::beast::iequals({start.data(), start.size()}, {scheme.data(), scheme.size()}))
      continue;
    const auto slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (!target.starts_with('/')) return {};
  return target.substr(0, target.find_first_of("?#"));
}

}  // namespace

struct HttpInput::Impl {
  explicit Impl(const HttpLimits& given) : limits(given) {}

  [[nodiscard]] std::size_t capacity() const { return limits.header + 4096; }
  [[nodiscard]] bool takes_bodies() const { return limits.body > 0; }

  Next refuse(int status, std::string_view reason) {
    refused = refusal_of(status, reason);
    parser.reset();
    buffer = {};
    return Next::refused;
  }

  Next refuse(const boost::system::error_code& error) {
    if (error == http::error::body_limit) {
      if (!takes_bodies()) return refuse(413, "no body is taken here");
      return refuse(413, cat("the body is longer than ", limits.body, " bytes"));
    }
    if (error == http::error::header_limit) return refuse_long_header();
    if (error == http::error::bad_version) return refuse(505, "HTTP/1.0 and HTTP/1.1 only");
    return refuse(400, cat("malformed request: ", error.message()));
  }

  Next refuse_long_header() {
    if (buffer.find("\r\n", 2) > limits.header)
      return refuse(414, cat("the target is longer than ", max_http_target, " bytes"));
    return refuse(431, cat("the header is longer than ", limits.header, " bytes"));
  }

  /// Gives the parser what is there, at most `size` bytes. False: it needs more.
  bool feed(std::size_t size, boost::system::error_code& error) {
    const auto used = parser->put(boost::asio::buffer(buffer, size), error);
    buffer.erase(0, used);
    if (error == http::error::need_more) {
      error = {};
      return false;
    }
    return used > 0 || parser->is_done();
  }

  Next next() {
    if (refused) return Next::refused;
    if (!parser)
      if (auto next = next_header()) return *next;
    boost::system::error_code error;
    while (!parser->is_done()) {
      // at least this much of a chunked body is always to come; Beast 1.81 asserts
      // it when the last chunk is the first, and resumed
      constexpr std::size_t shortest_end = 5;  // "0\r\n\r\n"
      if (parser->chunked() && buffer.size() < shortest_end) return Next::more;
      const bool progress = feed(buffer.size(), error);
      if (error) return refuse(error);
      if (progress) continue;
      if (buffer.size() >= capacity())
        return refuse(400, "a part of the body's framing is too long");
      return Next::more;
    }
    return Next::request;
  }

  /// The header is parsed when all of it is there: what it means must not depend
  /// on the pieces it came in.
  std::optional<Next> next_header() {
    // an empty line before a request is a known habit of old clients
    const std::size_t start = buffer.starts_with("\r\n") ? 2 : 0;
    const auto end = buffer.find("\r\n\r\n", start);
    if (end == std::string::npos ? buffer.size() > limits.header : end + 4 > limits.header)
      return refuse_long_header();
    // another protocol is told so at once
    if (buffer.size() > start && !std::isalpha(static_cast<unsigned char>(buffer[start])) &&
        buffer != "\r")
      return refuse(400, "malformed request: no method");
    if (end == std::string::npos) return Next::more;
    buffer.erase(0, start);
    const auto size = end + 4 - start;
    if (folded(size)) return refuse(400, "a field is continued on the next line");

    parser.emplace();
    parser->header_limit(static_cast<std::uint32_t>(limits.header + 1));
    parser->body_limit(limits.body);
    boost::system::error_code error;
    (void)feed(size, error);
    if (error) return refuse(error);
    if (!parser->is_header_done()) return refuse(400, "malformed request");
    return judge_header();
  }

  /// Does a line of the header's `size` bytes begin with a blank? RFC 9112, 5.2.
  [[nodiscard]] bool folded(std::size_t size) const {
    const std::string_view header(buffer.data(), size);
    return header.find("\r\n ") != std::string_view::npos ||
           header.find("\r\n\t") != std::string_view::npos;
  }

  /// What the parser lets through and we do not.
  std::optional<Next> judge_header() {
    const auto& head = parser->get();
    if (head.target().size() > max_http_target)
      return refuse(414, cat("the target is longer than ", max_http_target, " bytes"));
    if (auto next = judge_framing(head)) return next;
    const bool post = head.method() == http::verb::post && takes_bodies();
    if (head.method() != http::verb::get && head.method() != http::verb::head && !post)
      return refuse(405, "this method is not allowed");
    if (path_of(view(head.target())).empty()) return refuse(400, "the target is no path");
    const auto expect = head.find(http::field::expect);
    if (expect == head.end() || head.version() < 11) return std::nullopt;
    if (!boost::beast::iequals(expect->value(), "100-continue"))
      return refuse(417, "only 100-continue can be expected");
    if (parser->is_done() || !buffer.empty()) return std::nullopt;
    return Next::go_on;
  }

  /// Where a request ends must be beyond doubt (RFC 9112, 6.3 and 11.2).
  std::optional<Next> judge_framing(const http::request<http::string_body>& head) {
    const auto hosts = head.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && head.version() >= 11))
      return refuse(400, "exactly one Host field is needed");
    const auto codings = head.count(http::field::transfer_encoding);
    if (codings == 0) return std::nullopt;
    if (head.version() < 11) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    if (codings > 1 || !boost::beast::iequals(head[http::field::transfer_encoding], "chunked"))
      return refuse(501, "the only Transfer-Encoding is chunked");
    if (head.count(http::field::content_length) > 0)
      return refuse(400, "both Content-Length and Transfer-Encoding");
    return std::nullopt;
  }

  Received take() {
    const bool keep_alive = parser->keep_alive();
    auto message = parser->release();
    parser.reset();
    Received received;
    received.head = message.method() == http::verb::head;
    received.keep_alive = keep_alive;
    received.http_1_0 = message.version() < 11;
    received.request.method = message.method() == http::verb::post ? "POST" : "GET";
    received.request.path = path_of(view(message.target()));
    received.request.body = std::move(message.body());
    return received;
  }

  HttpLimits limits;
  std::string buffer;  ///< not yet taken by the parser
  std::optional<Parser> parser;
  std::optional<HttpResponse> refused;
};

HttpInput::HttpInput(const HttpLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
HttpInput::HttpInput(HttpInput&&) noexcept = default;
HttpInput& HttpInput::operator=(HttpInput&&) noexcept = default;
HttpInput::~HttpInput() = default;

std::size_t HttpInput::room() const {
  return impl_->capacity() - std::min(impl_->capacity(), impl_->buffer.size());
}

void HttpInput::append(std::string_view bytes) {
  if (!impl_->refused) impl_->buffer.append(bytes.substr(0, room()));
}

HttpInput::Next HttpInput::next() { return impl_->next(); }
HttpInput::Received HttpInput::take() { return impl_->take(); }
const HttpResponse& HttpInput::refusal() const { return *impl_->refused; }
bool HttpInput::idle() const { return !impl_->parser && impl_->buffer.empty(); }
std::string_view HttpInput::allowed() const {
  return impl_->takes_bodies() ? "GET, HEAD, POST" : "GET, HEAD";
}

std::string http_head(const HttpResponse& response, const HttpHeadOptions& options,
                      std::chrono::system_clock::time_point now) {
  constexpr std::array days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto seconds = std::chrono::system_clock::to_time_t(now);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  const auto two = [](int value) {
    return cat(static_cast<char>('0' + value / 10), static_cast<char>('0' + value % 10));
  };
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  auto head = cat("HTTP/1.1 ", response.status, ' ', view(reason),
                  "\r\nDate: ", days[static_cast<std::size_t>(utc.tm_wday)], ", ", two(utc.tm_mday),
                  ' ', months[static_cast<std::size_t>(utc.tm_mon)], ' ', utc.tm_year + 1900, ' ',
                  two(utc.tm_hour), ':', two(utc.tm_min), ':', two(utc.tm_sec), " GMT\r\n");
  if (!response.content_type.empty())
    head.append(cat("Content-Type: ", response.content_type, "\r\n"));
  head.append(cat("Content-Length: ", response.body.size(), "\r\n"));
  if (!options.allow.empty()) head.append(cat("Allow: ", options.allow, "\r\n"));
  if (!options.keep_alive)
    head.append("Connection: close\r\n");
  else if (options.http_1_0)
    head.append("Connection: keep-alive\r\n");
  return head.append("\r\n");
}

}  // namespace istio_cni_node
