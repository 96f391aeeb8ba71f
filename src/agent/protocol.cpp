#include "agent/protocol.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/json_io.hpp"
#include "base/strings.hpp"
#include "pod/parse.hpp"
#include "pod/serialize.hpp"

namespace agent {
namespace {

using base::cat;
using base::Errc;
using base::Error;
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

base::Result<Message> parse_status_query(const Json& json) {
  const Reader reader(json, "status");
  if (reader.error()) return *reader.error();
  return Message(StatusQuery{});
}

base::Result<Message> parse_pods_query(const Json& json) {
  Reader reader(json, "pods");
  PodsQuery query;
  reader.text("after", query.after);
  reader.text("namespace", query.name_space);
  reader.text("name", query.name);
  if (reader.error()) return *reader.error();
  return Message(std::move(query));
}

Json error_json(const Error& error) {
  return Json{{"code", name_of(error.code)}, {"message", one_line(error.message)}};
}

}  // namespace

base::Result<Message> parse_message(std::string_view text) {
  auto json = parse_object(text, "message", max_request);
  if (!json) return std::move(json).error();
  using Parse = base::Result<Message> (*)(const Json&);
  constexpr std::pair<const char*, Parse> kinds[] = {{"lookup", parse_lookup},
                                                     {"outcome", parse_outcome},
                                                     {"status", parse_status_query},
                                                     {"pods", parse_pods_query}};
  const Json* body = nullptr;
  Parse parse = nullptr;
  int found = 0;
  for (const auto& [key, reader] : kinds) {
    const auto* value = member(*json, key);
    if (value == nullptr) continue;
    ++found;
    body = value;
    parse = reader;
  }
  if (found != 1)
    return Error{Errc::invalid_input, "message: expected one of lookup, outcome, status and pods"};
  return parse(*body);
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
