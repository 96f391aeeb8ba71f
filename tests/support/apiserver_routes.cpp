// The API itself: a request in, a reply out.
#include "base/strings.hpp"
#include "support/apiserver_store.hpp"

namespace test_support {
namespace {

using base::cat;

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

ApiReply not_found(const std::string& name) {
  return failure(404, "NotFound", cat("pods \"", name, "\" not found"));
}

/// Why a request that was meant for this uid and version does not apply.
std::optional<ApiReply> conflict(const Json& wanted, const Json& pod) {
  const auto& metadata = pod["metadata"];
  for (const char* key : {"uid", "resourceVersion"}) {
    auto value = text_at(wanted, key);
    if (!value.empty() && value != text_at(metadata, key))
      return failure(409, "Conflict",
                     cat("Precondition failed: ", key, " in precondition: ", value, ", ", key,
                         " in object meta: ", text_at(metadata, key)));
  }
  return std::nullopt;
}

/// Of a DeleteOptions or an Eviction with deleteOptions.
Json preconditions(const std::string& body) {
  auto json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return Json::object();
  if (json.contains("deleteOptions") && json["deleteOptions"].is_object())
    json = Json(json["deleteOptions"]);
  return json.contains("preconditions") ? json["preconditions"] : Json::object();
}

ApiReply patch(const ApiRequestText& request, Store& store, Json pod) {
  Json change;
  if (auto refused = read_patch(request, change)) return *refused;
  if (change.contains("metadata"))
    if (auto refused = conflict(change["metadata"], pod)) return *refused;
  auto name = text_at(pod["metadata"], "name");
  auto name_space = text_at(pod["metadata"], "namespace");
  pod.merge_patch(change);
  if (text_at(pod["metadata"], "name") != name ||
      text_at(pod["metadata"], "namespace") != name_space)
    return failure(422, "Invalid", "the name of a pod cannot change");
  store.put(std::move(pod));
  return {200, store.find(name_space, name).value_or(Json::object()).dump()};
}

ApiReply remove(const ApiRequestText& request, Store& store, const Json& pod) {
  if (auto refused = conflict(preconditions(request.body), pod)) return *refused;
  store.remove(text_at(pod["metadata"], "namespace"), text_at(pod["metadata"], "name"));
  return {200, pod.dump()};
}

ApiReply evict(const ApiRequestText& request, Store& store, const Json& pod, int status) {
  if (auto refused = conflict(preconditions(request.body), pod)) return *refused;
  if (status == 429)
    return failure(429, "TooManyRequests",
                   "Cannot evict pod as it would violate the pod's disruption budget.");
  if (status != 201) return failure(status, "Injected", "an injected failure");
  store.remove(text_at(pod["metadata"], "namespace"), text_at(pod["metadata"], "name"));
  return {201, Json{{"kind", "Status"}, {"apiVersion", "v1"}, {"status", "Success"}}.dump()};
}

ApiReply list(const ApiRequestText& request, Store& store, const std::string& name_space) {
  auto query = parse_query(request.target);
  auto node = node_of_selector(query["fieldSelector"]);
  if (!node) return failure(400, "BadRequest", "field label not supported");
  auto limit = base::parse_unsigned(query["limit"]).value_or(0);
  auto page = store.list({name_space, *node}, limit, query["continue"]);
  if (page.expired)
    return failure(410, "Expired",
                   "The provided continue parameter is too old to display a consistent list "
                   "result.");
  return {200, std::move(page.body)};
}

ApiReply namespaced(const ApiRequestText& request, Store& store,
                    const std::vector<std::string_view>& parts, int eviction_status) {
  // "" api v1 namespaces NS KIND [NAME [SUBRESOURCE]]
  auto name_space = std::string(parts[4]);
  bool post = request.method == "POST";
  if (parts[5] == "events" && parts.size() <= 7)
    return route_events(request, store, name_space,
                        parts.size() == 7 ? std::string(parts[6]) : std::string());
  if (parts[5] != "pods") return failure(404, "NotFound", "the server could not find it");
  if (parts.size() == 6 && request.method == "GET") return list(request, store, name_space);
  if (parts.size() < 7) return failure(405, "MethodNotAllowed", "not allowed");
  auto name = std::string(parts[6]);
  auto pod = store.find(name_space, name);
  if (!pod) return not_found(name);
  auto sub = parts.size() == 8 ? parts[7] : std::string_view();
  if (sub.empty() && request.method == "GET") return {200, pod->dump()};
  if (sub.empty() && request.method == "DELETE") return remove(request, store, *pod);
  if ((sub.empty() || sub == "status") && request.method == "PATCH")
    return patch(request, store, std::move(*pod));
  if (sub == "eviction" && post) return evict(request, store, *pod, eviction_status);
  return failure(405, "MethodNotAllowed", "the server does not allow this method");
}

}  // namespace

ApiReply failure(int status, const std::string& reason, const std::string& message) {
  return {status, status_object(status, reason, message).dump()};
}

std::optional<ApiReply> read_patch(const ApiRequestText& request, Json& change) {
  if (request.content_type != "application/merge-patch+json")
    return failure(415, "UnsupportedMediaType",
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/merge-patch+json");
  change = Json::parse(request.body, nullptr, false);
  if (!change.is_object()) return failure(400, "BadRequest", "the patch is not an object");
  return std::nullopt;
}

std::map<std::string, std::string> parse_query(std::string_view target) {
  std::map<std::string, std::string> values;
  auto question = target.find('?');
  if (question == std::string_view::npos) return values;
  for (auto part : base::split_nonempty(target.substr(question + 1), '&')) {
    auto equals = part.find('=');
    auto value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    values[percent_decode(part.substr(0, equals))] = percent_decode(value);
  }
  return values;
}

std::optional<std::string> node_of_selector(const std::string& selector) {
  constexpr std::string_view key = "spec.nodeName=";
  if (selector.empty()) return std::string();
  if (!selector.starts_with(key)) return std::nullopt;
  return selector.substr(key.size());
}

ApiReply route(const ApiRequestText& request, Store& store, int eviction_status) {
  auto path = request.target.substr(0, request.target.find('?'));
  auto parts = base::split(path, '/');
  if ((parts.size() >= 6 && parts.size() <= 8) && parts[1] == "api" && parts[2] == "v1" &&
      parts[3] == "namespaces")
    return namespaced(request, store, parts, eviction_status);
  if (path == "/api/v1/pods" && request.method == "GET") return list(request, store, "");
  if (path == "/api/v1/events") return route_events(request, store, "", "");
  if (request.method == "GET")
    if (auto object = store.object(path)) return {200, std::move(*object)};
  if (path == "/version" && request.method == "GET")
    return {200, Json{{"major", "1"}, {"minor", "29"}}.dump()};
  return failure(404, "NotFound", "the server could not find the requested resource");
}

}  // namespace test_support
