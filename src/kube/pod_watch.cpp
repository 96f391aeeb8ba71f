#include "kube/pod_watch.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <random>

#include "base/percent_encode.hpp"
#include "base/strings.hpp"
#include "kube/async_http.hpp"
#include "kube/json_splitter.hpp"
#include "pod/parse.hpp"

namespace kube {
namespace {

namespace asio = boost::asio;
using base::cat;
using base::Deadline;
using base::Errc;
using base::Error;
using base::percent_encode;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Phase = WatchState::Phase;

/// A watch that ends before this, and before any event, was not worth its request.
constexpr std::chrono::seconds short_watch{1};

/// What a status other than 200 means.
Error status_error(std::string_view what, int status, const ListHead& body) {
  auto text = cat(what, ": the API server answers ", status);
  if (!body.message.empty()) text += cat(": ", base::quote(body.message, 300));
  auto code = Errc::unavailable;
  if (status == 401 || status == 403) {
    code = Errc::unauthorized;
    text += "; check the credential and its right to list and watch pods";
  } else if (status >= 400 && status < 500 && status != 408 && status != 410 && status != 429) {
    code = Errc::invalid_input;
  }
  return {code, std::move(text)};
}

/// How a list or a watch ended.
struct Outcome {
  enum class Next { list, watch } next = Next::watch;
  std::optional<Error> error;
  bool at_once = false;  // no back-off, though there may be an error
  std::chrono::seconds retry_after{0};
};

}  // namespace

struct PodWatch::Impl : std::enable_shared_from_this<PodWatch::Impl> {
  using Self = std::shared_ptr<Impl>;
  class Sink;
  class ListSink;
  class WatchSink;

  Impl(asio::io_context& context, CredentialProvider& from, WatchOptions wanted, PodObserver& to)
      : io(context),
        provider(from),
        options(std::move(wanted)),
        observer(to),
        talk(std::make_shared<Conversation>(io.get_executor(), provider,
                                            std::make_shared<TlsContexts>())) {
    if (!options.random)
      options.random = [engine = std::mt19937(std::random_device{}())]() mutable {
        return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
      };
    selector =
        cat("/api/v1/pods?fieldSelector=spec.nodeName%3D", percent_encode(options.node_name));
  }

  static Task<void> run(Self self);
  static Task<Outcome> list(Self self);
  static Task<Outcome> watch(Self self);

  [[nodiscard]] bool closed() const { return talk->stopped(); }
  void changed(Phase phase);
  void report(Error error);
  void upsert(std::string_view text);
  milliseconds backoff(std::chrono::seconds retry_after);
  Outcome failure(Outcome::Next next, Error error);

  asio::io_context& io;
  CredentialProvider& provider;
  WatchOptions options;
  PodObserver& observer;
  std::shared_ptr<Conversation> talk;
  std::string selector;
  WatchState state;
  std::string version;  // where a watch begins
  int failures = 0;     // in a row
  bool started = false;
};

void PodWatch::Impl::changed(Phase phase) {
  state.phase = phase;
  if (!closed()) observer.watch_changed(state);
}

void PodWatch::Impl::report(Error error) {
  state.last_error = std::move(error);
  if (!closed()) observer.watch_changed(state);
}

void PodWatch::Impl::upsert(std::string_view text) {
  auto pod = pod::parse_pod(text);
  if (!pod) return report(std::move(pod).error().wrap("a pod is skipped"));
  observer.upsert(std::move(*pod));
}

milliseconds PodWatch::Impl::backoff(std::chrono::seconds retry_after) {
  auto span = options.backoff_first;
  for (int i = 1; i < failures && span < options.backoff_cap; ++i) span *= 2;
  span = std::min(span, options.backoff_cap);
  // Half of it is chance, so that the nodes of a cluster do not come together.
  auto half = span / 2;
  auto chance = std::chrono::duration<double, std::milli>(half) * options.random();
  auto wait = half + std::chrono::duration_cast<milliseconds>(chance);
  return std::max(wait, std::min<milliseconds>(retry_after, options.backoff_cap));
}

/// What the two kinds of request have in common.
class PodWatch::Impl::Sink : public AnswerSink {
 public:
  Sink(Self self, Deadline deadline)
      : self_(std::move(self)),
        deadline_(deadline),
        status_body_(JsonSplitter::Mode::list, [](std::string_view) {}) {}

  void head(const AnswerHead& head) override {
    head_ = head;
    self_->state.last_contact = steady_clock::now();
    if (head_.status == 200 && !self_->closed()) begin();
  }
  base::Status body(std::string_view bytes) override {
    if (self_->closed()) return Error{Errc::unavailable, "stopped"};
    self_->state.last_contact = steady_clock::now();
    if (head_.status == 200) return good(bytes);
    // A Status object, or anything that a proxy may say.
    seen_ += bytes.size();
    if (seen_ > max_status) return Error{Errc::unavailable, "a long answer"};
    (void)status_body_.feed(bytes);
    return base::success();
  }
  Deadline deadline() override { return deadline_; }
  [[nodiscard]] std::optional<std::uint64_t> body_limit() const override { return std::nullopt; }

  [[nodiscard]] const AnswerHead& answer() const { return head_; }
  [[nodiscard]] const ListHead& status_body() const { return status_body_.head(); }

 protected:
  virtual void begin() = 0;
  virtual base::Status good(std::string_view bytes) = 0;
  Self self_;

 private:
  static constexpr std::size_t max_status = 65536;
  Deadline deadline_;
  AnswerHead head_;
  JsonSplitter status_body_;
  std::size_t seen_ = 0;
};

class PodWatch::Impl::ListSink : public PodWatch::Impl::Sink {
 public:
  ListSink(const Self& self, Deadline deadline, bool first)
      : Sink(self, deadline),
        first_(first),
        splitter_(JsonSplitter::Mode::list, [this](std::string_view item) {
          if (!self_->closed()) self_->upsert(item);
        }) {}

  /// Once the answer is complete: the list's own data, or why it is none.
  base::Result<ListHead> finish() {
    if (auto complete = splitter_.finish(); !complete) return std::move(complete).error();
    const auto& head = splitter_.head();
    if (head.kind == "PodList" && !head.resource_version.empty()) return head;
    return Error{Errc::invalid_input, cat("the answer is not a PodList but ",
                                          head.kind.empty() ? "nameless" : base::quote(head.kind))};
  }

 protected:
  void begin() override {
    if (first_) self_->observer.list_begin();
  }
  base::Status good(std::string_view bytes) override { return splitter_.feed(bytes); }

 private:
  bool first_;
  JsonSplitter splitter_;
};

class PodWatch::Impl::WatchSink : public PodWatch::Impl::Sink {
 public:
  WatchSink(const Self& self, Deadline head_deadline)
      : Sink(self, head_deadline),
        splitter_(JsonSplitter::Mode::stream, [this](std::string_view item) { event(item); }) {}

  Deadline deadline() override {
    return answer().status == 200 ? Deadline::after(self_->options.silence) : Sink::deadline();
  }
  [[nodiscard]] bool expired() const { return expired_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }
  /// The watch began, and lasted from then.
  [[nodiscard]] std::optional<steady_clock::time_point> since() const { return since_; }
  [[nodiscard]] base::Status finish() const { return splitter_.finish(); }

 protected:
  void begin() override {
    since_ = steady_clock::now();
    self_->state.last_error.reset();
    self_->changed(Phase::watching);
  }
  base::Status good(std::string_view bytes) override {
    if (auto fine = splitter_.feed(bytes); !fine) return std::move(fine).error().wrap("watch pods");
    if (ended_) return *ended_;
    return base::success();
  }

 private:
  void event(std::string_view text) {
    if (self_->closed() || ended_) return;
    auto event = parse_watch_event(text);
    if (!event) return self_->report(std::move(event).error().wrap("an event is skipped"));
    if (event->type == "ERROR") {
      auto status = parse_status(event->object);
      expired_ = status.code == 410;
      ended_ = status_error("watch pods", status.code, status);
      return;
    }
    ++events_;
    auto seen = resource_version_of(event->object);
    if (event->type == "ADDED" || event->type == "MODIFIED") {
      self_->upsert(event->object);
    } else if (event->type == "DELETED") {
      auto pod = pod::parse_pod(event->object);
      if (pod) {
        self_->observer.remove(pod->name_space, pod->name, pod->uid);
      } else {
        self_->report(std::move(pod).error().wrap("a deleted pod is skipped"));
      }
    } else if (event->type != "BOOKMARK") {
      self_->report({Errc::invalid_input,
                     cat("an event of unknown type ", base::quote(event->type), " is skipped")});
    }
    // Only now: what the observer has not seen must come again.
    if (!seen.empty()) self_->version = std::move(seen);
  }

  JsonSplitter splitter_;
  std::uint64_t events_ = 0;
  bool expired_ = false;
  std::optional<Error> ended_;
  std::optional<steady_clock::time_point> since_;
};

Outcome PodWatch::Impl::failure(Outcome::Next next, Error error) {
  // Only a new credential helps: it is looked for before the next attempt.
  if (error.code == Errc::unauthorized && talk->generation() && !closed())
    provider.rejected(*talk->generation());
  return {next, std::move(error), false, {}};
}

// The list is a consistent read: resourceVersion=0 would be answered from the
// server's cache, which may be older than what this node has already seen, and
// for which older servers ignore `limit`, so that all comes in one piece.
Task<Outcome> PodWatch::Impl::list(Self self) {
  std::string token;
  self->changed(Phase::listing);
  for (bool first = true;; first = false) {
    if (self->closed()) co_return Outcome{};
    ApiRequest request;
    request.target = cat(self->selector, "&limit=", self->options.page);
    if (!token.empty()) request.target += cat("&continue=", percent_encode(token));
    auto deadline = Deadline::after(self->options.request);
    ListSink sink(self, deadline, first);
    auto done = co_await self->talk->perform(request, sink, deadline);
    if (self->closed()) co_return Outcome{};
    if (!done) co_return self->failure(Outcome::Next::list, std::move(done).error());
    int status = sink.answer().status;
    if (status != 200) {
      auto outcome =
          self->failure(Outcome::Next::list, status_error("list pods", status, sink.status_body()));
      outcome.retry_after = sink.answer().retry_after;
      if (status == 410) {
        ++self->state.expired;
        outcome.at_once = self->failures == 0;
      }
      co_return outcome;
    }
    auto page = sink.finish();
    if (!page)
      co_return self->failure(Outcome::Next::list, std::move(page).error().wrap("list pods"));
    token = page->continue_token;
    if (!token.empty()) continue;
    self->version = page->resource_version;
    ++self->state.lists;
    self->state.synced = true;
    self->observer.list_end();
    co_return Outcome{Outcome::Next::watch, std::nullopt, true, {}};
  }
}

Task<Outcome> PodWatch::Impl::watch(Self self) {
  auto seconds = static_cast<std::int64_t>(
      static_cast<double>(self->options.server_timeout.count()) * (1 + self->options.random()));
  ApiRequest request;
  request.target = cat(self->selector, "&watch=true&allowWatchBookmarks=true&resourceVersion=",
                       percent_encode(self->version), "&timeoutSeconds=", seconds);
  auto deadline = Deadline::after(self->options.request);
  WatchSink sink(self, deadline);
  auto asked = steady_clock::now();
  auto done = co_await self->talk->perform(request, sink, deadline);
  if (self->closed()) co_return Outcome{};
  ++self->state.restarts;
  auto lasted = sink.since() ? steady_clock::now() - *sink.since() : steady_clock::duration{};
  if (sink.since() && lasted >= self->options.health) self->failures = 0;

  int status = sink.answer().status;
  if (sink.expired() || status == 410) {
    ++self->state.expired;
    auto outcome = self->failure(
        Outcome::Next::list,
        done ? status_error("watch pods", 410, sink.status_body()) : std::move(done).error());
    outcome.at_once = self->failures == 0;
    co_return outcome;
  }
  if (!done) {
    auto outcome = self->failure(Outcome::Next::watch, std::move(done).error());
    // Silence has been waiting enough.
    if (sink.since() && outcome.error->code == Errc::timeout && lasted >= self->options.silence) {
      outcome.error->message += "; the watch was silent for too long";
      outcome.at_once = true;
    }
    co_return outcome;
  }
  if (status != 200) {
    auto outcome =
        self->failure(Outcome::Next::watch, status_error("watch pods", status, sink.status_body()));
    outcome.retry_after = sink.answer().retry_after;
    co_return outcome;
  }
  if (auto complete = sink.finish(); !complete)
    co_return self->failure(Outcome::Next::watch, std::move(complete).error().wrap("watch pods"));
  // From the request on: the server's time began before its answer was read.
  if (steady_clock::now() - asked < short_watch && sink.events() == 0)
    co_return self->failure(Outcome::Next::watch,
                            {Errc::unavailable, "watch pods: the server ended it at once"});
  co_return Outcome{Outcome::Next::watch, std::nullopt, true, {}};
}

Task<void> PodWatch::Impl::run(Self self) {
  auto next = Outcome::Next::list;
  while (!self->closed()) {
    Outcome outcome;
    try {
      if (next == Outcome::Next::list) {
        outcome = co_await list(self);
      } else {
        outcome = co_await watch(self);
      }
    } catch (const std::exception& error) {
      outcome = {};
      outcome.next = next;
      outcome.error = Error{Errc::io, cat("pods: ", error.what())};
      self->talk->connection.reset();
    }
    if (self->closed()) co_return;
    next = outcome.next;
    if (outcome.error) {
      ++self->failures;
      self->state.last_error = std::move(outcome.error);
    }
    if (outcome.at_once) continue;
    self->changed(Phase::waiting);
    if (self->closed()) co_return;
    co_await self->talk->sleep(self->backoff(outcome.retry_after));
  }
}

PodWatch::PodWatch(asio::io_context& io, CredentialProvider& credentials, WatchOptions options,
                   PodObserver& observer)
    : impl_(std::make_shared<Impl>(io, credentials, std::move(options), observer)) {}

PodWatch::~PodWatch() { impl_->talk->stop(); }

void PodWatch::start() {
  if (std::exchange(impl_->started, true)) return;
  // Ends with the watch: stop() ends every wait, and the coroutine holds the state.
  asio::co_spawn(impl_->io, Impl::run(impl_), [impl = impl_](const std::exception_ptr&) {});
}

const WatchState& PodWatch::state() const { return impl_->state; }

}  // namespace kube
