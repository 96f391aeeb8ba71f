// Events: posted and patched by whom they tell of something, listed by whom asks.
#include <algorithm>
#include <array>
#include <chrono>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "support/apiserver_store.hpp"

namespace test_support {
namespace {

using base::cat;

/// What Events can be selected by, as the API server has it.
constexpr std::array<std::string_view, 13> selectable{"involvedObject.kind",
                                                      "involvedObject.namespace",
                                                      "involvedObject.name",
                                                      "involvedObject.uid",
                                                      "involvedObject.apiVersion",
                                                      "involvedObject.fieldPath",
                                                      "involvedObject.resourceVersion",
                                                      "reason",
                                                      "reportingComponent",
                                                      "source",
                                                      "type",
                                                      "metadata.name",
                                                      "metadata.namespace"};

struct Term {
  std::string field;
  std::string value;
  bool equal = true;
};

/// "a=b,c!=d"; nothing, and `unknown` says which, for a field that cannot be selected by.
std::optional<std::vector<Term>> read_selector(const std::string& selector, std::string& unknown) {
  std::vector<Term> terms;
  for (const auto text : base::split_nonempty(selector, ',')) {
    const auto sign = text.find('=');
    Term term;
    term.equal = sign == 0 || sign == std::string_view::npos || text[sign - 1] != '!';
    term.field = std::string(text.substr(0, term.equal ? sign : sign - 1));
    auto value = sign == std::string_view::npos ? std::string_view() : text.substr(sign + 1);
    if (term.equal && value.starts_with('=')) value.remove_prefix(1);
    term.value = std::string(value);
    if (sign == std::string_view::npos ||
        std::find(selectable.begin(), selectable.end(), term.field) == selectable.end()) {
      unknown = term.field;
      return std::nullopt;
    }
    terms.push_back(std::move(term));
  }
  return terms;
}

std::string field_of(const Json& event, const std::string& field) {
  if (field == "source") {
    const auto component =
        event.contains("source") ? text_at(event["source"], "component") : std::string();
    return component.empty() ? text_at(event, "reportingComponent") : component;
  }
  const auto dot = field.find('.');
  if (dot == std::string::npos) return text_at(event, field.c_str());
  const auto part = field.substr(0, dot);
  return event.contains(part) ? text_at(event[part], field.substr(dot + 1).c_str()) : std::string();
}

bool matches(const Json& event, const std::vector<Term>& terms) {
  return std::all_of(terms.begin(), terms.end(), [&](const Term& term) {
    return (field_of(event, term.field) == term.value) == term.equal;
  });
}

ApiReply list(const ApiRequestText& request, const Store& store, const std::string& name_space) {
  auto query = parse_query(request.target);
  std::string unknown;
  const auto terms = read_selector(query["fieldSelector"], unknown);
  if (!terms)
    return failure(400, "BadRequest",
                   cat("Unable to find \"/v1, Resource=events\" that match label selector \"\", "
                       "field selector \"",
                       query["fieldSelector"], "\": field label not supported: ", unknown));
  auto events = store.listed_events(name_space);
  std::erase_if(events, [&](const Json& event) { return !matches(event, *terms); });
  // the token is only where to go on: they do not change between two pages of a test
  const auto from =
      std::min<std::size_t>(base::parse_unsigned(query["continue"]).value_or(0), events.size());
  const auto limit = base::parse_unsigned(query["limit"]).value_or(0);
  const auto to = limit == 0 ? events.size() : std::min<std::size_t>(from + limit, events.size());
  Json metadata{{"resourceVersion", std::to_string(store.version())}};
  if (to < events.size()) {
    metadata["continue"] = std::to_string(to);
    metadata["remainingItemCount"] = events.size() - to;
  }
  Json items = Json::array();
  for (auto i = from; i < to; ++i) items.push_back(std::move(events[i]));
  return {
      200,
      Json{{"kind", "EventList"}, {"apiVersion", "v1"}, {"metadata", metadata}, {"items", items}}
          .dump()};
}

ApiReply post(const ApiRequestText& request, Store& store, const std::string& name_space) {
  const auto event = Json::parse(request.body, nullptr, false);
  if (!event.is_object()) return failure(400, "BadRequest", "the body is not an object");
  // one without the object is let through: tests post what is no Event at all
  if (event.contains("involvedObject") &&
      text_at(event["involvedObject"], "namespace") != name_space)
    return failure(422, "Invalid",
                   cat("Event is invalid: involvedObject.namespace: does not match ", name_space));
  if (!store.post_event(name_space, request.body))
    return failure(409, "AlreadyExists",
                   cat("events \"", text_at(event["metadata"], "name"), "\" already exists"));
  return {201, request.body};
}

ApiReply patch(const ApiRequestText& request, Store& store, const std::string& name_space,
               const std::string& name) {
  Json change;
  if (auto refused = read_patch(request, change)) return *refused;
  auto event = store.patch_event(name_space, name, change);
  if (!event) return failure(404, "NotFound", cat("events \"", name, "\" not found"));
  return {200, *std::move(event)};
}

}  // namespace

ApiReply route_events(const ApiRequestText& request, Store& store, const std::string& name_space,
                      const std::string& name) {
  if (name.empty() && request.method == "GET") return list(request, store, name_space);
  if (name.empty() && request.method == "POST" && !name_space.empty())
    return post(request, store, name_space);
  if (!name.empty() && request.method == "PATCH") return patch(request, store, name_space, name);
  return failure(405, "MethodNotAllowed", "the server does not allow this method on Events");
}

bool Store::post_event(const std::string& name_space, std::string event) {
  auto json = Json::parse(event, nullptr, false);
  Key key{name_space, ""};
  if (json.is_object() && json.contains("metadata")) key.second = text_at(json["metadata"], "name");
  std::lock_guard lock(mutex_);
  for (const auto& one : events_)
    if (!key.second.empty() && one.key == key) return false;
  events_.push_back({std::move(key), std::move(event),
                     base::format_rfc3339(std::chrono::system_clock::now()), version_});
  return true;
}

std::optional<std::string> Store::patch_event(const std::string& name_space,
                                              const std::string& name, const Json& patch) {
  std::lock_guard lock(mutex_);
  for (auto& event : events_) {
    if (name.empty() || event.key != Key(name_space, name)) continue;
    auto json = Json::parse(event.text);
    json.merge_patch(patch);
    event.text = json.dump();
    return event.text;
  }
  return std::nullopt;
}

void Store::forget_events() {
  std::lock_guard lock(mutex_);
  for (auto& event : events_) event.key = {};
}

std::vector<Json> Store::listed_events(const std::string& name_space) const {
  std::lock_guard lock(mutex_);
  std::map<Key, Json> found;
  for (const auto& [key, text, created, version] : events_) {
    if (key.first.empty() || (!name_space.empty() && key.first != name_space)) continue;
    auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) continue;
    auto& metadata = json["metadata"];
    metadata["namespace"] = key.first;
    metadata["uid"] = cat("event-", key.second);
    metadata["resourceVersion"] = std::to_string(version);
    metadata["creationTimestamp"] = created;
    found.emplace(key, std::move(json));
  }
  std::vector<Json> events;
  for (auto& [key, json] : found) events.push_back(std::move(json));
  return events;
}

std::vector<std::string> Store::events() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> texts;
  for (const auto& event : events_) texts.push_back(event.text);
  return texts;
}

}  // namespace test_support
