// What the blocking and the asynchronous client share: TLS contexts, whom to
// trust, what a failure means, and the head of a request.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "kube/config.hpp"

namespace kube {

template <auto free_function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using SslCtx = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Deleter<SSL_free>>;

/// Reads certificates and keys, and makes no connection. Costs milliseconds.
base::Result<SslCtx> make_tls_context(const ClientConfig& config);

/// The server's name, to be sent and to be found in its certificate.
base::Status set_server_name(SSL* ssl, const ClientConfig& config);

/// True when nothing in `text` could end a header line or a field of it.
bool plain_visible(std::string_view text);

/// Errc::invalid_input when host, path or token cannot be part of a request.
base::Status check_config(const ClientConfig& config);

/// Host, User-Agent, Accept and Authorization, each line with its end.
std::string common_headers(const ClientConfig& config);

/// The newest reason in OpenSSL's error queue, which is emptied.
std::string ssl_reason();

/// What an SSL_ERROR_SSL with this error code means.
base::Error tls_failure(unsigned long code);
/// The server's certificate does not hold; `verdict` is SSL_get_verify_result's.
base::Error verify_failure(const ClientConfig& config, long verdict);

base::Error connect_failure(const ClientConfig& config, int errno_value);
base::Error connect_timeout(const ClientConfig& config);
base::Error answer_timeout();
base::Error connection_failure(int errno_value);  ///< 0: closed by the server
base::Error closed_in_answer(bool answered);
base::Error body_too_large();
base::Error header_too_large();
base::Error not_http(std::string_view reason);

}  // namespace kube
