// The bytes of HTTP/1.1: requests out of what a client sends, and the head of an
// answer. Pure; the sockets are http_server's.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace istio_cni_node {

struct HttpRequest {
  std::string method;  ///< "GET", "POST"; HEAD is shown as GET
  std::string path;    ///< as sent (not decoded), without the query; begins with '/'
  std::string body;
};
struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

struct HttpLimits {
  std::size_t connections = 32;  ///< more are closed at once, the oldest idle first
  std::size_t header = std::size_t{8} << 10;
  std::size_t body = 0;                     ///< 0: requests with a body get 413, POST gets 405
  std::chrono::milliseconds request{5000};  ///< for one whole request and its answer
  std::chrono::milliseconds idle{30000};    ///< kept alive between requests
};

inline constexpr std::size_t max_http_target = 2048;  ///< longer ones get 414

/// One client's requests, one after the other, out of the bytes it sends.
/// Holds at most the limits' header and body and one buffer of about the
/// header's size. After a refusal nothing more is read from the client: what
/// follows might be the body of what was refused, not a request.
class HttpInput {
 public:
  enum class Next {
    more,     ///< append() more
    go_on,    ///< the client waits for "100 Continue" before it sends the body; once a request
    request,  ///< a whole one: take() it
    refused,  ///< answer with refusal() and close
  };
  struct Received {
    HttpRequest request;
    bool head = false;  ///< the answer goes without its body
    bool keep_alive = false;
    bool http_1_0 = false;
  };

  explicit HttpInput(const HttpLimits& limits);
  HttpInput(HttpInput&&) noexcept;
  HttpInput& operator=(HttpInput&&) noexcept;
  ~HttpInput();

  /// How many bytes append() takes now; never 0 after Next::more.
  [[nodiscard]] std::size_t room() const;
  void append(std::string_view bytes);
  Next next();
  /// After Next::request, once; the next request begins.
  Received take();
  /// After Next::refused: its status, and the reason as body.
  [[nodiscard]] const HttpResponse& refusal() const;
  /// Between requests: no byte of the next one is there.
  [[nodiscard]] bool idle() const;
  /// What Allow says in an answer with 405.
  [[nodiscard]] std::string_view allowed() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct HttpHeadOptions {
  bool keep_alive = false;
  bool http_1_0 = false;   ///< where keeping alive has to be said
  std::string_view allow;  ///< the methods, for 405; "" leaves the field out
};
/// Status line and fields, to the empty line. Content-Length is the body's size.
std::string http_head(const HttpResponse& response, const HttpHeadOptions& options,
                      std::chrono::system_clock::time_point now);

}  // namespace istio_cni_node
