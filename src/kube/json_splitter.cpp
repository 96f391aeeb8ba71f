#include "kube/json_splitter.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;

constexpr std::size_t max_key = 64;           // longer ones are none of ours
constexpr std::size_t max_text = 1024;        // kept of a message
constexpr std::size_t max_token = 16 << 10;   // of a continue token
constexpr std::size_t kept_capacity = 65536;  // of the item's buffer, between items

bool blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool in_scalar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
         c == 'E';
}

/// A string's text without its quotes; as it stands when its escapes are bad.
std::string unescaped(std::string_view text) {
  if (text.find('\\') == std::string_view::npos) return std::string(text);
  auto json = base::parse_json(cat('"', text, '"'), "string");
  return json && json->is_string() ? json->get<std::string>() : std::string(text);
}

/// The members of a complete object, one by one. Only as strict as it takes
/// not to read beyond the end: the objects have passed the splitter.
class Members {
 public:
  explicit Members(std::string_view object) : rest_(base::trim(object)) {
    if (rest_.starts_with('{') && rest_.ends_with('}')) {
      rest_ = rest_.substr(1, rest_.size() - 2);
    } else {
      rest_ = {};
    }
  }

  bool next() {
    rest_ = base::trim(rest_);
    if (rest_.starts_with(',')) rest_ = base::trim(rest_.substr(1));
    if (!rest_.starts_with('"')) return false;
    auto raw = base::trim(take());
    key_ = raw.size() < 2 ? std::string_view() : raw.substr(1, raw.size() - 2);
    rest_ = base::trim(rest_);
    if (!rest_.starts_with(':')) return false;
    rest_ = base::trim(rest_.substr(1));
    value_ = base::trim(take());
    return !value_.empty();
  }
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] std::string_view value() const { return value_; }
  [[nodiscard]] std::string text() const {
    if (value_.size() < 2 || value_.front() != '"') return {};
    return unescaped(value_.substr(1, value_.size() - 2));
  }

 private:
  /// Up to the comma, colon or end that follows a value or key.
  std::string_view take() {
    int depth = 0;
    bool quoted = false;
    std::size_t at = 0;
    for (; at < rest_.size(); ++at) {
      char c = rest_[at];
      if (quoted) {
        if (c == '\\') {
          ++at;
        } else if (c == '"') {
          quoted = false;
        }
      } else if (c == '"') {
        quoted = true;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        --depth;
      } else if (depth == 0 && (c == ',' || c == ':')) {
        break;
      }
    }
    at = std::min(at, rest_.size());
    auto taken = rest_.substr(0, at);
    rest_.remove_prefix(at);
    return taken;
  }

  std::string_view rest_;
  std::string_view key_;
  std::string_view value_;
};

int code_of(std::string_view number) {
  return static_cast<int>(base::parse_unsigned(number, 999).value_or(0));
}

}  // namespace

JsonSplitter::JsonSplitter(Mode mode, OnItem on_item, std::size_t max_item)
    : mode_(mode), on_item_(std::move(on_item)), max_item_(max_item) {}

base::Status JsonSplitter::failed(std::size_t at, std::string_view what) {
  error_ = Error{Errc::invalid_input, cat("byte ", offset_ + at, ": ", what)};
  item_ = {};
  return *error_;
}

base::Status JsonSplitter::feed(std::string_view bytes) {
  if (error_) return *error_;
  std::size_t at = 0;
  while (at < bytes.size())
    if (auto done = step(bytes, at); !done) return done;
  offset_ += bytes.size();
  return base::success();
}

base::Status JsonSplitter::finish() const {
  if (error_) return *error_;
  if (state_ == (mode_ == Mode::list ? State::end : State::start)) return base::success();
  return Error{Errc::unavailable, cat("the answer ends early, after ", offset_, " bytes")};
}

base::Status JsonSplitter::step(std::string_view bytes, std::size_t& at) {
  switch (state_) {
    case State::in_key:
    case State::string:
      return read_string(bytes, at);
    case State::scalar:
      return read_scalar(bytes, at);
    case State::skip:
    case State::item:
      return read_nested(bytes, at);
    default:
      if (!blank(bytes[at])) return structure(bytes[at], at);
      ++at;
      return base::success();
  }
}

base::Status JsonSplitter::structure(char c, std::size_t& at) {
  switch (state_) {
    case State::start:
      if (c != '{') return failed(at, "expected an object");
      if (mode_ == Mode::stream) {
        state_ = State::item;
        return base::success();
      }
      state_ = State::key_or_end;
      break;
    case State::key_or_end:
    case State::key:
      if (c == '"') {
        begin_string(State::in_key, max_key);
      } else if (c == '}' && state_ == State::key_or_end) {
        end_object();
      } else {
        return failed(at, "expected a key");
      }
      break;
    case State::colon:
      if (c != ':') return failed(at, "expected a colon");
      state_ = State::value;
      break;
    case State::value:
      return begin_value(c, at);
    case State::after_value:
      if (c == ',') {
        state_ = State::key;
      } else if (c == '}') {
        end_object();
      } else {
        return failed(at, "expected a comma or the end of the object");
      }
      break;
    case State::element_or_end:
    case State::element:
      if (c == '{') {
        state_ = State::item;
        return base::success();
      }
      if (c != ']' || state_ == State::element) return failed(at, "an item is not an object");
      state_ = State::after_value;
      break;
    case State::after_element:
      if (c == ',') {
        state_ = State::element;
      } else if (c == ']') {
        state_ = State::after_value;
      } else {
        return failed(at, "expected a comma or the end of the items");
      }
      break;
    default:
      return failed(at, "something follows the object");
  }
  ++at;
  return base::success();
}

void JsonSplitter::end_object() {
  state_ = in_metadata_ ? State::after_value : State::end;
  in_metadata_ = false;
}

void JsonSplitter::begin_string(State state, std::size_t limit) {
  state_ = state;
  limit_ = limit;
  text_.clear();
  escaped_ = false;
  has_escape_ = false;
}

base::Status JsonSplitter::begin_value(char c, std::size_t& at) {
  target_ = nullptr;
  if (c == '"') {
    std::size_t limit = max_text;
    if (in_metadata_) {
      limit = max_token;
      if (key_ == "resourceVersion") target_ = &head_.resource_version;
      if (key_ == "continue") target_ = &head_.continue_token;
    } else {
      if (key_ == "kind") target_ = &head_.kind;
      if (key_ == "reason") target_ = &head_.reason;
      if (key_ == "message") target_ = &head_.message;
    }
    begin_string(State::string, target_ != nullptr ? limit : 0);
    ++at;
  } else if (c == '{' && !in_metadata_ && key_ == "metadata") {
    in_metadata_ = true;
    state_ = State::key_or_end;
    ++at;
  } else if (c == '[' && !in_metadata_ && key_ == "items" && mode_ == Mode::list) {
    state_ = State::element_or_end;
    ++at;
  } else if (c == '{' || c == '[') {
    state_ = State::skip;
  } else if (in_scalar(c)) {
    if (!in_metadata_ && key_ == "code") target_ = &code_;
    begin_string(State::scalar, target_ != nullptr ? max_key : 0);
  } else {
    return failed(at, "expected a value");
  }
  return base::success();
}

base::Status JsonSplitter::read_string(std::string_view bytes, std::size_t& at) {
  while (at < bytes.size()) {
    char c = bytes[at++];
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
      has_escape_ = true;
    } else if (c == '"') {
      end_value();
      return base::success();
    }
    if (text_.size() < limit_) {
      text_.push_back(c);
    } else if (target_ == &head_.continue_token && state_ == State::string) {
      // Half a token would be answered with 410 for ever.
      return failed(at - 1, "metadata.continue is too long");
    }
  }
  return base::success();
}

base::Status JsonSplitter::read_scalar(std::string_view bytes, std::size_t& at) {
  for (; at < bytes.size(); ++at) {
    char c = bytes[at];
    if (!in_scalar(c)) {
      end_value();
      return base::success();
    }
    if (text_.size() < limit_) text_.push_back(c);
  }
  return base::success();
}

void JsonSplitter::end_value() {
  auto text = has_escape_ ? unescaped(text_) : text_;
  if (state_ == State::in_key) {
    key_ = std::move(text);
    state_ = State::colon;
    target_ = nullptr;
    return;
  }
  if (target_ != nullptr) *target_ = std::move(text);
  if (target_ == &code_) head_.code = code_of(code_);
  target_ = nullptr;
  state_ = State::after_value;
}

base::Status JsonSplitter::read_nested(std::string_view bytes, std::size_t& at) {
  const auto begin = at;
  while (at < bytes.size()) {
    char c = bytes[at++];
    if (quoted_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        quoted_ = false;
      }
      continue;
    }
    if (c == '"') {
      quoted_ = true;
      escaped_ = false;
    } else if (c == '{' || c == '[') {
      if (depth_ == max_splitter_depth) return failed(at - 1, "nested too deeply");
      brace_[static_cast<std::size_t>(depth_++)] = c == '{';
    } else if (c == '}' || c == ']') {
      if (brace_[static_cast<std::size_t>(--depth_)] != (c == '}'))
        return failed(at - 1, "brackets do not match");
      if (depth_ > 0) continue;
      if (state_ == State::item) return emit(bytes.substr(begin, at - begin), begin);
      state_ = State::after_value;
      return base::success();
    }
  }
  if (state_ == State::skip) return base::success();
  auto part = bytes.substr(begin);
  if (part.size() > max_item_ - item_.size())
    return failed(begin, cat("an item is larger than ", max_item_, " bytes"));
  item_.append(part);
  peak_ = std::max(peak_, item_.size());
  return base::success();
}

base::Status JsonSplitter::emit(std::string_view last_part, std::size_t at) {
  if (last_part.size() > max_item_ - item_.size())
    return failed(at, cat("an item is larger than ", max_item_, " bytes"));
  state_ = mode_ == Mode::stream ? State::start : State::after_element;
  ++items_;
  if (item_.empty()) {
    on_item_(last_part);
    return base::success();
  }
  item_.append(last_part);
  peak_ = std::max(peak_, item_.size());
  on_item_(item_);
  item_.clear();
  if (item_.capacity() > kept_capacity) item_.shrink_to_fit();
  return base::success();
}

base::Result<WatchEvent> parse_watch_event(std::string_view event) {
  WatchEvent found;
  for (Members members(event); members.next();) {
    auto value = members.value();
    if (members.key() == "type" && value.size() >= 2 && value.front() == '"')
      found.type = value.substr(1, value.size() - 2);
    if (members.key() == "object" && value.front() == '{' && value.back() == '}')
      found.object = value;
  }
  if (found.type.empty() || found.object.empty())
    return Error{Errc::invalid_input, "a watch event without type or object"};
  return found;
}

std::string resource_version_of(std::string_view object) {
  std::string version;
  for (Members members(object); members.next();) {
    if (members.key() != "metadata") continue;
    for (Members metadata(members.value()); metadata.next();)
      if (metadata.key() == "resourceVersion") version = metadata.text();
  }
  return version;
}

ListHead parse_status(std::string_view object) {
  ListHead status;
  for (Members members(object); members.next();) {
    if (members.key() == "kind") status.kind = members.text();
    if (members.key() == "reason") status.reason = members.text();
    if (members.key() == "message") status.message = members.text().substr(0, max_text);
    if (members.key() == "code") status.code = code_of(members.value());
  }
  return status;
}

}  // namespace kube
