// What the test API server serves: pods with a history, and what clients post.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/apiserver.hpp"

namespace test_support {

using Json = nlohmann::ordered_json;
using Text = std::shared_ptr<const std::string>;

/// A Status object as the API server words it.
Json status_object(int code, const std::string& reason, const std::string& message);

/// One change of one pod.
struct Change {
  std::uint64_t version = 0;
  std::string name_space;
  std::optional<std::string> node_before;  ///< nothing: there was no such pod
  std::optional<std::string> node_after;   ///< nothing: there is none any more
  Text pod;                                ///< as it is, or was last
};

/// What a list or watch selects; "" selects all.
struct Selection {
  std::string name_space;
  std::string node;
};

/// Safe for any thread.
class Store {
 public:
  std::uint64_t put(Json pod);
  bool remove(const std::string& name_space, const std::string& name);
  [[nodiscard]] std::optional<Json> find(const std::string& name_space,
                                         const std::string& name) const;

  struct Page {
    std::string body;
    bool expired = false;  ///< the continue token is not known any more
  };
  Page list(const Selection& selection, std::size_t limit, const std::string& token);

  /// The changes after `version`, at most `limit`; nothing when some are lost.
  [[nodiscard]] std::optional<std::vector<Change>> since(std::uint64_t version,
                                                         std::size_t limit) const;
  [[nodiscard]] std::vector<Text> current(const Selection& selection, std::uint64_t& version) const;
  [[nodiscard]] std::uint64_t version() const;
  /// No watch may begin at a version of before this.
  void forget_history();
  [[nodiscard]] bool too_old(std::uint64_t version) const;
  void forget_tokens();

  /// Anything that is only read, by its path; "" removes it.
  void set_object(const std::string& path, std::string json);
  [[nodiscard]] std::optional<std::string> object(std::string_view path) const;

  /// False when there is one of that name already.
  bool post_event(const std::string& name_space, std::string event);
  /// The Event after a merge patch; nothing when there is none of that name.
  std::optional<std::string> patch_event(const std::string& name_space, const std::string& name,
                                         const Json& patch);
  void forget_events();
  /// As they were posted, and patched since; forgotten ones too.
  [[nodiscard]] std::vector<std::string> events() const;
  /// What a client reads of them, by namespace ("" is all of them) and name; not the
  /// forgotten ones.
  [[nodiscard]] std::vector<Json> listed_events(const std::string& name_space) const;

  /// Called after each change, without a lock held; set before there are threads.
  std::function<void()> on_change;

 private:
  using Key = std::pair<std::string, std::string>;
  struct Entry {
    Json pod;
    Text text;
    std::string node;
  };
  struct Snapshot {
    std::uint64_t version = 0;
    std::vector<Text> rest;
  };
  [[nodiscard]] std::vector<Text> selected(const Selection& selection) const;

  mutable std::mutex mutex_;
  std::map<Key, Entry> pods_;
  std::deque<Change> history_;
  std::uint64_t version_ = 100;
  std::uint64_t lost_ = 100;       // the newest version whose change is not in history_
  std::uint64_t forgotten_ = 100;  // the newest version at which no watch may begin
  std::map<std::uint64_t, Snapshot> snapshots_;
  std::uint64_t next_snapshot_ = 1;
  std::map<std::string, std::string, std::less<>> objects_;
  struct Event {
    Key key;  ///< empty once forgotten
    std::string text;
    std::string created;
    std::uint64_t version = 0;
  };
  std::vector<Event> events_;
};

/// One query string, decoded.
std::map<std::string, std::string> parse_query(std::string_view target);

/// spec.nodeName=NAME of a field selector; nullopt when it is anything else.
std::optional<std::string> node_of_selector(const std::string& selector);

struct ApiRequestText {
  std::string method;
  std::string target;
  std::string content_type;
  std::string body;
};
struct ApiReply {
  int status = 200;
  std::string body;
};

/// A Status object of the API server.
ApiReply failure(int status, const std::string& reason, const std::string& message);
/// A member that is text; "" when there is none.
std::string text_at(const Json& object, const char* key);
/// Why the body is no merge patch; nothing when `change` has it.
std::optional<ApiReply> read_patch(const ApiRequestText& request, Json& change);

/// Requests for Events: of a namespace, or of all of them when it is "". `name` is
/// "" for the collection.
ApiReply route_events(const ApiRequestText& request, Store& store, const std::string& name_space,
                      const std::string& name);

/// Everything but watches.
ApiReply route(const ApiRequestText& request, Store& store, int eviction_status);

}  // namespace test_support
