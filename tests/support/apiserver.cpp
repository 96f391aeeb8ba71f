#include "support/apiserver.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "support/apiserver_store.hpp"
#include "support/apiserver_watch.hpp"

namespace test_support {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using base::cat;
using Request = http::request<http::string_body>;
using Reply = http::response<http::string_body>;
using Tcp = asio::ip::tcp;

constexpr std::size_t max_log = 100'000;

template <typename View>
std::string as_text(const View& view) {
  return std::string(view.data(), view.size());
}

std::runtime_error failed(const std::string& what) {
  return std::runtime_error(cat(what, ": ", std::strerror(errno)));
}

Reply json_reply(int status, std::string body) {
  Reply reply;
  reply.version(11);
  reply.result(static_cast<unsigned>(status));
  reply.set(http::field::content_type, "application/json");
  reply.body() = std::move(body);
  reply.prepare_payload();
  return reply;
}

Reply status_reply(int status, const std::string& reason, const std::string& message) {
  return json_reply(status, status_object(status, reason, message).dump());
}

}  // namespace

struct ApiServer::Impl {
  explicit Impl(ApiServerOptions wanted)
      : options(std::move(wanted)),
        tls(asio::ssl::context::tls_server),
        token(options.token),
        watches(store, options.bookmarks) {
    store.on_change = [this] { watches.wake(); };
    using Kind = ApiServerOptions::Certificate;
    auto pair =
        authority.server(options.certificate == Kind::wrong_host
                             ? std::vector<std::string>{"DNS:elsewhere.example"}
                             : std::vector<std::string>{"DNS:localhost", "IP:127.0.0.1", "IP:::1"},
                         options.certificate == Kind::expired);
    client = authority.client("test-client");
    tls.use_certificate_chain(asio::buffer(pair.cert_pem));
    tls.use_private_key(asio::buffer(pair.key_pem), asio::ssl::context::pem);
    tls.add_certificate_authority(asio::buffer(authority.cert_pem()));
    if (options.require_client_cert)
      tls.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    listen();
    stop.reset(::eventfd(0, EFD_CLOEXEC));
    if (!stop.valid()) throw failed("eventfd");
    acceptor = std::thread([this] { accept_loop(); });
  }

  ~Impl() {
    ::eventfd_write(stop.get(), 1);
    acceptor.join();
    {
      std::lock_guard lock(mutex);
      for (int fd : open) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& worker : workers) worker.thread.join();
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void listen() {
    int family = options.ipv6 ? AF_INET6 : AF_INET;
    listener.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int yes = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (options.ipv6) {
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_port = htons(options.port);
      address.sin6_addr = in6addr_loopback;
      size = sizeof address;
      std::memcpy(&storage, &address, size);
    } else {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(options.port);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size = sizeof address;
      std::memcpy(&storage, &address, size);
    }
    auto* generic = reinterpret_cast<sockaddr*>(&storage);
    if (::bind(listener.get(), generic, size) != 0 || ::listen(listener.get(), 128) != 0)
      throw failed("listen");
    size = sizeof storage;
    if (::getsockname(listener.get(), generic, &size) != 0) throw failed("getsockname");
    // The port stands at the same place for both families.
    sockaddr_in address{};
    std::memcpy(&address, &storage, sizeof address);
    port = ntohs(address.sin_port);
  }

  void accept_loop() {
    for (;;) {
      pollfd waits[2] = {{listener.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
      ::poll(waits, 2, -1);
      if (waits[1].revents != 0) return;
      int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      if (away) {
        ::close(fd);
        continue;
      }
      int no_delay = 1;  // as real API servers do: a header must not wait for the body's turn
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
      ++connections;
      {
        std::lock_guard lock(mutex);
        open.insert(fd);
      }
      // Those that have ended would keep their stacks.
      for (auto worker = workers.begin(); worker != workers.end();) {
        if (!worker->ended) {
          ++worker;
          continue;
        }
        worker->thread.join();
        worker = workers.erase(worker);
      }
      auto& worker = workers.emplace_back();
      worker.thread = std::thread([this, fd, &worker] {
        serve(fd);
        worker.ended = true;
      });
    }
  }

  void serve(int fd) {
    try {
      asio::io_context io;
      Tcp::socket socket(io);
      socket.assign(options.ipv6 ? Tcp::v6() : Tcp::v4(), fd);
      try {
        if (options.tls) {
          asio::ssl::stream<Tcp::socket&> stream(socket, tls);
          stream.handshake(asio::ssl::stream_base::server);
          if (converse(stream, fd)) stream.shutdown();
        } else {
          converse(socket, fd);
        }
      } catch (const std::exception&) {
        // The client went away or did not like us: its test says so.
      }
      // Before the descriptor is closed and its number used again.
      std::lock_guard lock(mutex);
      open.erase(fd);
    } catch (const std::exception&) {
    }
  }

  /// Answers requests until the connection shall end; true when it shall end politely.
  template <typename Stream>
  bool converse(Stream& stream, int fd) {
    boost::beast::flat_buffer buffer;
    for (;;) {
      Request request;
      http::read(stream, buffer, request);
      ++requests;
      note(request);
      auto fault = next_fault(request);
      if (fault && !disturb(stream, request, *fault)) return false;
      if (auto selection = watched(request)) {
        WatchLine line;
        line.write = [&stream](const std::string& text) {
          asio::write(stream, asio::buffer(text));
        };
        line.fd = fd;
        line.stop = stop.get();
        if (!watches.serve(line, *selection, parse_query(as_text(request.target())))) return false;
        continue;
      }
      auto reply = answer(request);
      reply.keep_alive(request.keep_alive());
      http::write(stream, reply);
      if (fault && fault->kind == Fault::Kind::close_after) return false;
      if (!request.keep_alive()) return true;
    }
  }

  std::optional<Fault> next_fault(const Request& request) {
    const auto text = cat(as_text(request.method_string()), ' ', as_text(request.target()));
    std::lock_guard lock(mutex);
    auto found = std::find_if(faults.begin(), faults.end(),
                              [&](const Fault& one) { return text.starts_with(one.request); });
    if (found == faults.end()) return std::nullopt;
    auto fault = *found;
    faults.erase(found);
    return fault;
  }

  /// True when the ordinary answer shall follow.
  template <typename Stream>
  bool disturb(Stream& stream, const Request& request, const Fault& fault) {
    using Kind = Fault::Kind;
    auto send = [&](const std::string& text) { asio::write(stream, asio::buffer(text)); };
    switch (fault.kind) {
      case Kind::status:
        planned(request, status_reply(fault.status, "Injected", "an injected fault"));
        return true;
      case Kind::delay:
        return !wait_for_stop(static_cast<int>(fault.delay.count()));
      case Kind::drop:
        return false;
      case Kind::cut:
        send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"kind\":");
        return false;
      case Kind::hang:
        wait_for_stop(-1);
        return false;
      case Kind::huge_body: {
        std::string piece(std::size_t{1} << 20, 'x');
        send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 17; ++i) send(cat("100000\r\n", piece, "\r\n"));
        send("0\r\n\r\n");
        return false;
      }
      case Kind::huge_header:
        send(cat("HTTP/1.1 200 OK\r\nX-Filler: ", std::string(65536, 'x'), "\r\n\r\n"));
        return false;
      case Kind::garbage:
        send(std::string("\x00\x01\xff garbage \r\n\r\n", 16));
        return false;
      case Kind::lose:
        (void)answer(request);
        return false;
      case Kind::close_after:
        return true;
    }
    return true;
  }

  bool wait_for_stop(int milliseconds) {
    pollfd wait{stop.get(), POLLIN, 0};
    return ::poll(&wait, 1, milliseconds) > 0;
  }

  /// A reply that stands in for the ordinary one of this request.
  void planned(const Request& request, Reply reply) {
    std::lock_guard lock(mutex);
    replacements[&request] = std::move(reply);
  }

  void note(const Request& request) {
    std::lock_guard lock(mutex);
    log.emplace_back(cat(as_text(request.method_string()), ' ', as_text(request.target())),
                     request.body());
    if (log.size() > max_log) log.pop_front();
  }

  /// Of a request for a watch that shall be answered by one.
  std::optional<Selection> watched(const Request& request) {
    auto target = as_text(request.target());
    auto query = parse_query(target);
    if (request.method() != http::verb::get || !base::parse_go_bool(query["watch"]).value_or(false))
      return std::nullopt;
    auto node = node_of_selector(query["fieldSelector"]);
    const auto path = target.substr(0, target.find('?'));
    auto parts = base::split(path, '/');
    bool all = parts.size() == 4 && parts[3] == "pods";
    bool one = parts.size() == 6 && parts[3] == "namespaces" && parts[5] == "pods";
    std::lock_guard lock(mutex);
    if (!node || (!all && !one) || replacements.contains(&request) || !allowed(request))
      return std::nullopt;
    return Selection{one ? std::string(parts[4]) : std::string(), *node};
  }

  bool allowed(const Request& request) {
    return token.empty() || request[http::field::authorization] == "Bearer " + token;
  }

  Reply answer(const Request& request) {
    int eviction = 0;
    {
      std::lock_guard lock(mutex);
      if (auto found = replacements.extract(&request)) return std::move(found.mapped());
      if (!allowed(request)) return status_reply(401, "Unauthorized", "Unauthorized");
      eviction = eviction_status;
    }
    ApiRequestText text{as_text(request.method_string()), as_text(request.target()),
                        as_text(request[http::field::content_type]), request.body()};
    auto reply = route(text, store, eviction);
    return json_reply(reply.status, std::move(reply.body));
  }

  ApiServerOptions options;
  Authority authority{"test-apiserver-ca"};
  KeyPair client;
  asio::ssl::context tls;
  base::UniqueFd listener;
  base::UniqueFd stop;  // readable once the server shall end
  std::uint16_t port = 0;
  std::thread acceptor;
  struct Worker {
    std::thread thread;
    std::atomic<bool> ended = false;
  };
  std::list<Worker> workers;  // the acceptor's; then the end's
  std::atomic<std::size_t> requests = 0;
  std::atomic<std::size_t> connections = 0;
  std::atomic<bool> away = false;

  std::mutex mutex;  // guards what follows
  std::set<int> open;
  std::deque<Fault> faults;
  std::map<const Request*, Reply> replacements;
  std::string token;
  int eviction_status = 201;
  std::deque<std::pair<std::string, std::string>> log;  // and its body

  Store store;  // these two look after themselves
  Watches watches;
};

ApiServer::ApiServer(ApiServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
ApiServer::~ApiServer() = default;

void ApiServer::add_pod(const std::string& json) {
  auto pod = Json::parse(json, nullptr, false);
  auto text_at = [&](const char* key) {
    return pod.is_object() && pod.contains("metadata") && pod["metadata"].is_object() &&
           pod["metadata"].contains(key) && pod["metadata"][key].is_string();
  };
  if (!text_at("name") || !text_at("namespace"))
    throw std::runtime_error("not a pod with metadata.name and metadata.namespace");
  pod.emplace("apiVersion", "v1");
  pod.emplace("kind", "Pod");
  impl_->store.put(std::move(pod));
}

void ApiServer::remove_pod(const std::string& name_space, const std::string& name) {
  impl_->store.remove(name_space, name);
}

std::string ApiServer::find_pod(const std::string& name_space, const std::string& name) const {
  auto pod = impl_->store.find(name_space, name);
  return pod ? pod->dump() : std::string();
}

void ApiServer::set_daemonset(const std::string& name_space, const std::string& name,
                              const std::string& json) {
  impl_->store.set_object(cat("/apis/apps/v1/namespaces/", name_space, "/daemonsets/", name), json);
}

void ApiServer::set_node(const std::string& name, const std::string& json) {
  impl_->store.set_object(cat("/api/v1/nodes/", name), json);
}

void ApiServer::send_bookmark() { impl_->watches.bookmark(); }
void ApiServer::disturb_watches(WatchFault fault) { impl_->watches.disturb(fault); }
void ApiServer::expire_history(Expiry how) {
  impl_->store.forget_history();
  impl_->store.forget_tokens();
  impl_->watches.expire(how == Expiry::event);
}
void ApiServer::expire_continue_tokens() { impl_->store.forget_tokens(); }
std::size_t ApiServer::watches() const { return impl_->watches.count(); }
std::uint64_t ApiServer::version() const { return impl_->store.version(); }

void ApiServer::set_away(bool away) {
  impl_->away = away;
  if (!away) return;
  std::lock_guard lock(impl_->mutex);
  for (const int fd : impl_->open) ::shutdown(fd, SHUT_RDWR);
}

void ApiServer::set_token(const std::string& token) {
  std::lock_guard lock(impl_->mutex);
  impl_->token = token;
}

void ApiServer::set_eviction_status(int status) {
  std::lock_guard lock(impl_->mutex);
  impl_->eviction_status = status;
}

void ApiServer::add_event(const std::string& json) {
  const auto event = Json::parse(json, nullptr, false);
  const auto name_space = event.is_object() && event.contains("metadata")
                              ? text_at(event["metadata"], "namespace")
                              : "";
  ApiRequestText request{"POST", cat("/api/v1/namespaces/", name_space, "/events"), "", json};
  const auto reply = route_events(request, impl_->store, name_space, "");
  if (name_space.empty() || reply.status != 201)
    throw std::runtime_error(cat("not an Event to add: ", reply.body));
}

std::vector<std::string> ApiServer::events() const { return impl_->store.events(); }
void ApiServer::forget_events() { impl_->store.forget_events(); }

std::vector<std::string> ApiServer::request_log() const {
  std::lock_guard lock(impl_->mutex);
  std::vector<std::string> requests;
  for (const auto& [request, body] : impl_->log) requests.push_back(request);
  return requests;
}

std::vector<std::string> ApiServer::bodies_of(const std::string& request) const {
  std::lock_guard lock(impl_->mutex);
  std::vector<std::string> bodies;
  for (const auto& [one, body] : impl_->log)
    if (one == request) bodies.push_back(body);
  return bodies;
}

void ApiServer::inject(const Fault& fault, int count) {
  std::lock_guard lock(impl_->mutex);
  for (int i = 0; i < count; ++i) impl_->faults.push_back(fault);
}

std::string ApiServer::url() const {
  return cat(impl_->options.tls ? "https://" : "http://",
             impl_->options.ipv6 ? "[::1]" : "127.0.0.1", ':', impl_->port);
}
std::uint16_t ApiServer::port() const { return impl_->port; }
const std::string& ApiServer::ca_pem() const { return impl_->authority.cert_pem(); }
const KeyPair& ApiServer::client() const { return impl_->client; }
std::size_t ApiServer::requests() const { return impl_->requests; }
std::size_t ApiServer::connections() const { return impl_->connections; }

void ApiServer::write_kubeconfig(const std::string& path) const {
  auto text =
      cat("apiVersion: v1\nkind: Config\ncurrent-context: test\n"
          "contexts:\n- name: test\n  context: {cluster: test, user: test}\n"
          "clusters:\n- name: test\n  cluster:\n    server: ",
          url(), '\n');
  if (impl_->options.tls)
    text += cat("    certificate-authority-data: ", base64_encode(ca_pem()), '\n');
  text += "users:\n- name: test\n  user:\n";
  bool anonymous = true;
  if (!impl_->options.token.empty()) {
    text += cat("    token: \"", impl_->options.token, "\"\n");
    anonymous = false;
  }
  if (impl_->options.require_client_cert) {
    text += cat("    client-certificate-data: ", base64_encode(client().cert_pem), '\n');
    text += cat("    client-key-data: ", base64_encode(client().key_pem), '\n');
    anonymous = false;
  }
  if (anonymous) text += "    token: \"\"\n";
  base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid() ||
      ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw failed(path);
}

}  // namespace test_support
