#include "support/apiserver_watch.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <stdexcept>

#include "base/strings.hpp"

namespace test_support {
namespace {

using base::cat;
using Clock = std::chrono::steady_clock;

constexpr std::size_t batch = 256;

std::string hex(std::size_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[value % 16]);
    value /= 16;
  } while (value > 0);
  return digits;
}

std::string chunk(std::string_view text) { return cat(hex(text.size()), "\r\n", text, "\r\n"); }

std::string event(std::string_view type, std::string_view object) {
  return cat(R"({"type":")", type, R"(","object":)", object, "}\n");
}

std::string bookmark_event(std::uint64_t version) {
  return event("BOOKMARK", cat(R"({"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":")",
                               version, R"(","creationTimestamp":null},)",
                               R"("spec":{"containers":null},"status":{}})"));
}

std::string expired_event(std::uint64_t version) {
  return event("ERROR",
               status_object(410, "Expired", cat("too old resource version: ", version)).dump());
}

/// What a change is to one who sees a part of the pods only; "" for nothing.
std::string_view type_of(const Change& change, const Selection& selection) {
  if (!selection.name_space.empty() && selection.name_space != change.name_space) return "";
  auto matches = [&](const std::optional<std::string>& node) {
    return node && (selection.node.empty() || selection.node == *node);
  };
  bool before = matches(change.node_before);
  bool after = matches(change.node_after);
  if (after) return before ? "MODIFIED" : "ADDED";
  return before ? "DELETED" : "";
}

constexpr char last_chunk[] = "0\r\n\r\n";
constexpr char head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

void Watches::for_each(const std::function<void(Watch&)>& action) {
  std::lock_guard lock(mutex_);
  for (const auto& watch : open_) {
    action(*watch);
    ::eventfd_write(watch->wake.get(), 1);
  }
}

void Watches::wake() {
  for_each([](Watch&) {});
}
void Watches::bookmark() {
  for_each([](Watch& watch) { watch.bookmark_wanted = true; });
}
void Watches::disturb(WatchFault fault) {
  for_each([fault](Watch& watch) { watch.fault = static_cast<int>(fault); });
}
void Watches::expire(bool by_event) {
  expired_by_event_ = by_event;
  if (by_event) for_each([](Watch& watch) { watch.expired = true; });
}

std::size_t Watches::count() const {
  std::lock_guard lock(mutex_);
  return open_.size();
}

bool Watches::serve(const WatchLine& line, const Selection& selection,
                    const std::map<std::string, std::string>& query) {
  auto value = [&](const char* key) {
    auto found = query.find(key);
    return found == query.end() ? std::string() : found->second;
  };
  auto watch = std::make_shared<Watch>();
  watch->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  watch->selection = selection;
  watch->bookmarks = base::parse_go_bool(value("allowWatchBookmarks")).value_or(false);
  watch->version = base::parse_unsigned(value("resourceVersion")).value_or(0);
  std::string begin = head;
  if (watch->version == 0) {
    auto pods = store_.current(selection, watch->version);
    for (const auto& pod : pods) begin += chunk(event("ADDED", *pod));
  } else if (store_.too_old(watch->version)) {
    if (!expired_by_event_) {
      auto body =
          status_object(410, "Expired", cat("too old resource version: ", watch->version)).dump();
      line.write(cat("HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\nContent-Length: ",
                     body.size(), "\r\n\r\n", body));
      return true;
    }
    line.write(cat(head, chunk(expired_event(watch->version)), last_chunk));
    return true;
  }
  auto seconds = base::parse_unsigned(value("timeoutSeconds"), 86400).value_or(1800);
  auto end = Clock::now() + std::chrono::seconds(seconds);

  struct Entry {
    Watches& all;
    std::list<WatchPtr>::iterator at;
    Entry(Watches& watches, const WatchPtr& one) : all(watches) {
      std::lock_guard lock(all.mutex_);
      at = all.open_.insert(all.open_.end(), one);
    }
    ~Entry() {
      std::lock_guard lock(all.mutex_);
      all.open_.erase(at);
    }
  } entry(*this, watch);
  line.write(begin);
  return run(line, *watch, end);
}

/// False when the watch ends here.
bool Watches::send_changes(const WatchLine& line, Watch& watch) {
  for (;;) {
    auto changes = store_.since(watch.version, batch);
    if (!changes) {
      line.write(cat(chunk(expired_event(watch.version)), last_chunk));
      return false;
    }
    std::string text;
    for (const auto& change : *changes) {
      watch.version = change.version;
      auto type = type_of(change, watch.selection);
      if (type.empty()) continue;
      auto one = event(type, *change.pod);
      if (watch.fault == static_cast<int>(WatchFault::cut)) {
        line.write(cat(text, chunk(std::string_view(one).substr(0, one.size() / 2))));
        throw std::runtime_error("cut in the middle of an event");
      }
      text += chunk(one);
    }
    if (!text.empty()) line.write(text);
    if (changes->size() < batch) return true;
  }
}

bool Watches::run(const WatchLine& line, Watch& watch, Clock::time_point end) {
  auto next_bookmark = Clock::now() + bookmarks_;
  bool silent = false;
  for (;;) {
    switch (watch.fault.load()) {
      case static_cast<int>(WatchFault::silence):
        silent = true;
        break;
      case static_cast<int>(WatchFault::garbage):
        line.write(chunk("}] this is not an event\n"));
        throw std::runtime_error("garbage");
      case static_cast<int>(WatchFault::close):
        line.write(last_chunk);
        return true;
      case static_cast<int>(WatchFault::drop):
        throw std::runtime_error("dropped");
      default:
        break;
    }
    if (!silent) {
      if (watch.expired.exchange(false)) {
        line.write(cat(chunk(expired_event(watch.version)), last_chunk));
        return true;
      }
      if (!send_changes(line, watch)) return true;
      bool due = bookmarks_.count() > 0 && Clock::now() >= next_bookmark;
      if ((watch.bookmark_wanted.exchange(false) || due) && watch.bookmarks) {
        // As the real one: how far this watch has come, whoever's the changes were.
        line.write(chunk(bookmark_event(watch.version)));
      }
      if (due) next_bookmark = Clock::now() + bookmarks_;
      if (Clock::now() >= end) {
        line.write(last_chunk);
        return true;
      }
    }
    auto until = bookmarks_.count() > 0 ? std::min(end, next_bookmark) : end;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd waits[3] = {{watch.wake.get(), POLLIN, 0}, {line.fd, POLLIN, 0}, {line.stop, POLLIN, 0}};
    ::poll(waits, 3, silent ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0)));
    eventfd_t ignored = 0;
    ::eventfd_read(watch.wake.get(), &ignored);
    // A client that watches says nothing more: this is its end.
    if (waits[1].revents != 0 || waits[2].revents != 0) throw std::runtime_error("client gone");
  }
}

}  // namespace test_support
