#include "istio-cnictl/pod_view.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/time.hpp"

namespace istio_cnictl {
namespace {

using Json = nlohmann::ordered_json;

const Json& member(const Json& object, const char* key) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

std::string text(const Json& object, const char* key) {
  const auto& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

int number(const Json& object, const char* key) {
  const auto& value = member(object, key);
  return value.is_number_integer() ? value.get<int>() : 0;
}

std::optional<Time> time(const Json& object, const char* key) {
  return base::parse_rfc3339(text(object, key));
}

ContainerView container(const Json& status, bool init) {
  ContainerView view;
  view.name = text(status, "name");
  view.init = init;
  view.restarts = number(status, "restartCount");
  const auto& state = member(status, "state");
  const auto& last = member(member(status, "lastState"), "terminated");
  using State = ContainerView::State;
  for (const auto& [key, kind] : {std::pair{"waiting", State::waiting},
                                  {"running", State::running},
                                  {"terminated", State::terminated}}) {
    const auto& detail = member(state, key);
    if (!detail.is_object()) continue;
    view.state = kind;
    view.reason = text(detail, "reason");
    view.message = text(detail, "message");
    view.exit_code = number(detail, "exitCode");
    view.started = time(detail, "startedAt");
  }
  if (const auto before = time(last, "startedAt");
      before && (!view.started || *before < *view.started))
    view.started = before;
  return view;
}

}  // namespace

std::optional<Time> PodView::first_start() const {
  std::optional<Time> first;
  for (const auto& one : containers)
    if (one.started && (!first || *one.started < *first)) first = one.started;
  return first;
}

PodView view_of(std::string_view pod_json) {
  PodView view;
  auto parsed = base::parse_json(pod_json, "pod");
  if (!parsed) return view;
  const auto& status = member(*parsed, "status");
  view.created = time(member(*parsed, "metadata"), "creationTimestamp");
  view.accepted = time(status, "startTime");
  view.reason = text(status, "reason");
  view.message = text(status, "message");
  for (const auto& condition : member(status, "conditions"))
    if (text(condition, "type") == "Ready") view.ready = text(condition, "status") == "True";
  for (const auto& one : member(status, "initContainerStatuses"))
    view.containers.push_back(container(one, true));
  for (const auto& one : member(status, "containerStatuses"))
    view.containers.push_back(container(one, false));
  return view;
}

base::Result<std::vector<PodEvent>> parse_events(std::string_view json) {
  auto parsed = base::parse_json(json, "events");
  if (!parsed) return std::move(parsed).error();
  const auto& items = member(*parsed, "items");
  if (!items.is_array())
    return base::Error{base::Errc::invalid_input, "events: the answer is no list"};
  std::vector<PodEvent> events;
  for (const auto& item : items) {
    PodEvent event;
    event.last = time(item, "lastTimestamp");
    if (!event.last) event.last = time(item, "eventTime");
    if (!event.last) event.last = time(member(item, "metadata"), "creationTimestamp");
    event.uid = text(member(item, "involvedObject"), "uid");
    event.type = text(item, "type");
    event.reason = text(item, "reason");
    event.message = text(item, "message");
    event.component = text(member(item, "source"), "component");
    if (event.component.empty()) event.component = text(item, "reportingComponent");
    event.count = std::max(1, number(item, "count"));
    events.push_back(std::move(event));
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const PodEvent& a, const PodEvent& b) { return a.last < b.last; });
  return events;
}

}  // namespace istio_cnictl
