#include "agent/protocol.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/utf8.hpp"
#include "pod/parse.hpp"
#include "pod/serialize.hpp"

namespace agent {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Json = nlohmann::ordered_json;
using std::chrono::microseconds;

constexpr auto code_names = std::to_array<std::pair<Errc, std::string_view>>({
    {Errc::invalid_input, "invalid_input"},
    {Errc::not_found, "not_found"},
    {Errc::unavailable, "unavailable"},
    {Errc::unauthorized, "unauthorized"},
    {Errc::timeout, "timeout"},
    {Errc::unsupported, "unsupported"},
    {Errc::mismatch, "mismatch"},
    {Errc::refused, "refused"},
    {Errc::io, "io"},
});

std::string_view name_of(Errc code) {
  for (const auto& [known, name] : code_names)
    if (known == code) return name;
  return "io";
}

Errc code_of(std::string_view text) {
  for (const auto& [code, name] : code_names)
    if (name == text) return code;
  return Errc::io;  // of a later version
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// `text` as one line of at most max_message bytes, valid UTF-8.
std::string one_line(std::string_view text) {
  auto line = base::clean_utf8(text);
  for (auto& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  return std::string(base::utf8_prefix(line, max_message));
}

/// Null stands for absent.
const Json* member(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

/// Reads members of one object; what is wrong is remembered, the first mistake.
class Reader {
 public:
  Reader(const Json& object, std::string_view where) : object_(object), where_(where) {
    if (!object.is_object()) fail("", "expected an object");
  }

  void text(const char* key, std::string& out) {
    if (const auto* value = find(key)) {
      if (const auto* string = value->get_ptr<const std::string*>())
        out = *string;
      else
        fail(key, "expected a string");
    }
  }
  void required(const char* key, std::string& out) {
    text(key, out);
    if (out.empty()) fail(key, "must not be empty");
  }
  void number(const char* key, int& out) {
    std::int64_t value = out;
    integer(key, INT32_MIN, INT32_MAX, value);
    out = static_cast<int>(value);
  }
  void micros(const char* key, microseconds& out) {
    std::int64_t value = out.count();
    integer(key, 0, INT64_MAX, value);
    out = microseconds(value);
  }
  void micros(const char* key, std::optional<microseconds>& out) {
    if (find(key) == nullptr) return;
    micros(key, out.emplace(0));
  }

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  [[nodiscard]] const Json* find(const char* key) const {
    return object_.is_object() ? member(object_, key) : nullptr;
  }
  void integer(const char* key, std::int64_t least, std::int64_t most, std::int64_t& out) {
    const auto* value = find(key);
    if (value == nullptr) return;
    const bool fits = value->is_number_unsigned()
                          ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                          : value->is_number_integer() && value->get<std::int64_t>() >= least;
    if (!fits) return fail(key, cat("expected an integer from ", least, " to ", most));
    out = value->get<std::int64_t>();
  }
  void fail(std::string_view key, std::string_view what) {
    if (error_) return;
    error_ = Error{Errc::invalid_input, cat(where_, key.empty() ? "" : ".", key, ": ", what)};
  }

  const Json& object_;
  std::string_view where_;
  std::optional<Error> error_;
};

base::Result<Message> parse_lookup(const Json& json) {
  Reader reader(json, "lookup");
  Lookup lookup;
  reader.required("namespace", lookup.name_space);
  reader.required("name", lookup.name);
  reader.text("uid", lookup.uid);
  if (reader.error()) return *reader.error();
  return Message(std::move(lookup));
}

base::Result<Message> parse_outcome(const Json& json) {
  Reader reader(json, "outcome");
  Outcome outcome;
  reader.required("command", outcome.command);
  reader.text("decision", outcome.decision);
  reader.required("result", outcome.result);
  reader.number("errorCode", outcome.error_code);
  reader.text("message", outcome.message);
  reader.text("backend", outcome.backend);
  reader.text("namespace", outcome.name_space);
  reader.text("name", outcome.name);
  reader.text("uid", outcome.uid);
  reader.text("containerId", outcome.container_id);
  reader.text("netns", outcome.netns);
  reader.text("lookup", outcome.lookup);
  reader.micros("totalMicros", outcome.total);
  reader.micros("lookupMicros", outcome.lookup_time);
  reader.micros("rulesMicros", outcome.rules_time);
  reader.micros("verifyMicros", outcome.verify_time);
  if (reader.error()) return *reader.error();
  outcome.message = one_line(outcome.message);
  return Message(std::move(outcome));
}

/// The object in `text`, which is no longer than `most`.
base::Result<Json> parse_object(std::string_view text, std::string_view what, std::size_t most) {
  if (text.size() > most)
    return Error{Errc::invalid_input, cat(what, " is longer than ", most, " bytes")};
  auto json = base::parse_json(text, what);
  if (!json) return json;
  if (!json->is_object())
    return Error{Errc::invalid_input, cat(what, ": expected an object, found something else")};
  return json;
}

Json error_json(const Error& error) {
  return Json{{"code", name_of(error.code)}, {"message", one_line(error.message)}};
}

}  // namespace

base::Result<Message> parse_message(std::string_view text) {
  auto json = parse_object(text, "message", max_request);
  if (!json) return std::move(json).error();
  const auto* lookup = member(*json, "lookup");
  const auto* outcome = member(*json, "outcome");
  if ((lookup != nullptr) == (outcome != nullptr))
    return Error{Errc::invalid_input, "message: expected either a lookup or an outcome"};
  return lookup != nullptr ? parse_lookup(*lookup) : parse_outcome(*outcome);
}

std::string to_json(const Lookup& lookup) {
  Json body{{"namespace", lookup.name_space}, {"name", lookup.name}};
  if (!lookup.uid.empty()) body["uid"] = lookup.uid;
  return dump(Json{{"lookup", std::move(body)}});
}

std::string to_json(const Outcome& outcome) {
  auto body = Json::object();
  const auto put = [&](const char* key, const std::string& value) {
    if (!value.empty()) body[key] = value;
  };
  const auto put_time = [&](const char* key, const std::optional<microseconds>& value) {
    if (value) body[key] = value->count();
  };
  put("command", outcome.command);
  put("decision", outcome.decision);
  put("result", outcome.result);
  if (outcome.error_code != 0) body["errorCode"] = outcome.error_code;
  put("message", one_line(outcome.message));
  put("backend", outcome.backend);
  put("namespace", outcome.name_space);
  put("name", outcome.name);
  put("uid", outcome.uid);
  put("containerId", outcome.container_id);
  put("netns", outcome.netns);
  put("lookup", outcome.lookup);
  put_time("totalMicros", outcome.total);
  put_time("lookupMicros", outcome.lookup_time);
  put_time("rulesMicros", outcome.rules_time);
  put_time("verifyMicros", outcome.verify_time);
  return dump(Json{{"outcome", std::move(body)}});
}

base::Result<Answer> parse_answer(std::string_view text) {
  auto json = parse_object(text, "answer", max_answer);
  if (!json) return std::move(json).error();
  Answer answer;
  Reader reader(*json, "answer");
  reader.text("logLevel", answer.log_level);
  if (reader.error()) return *reader.error();
  const auto* pod_json = member(*json, "pod");
  const auto* error_json = member(*json, "error");
  if ((pod_json != nullptr) == (error_json != nullptr))
    return Error{Errc::invalid_input, "answer: expected either a pod or an error"};
  if (error_json != nullptr) {
    Reader error(*error_json, "error");
    std::string code;
    std::string message;
    error.required("code", code);
    error.text("message", message);
    if (error.error()) return *error.error();
    answer.pod = Error{code_of(code), one_line(message)};
    return answer;
  }
  auto pod = pod::parse_pod(dump(*pod_json));
  if (!pod) return std::move(pod).error().wrap("answer");
  answer.pod = *std::move(pod);
  return answer;
}

std::string to_json(const Answer& answer) {
  const auto log_level = dump(Json(one_line(answer.log_level)));
  const auto* error = std::get_if<Error>(&answer.pod);
  Error too_long;
  if (error == nullptr) {
    auto out = cat("{\"pod\":", pod::to_json(std::get<pod::Pod>(answer.pod)),
                   ",\"logLevel\":", log_level, "}");
    if (out.size() <= max_answer) return out;
    too_long = {Errc::unsupported, cat("the pod is too large for an answer: ", out.size(),
                                       " bytes of at most ", max_answer)};
    error = &too_long;
  }
  return cat("{\"error\":", dump(error_json(*error)), ",\"logLevel\":", log_level, "}");
}

}  // namespace agent
