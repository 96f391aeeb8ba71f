#include "istio-cni-node/lookup_server.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <list>
#include <optional>
#include <utility>

#include "asio/into.hpp"
#include "base/strings.hpp"
#include "istio-cni-node/listener.hpp"

namespace istio_cni_node {
namespace {

namespace asio = boost::asio;
using base::Errc;
using base::Error;
using base::system_error;
using base::UniqueFd;
using boost::system::error_code;
using icn_asio::into;
using Clock = std::chrono::steady_clock;
using Descriptor = asio::posix::stream_descriptor;

constexpr int backlog = 4096;
/// Clients accepted before others get their turn.
constexpr int accept_batch = 32;

bool trusted(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

struct Client : std::enable_shared_from_this<Client> {
  Client(asio::io_context& io, int fd) : socket(io, fd), deadline(io), wake(io) {}

  /// Closes the client unless the next call comes within `span`.
  void allow(std::chrono::milliseconds span) {
    deadline.expires_after(span);
    deadline.async_wait([weak = weak_from_this()](error_code failed) {
      const auto self = weak.lock();
      // a timer that was set anew may have this call queued already
      if (self && !failed && self->deadline.expiry() <= Clock::now()) self->close();
    });
  }

  /// Ends the wait for an answer when the other end is gone.
  void watch() {
    if (std::exchange(watching, true)) return;
    socket.async_wait(Descriptor::wait_error, [weak = weak_from_this()](error_code) {
      const auto self = weak.lock();
      if (!self) return;
      self->gone = true;
      self->wake.cancel();
    });
  }

  void close() {
    closed = gone = true;
    error_code ignored;
    (void)socket.close(ignored);
    deadline.cancel();
    wake.cancel();
  }

  Descriptor socket;
  asio::steady_timer deadline;
  asio::steady_timer wake;  ///< cancelled when there is an answer, or nobody to take it
  std::uint64_t question = 0;
  std::optional<std::string> answer;  ///< to that question
  bool watching = false;
  bool gone = false;
  bool closed = false;
};

}  // namespace

struct LookupServer::Impl {
  Impl(asio::io_context& context, LookupLimits given, LookupHandler& given_handler)
      : io(context), limits(given), handler(given_handler), listener(context), pause(context) {}

  using Self = std::shared_ptr<Impl>;
  using ClientPtr = std::shared_ptr<Client>;

  static asio::awaitable<void> accept(Self self);
  static asio::awaitable<void> serve(Self self, ClientPtr client);
  static asio::awaitable<bool> handle(Self self, ClientPtr client, agent::Message message);
  static asio::awaitable<void> ask(Self self, ClientPtr client, agent::Lookup lookup);
  static asio::awaitable<bool> send(Self self, ClientPtr client, std::string text);

  void admit(const Self& self, UniqueFd fd);
  void forget(const ClientPtr& client) {
    clients.remove(client);
    pause.cancel();  // there is room
  }
  void close();

  asio::io_context& io;
  LookupLimits limits;
  LookupHandler& handler;
  Descriptor listener;
  asio::steady_timer pause;
  std::list<ClientPtr> clients;
  Counts counts;
  std::array<char, agent::max_request> bytes{};  ///< of the message that is being read
  bool closed = false;
};

asio::awaitable<void> LookupServer::Impl::accept(Self self) {
  while (!self->closed) {
    error_code failed;
    co_await self->listener.async_wait(Descriptor::wait_read, into(failed));
    if (self->closed) co_return;
    bool starved = static_cast<bool>(failed);
    for (int i = 0; i < accept_batch && self->clients.size() < self->limits.clients; ++i) {
      UniqueFd fd(::accept4(self->listener.native_handle(), nullptr, nullptr,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd.valid()) {
        starved = starved || (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR);
        break;
      }
      self->admit(self, std::move(fd));
    }
    const bool full = self->clients.size() >= self->limits.clients;
    if (!starved && !full) continue;
    self->pause.expires_at(full ? Clock::time_point::max() : Clock::now() + accept_pause);
    co_await self->pause.async_wait(into(failed));
  }
}

void LookupServer::Impl::admit(const Self& self, UniqueFd fd) {
  if (!trusted(fd.get())) {
    ++counts.refused;
    return;
  }
  ++counts.accepted;
  auto client = std::make_shared<Client>(io, fd.get());
  (void)fd.release();
  clients.push_back(client);
  asio::co_spawn(io, serve(self, client), [self, client](const std::exception_ptr&) {
    client->close();
    self->forget(client);
  });
}

asio::awaitable<void> LookupServer::Impl::serve(Self self, ClientPtr client) {
  for (;;) {
    client->allow(self->limits.idle);
    // also when a message is there already: a client that sends without pause
    // takes turns with the others
    error_code failed;
    co_await client->socket.async_wait(Descriptor::wait_read, into(failed));
    if (failed || client->closed) co_return;
    auto& bytes = self->bytes;
    // MSG_TRUNC: the message's own length, whatever fits
    const auto length = ::recv(client->socket.native_handle(), bytes.data(), bytes.size(),
                               MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (length <= 0) co_return;
    const auto size = static_cast<std::size_t>(length);
    auto message = size <= bytes.size()
                       ? agent::parse_message({bytes.data(), size})
                       : base::Result<agent::Message>(Error{Errc::invalid_input, "too long"});
    if (!message) {
      ++self->counts.malformed;
      co_return;
    }
    if (!co_await handle(self, client, *std::move(message))) co_return;
  }
}

/// False: the client is to be closed.
asio::awaitable<bool> LookupServer::Impl::handle(Self self, ClientPtr client,
                                                 agent::Message message) {
  if (const auto* outcome = std::get_if<agent::Outcome>(&message)) {
    self->handler.outcome(*outcome);
    co_return !client->closed;
  }
  if (std::holds_alternative<agent::StatusQuery>(message))
    co_return co_await send(self, client, to_json(self->handler.status()));
  if (const auto* query = std::get_if<agent::PodsQuery>(&message))
    co_return co_await send(self, client, to_json(self->handler.pods(*query)));
  co_await ask(self, client, std::get<agent::Lookup>(std::move(message)));
  if (client->closed) co_return false;
  // who is gone may have left an outcome behind
  if (!client->answer) co_return true;
  co_return co_await send(self, client, *std::exchange(client->answer, std::nullopt));
}

/// Until there is an answer or nobody to take it.
asio::awaitable<void> LookupServer::Impl::ask(Self self, ClientPtr client, agent::Lookup lookup) {
  client->answer.reset();
  client->wake.expires_at(Clock::time_point::max());
  self->handler.lookup(lookup, [weak = std::weak_ptr<Client>(client),
                                question = ++client->question](const agent::Answer& answer) {
    const auto asker = weak.lock();
    if (!asker || asker->gone || asker->question != question || asker->answer) return;
    asker->answer = to_json(answer);
    asker->wake.cancel();
  });
  if (client->answer || client->gone) co_return;
  client->watch();
  error_code woken;
  co_await client->wake.async_wait(into(woken));
  ++client->question;  // what comes now comes too late
}

/// False: the client is gone or does not read.
asio::awaitable<bool> LookupServer::Impl::send(Self self, ClientPtr client, std::string text) {
  client->allow(self->limits.send);
  for (;;) {
    const auto sent = ::send(client->socket.native_handle(), text.data(), text.size(),
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    // EPIPE: its last messages may still be there to be read
    if (sent >= 0 || errno == EPIPE) co_return true;
    if (errno != EAGAIN && errno != EINTR) co_return false;
    error_code failed;
    co_await client->socket.async_wait(Descriptor::wait_write, into(failed));
    if (failed || client->closed) co_return false;
  }
}

void LookupServer::Impl::close() {
  closed = true;
  error_code ignored;
  (void)listener.close(ignored);
  pause.cancel();
  for (const auto& client : clients) client->close();
  clients.clear();
}

base::Result<LookupServer> LookupServer::start(asio::io_context& io, base::UniqueFd listening,
                                               const std::string& path, LookupLimits limits,
                                               LookupHandler& handler) {
  auto fd = std::move(listening);
  if (!fd.valid()) {
    auto made = UnixListener::make(path, 0600, SOCK_SEQPACKET, backlog);
    if (!made) return std::move(made).error();
    fd = std::move(made->fd);
  }
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
    return Error{Errc::invalid_input, "the socket passed in for the plugin does not listen"};
  // it may block, and accept must not
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return system_error("listen for the plugin", errno);
  auto impl = std::make_shared<Impl>(io, limits, handler);
  error_code failed;
  (void)impl->listener.assign(fd.get(), failed);
  if (failed) return system_error("listen for the plugin", failed.value());
  (void)fd.release();
  asio::co_spawn(io, Impl::accept(impl), [impl](const std::exception_ptr&) {});
  return LookupServer(std::move(impl));
}

LookupServer::LookupServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
LookupServer::LookupServer(LookupServer&&) noexcept = default;
LookupServer& LookupServer::operator=(LookupServer&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) impl_->close();
  impl_ = std::move(other.impl_);
  return *this;
}
LookupServer::~LookupServer() {
  if (impl_) impl_->close();
}

const LookupServer::Counts& LookupServer::counts() const { return impl_->counts; }

}  // namespace istio_cni_node
