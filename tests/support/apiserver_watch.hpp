// The watches of the test API server.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "base/fd.hpp"
#include "support/apiserver_store.hpp"

namespace test_support {

/// One connection that watches, served by its own thread.
struct WatchLine {
  std::function<void(const std::string&)> write;  ///< throws when the client has gone
  int fd = -1;                                    ///< the client's socket, to see it go
  int stop = -1;                                  ///< readable when the server ends
};

/// Safe for any thread.
class Watches {
 public:
  Watches(Store& store, std::chrono::milliseconds bookmarks)
      : store_(store), bookmarks_(bookmarks) {}

  /// Answers the request, and returns when the watch has ended: true when the
  /// connection may go on.
  bool serve(const WatchLine& line, const Selection& selection,
             const std::map<std::string, std::string>& query);

  void wake();  ///< there are changes
  void bookmark();
  void disturb(WatchFault fault);
  void expire(bool by_event);
  [[nodiscard]] std::size_t count() const;

 private:
  struct Watch {
    base::UniqueFd wake;
    Selection selection;
    std::uint64_t version = 0;
    bool bookmarks = false;
    std::atomic<bool> bookmark_wanted = false;
    std::atomic<bool> expired = false;
    std::atomic<int> fault = -1;
  };
  using WatchPtr = std::shared_ptr<Watch>;
  void for_each(const std::function<void(Watch&)>& action);
  bool run(const WatchLine& line, Watch& watch, std::chrono::steady_clock::time_point end);
  bool send_changes(const WatchLine& line, Watch& watch);

  Store& store_;
  std::chrono::milliseconds bookmarks_;
  std::atomic<bool> expired_by_event_ = false;
  mutable std::mutex mutex_;
  std::list<WatchPtr> open_;
};

}  // namespace test_support
