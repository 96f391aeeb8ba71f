#include "agent/json_io.hpp"

#include "agent/protocol.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "base/utf8.hpp"

namespace agent {

using base::cat;
using base::Errc;
using base::Error;
using std::chrono::microseconds;
using std::chrono::system_clock;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string one_line(std::string_view text) {
  auto line = base::clean_utf8(text);
  for (auto& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  return std::string(base::utf8_prefix(line, max_message));
}

const Json* member(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

base::Result<Json> parse_object(std::string_view text, std::string_view what, std::size_t most) {
  if (text.size() > most)
    return Error{Errc::invalid_input, cat(what, " is longer than ", most, " bytes")};
  auto json = base::parse_json(text, what);
  if (!json) return json;
  if (!json->is_object())
    return Error{Errc::invalid_input, cat(what, ": expected an object, found something else")};
  return json;
}

Reader::Reader(const Json& object, std::string_view where) : object_(object), where_(where) {
  if (!object.is_object()) fail("", "expected an object");
}

void Reader::text(const char* key, std::string& out) {
  if (const auto* value = find(key)) {
    if (const auto* string = value->get_ptr<const std::string*>())
      out = *string;
    else
      fail(key, "expected a string");
  }
}

void Reader::required(const char* key, std::string& out) {
  text(key, out);
  if (out.empty()) fail(key, "must not be empty");
}

void Reader::flag(const char* key, bool& out) {
  if (const auto* value = find(key)) {
    if (value->is_boolean())
      out = value->get<bool>();
    else
      fail(key, "expected true or false");
  }
}

void Reader::number(const char* key, int& out) {
  std::int64_t value = out;
  integer(key, INT32_MIN, INT32_MAX, value);
  out = static_cast<int>(value);
}

void Reader::number(const char* key, std::uint64_t& out) {
  std::int64_t value = 0;
  if (find(key) == nullptr) return;
  integer(key, 0, INT64_MAX, value);
  out = static_cast<std::uint64_t>(value);
}

void Reader::micros(const char* key, microseconds& out) {
  std::int64_t value = out.count();
  integer(key, 0, INT64_MAX, value);
  out = microseconds(value);
}

void Reader::micros(const char* key, std::optional<microseconds>& out) {
  if (find(key) == nullptr) return;
  micros(key, out.emplace(0));
}

void Reader::time(const char* key, system_clock::time_point& out) {
  std::string text_of;
  text(key, text_of);
  if (text_of.empty()) return;
  if (const auto time = base::parse_rfc3339(text_of))
    out = *time;
  else
    fail(key, "expected a time of RFC 3339");
}

void Reader::time(const char* key, std::optional<system_clock::time_point>& out) {
  if (find(key) == nullptr) return;
  time(key, out.emplace());
}

const Json* Reader::object(const char* key) {
  const auto* value = find(key);
  if (value != nullptr && !value->is_object()) fail(key, "expected an object");
  return value != nullptr && value->is_object() ? value : nullptr;
}

const Json* Reader::array(const char* key) {
  const auto* value = find(key);
  if (value != nullptr && !value->is_array()) fail(key, "expected a list");
  return value != nullptr && value->is_array() ? value : nullptr;
}

void Reader::take(const Reader& other) {
  if (!error_) error_ = other.error_;
}

const Json* Reader::find(const char* key) const {
  return object_.is_object() ? member(object_, key) : nullptr;
}

void Reader::integer(const char* key, std::int64_t least, std::int64_t most, std::int64_t& out) {
  const auto* value = find(key);
  if (value == nullptr) return;
  const bool fits = value->is_number_unsigned()
                        ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                        : value->is_number_integer() && value->get<std::int64_t>() >= least;
  if (!fits) return fail(key, cat("expected an integer from ", least, " to ", most));
  out = value->get<std::int64_t>();
}

void Reader::fail(std::string_view key, std::string_view what) {
  if (error_) return;
  error_ = Error{Errc::invalid_input, cat(where_, key.empty() ? "" : ".", key, ": ", what)};
}

}  // namespace agent
