// A blocking HTTP/1.1 client for one Kubernetes API server.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "kube/config.hpp"

namespace kube {

struct Response {
  int status = 0;
  std::string body;
};

inline constexpr std::size_t max_body_size = std::size_t{16} << 20;
inline constexpr std::size_t max_header_size = std::size_t{16} << 10;

/// Owns at most one connection, kept open between requests when the server
/// allows it. Movable; not for use by two threads at once. Starts no thread
/// except to look up a host name (see resolve.hpp).
class Client {
 public:
  /// Checks certificates and keys, and makes no connection.
  /// Errors: Errc::invalid_input naming config.source.
  static base::Result<Client> make(ClientConfig config);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  /// GETs `path_and_query` (begins with "/", already percent-encoded), below
  /// the server's base path. The deadline covers name lookup, connect, TLS and
  /// the whole answer. Any HTTP status is a Response; redirects are not followed.
  ///
  /// Errors, all naming the server:
  ///   unavailable    no connection, or it broke before the answer was complete
  ///   timeout        the deadline passed
  ///   refused        we do not trust the server's certificate
  ///   unauthorized   the server refuses our client certificate
  ///   invalid_input  what answers is not TLS or not HTTP, or too large
  base::Result<Response> get(std::string_view path_and_query, base::Deadline deadline);

  /// The URL as configured.
  [[nodiscard]] const std::string& server() const;

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kube
