// Cuts the API server's answers into objects while their bytes still come in.
#pragma once

#include <bitset>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace kube {

inline constexpr std::size_t max_json_item = std::size_t{4} << 20;
inline constexpr int max_splitter_depth = 128;  ///< of one item; parse_pod allows less

/// What a list says about itself, or a Status object that stands in its place.
/// Texts are unescaped; `message` may be cut short.
struct ListHead {
  std::string kind;
  std::string resource_version;
  std::string continue_token;
  int code = 0;
  std::string reason;
  std::string message;
};

/// Feed it bytes, cut anywhere. It looks at strings, escapes and brackets only:
/// what an item contains is for its parser to judge, and what nobody needs is
/// passed over without being kept. Memory is one item, at most; an item that
/// lies within one chunk is not even copied.
///
/// After an error every further feed gives the same error.
class JsonSplitter {
 public:
  enum class Mode {
    list,    ///< one object; the elements of its "items" are the items
    stream,  ///< objects one after the other; each is an item
  };
  /// Gets each item, complete, valid during the call only. Must not feed.
  using OnItem = std::function<void(std::string_view item)>;

  JsonSplitter(Mode mode, OnItem on_item, std::size_t max_item = max_json_item);

  /// Errc::invalid_input: not JSON of this form, too deep, or an item too large.
  base::Status feed(std::string_view bytes);

  /// The bytes have come to their end. Errc::unavailable when something is
  /// incomplete: the sender was cut off.
  [[nodiscard]] base::Status finish() const;

  /// Mode::list: what has been seen so far.
  [[nodiscard]] const ListHead& head() const { return head_; }
  [[nodiscard]] std::size_t items() const { return items_; }
  /// The largest amount ever held for an incomplete item, in bytes.
  [[nodiscard]] std::size_t peak() const { return peak_; }

 private:
  enum class State {
    start,       // before an object, or between the objects of a stream
    key_or_end,  // after {
    key,         // after a comma in an object
    in_key,
    colon,
    value,
    after_value,
    element_or_end,  // after the [ of items
    element,         // after a comma in items
    after_element,
    string,  // a value, kept when target_ is set
    scalar,  // a number, true, false or null
    skip,    // inside an object or array nobody needs
    item,    // inside an item
    end,     // after the list's object
  };

  base::Status step(std::string_view bytes, std::size_t& at);
  base::Status structure(char c, std::size_t& at);
  base::Status begin_value(char c, std::size_t& at);
  base::Status read_string(std::string_view bytes, std::size_t& at);
  base::Status read_scalar(std::string_view bytes, std::size_t& at);
  base::Status read_nested(std::string_view bytes, std::size_t& at);
  void begin_string(State state, std::size_t limit);
  void end_object();
  void end_value();
  base::Status emit(std::string_view last_part, std::size_t at);
  base::Status failed(std::size_t at, std::string_view what);

  Mode mode_;
  OnItem on_item_;
  std::size_t max_item_;

  State state_ = State::start;
  bool in_metadata_ = false;
  int depth_ = 0;                          // of brackets in skip and item
  std::bitset<max_splitter_depth> brace_;  // which of them are { rather than [
  bool quoted_ = false;                    // skip and item: inside a string
  bool escaped_ = false;                   // the character before was a backslash
  bool has_escape_ = false;                // text_ is to be unescaped
  std::string key_;
  std::string text_;               // of the string or scalar being read
  std::string* target_ = nullptr;  // where it goes; null: nowhere
  std::size_t limit_ = 0;          // of text_; what is beyond is dropped

  std::string item_;  // what earlier chunks held of the item
  std::size_t items_ = 0;
  std::size_t peak_ = 0;
  std::size_t offset_ = 0;  // bytes fed before this chunk
  std::string code_;
  ListHead head_;
  std::optional<base::Error> error_;
};

/// One event of a watch.
struct WatchEvent {
  std::string_view type;    ///< ADDED, MODIFIED, DELETED, BOOKMARK, ERROR, or unknown
  std::string_view object;  ///< the object's text, inside the event's
};

/// Errc::invalid_input when type or object is missing or of the wrong kind.
base::Result<WatchEvent> parse_watch_event(std::string_view event);

/// metadata.resourceVersion of an object; "" when it has none.
std::string resource_version_of(std::string_view object);

/// A Status object's code, reason and message.
ListHead parse_status(std::string_view object);

}  // namespace kube
