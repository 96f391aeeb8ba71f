#include "kube/client.hpp"

#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <chrono>
#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "kube/resolve.hpp"
#include "kube/tls.hpp"

namespace kube {
namespace {

namespace http = boost::beast::http;
using base::cat;
using base::Deadline;
using base::Errc;
using base::Error;

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE when the
// server has gone; a library must not change that signal for the program.
int bio_fd(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  auto sent = ::send(bio_fd(bio), data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  auto got = ::recv(bio_fd(bio), data, static_cast<std::size_t>(size), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long bio_ctrl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

const BIO_METHOD* bio_method() {
  static const BIO_METHOD* method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "socket");
    if (made == nullptr) return made;
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_ctrl);
    return made;
  }();
  return method;
}

/// Waits for `events`; false when the deadline passed.
bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd wait{fd, events, 0};
    int ready = ::poll(&wait, 1, deadline.poll_timeout());
    if (ready > 0) return true;
    if (deadline.passed()) return false;
  }
}

/// One TCP or TLS connection. `broken` errors carry Errc::unavailable.
class Connection {
 public:
  static base::Result<Connection> open(const ClientConfig& config, SSL_CTX* context,
                                       Deadline deadline) {
    auto addresses = resolve(config.host, config.port, deadline);
    if (!addresses) return std::move(addresses).error();
    std::optional<Error> last;
    for (std::size_t i = 0; i < addresses->size(); ++i) {
      // An address that swallows packets must leave time for those after it.
      auto share = deadline.left() / static_cast<long>(addresses->size() - i);
      auto fd = connect_to((*addresses)[i], config, deadline.at_most(share));
      if (!fd) {
        last = std::move(fd).error();
        if (deadline.passed()) break;
        continue;
      }
      Connection connection(std::move(*fd));
      if (context != nullptr)
        if (auto done = connection.handshake(config, context, deadline); !done)
          return std::move(done).error();
      return connection;
    }
    return *std::move(last);
  }

  base::Status write_all(std::string_view data, Deadline deadline) {
    while (!data.empty()) {
      std::size_t sent = 0;
      int failure = 0;
      if (ssl_) {
        ERR_clear_error();
        errno = 0;
        failure = SSL_write_ex(ssl_.get(), data.data(), data.size(), &sent) == 1
                      ? SSL_ERROR_NONE
                      : SSL_get_error(ssl_.get(), 0);
      } else {
        auto result = ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL);
        failure = plain_failure(result, SSL_ERROR_WANT_WRITE);
        if (failure == SSL_ERROR_NONE) sent = static_cast<std::size_t>(result);
      }
      if (failure == SSL_ERROR_NONE) {
        data.remove_prefix(sent);
      } else if (auto again = settle(failure, deadline); !again) {
        return again;
      }
    }
    return base::success();
  }

  /// 0 at the end of the stream.
  base::Result<std::size_t> read_some(char* buffer, std::size_t size, Deadline deadline) {
    for (;;) {
      std::size_t got = 0;
      int failure = 0;
      if (ssl_) {
        ERR_clear_error();
        errno = 0;
        failure = SSL_read_ex(ssl_.get(), buffer, size, &got) == 1 ? SSL_ERROR_NONE
                                                                   : SSL_get_error(ssl_.get(), 0);
      } else {
        auto result = ::recv(fd_.get(), buffer, size, 0);
        failure = plain_failure(result, SSL_ERROR_WANT_READ);
        if (failure == SSL_ERROR_NONE) got = static_cast<std::size_t>(result);
      }
      if (failure == SSL_ERROR_NONE) return got;
      if (failure == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
      if (auto again = settle(failure, deadline); !again) return std::move(again).error();
      // A body that trickles in must not outlast the deadline either.
      if (deadline.passed()) return answer_timeout();
    }
  }

 private:
  explicit Connection(base::UniqueFd fd) : fd_(std::move(fd)) {}

  static base::Result<base::UniqueFd> connect_to(const Address& address, const ClientConfig& config,
                                                 Deadline deadline) {
    base::UniqueFd fd(
        ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return connect_failure(config, errno);
    int yes = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0)
      return fd;
    if (errno != EINPROGRESS && errno != EINTR) return connect_failure(config, errno);
    if (!wait_for(fd.get(), POLLOUT, deadline)) return connect_timeout(config);
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &value, &size) != 0) value = errno;
    if (value != 0) return connect_failure(config, value);
    return fd;
  }

  base::Status handshake(const ClientConfig& config, SSL_CTX* context, Deadline deadline) {
    ssl_.reset(SSL_new(context));
    BIO* bio = bio_method() != nullptr ? BIO_new(bio_method()) : nullptr;
    if (!ssl_ || bio == nullptr) return Error{Errc::io, cat("TLS: ", ssl_reason())};
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd_.get())));
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);

    if (auto set = set_server_name(ssl_.get(), config); !set) return set;

    for (;;) {
      ERR_clear_error();
      errno = 0;
      int result = SSL_connect(ssl_.get());
      if (result == 1) return base::success();
      int failure = SSL_get_error(ssl_.get(), result);
      if (auto verdict = SSL_get_verify_result(ssl_.get());
          failure == SSL_ERROR_SSL && verdict != X509_V_OK) {
        ERR_clear_error();
        return verify_failure(config, verdict);
      }
      if (auto again = settle(failure, deadline); !again)
        return std::move(again).error().wrap("TLS handshake");
    }
  }

  static int plain_failure(ssize_t result, int want) {
    if (result >= 0) return SSL_ERROR_NONE;
    return errno == EAGAIN || errno == EINTR ? want : SSL_ERROR_SYSCALL;
  }

  /// Waits when `failure` is only "not yet"; otherwise says what is wrong.
  base::Status settle(int failure, Deadline deadline) {
    int value = errno;
    switch (failure) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        if (!wait_for(fd_.get(), failure == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
          return answer_timeout();
        return base::success();
      case SSL_ERROR_SSL: {
        auto code = ERR_peek_last_error();
        ERR_clear_error();
        return tls_failure(code);
      }
      default:
        ERR_clear_error();
        return connection_failure(value);
    }
  }

  // The order matters: the TLS state goes before its socket.
  base::UniqueFd fd_;
  Ssl ssl_;
};

}  // namespace

class Client::Impl {
 public:
  Impl(ClientConfig config, SslCtx context)
      : config_(std::move(config)), context_(std::move(context)) {
    head_ = cat(" HTTP/1.1\r\n", common_headers(config_), "\r\n");
  }

  [[nodiscard]] const ClientConfig& config() const { return config_; }

  base::Result<Response> get(std::string_view path, Deadline deadline) {
    if (path.empty() || path.front() != '/' || !plain_visible(path))
      return Error{Errc::invalid_input, cat("bad request path ", base::quote(path))};
    auto request = cat("GET ", config_.base_path, path, head_);
    if (connection_) {
      bool answered = false;
      auto response = exchange(request, deadline, answered);
      // The server may close an idle connection at any time; only then is it
      // right to ask again.
      if (response || answered || response.error().code != Errc::unavailable) return response;
    }
    auto connection = Connection::open(config_, context_.get(), deadline);
    if (!connection) return std::move(connection).error();
    connection_.emplace(std::move(*connection));
    bool answered = false;
    return exchange(request, deadline, answered);
  }

 private:
  /// Sends and receives on connection_, which is gone afterwards unless it can
  /// be used again. `answered` tells whether any byte came back.
  base::Result<Response> exchange(std::string_view request, Deadline deadline, bool& answered) {
    bool keep = false;
    auto response = exchange_inner(request, deadline, answered, keep);
    if (!keep) connection_.reset();
    return response;
  }

  base::Result<Response> exchange_inner(std::string_view request, Deadline deadline, bool& answered,
                                        bool& keep) {
    if (auto sent = connection_->write_all(request, deadline); !sent)
      return std::move(sent).error();
    using Parser = http::response_parser<http::string_body>;
    std::optional<Parser> parser;
    auto begin = [&] {
      parser.emplace();
      parser->eager(true);
      parser->body_limit(max_body_size);
      parser->header_limit(static_cast<std::uint32_t>(max_header_size));
    };
    begin();
    std::string pending;
    std::vector<char> chunk(std::size_t{16} << 10);
    for (;;) {
      boost::system::error_code failure;
      while (!pending.empty() && !parser->is_done()) {
        auto used = parser->put(boost::asio::const_buffer(pending.data(), pending.size()), failure);
        pending.erase(0, used);
        if (failure == http::error::need_more) {
          failure = {};
          break;
        }
        if (failure) return parse_failure(failure);
        if (used == 0) break;
      }
      if (parser->is_done()) {
        // 1xx answers only announce the real one.
        if (parser->get().result_int() / 100 == 1) {
          begin();
          if (!pending.empty()) continue;
        } else {
          keep = parser->keep_alive() && pending.empty();
          break;
        }
      }
      if (!parser->is_header_done() && pending.size() > max_header_size)
        return parse_failure(http::error::header_limit);
      auto got = connection_->read_some(chunk.data(), chunk.size(), deadline);
      if (!got) return std::move(got).error();
      if (*got == 0) {
        if (parser->got_some()) parser->put_eof(failure);
        if (parser->is_done() && !failure) break;
        return closed_in_answer(answered);
      }
      answered = true;
      pending.append(chunk.data(), *got);
    }
    auto message = parser->release();
    return Response{static_cast<int>(message.result_int()), std::move(message.body())};
  }

  static Error parse_failure(const boost::system::error_code& failure) {
    if (failure == http::error::body_limit) return body_too_large();
    if (failure == http::error::header_limit) return header_too_large();
    return not_http(failure.message());
  }

  ClientConfig config_;
  SslCtx context_;
  std::string head_;  // everything after the request's path
  std::optional<Connection> connection_;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

base::Result<Client> Client::make(ClientConfig config) {
  try {
    if (auto fine = check_config(config); !fine) return std::move(fine).error();
    SslCtx context;
    if (config.tls) {
      auto made = make_tls_context(config);
      if (!made) return std::move(made).error().wrap(config.source);
      context = std::move(*made);
    }
    return Client(std::make_unique<Impl>(std::move(config), std::move(context)));
  } catch (const std::exception& error) {
    return Error{Errc::io, cat("API client: ", error.what())};
  }
}

base::Result<Response> Client::get(std::string_view path_and_query, Deadline deadline) {
  try {
    auto response = impl_->get(path_and_query, deadline);
    if (!response) return std::move(response).error().wrap(server());
    return response;
  } catch (const std::exception& error) {
    return Error{Errc::io, cat(server(), ": ", error.what())};
  }
}

const std::string& Client::server() const { return impl_->config().server; }

}  // namespace kube
