#include "kube/async_http.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/type_traits.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

#include "asio/into.hpp"
#include "base/strings.hpp"
#include "kube/resolve.hpp"

namespace kube {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using base::cat;
using base::Deadline;
using base::Errc;
using base::Error;
using boost::system::error_code;
using icn_asio::into;
using Tcp = asio::ip::tcp;

constexpr std::size_t chunk_size = max_header_size;  // so that a whole header fits

Error stopped_error() { return {Errc::unavailable, "stopped"}; }

Error stream_error(const error_code& failure) {
  if (failure == beast::error::timeout) return answer_timeout();
  if (failure.category() == asio::error::get_ssl_category())
    return tls_failure(static_cast<unsigned int>(failure.value()));
  if (failure == asio::error::eof || failure == asio::ssl::error::stream_truncated)
    return connection_failure(0);
  if (failure == asio::error::operation_aborted) return stopped_error();
  return connection_failure(failure.value());
}

/// Ends a dead peer's connection even while nobody waits for it.
void set_socket_options(int fd) {
  auto set = [fd](int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);  // as good as it gets
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60000);
}

/// Where the parser puts the body: straight into the sink.
struct Delivery {
  AnswerSink* sink = nullptr;
  bool head_given = false;
  std::optional<Error> refused;

  void give_head(const http::response_header<>& header) {
    if (std::exchange(head_given, true)) return;
    AnswerHead head;
    head.status = static_cast<int>(header.result_int());
    auto retry = header[http::field::retry_after];
    auto seconds = base::parse_unsigned({retry.data(), retry.size()}, 3600);
    head.retry_after = std::chrono::seconds(seconds.value_or(0));
    sink->head(head);
  }
};

struct SinkBody {
  using value_type = Delivery;
  class reader {
   public:
    template <bool is_request, typename Fields>
    reader(http::header<is_request, Fields>& header, value_type& delivery)
        : header_(header), delivery_(delivery) {}
    void init(const boost::optional<std::uint64_t>&, error_code& failure) { failure = {}; }
    template <typename Buffers>
    std::size_t put(const Buffers& buffers, error_code& failure) {
      failure = {};
      delivery_.give_head(header_);
      std::size_t taken = 0;
      for (auto buffer : beast::buffers_range_ref(buffers)) {
        auto status =
            delivery_.sink->body({static_cast<const char*>(buffer.data()), buffer.size()});
        taken += buffer.size();
        if (status) continue;
        delivery_.refused = std::move(status).error();
        failure = http::error::bad_value;
        break;
      }
      return taken;
    }
    void finish(error_code& failure) { failure = {}; }

   private:
    http::response_header<>& header_;
    value_type& delivery_;
  };
};
using Parser = http::response_parser<SinkBody>;

Error parse_error(const Parser& parser, const error_code& failure) {
  if (parser.get().body().refused) return *parser.get().body().refused;
  if (failure == http::error::body_limit) return body_too_large();
  if (failure == http::error::header_limit) return header_too_large();
  return not_http(failure.message());
}

std::string_view method_name(ApiRequest::Method method) {
  switch (method) {
    case ApiRequest::Method::get:
      return "GET ";
    case ApiRequest::Method::post:
      return "POST ";
    case ApiRequest::Method::patch:
      return "PATCH ";
    case ApiRequest::Method::del:
      return "DELETE ";
  }
  return "GET ";
}

std::string request_text(const ClientConfig& config, const ApiRequest& request) {
  auto text = cat(method_name(request.method), config.base_path, request.target, " HTTP/1.1\r\n",
                  common_headers(config));
  if (!request.content_type.empty()) text += cat("Content-Type: ", request.content_type, "\r\n");
  if (!request.body.empty() || request.method == ApiRequest::Method::post ||
      request.method == ApiRequest::Method::patch)
    text += cat("Content-Length: ", request.body.size(), "\r\n");
  return cat(text, "\r\n", request.body);
}

}  // namespace

struct HttpConnection::Impl {
  Impl(asio::any_io_executor executor, CredentialPtr used)
      : tcp(std::move(executor)), credential(std::move(used)) {}

  Task<base::Result<std::vector<Address>>> addresses(Deadline deadline);
  Task<base::Status> connect_to(Address address, Deadline deadline);
  Task<base::Status> handshake(Deadline deadline);
  Task<std::tuple<error_code, std::size_t>> read_some(asio::mutable_buffer buffer);
  Task<base::Status> read_answer(AnswerSink& sink);

  // The order matters: the TLS state goes before its socket.
  beast::tcp_stream tcp;
  SslCtx context;
  std::optional<asio::ssl::stream<beast::tcp_stream&>> tls;
  std::optional<asio::posix::stream_descriptor> lookup;  // while a name is looked up
  CredentialPtr credential;
  bool closed = false;
  bool answered = false;
  bool keep = false;
};

HttpConnection::HttpConnection(asio::any_io_executor executor, CredentialPtr credential,
                               SSL_CTX* tls)
    : impl_(std::make_unique<Impl>(std::move(executor), std::move(credential))) {
  if (tls == nullptr) return;
  SSL_CTX_up_ref(tls);
  impl_->context.reset(tls);
}
HttpConnection::~HttpConnection() = default;

bool HttpConnection::answered() const { return impl_->answered; }
const Credential& HttpConnection::credential() const { return *impl_->credential; }

bool HttpConnection::reusable() const {
  if (!impl_->keep || impl_->closed) return false;
  char byte = 0;
  auto got = ::recv(impl_->tcp.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && errno == EAGAIN;
}

void HttpConnection::close() {
  impl_->closed = true;
  if (impl_->lookup) impl_->lookup->cancel();
  impl_->tcp.close();
}

Task<base::Result<std::vector<Address>>> HttpConnection::Impl::addresses(Deadline deadline) {
  const auto& config = credential->client;
  if (is_ip_literal(config.host)) co_return resolve(config.host, config.port, deadline);
  auto started = Lookup::start(config.host, config.port);
  if (!started) co_return std::move(started).error();
  int fd = ::fcntl(started->fd(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) co_return base::system_error("eventfd", errno);
  lookup.emplace(tcp.get_executor(), fd);
  asio::steady_timer timer(tcp.get_executor());
  bool late = false;
  timer.expires_after(deadline.left());
  // The timer dies before what its handler refers to; its last run says so.
  auto guard = std::make_shared<bool>(true);
  timer.async_wait([this, &late, weak = std::weak_ptr<bool>(guard)](error_code failure) {
    if (failure || weak.expired()) return;
    late = true;
    if (lookup) lookup->cancel();
  });
  error_code failure;
  co_await lookup->async_wait(asio::posix::stream_descriptor::wait_read, into(failure));
  guard.reset();
  lookup.reset();
  if (closed) co_return stopped_error();
  if (late || failure)
    co_return Error{Errc::timeout, cat("look up ", config.host, ": no answer in time")};
  co_return started->take();
}

Task<base::Status> HttpConnection::Impl::connect_to(Address address, Deadline deadline) {
  const auto& config = credential->client;
  Tcp::endpoint endpoint;
  endpoint.resize(address.size);
  std::memcpy(endpoint.data(), &address.storage, address.size);
  error_code ignored;
  tcp.socket().close(ignored);
  tcp.socket().open(endpoint.protocol(), ignored);
  if (ignored) co_return connect_failure(config, ignored.value());
  set_socket_options(tcp.socket().native_handle());
  tcp.expires_after(deadline.left());
  error_code failure;
  co_await tcp.async_connect(endpoint, into(failure));
  if (closed) co_return stopped_error();
  if (failure == beast::error::timeout) co_return connect_timeout(config);
  if (failure) co_return connect_failure(config, failure.value());
  co_return base::success();
}

Task<base::Status> HttpConnection::Impl::handshake(Deadline deadline) {
  const auto& config = credential->client;
  SSL_CTX_up_ref(context.get());
  asio::ssl::context shared(context.get());  // gives that reference back
  try {
    tls.emplace(tcp, shared);
  } catch (const boost::system::system_error& error) {
    co_return Error{Errc::io, cat("TLS: ", error.what())};
  }
  auto* ssl = tls->native_handle();
  static constexpr unsigned char protocols[] = "\x08http/1.1";
  SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1);
  auto named = set_server_name(ssl, config);
  if (!named) co_return named;
  tcp.expires_after(deadline.left());
  error_code failure;
  co_await tls->async_handshake(asio::ssl::stream_base::client, into(failure));
  if (closed) co_return stopped_error();
  if (!failure) co_return base::success();
  auto verdict = SSL_get_verify_result(ssl);
  if (failure.category() == asio::error::get_ssl_category() && verdict != X509_V_OK)
    co_return verify_failure(config, verdict);
  co_return stream_error(failure).wrap("TLS handshake");
}

Task<base::Status> HttpConnection::connect(Deadline deadline) {
  auto& self = *impl_;
  auto addresses = co_await self.addresses(deadline);
  if (!addresses) co_return std::move(addresses).error();
  std::optional<Error> last;
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    // An address that swallows packets must leave time for those after it.
    auto share = deadline.at_most(deadline.left() / static_cast<long>(addresses->size() - i));
    auto address = (*addresses)[i];
    auto connected = co_await self.connect_to(address, share);
    if (self.closed) co_return stopped_error();
    if (!connected) {
      last = std::move(connected).error();
      if (deadline.passed()) break;
      continue;
    }
    if (!self.context) co_return base::success();
    co_return co_await self.handshake(deadline);
  }
  co_return *std::move(last);
}

Task<std::tuple<error_code, std::size_t>> HttpConnection::Impl::read_some(
    asio::mutable_buffer buffer) {
  error_code failure;
  std::size_t got = 0;
  if (tls)
    got = co_await tls->async_read_some(buffer, into(failure));
  else
    got = co_await tcp.async_read_some(buffer, into(failure));
  co_return std::make_tuple(failure, got);
}

Task<base::Status> HttpConnection::Impl::read_answer(AnswerSink& sink) {
  std::optional<Parser> parser;
  auto begin = [&parser, &sink] {
    parser.emplace();
    parser->eager(true);
    parser->header_limit(static_cast<std::uint32_t>(max_header_size));
    auto limit = sink.body_limit();
    parser->body_limit(limit ? boost::optional<std::uint64_t>(*limit) : boost::none);
    parser->get().body().sink = &sink;
  };
  begin();
  std::vector<char> chunk(chunk_size);
  std::size_t filled = 0;
  for (;;) {
    error_code failure;
    std::size_t used = 0;
    while (used < filled && !parser->is_done()) {
      auto more = parser->put(asio::const_buffer(chunk.data() + used, filled - used), failure);
      used += more;
      if (failure == http::error::need_more) {
        failure = {};
        break;
      }
      if (failure) co_return parse_error(*parser, failure);
      if (more == 0) break;
    }
    std::memmove(chunk.data(), chunk.data() + used, filled - used);
    filled -= used;
    bool interim = parser->is_header_done() && parser->get().result_int() / 100 == 1;
    if (parser->is_header_done() && !interim) {
      parser->get().body().give_head(parser->get().base());
      if (closed) co_return stopped_error();
    }
    if (parser->is_done()) {
      if (!interim) {
        keep = parser->keep_alive() && filled == 0;
        co_return base::success();
      }
      // 1xx answers only announce the real one.
      begin();
      if (filled > 0) continue;
    }
    if (filled == chunk.size())
      co_return parser->is_header_done() ? not_http("a chunk without end") : header_too_large();

    tcp.expires_after(sink.deadline().left());
    asio::mutable_buffer space(chunk.data() + filled, chunk.size() - filled);
    auto [broken, got] = co_await read_some(space);
    if (closed) co_return stopped_error();
    if (broken == asio::error::eof) {
      if (parser->got_some()) parser->put_eof(failure);
      if (parser->is_done() && !failure) co_return base::success();
      co_return closed_in_answer(answered);
    }
    if (broken) co_return stream_error(broken);
    answered = true;
    filled += got;
  }
}

Task<base::Status> HttpConnection::exchange(std::string request, AnswerSink& sink) {
  auto& self = *impl_;
  self.answered = false;
  self.keep = false;
  if (self.closed) co_return stopped_error();
  self.tcp.expires_after(sink.deadline().left());
  error_code failure;
  if (self.tls)
    co_await asio::async_write(*self.tls, asio::buffer(request), into(failure));
  else
    co_await asio::async_write(self.tcp, asio::buffer(request), into(failure));
  if (self.closed) co_return stopped_error();
  if (failure) co_return stream_error(failure);
  auto status = co_await self.read_answer(sink);
  if (!self.closed) self.tcp.expires_never();
  co_return status;
}

base::Result<SSL_CTX*> TlsContexts::get(const Credential& credential) {
  if (generation_ != credential.generation) {
    generation_.reset();
    context_.reset();
    if (auto fine = check_config(credential.client); !fine) return std::move(fine).error();
    if (credential.client.tls) {
      auto made = make_tls_context(credential.client);
      if (!made) return std::move(made).error().wrap(credential.client.source);
      context_ = std::move(*made);
    }
    generation_ = credential.generation;
  }
  return context_.get();
}

/// Shared with the provider's callback, which may outlive the conversation.
struct Conversation::Signal {
  explicit Signal(const asio::any_io_executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  std::optional<base::Result<CredentialPtr>> result;
};

Conversation::Conversation(asio::any_io_executor executor, CredentialProvider& provider,
                           std::shared_ptr<TlsContexts> contexts)
    : executor_(std::move(executor)), provider_(provider), contexts_(std::move(contexts)) {}
Conversation::~Conversation() = default;

void Conversation::stop() {
  stopped_ = true;
  if (signal_) signal_->timer.cancel();
  if (connection) connection->close();
}

Task<void> Conversation::sleep(std::chrono::milliseconds span) {
  if (stopped_) co_return;
  auto signal = std::make_shared<Signal>(executor_);
  signal_ = signal;
  signal->timer.expires_after(span);
  error_code woken;
  co_await signal->timer.async_wait(into(woken));
  signal_.reset();
}

Task<base::Result<CredentialPtr>> Conversation::credential(Deadline deadline) {
  if (stopped_) co_return stopped_error();
  auto signal = std::make_shared<Signal>(executor_);
  signal_ = signal;
  signal->timer.expires_after(deadline.left());
  provider_.get([signal](base::Result<CredentialPtr> result) {
    signal->result.emplace(std::move(result));
    signal->timer.cancel();
  });
  error_code woken;
  if (!signal->result) co_await signal->timer.async_wait(into(woken));
  signal_.reset();
  if (stopped_) co_return stopped_error();
  if (!signal->result) co_return Error{Errc::timeout, "credential: not available in time"};
  auto result = *std::move(signal->result);
  if (result && !*result) co_return Error{Errc::unavailable, "credential: none"};
  co_return result;
}

Task<base::Status> Conversation::open(CredentialPtr credential, Deadline deadline) {
  auto context = contexts_->get(*credential);
  if (!context) co_return std::move(context).error();
  connection = std::make_shared<HttpConnection>(executor_, credential, *context);
  auto held = connection;
  auto status = co_await held->connect(deadline);
  if (!status) connection.reset();
  co_return status;
}

Task<base::Status> Conversation::perform(const ApiRequest& request, AnswerSink& sink,
                                         Deadline deadline) {
  if (request.target.empty() || request.target.front() != '/' || !plain_visible(request.target))
    co_return Error{Errc::invalid_input, cat("bad request path ", base::quote(request.target))};
  auto current = co_await credential(deadline);
  if (!current) co_return std::move(current).error();
  auto used = *current;
  generation_ = used->generation;
  const auto& config = used->client;

  if (connection &&
      (connection->credential().generation != used->generation || !connection->reusable()))
    connection.reset();
  for (bool fresh = false;;) {
    if (!connection) {
      fresh = true;
      auto opened = co_await open(used, deadline);
      if (stopped_) co_return stopped_error();
      if (!opened) co_return std::move(opened).error().wrap(config.server);
    }
    auto held = connection;
    auto text = request_text(config, request);
    ++sent_;
    if (request.sending) request.sending();
    auto status = co_await held->exchange(std::move(text), sink);
    if (stopped_) co_return stopped_error();
    if (!held->reusable()) connection.reset();
    if (status) co_return status;
    // The server may close an idle connection at any time; only then is it
    // right to ask again, unless asking twice could do something twice.
    bool again = !fresh && !held->answered() && status.error().code == Errc::unavailable &&
                 request.method != ApiRequest::Method::post;
    if (!again) co_return std::move(status).error().wrap(config.server);
    connection.reset();
  }
}

}  // namespace kube
