// The agent's asynchronous client of the API server. One thread: every member
// is called, and every callback runs, on the io_context's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "kube/client.hpp"
#include "kube/credentials.hpp"

namespace boost::asio {
class io_context;
}

namespace kube {

/// Hands out the current credential; `done` is called once, later. The agent's
/// implementation reads files on the worker thread.
class CredentialProvider {
 public:
  virtual ~CredentialProvider() = default;
  using Done = std::function<void(base::Result<std::shared_ptr<const Credential>>)>;
  virtual void get(Done done) = 0;
  virtual void rejected(std::uint64_t generation) = 0;
};

struct ApiRequest {
  enum class Method { get, post, patch, del };
  Method method = Method::get;
  std::string target;        ///< path and query, percent-encoded, below the base path
  std::string content_type;  ///< of `body`
  std::string body;
  /// Called each time before it goes out: what fails without has had no effect.
  std::function<void()> sending = {};
};

/// Up to four kept-alive connections, made when needed; requests beyond that
/// wait in order. A connection made with an older credential is not used again
/// once the credential has changed. A request on a kept-alive connection that
/// the server closed meanwhile is sent once more on a new one, unless it is a
/// POST that may have been received.
class ApiClient {
 public:
  ApiClient(boost::asio::io_context& io, CredentialProvider& credentials);
  /// Outstanding requests end with Errc::unavailable, without their callbacks.
  ~ApiClient();

  /// Errors as of kube::Client::get; any HTTP status is a Response. 401 tells
  /// the provider, and the request is tried once more with what it then gives.
  void request(ApiRequest request, base::Deadline deadline,
               std::function<void(base::Result<Response>)> done);

  [[nodiscard]] std::uint64_t requests() const;  ///< sent since the start

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace kube
