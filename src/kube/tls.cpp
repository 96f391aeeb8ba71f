#include "kube/tls.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstring>

#include "base/strings.hpp"
#include "kube/client.hpp"
#include "kube/resolve.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;

using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

std::string errno_text(int value) {
  const char* text = strerrordesc_np(value);
  return text != nullptr ? text : cat("error ", value);
}

/// Never asks a terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) { return -1; }

Bio memory(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

base::Status add_authorities(SSL_CTX* context, const std::string& pem) {
  auto bio = memory(pem);
  auto* store = SSL_CTX_get_cert_store(context);
  int count = 0;
  for (; bio; ++count) {
    X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!certificate) break;
    if (X509_STORE_add_cert(store, certificate.get()) != 1)
      return Error{Errc::invalid_input, cat("certificate-authority: ", ssl_reason())};
  }
  bool clean_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  auto reason = ssl_reason();
  if (count == 0 || !clean_end)
    return Error{Errc::invalid_input, cat("certificate-authority: not PEM certificates: ", reason)};
  return base::success();
}

base::Status add_client_certificate(SSL_CTX* context, const ClientConfig& config) {
  auto bio = memory(config.cert_pem);
  X509Ptr leaf(bio ? PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr) : nullptr);
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1)
    return Error{Errc::invalid_input,
                 cat("client-certificate: not a PEM certificate: ", ssl_reason())};
  for (;;) {
    X509Ptr link(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!link) break;
    if (SSL_CTX_add1_chain_cert(context, link.get()) != 1) break;
  }
  ERR_clear_error();
  bio = memory(config.key_pem);
  Key key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr) : nullptr);
  if (!key)
    return Error{Errc::invalid_input, cat("client-key: not a PEM private key: ", ssl_reason())};
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return Error{Errc::invalid_input,
                 cat("client-key: does not fit client-certificate: ", ssl_reason())};
  return base::success();
}

/// The name that the certificate has to be for.
const std::string& server_name(const ClientConfig& config) {
  return config.tls_server_name.empty() ? config.host : config.tls_server_name;
}

}  // namespace

std::string ssl_reason() {
  auto code = ERR_peek_last_error();
  ERR_clear_error();
  if (const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr) return reason;
  return code == 0 ? "unknown error" : cat("error ", code);
}

base::Result<SslCtx> make_tls_context(const ClientConfig& config) {
  // No openssl.cnf: it may name engines and providers to load. No exit handler:
  // there is nothing to clean up that the kernel does not.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
  ERR_clear_error();
  SslCtx context(SSL_CTX_new(TLS_client_method()));
  if (!context) return Error{Errc::io, cat("TLS: ", ssl_reason())};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context.get(), no_passphrase);
  if (config.insecure) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  } else {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    // As client-go: any certificate given is an anchor, self-signed or not.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()), X509_V_FLAG_PARTIAL_CHAIN);
    if (config.ca_pem.empty()) {
      if (SSL_CTX_set_default_verify_paths(context.get()) != 1)
        return Error{Errc::io, cat("TLS: system certificate authorities: ", ssl_reason())};
    } else if (auto added = add_authorities(context.get(), config.ca_pem); !added) {
      return std::move(added).error();
    }
  }
  if (!config.cert_pem.empty() || !config.key_pem.empty())
    if (auto added = add_client_certificate(context.get(), config); !added)
      return std::move(added).error();
  return context;
}

base::Status set_server_name(SSL* ssl, const ClientConfig& config) {
  const auto& name = server_name(config);
  bool set = true;
  auto* verify = SSL_get0_param(ssl);
  if (is_ip_literal(name)) {
    if (!config.insecure) set = X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str()) == 1;
  } else {
    set = SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
    if (!config.insecure) {
      X509_VERIFY_PARAM_set_hostflags(
          verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
      set = set && X509_VERIFY_PARAM_set1_host(verify, name.data(), name.size()) == 1;
    }
  }
  if (!set) return Error{Errc::invalid_input, cat("TLS: bad server name ", base::quote(name))};
  return base::success();
}

bool plain_visible(std::string_view text) {
  for (char c : text)
    if (c <= ' ' || c > '~') return false;
  return true;
}

base::Status check_config(const ClientConfig& config) {
  if (plain_visible(config.host) && plain_visible(config.base_path) &&
      plain_visible(config.token) && !config.host.empty())
    return base::success();
  return Error{Errc::invalid_input,
               cat(config.source, ": blanks or control characters in host, path or token")};
}

std::string common_headers(const ClientConfig& config) {
  auto host = config.host;
  if (host.find(':') != std::string::npos) host = cat('[', host, ']');
  auto head = cat("Host: ", host);
  if (config.port != (config.tls ? 443 : 80)) head += cat(':', config.port);
  head += "\r\nUser-Agent: istio-cni-node/" ICN_VERSION "\r\nAccept: application/json\r\n";
  if (!config.token.empty()) head += cat("Authorization: Bearer ", config.token, "\r\n");
  return head;
}

Error tls_failure(unsigned long code) {
  int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const char* known = code != 0 ? ERR_reason_error_string(code) : nullptr;
  auto text = known != nullptr ? std::string(known)
              : code == 0      ? std::string("unknown error")
                               : cat("error ", code);
  switch (reason) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return connection_failure(0);
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return {Errc::unauthorized, cat("the server refuses our client certificate: ", text)};
    default:
      return {Errc::invalid_input, cat("TLS: ", text)};
  }
}

Error verify_failure(const ClientConfig& config, long verdict) {
  return {Errc::refused, cat("TLS handshake: certificate of ", base::quote(server_name(config)),
                             ": ", X509_verify_cert_error_string(verdict))};
}

Error connect_failure(const ClientConfig& config, int errno_value) {
  bool peer = errno_value != EMFILE && errno_value != ENFILE && errno_value != ENOMEM &&
              errno_value != ENOBUFS;
  return {peer ? Errc::unavailable : Errc::io,
          cat("connect to ", config.host, " port ", config.port, ": ", errno_text(errno_value)),
          errno_value};
}

Error connect_timeout(const ClientConfig& config) {
  return {Errc::timeout,
          cat("connect to ", config.host, " port ", config.port, ": no answer in time")};
}

Error answer_timeout() { return {Errc::timeout, "no complete answer in time"}; }

Error connection_failure(int errno_value) {
  return {Errc::unavailable,
          errno_value == 0 ? std::string("the server closed the connection")
                           : cat("connection: ", errno_text(errno_value)),
          errno_value};
}

Error closed_in_answer(bool answered) {
  return {Errc::unavailable, answered
                                 ? "the server closed the connection in the middle of its answer"
                                 : "the server closed the connection without an answer"};
}

Error body_too_large() {
  return {Errc::invalid_input, cat("the answer is larger than ", max_body_size, " bytes")};
}

Error header_too_large() {
  return {Errc::invalid_input,
          cat("the header of the answer is larger than ", max_header_size, " bytes")};
}

Error not_http(std::string_view reason) {
  return {Errc::invalid_input, cat("the answer is not HTTP: ", reason)};
}

}  // namespace kube
