// A bounded HTTP/1.1 server for metrics, readiness and the log relay, on TCP or
// a Unix socket. On the io_context's thread; handlers do not block.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "istio-cni-node/http_message.hpp"

namespace boost::asio {
class io_context;
}

namespace istio_cni_node {

/// Requests the server itself refuses (malformed, too large, another method)
/// never reach the handler; one that throws is answered with 500. When the
/// process has no descriptor left for a new client, accepting pauses for 100 ms.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  /// host "": every address of both families, of IPv4 alone where the kernel has
  /// no IPv6. A name is looked up (blocking). Errors name the address.
  static base::Result<HttpServer> listen_tcp(boost::asio::io_context& io, const std::string& host,
                                             std::uint16_t port, HttpLimits limits,
                                             Handler handler);
  /// A stale socket file is replaced; a live one (somebody answers), and a file
  /// that is no socket, is an error. The file has its mode before anybody can
  /// connect, and is removed at the end unless another server replaced it.
  static base::Result<HttpServer> listen_unix(boost::asio::io_context& io, const std::string& path,
                                              mode_t mode, HttpLimits limits, Handler handler);
  HttpServer(HttpServer&&) noexcept;
  HttpServer& operator=(HttpServer&&) noexcept;
  ~HttpServer();  ///< closes everything at once; the handler is not called again

  [[nodiscard]] std::uint16_t port() const;  ///< of the TCP socket; 0 for a Unix one

 private:
  struct Impl;
  explicit HttpServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace istio_cni_node
