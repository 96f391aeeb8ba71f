#include "kube/api.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <list>
#include <vector>

#include "base/strings.hpp"
#include "kube/async_http.hpp"

namespace kube {
namespace {

namespace asio = boost::asio;
using base::Deadline;
using base::Errc;
using base::Error;
using std::chrono::steady_clock;

constexpr std::size_t max_connections = 4;
/// An idle TLS connection holds about 70 KB; the plugin's lookups come in bursts.
constexpr std::chrono::seconds max_idle{30};

class Collector : public AnswerSink {
 public:
  explicit Collector(Deadline deadline) : deadline_(deadline) {}
  void head(const AnswerHead& head) override { response_.status = head.status; }
  base::Status body(std::string_view bytes) override {
    response_.body.append(bytes);
    // A body that trickles in must not outlast the deadline either.
    if (deadline_.passed()) return answer_timeout();
    return base::success();
  }
  Deadline deadline() override { return deadline_; }
  [[nodiscard]] std::optional<std::uint64_t> body_limit() const override { return max_body_size; }
  Response take() { return std::move(response_); }

 private:
  Deadline deadline_;
  Response response_;
};

}  // namespace

struct ApiClient::Impl : std::enable_shared_from_this<ApiClient::Impl> {
  struct Job {
    ApiRequest request;
    Deadline deadline;
    std::function<void(base::Result<Response>)> done;
  };
  struct Idle {
    std::shared_ptr<HttpConnection> connection;
    steady_clock::time_point since;
  };
  using Self = std::shared_ptr<Impl>;

  Impl(asio::io_context& context, CredentialProvider& from)
      : io(context), provider(from), queue_timer(context), idle_timer(context) {}

  void pump();
  void watch_queue();
  void watch_idle();
  void close();
  std::shared_ptr<HttpConnection> take_idle();
  void give_back(std::shared_ptr<HttpConnection> connection);

  static Task<void> run(Self self, Job job);
  static Task<base::Result<Response>> attempt(Self self, std::shared_ptr<Conversation> talk,
                                              ApiRequest request, Deadline deadline);

  asio::io_context& io;
  CredentialProvider& provider;
  std::shared_ptr<TlsContexts> contexts = std::make_shared<TlsContexts>();
  std::deque<Job> queue;
  asio::steady_timer queue_timer;  // the earliest deadline in the queue
  std::list<Idle> idle;            // the longest idle first
  asio::steady_timer idle_timer;
  std::list<std::shared_ptr<Conversation>> active;
  std::size_t running = 0;
  std::uint64_t sent = 0;
  bool closed = false;
};

void ApiClient::Impl::pump() {
  while (!closed && running < max_connections && !queue.empty()) {
    auto job = std::move(queue.front());
    queue.pop_front();
    ++running;
    asio::co_spawn(io, run(shared_from_this(), std::move(job)),
                   [self = shared_from_this()](const std::exception_ptr&) {
                     --self->running;
                     self->pump();
                   });
  }
  watch_queue();
}

/// A request whose deadline passes while it waits its turn ends then.
void ApiClient::Impl::watch_queue() {
  if (closed || queue.empty()) {
    queue_timer.cancel();
    return;
  }
  auto earliest = queue.front().deadline.left();
  for (const auto& job : queue) earliest = std::min(earliest, job.deadline.left());
  queue_timer.expires_after(earliest);
  queue_timer.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (failure || self->closed) return;
    std::vector<Job> late;
    for (auto job = self->queue.begin(); job != self->queue.end();) {
      if (!job->deadline.passed()) {
        ++job;
        continue;
      }
      late.push_back(std::move(*job));
      job = self->queue.erase(job);
    }
    self->watch_queue();
    for (auto& job : late) {
      if (self->closed) return;
      job.done(Error{Errc::timeout, "API request: no connection became free in time"});
    }
  });
}

void ApiClient::Impl::watch_idle() {
  if (closed || idle.empty()) {
    idle_timer.cancel();
    return;
  }
  idle_timer.expires_at(idle.front().since + max_idle);
  idle_timer.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (failure || self->closed) return;
    while (!self->idle.empty() && self->idle.front().since + max_idle <= steady_clock::now())
      self->idle.pop_front();
    self->watch_idle();
  });
}

std::shared_ptr<HttpConnection> ApiClient::Impl::take_idle() {
  // The one used last is the least likely to have been closed.
  while (!idle.empty()) {
    auto connection = std::move(idle.back().connection);
    idle.pop_back();
    if (connection->reusable()) return connection;
  }
  return nullptr;
}

void ApiClient::Impl::give_back(std::shared_ptr<HttpConnection> connection) {
  if (closed || !connection) return;
  auto generation = connection->credential().generation;
  std::erase_if(idle, [generation](const Idle& other) {
    return other.connection->credential().generation != generation;
  });
  idle.push_back({std::move(connection), steady_clock::now()});
  watch_idle();
}

void ApiClient::Impl::close() {
  closed = true;
  queue.clear();
  idle.clear();
  queue_timer.cancel();
  idle_timer.cancel();
  for (auto& talk : active) talk->stop();
}

Task<void> ApiClient::Impl::run(Self self, Job job) {
  co_await asio::post(self->io, asio::use_awaitable);  // a callback is never called at once
  if (self->closed) co_return;
  auto talk =
      std::make_shared<Conversation>(self->io.get_executor(), self->provider, self->contexts);
  auto place = self->active.insert(self->active.end(), talk);
  talk->connection = self->take_idle();
  base::Result<Response> result = Error{Errc::io, "API request"};
  try {
    auto request = std::move(job.request);
    result = co_await attempt(self, talk, std::move(request), job.deadline);
  } catch (const std::exception& error) {
    result = Error{Errc::io, base::cat("API request: ", error.what())};
  }
  self->active.erase(place);
  self->sent += talk->sent();
  if (self->closed) co_return;
  self->give_back(std::move(talk->connection));
  job.done(std::move(result));
}

Task<base::Result<Response>> ApiClient::Impl::attempt(Self self, std::shared_ptr<Conversation> talk,
                                                      ApiRequest request, Deadline deadline) {
  for (bool again = true;; again = false) {
    Collector sink(deadline);
    auto status = co_await talk->perform(request, sink, deadline);
    if (talk->stopped()) co_return Error{Errc::unavailable, "stopped"};
    bool refused = !status && status.error().code == Errc::unauthorized && talk->generation();
    if (!status && !refused) co_return std::move(status).error();
    auto response = sink.take();
    if (refused || response.status == 401) {
      self->provider.rejected(*talk->generation());
      // The connection may carry the client certificate that was refused.
      talk->connection.reset();
      if (again) continue;
    }
    if (refused) co_return std::move(status).error();
    co_return response;
  }
}

ApiClient::ApiClient(asio::io_context& io, CredentialProvider& credentials)
    : impl_(std::make_shared<Impl>(io, credentials)) {}

ApiClient::~ApiClient() { impl_->close(); }

void ApiClient::request(ApiRequest request, Deadline deadline,
                        std::function<void(base::Result<Response>)> done) {
  impl_->queue.push_back({std::move(request), deadline, std::move(done)});
  impl_->pump();
}

std::uint64_t ApiClient::requests() const {
  auto sent = impl_->sent;
  for (const auto& talk : impl_->active) sent += talk->sent();
  return sent;
}

}  // namespace kube
