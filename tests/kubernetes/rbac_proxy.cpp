#include "kubernetes/rbac_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace kubernetes_test {
namespace {

using base::cat;
using base::UniqueFd;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

bool send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::string reply(std::string_view status, std::string_view body) {
  return cat("HTTP/1.1 ", status,
             "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
             "\r\nConnection: close\r\n\r\n", body);
}

void note(std::vector<Attributes>& list, const Attributes& one) {
  if (std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
}

std::size_t content_length(std::string_view head) {
  for (const auto line : base::split(head, '\n')) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (base::to_lower(line.substr(0, colon)) == "content-length")
      return base::parse_unsigned(base::trim(line.substr(colon + 1))).value_or(0);
  }
  return 0;
}

}  // namespace

struct RbacProxy::Impl {
  Impl(std::uint16_t upstream_port, std::vector<Grant> all)
      : upstream(upstream_port), grants(std::move(all)) {}

  void accept_all();
  void serve(int client);
  /// A whole request; nothing when the client is gone.
  std::optional<std::string> read_request(int client) const;
  void forward(int client, const std::string& request) const;
  [[nodiscard]] bool readable(int fd) const;

  const std::uint16_t upstream;
  const std::vector<Grant> grants;
  UniqueFd listener;
  std::uint16_t port = 0;
  UniqueFd stop{::eventfd(0, EFD_CLOEXEC)};
  mutable std::mutex mutex;
  std::map<std::string, std::string> answers;
  std::vector<Attributes> passed;
  std::vector<Attributes> refused;
  std::thread acceptor;
  std::list<std::thread> threads;
};

/// False when the proxy ends.
bool RbacProxy::Impl::readable(int fd) const {
  pollfd items[] = {{fd, POLLIN, 0}, {stop.get(), POLLIN, 0}};
  return ::poll(items, 2, -1) > 0 && items[1].revents == 0;
}

void RbacProxy::Impl::accept_all() {
  while (readable(listener.get())) {
    const int client = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) threads.emplace_back([this, client] { serve(client); });
  }
}

std::optional<std::string> RbacProxy::Impl::read_request(int client) const {
  std::string request;
  std::size_t whole = 0;
  while (whole == 0 || request.size() < whole) {
    char buffer[16384];
    if (!readable(client)) return std::nullopt;
    const auto size = ::recv(client, buffer, sizeof buffer, 0);
    if (size <= 0) return std::nullopt;
    request.append(buffer, static_cast<std::size_t>(size));
    const auto end = request.find("\r\n\r\n");
    if (whole == 0 && end != std::string::npos)
      whole = end + 4 + content_length(std::string_view(request).substr(0, end));
  }
  return request;
}

/// One connection upstream a request, so that its end is the answer's.
void RbacProxy::Impl::forward(int client, const std::string& request) const {
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = loopback(upstream);
  if (::connect(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
  auto changed = request;
  changed.insert(changed.find("\r\n") + 2, "Connection: close\r\n");
  if (!send_all(server.get(), changed)) return;
  for (;;) {
    // a watch lasts until the client has had enough
    pollfd items[] = {{server.get(), POLLIN, 0}, {client, POLLRDHUP, 0}, {stop.get(), POLLIN, 0}};
    if (::poll(items, 3, -1) <= 0 || items[1].revents != 0 || items[2].revents != 0) return;
    char buffer[16384];
    const auto size = ::recv(server.get(), buffer, sizeof buffer, 0);
    if (size <= 0 || !send_all(client, {buffer, static_cast<std::size_t>(size)})) return;
  }
}

void RbacProxy::Impl::serve(int client_fd) {
  const UniqueFd client(client_fd);
  const auto request = read_request(client.get());
  if (!request) return;
  const auto words = base::split(std::string_view(*request).substr(0, request->find('\r')), ' ');
  if (words.size() != 3) return;
  const auto attributes = attributes_of(words[0], words[1]);
  const bool may = allowed(grants, attributes);
  std::optional<std::string> planned;
  {
    const std::lock_guard lock(mutex);
    note(may ? passed : refused, attributes);
    for (const auto& [begin, body] : answers)
      if (request->starts_with(begin)) planned = body;
  }
  if (!may)
    (void)send_all(client.get(),
                   reply("403 Forbidden",
                         cat(R"({"kind":"Status","apiVersion":"v1","status":"Failure","reason":)"
                             R"("Forbidden","code":403,"message":"not granted: )",
                             to_string(attributes), "\"}")));
  else if (planned)
    (void)send_all(client.get(), reply("200 OK", *planned));
  else
    forward(client.get(), *request);
}

RbacProxy::RbacProxy(std::uint16_t upstream, std::vector<Grant> grants)
    : impl_(std::make_unique<Impl>(upstream, std::move(grants))) {
  impl_->listener = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = loopback(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int fd = impl_->listener.get();
  if (::bind(fd, generic, size) != 0 || ::listen(fd, 64) != 0 ||
      ::getsockname(fd, generic, &size) != 0)
    throw std::runtime_error("cannot listen");
  impl_->port = ntohs(address.sin_port);
  impl_->acceptor = std::thread([this] { impl_->accept_all(); });
}

RbacProxy::~RbacProxy() {
  const std::uint64_t one = 1;
  (void)!::write(impl_->stop.get(), &one, sizeof one);
  impl_->acceptor.join();
  for (auto& thread : impl_->threads) thread.join();
}

void RbacProxy::answer(const std::string& begin, const std::string& body) {
  const std::lock_guard lock(impl_->mutex);
  impl_->answers[begin] = body;
}

std::string RbacProxy::url() const { return cat("http://127.0.0.1:", impl_->port); }

std::vector<Attributes> RbacProxy::passed() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->passed;
}

std::vector<Attributes> RbacProxy::refused() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->refused;
}

}  // namespace kubernetes_test
