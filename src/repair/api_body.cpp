#include "repair/api_body.hpp"

#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/percent_encode.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace repair {
namespace {

using Json = nlohmann::ordered_json;
using base::cat;
using base::percent_encode;
using Method = kube::ApiRequest::Method;

constexpr std::string_view json_type = "application/json";
constexpr std::string_view merge_patch_type = "application/merge-patch+json";

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string pod_path(const Target& target, std::string_view sub = "") {
  return cat("/api/v1/namespaces/", percent_encode(target.name_space), "/pods/",
             percent_encode(target.name), sub);
}

std::string events_path(const std::string& name_space) {
  return cat("/api/v1/namespaces/", percent_encode(name_space), "/events");
}

Json preconditions(const Target& target) {
  Json json{{"uid", target.uid}};
  if (!target.resource_version.empty()) json["resourceVersion"] = target.resource_version;
  return json;
}

/// At most `limit` bytes, never half a character.
std::string cut(const std::string& text, std::size_t limit) {
  if (text.size() <= limit) return text;
  auto end = limit - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

std::string message_of(const kube::Response& response) {
  auto parsed = base::parse_json(response.body, "answer");
  if (!parsed || !parsed->is_object()) return {};
  const auto message = parsed->find("message");
  if (message == parsed->end() || !message->is_string()) return {};
  return base::quote(message->get_ref<const std::string&>(), 300);
}

}  // namespace

kube::ApiRequest delete_request(const Target& target) {
  const Json body{
      {"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"preconditions", preconditions(target)}};
  return {Method::del, pod_path(target), std::string(json_type), dump(body)};
}

kube::ApiRequest evict_request(const Target& target) {
  const Json body{{"apiVersion", "policy/v1"},
                  {"kind", "Eviction"},
                  {"metadata", {{"name", target.name}, {"namespace", target.name_space}}},
                  {"deleteOptions", {{"preconditions", preconditions(target)}}}};
  return {Method::post, pod_path(target, "/eviction"), std::string(json_type), dump(body)};
}

kube::ApiRequest label_request(const Target& target, const std::string& key,
                               const std::string& value) {
  // the version too: of a uid that differs the API server says that it is immutable (422)
  auto metadata = preconditions(target);
  metadata["labels"] = {{key, value}};
  const Json body{{"metadata", std::move(metadata)}};
  return {Method::patch, pod_path(target, "/status"), std::string(merge_patch_type), dump(body)};
}

kube::ApiRequest post_event_request(const std::string& name_space, const std::string& event) {
  return {Method::post, events_path(name_space), std::string(json_type), event};
}

kube::ApiRequest patch_event_request(const std::string& name_space, const std::string& name,
                                     const std::string& patch) {
  return {Method::patch, cat(events_path(name_space), '/', percent_encode(name)),
          std::string(merge_patch_type), patch};
}

Reply reply_of(const base::Result<kube::Response>& answer, bool eviction, int sent) {
  using Kind = Reply::Kind;
  if (!answer) return {Kind::unavailable, answer.error().message, sent > 0};
  const int status = answer->status;
  if (status >= 200 && status < 300) return {};
  // A server error may come after the deed. And sent more than once, which only a 401
  // is in any case, the answer is the last one's: the one before may have been lost.
  const int needed = status == 401 ? 2 : 1;
  Reply reply{Kind::rejected, cat("the API server answers ", status),
              status >= 500 || sent > needed};
  if (auto message = message_of(*answer); !message.empty()) reply.cause.append(cat(": ", message));
  if (status == 404) reply.kind = Kind::gone;
  if (status == 409) reply.kind = Kind::conflict;
  if (status == 429) reply.kind = eviction ? Kind::blocked : Kind::unavailable;
  if (status == 401 || status == 408 || status < 200 || status >= 500)
    reply.kind = Kind::unavailable;
  return reply;
}

std::string event_json(const EventText& event) {
  const Json body{{"apiVersion", "v1"},
                  {"kind", "Event"},
                  {"metadata", {{"name", event.name}, {"namespace", event.pod.name_space}}},
                  {"involvedObject",
                   {{"apiVersion", "v1"},
                    {"kind", "Pod"},
                    {"namespace", event.pod.name_space},
                    {"name", event.pod.name},
                    {"uid", event.pod.uid},
                    {"resourceVersion", event.pod.resource_version}}},
                  {"type", "Warning"},
                  {"reason", event.reason},
                  {"message", cut(event.message, 1024)},
                  {"source", {{"component", event_component}, {"host", event.node}}},
                  {"reportingComponent", event_component},
                  {"reportingInstance", event.node},
                  {"firstTimestamp", base::format_rfc3339(event.first)},
                  {"lastTimestamp", base::format_rfc3339(event.last)},
                  {"count", event.count}};
  return dump(body);
}

std::string event_patch(const EventText& event) {
  return dump(Json{{"message", cut(event.message, 1024)},
                   {"count", event.count},
                   {"lastTimestamp", base::format_rfc3339(event.last)}});
}

}  // namespace repair
