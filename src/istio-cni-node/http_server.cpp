#include "istio-cni-node/http_server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <cerrno>
#include <exception>
#include <list>
#include <utility>

#include "asio/into.hpp"
#include "istio-cni-node/listener.hpp"

namespace istio_cni_node {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Protocol = asio::generic::stream_protocol;
using boost::system::error_code;
using icn_asio::into;

/// After the last answer the client's remaining bytes are read and dropped for
/// this long and this far: closing on unread bytes would reset the connection,
/// and the answer might be lost with it.
constexpr std::chrono::milliseconds linger{1000};
constexpr std::size_t linger_bytes = std::size_t{1} << 20;

/// The client's fault or already over; the next accept may well succeed.
bool passing(int error) {
  switch (error) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
      return true;
    default:
      return false;
  }
}

struct Connection {
  explicit Connection(Protocol::socket socket) : stream(std::move(socket)) {}

  /// For all that is done until the next call.
  void allow(std::chrono::milliseconds span) {
    deadline = Clock::now() + span;
    stream.expires_at(deadline);
  }
  /// A client that always has the next byte ready never meets the stream's timer.
  [[nodiscard]] bool late() const { return Clock::now() >= deadline; }
  /// Waits for a request, and none of its bytes has come.
  [[nodiscard]] bool silent() {
    char byte = 0;
    return idle && ::recv(stream.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
  }

  boost::beast::basic_stream<Protocol> stream;
  Clock::time_point deadline{};
  bool idle = true;
  Clock::time_point idle_since = Clock::now();
  std::array<char, 4096> bytes{};
};

}  // namespace

struct HttpServer::Impl {
  Impl(asio::io_context& context, HttpLimits given, Handler given_handler)
      : io(context),
        limits(given),
        handler(std::move(given_handler)),
        listener(context),
        pause(context) {}

  using Self = std::shared_ptr<Impl>;
  using Client = std::shared_ptr<Connection>;

  static base::Result<HttpServer> start(asio::io_context& io, base::UniqueFd fd, int family,
                                        HttpLimits limits, Handler handler, UnixListener file);
  static asio::awaitable<void> accept(Self self, int family);
  static asio::awaitable<void> serve(Self self, Client client);
  static asio::awaitable<bool> receive(Self self, Client client, HttpInput* input);
  static asio::awaitable<bool> send(Self self, Client client, std::string head, std::string body);
  static asio::awaitable<void> part(Self self, Client client);

  void admit(const Self& self, base::UniqueFd fd, int family);
  bool make_room();
  HttpResponse handle(const HttpRequest& request) const;
  void forget(const Client& client) { clients.remove(client); }
  void close();

  asio::io_context& io;
  HttpLimits limits;
  Handler handler;
  asio::posix::stream_descriptor listener;
  asio::steady_timer pause;
  UnixListener file;
  std::uint16_t port = 0;
  std::list<Client> clients;
  bool closed = false;
};

asio::awaitable<void> HttpServer::Impl::accept(Self self, int family) {
  while (!self->closed) {
    error_code failed;
    co_await self->listener.async_wait(asio::posix::stream_descriptor::wait_read, into(failed));
    if (self->closed) co_return;
    // one at a time: those accepted before get their turn in between
    base::UniqueFd fd(
        ::accept4(self->listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.valid()) {
      self->admit(self, std::move(fd), family);
      continue;
    }
    if (!failed && passing(errno)) continue;
    self->pause.expires_after(accept_pause);
    co_await self->pause.async_wait(into(failed));
  }
}

void HttpServer::Impl::admit(const Self& self, base::UniqueFd fd, int family) {
  if (clients.size() >= limits.connections && !make_room()) return;
  Protocol::socket socket(io);
  error_code failed;
  socket.assign(Protocol(family, 0), fd.get(), failed);
  if (failed) return;
  (void)fd.release();
  auto client = std::make_shared<Connection>(std::move(socket));
  clients.push_back(client);
  asio::co_spawn(io, serve(self, client), [self, client](const std::exception_ptr&) {
    client->stream.close();
    self->forget(client);
  });
}

/// Closes the client that has been silent for longest; false when all are busy.
bool HttpServer::Impl::make_room() {
  const auto oldest =
      std::min_element(clients.begin(), clients.end(), [](const auto& one, const auto& other) {
        return std::pair(!one->silent(), one->idle_since) <
               std::pair(!other->silent(), other->idle_since);
      });
  if (oldest == clients.end() || !(*oldest)->silent()) return false;
  (*oldest)->stream.close();
  clients.erase(oldest);
  return true;
}

HttpResponse HttpServer::Impl::handle(const HttpRequest& request) const {
  try {
    return handler(request);
  } catch (const std::exception&) {
    return {500, "text/plain; charset=utf-8", "internal error\n"};
  }
}

asio::awaitable<void> HttpServer::Impl::serve(Self self, Client client) {
  HttpInput input(self->limits);
  client->allow(self->limits.request);
  for (bool alive = true; alive;) {
    switch (input.next()) {
      case HttpInput::Next::more:
        if (!co_await receive(self, client, &input)) co_return;
        break;
      case HttpInput::Next::go_on:
        if (!co_await send(self, client, "HTTP/1.1 100 Continue\r\n\r\n", "")) co_return;
        break;
      case HttpInput::Next::request: {
        const auto received = input.take();
        auto response = self->handle(received.request);
        if (self->closed) co_return;
        alive = received.keep_alive;
        auto head =
            http_head(response, {alive, received.http_1_0, ""}, std::chrono::system_clock::now());
        if (received.head) response.body.clear();
        if (!co_await send(self, client, std::move(head), std::move(response.body))) co_return;
        client->allow(input.idle() ? self->limits.idle : self->limits.request);
        break;
      }
      case HttpInput::Next::refused: {
        const auto& response = input.refusal();
        const auto allow = response.status == 405 ? input.allowed() : "";
        auto head = http_head(response, {false, false, allow}, std::chrono::system_clock::now());
        if (!co_await send(self, client, std::move(head), response.body)) co_return;
        alive = false;
        break;
      }
    }
  }
  co_await part(self, client);
}

/// False: the client is gone, late, or to be dropped.
asio::awaitable<bool> HttpServer::Impl::receive(Self self, Client client, HttpInput* input) {
  const bool between = input->idle();
  client->idle = between;
  if (between) client->idle_since = Clock::now();
  const auto size = std::min(client->bytes.size(), input->room());
  error_code failed;
  const auto count = co_await client->stream.async_read_some(
      asio::buffer(client->bytes.data(), size), into(failed));
  client->idle = false;
  if (failed || self->closed || client->late()) co_return false;
  if (between) client->allow(self->limits.request);
  input->append({client->bytes.data(), count});
  co_return true;
}

asio::awaitable<bool> HttpServer::Impl::send(Self self, Client client, std::string head,
                                             std::string body) {
  const std::array<asio::const_buffer, 2> parts{asio::buffer(head), asio::buffer(body)};
  error_code failed;
  co_await asio::async_write(client->stream, parts, into(failed));
  co_return !failed && !self->closed;
}

asio::awaitable<void> HttpServer::Impl::part(Self self, Client client) {
  error_code ignored;
  (void)client->stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  client->allow(linger);
  client->idle = true;
  client->idle_since = Clock::now();
  for (std::size_t dropped = 0; dropped < linger_bytes;) {
    error_code failed;
    const auto count =
        co_await client->stream.async_read_some(asio::buffer(client->bytes), into(failed));
    if (failed || self->closed || client->late()) co_return;
    dropped += count;
  }
}

void HttpServer::Impl::close() {
  closed = true;
  file.remove_file();
  error_code ignored;
  (void)listener.close(ignored);
  pause.cancel();
  for (const auto& client : clients) client->stream.close();
  clients.clear();
}

base::Result<HttpServer> HttpServer::Impl::start(asio::io_context& io, base::UniqueFd fd,
                                                 int family, HttpLimits limits, Handler handler,
                                                 UnixListener file) {
  auto impl = std::make_shared<Impl>(io, limits, std::move(handler));
  impl->port = local_port(fd.get());
  error_code failed;
  (void)impl->listener.assign(fd.get(), failed);
  if (failed) return base::system_error("listen", failed.value());
  (void)fd.release();
  impl->file = std::move(file);
  asio::co_spawn(io, accept(impl, family), [impl](const std::exception_ptr&) {});
  return HttpServer(std::move(impl));
}

base::Result<HttpServer> HttpServer::listen_tcp(asio::io_context& io, const std::string& host,
                                                std::uint16_t port, HttpLimits limits,
                                                Handler handler) {
  auto fd = listen_tcp_socket(host, port);
  if (!fd) return std::move(fd).error();
  int family = AF_INET6;
  socklen_t size = sizeof family;
  (void)::getsockopt(fd->get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  return Impl::start(io, *std::move(fd), family, limits, std::move(handler), {});
}

base::Result<HttpServer> HttpServer::listen_unix(asio::io_context& io, const std::string& path,
                                                 mode_t mode, HttpLimits limits, Handler handler) {
  auto listener = UnixListener::make(path, mode, SOCK_STREAM, SOMAXCONN);
  if (!listener) return std::move(listener).error();
  auto fd = std::move(listener->fd);
  return Impl::start(io, std::move(fd), AF_UNIX, limits, std::move(handler), *std::move(listener));
}

HttpServer::HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;
HttpServer& HttpServer::operator=(HttpServer&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) impl_->close();
  impl_ = std::move(other.impl_);
  return *this;
}
HttpServer::~HttpServer() {
  if (impl_) impl_->close();
}

std::uint16_t HttpServer::port() const { return impl_->port; }

}  // namespace istio_cni_node
