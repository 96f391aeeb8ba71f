// HTTP/1.1 over TCP or TLS in coroutines: what ApiClient and PodWatch share.
// For this folder's .cpp files only, since it brings Asio along. One thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "kube/api.hpp"
#include "kube/tls.hpp"

namespace kube {

template <typename T>
using Task = boost::asio::awaitable<T>;
using CredentialPtr = std::shared_ptr<const Credential>;

struct AnswerHead {
  int status = 0;
  std::chrono::seconds retry_after{0};  ///< 0: the server does not say
};

/// Takes an answer as its bytes come; nothing of it is kept elsewhere.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  /// Once, before the body.
  virtual void head(const AnswerHead& head) = 0;
  /// A piece of the body. An error ends the exchange with that error.
  virtual base::Status body(std::string_view bytes) = 0;
  /// Until when to wait for the next bytes; asked before each wait.
  virtual base::Deadline deadline() = 0;
  /// Of the whole body; nothing: endless.
  [[nodiscard]] virtual std::optional<std::uint64_t> body_limit() const = 0;
};

/// One connection. Held by shared_ptr: a coroutine inside keeps it alive.
class HttpConnection {
 public:
  /// `tls` may be null when the credential's server speaks plain HTTP.
  HttpConnection(boost::asio::any_io_executor executor, CredentialPtr credential, SSL_CTX* tls);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  /// Name lookup, TCP and TLS. Errors as of kube::Client::get.
  Task<base::Status> connect(base::Deadline deadline);
  /// Sends `request`, a complete one, and passes the answer to `sink`.
  Task<base::Status> exchange(std::string request, AnswerSink& sink);

  /// Whether any byte of an answer came in the last exchange.
  [[nodiscard]] bool answered() const;
  /// Whether another request may be sent: the answer was complete, the server
  /// keeps the connection, and nothing has come since, not even its end.
  [[nodiscard]] bool reusable() const;
  [[nodiscard]] const Credential& credential() const;
  /// Everything under way ends with Errc::unavailable, soon.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The TLS context of the newest credential: making one costs milliseconds.
class TlsContexts {
 public:
  /// Null for plain HTTP. Errc::invalid_input names the credential's source.
  base::Result<SSL_CTX*> get(const Credential& credential);

 private:
  std::optional<std::uint64_t> generation_;
  SslCtx context_;
};

/// What one coroutine does, in a form that its owner can end: after stop(),
/// every wait ends soon and neither provider nor sinks are touched again.
class Conversation {
 public:
  Conversation(boost::asio::any_io_executor executor, CredentialProvider& provider,
               std::shared_ptr<TlsContexts> contexts);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  /// One request with the current credential, on `connection` if it may be used
  /// again and on a new one otherwise. Errors name the server and are otherwise
  /// those of kube::Client::get, or the provider's.
  Task<base::Status> perform(const ApiRequest& request, AnswerSink& sink, base::Deadline deadline);
  Task<void> sleep(std::chrono::milliseconds span);

  void stop();
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// Of the credential used last; nothing before the first.
  [[nodiscard]] std::optional<std::uint64_t> generation() const { return generation_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }

  std::shared_ptr<HttpConnection> connection;

 private:
  struct Signal;
  Task<base::Result<CredentialPtr>> credential(base::Deadline deadline);
  Task<base::Status> open(CredentialPtr credential, base::Deadline deadline);

  boost::asio::any_io_executor executor_;
  CredentialProvider& provider_;
  std::shared_ptr<TlsContexts> contexts_;
  std::shared_ptr<Signal> signal_;  // the wait for time or for the provider
  bool stopped_ = false;
  std::optional<std::uint64_t> generation_;
  std::uint64_t sent_ = 0;
};

}  // namespace kube
