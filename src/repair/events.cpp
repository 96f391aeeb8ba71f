#include "repair/events.hpp"

#include <algorithm>
#include <array>

#include "base/strings.hpp"
#include "repair/api_body.hpp"

namespace repair {
namespace {

using base::cat;

/// As kubectl's own: the pod's name and a number nobody has used for it yet.
std::string event_name(const std::string& pod, Time now, std::uint64_t serial) {
  const auto nanos =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count();
  std::array<char, 24> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                 static_cast<std::uint64_t>(nanos) + serial, 16)
                       .ptr;
  constexpr std::size_t longest_pod = 230;  // of 253 bytes
  return cat(pod.substr(0, longest_pod), '.', std::string_view(buffer.data(), end));
}

}  // namespace

Events::Events(Api& api, std::string node, std::function<void(const std::string&)> failed)
    : api_(api), node_(std::move(node)), failed_(std::move(failed)) {}

Events::~Events() = default;

void Events::forget(Time now) {
  std::erase_if(sent_, [&](const auto& one) { return one.second.last + aggregation <= now; });
  while (sent_.size() >= max_remembered)
    sent_.erase(std::min_element(sent_.begin(), sent_.end(), [](const auto& a, const auto& b) {
      return a.second.last < b.second.last;
    }));
}

void Events::tell(const Target& pod, std::string_view reason, const std::string& message,
                  Time now) {
  forget(now);
  const Key key{pod.uid, std::string(reason)};
  const auto found = sent_.find(key);
  if (found == sent_.end()) {
    post(key, pod, message, now);
    return;
  }
  auto& sent = found->second;
  ++sent.count;
  sent.last = now;
  // the first one is under way: the next patch carries the count
  if (!sent.confirmed) return;
  const EventText text{pod, sent.name, key.second, message, node_, sent.first, now, sent.count};
  api_.patch_event(
      pod.name_space, sent.name, event_patch(text),
      [this, alive = std::weak_ptr<bool>(alive_), key, pod, message, now](const Reply& reply) {
        if (alive.expired() || reply.kind == Reply::Kind::done) return;
        sent_.erase(key);
        if (reply.kind == Reply::Kind::gone)
          post(key, pod, message, now);
        else if (failed_)
          failed_(reply.cause);
      });
}

void Events::post(const Key& key, const Target& pod, const std::string& message, Time now) {
  Sent sent{event_name(pod.name, now, serial_++), now, now, 1, false};
  const EventText text{pod, sent.name, key.second, message, node_, now, now, 1};
  sent_[key] = std::move(sent);
  api_.post_event(pod.name_space, event_json(text),
                  [this, alive = std::weak_ptr<bool>(alive_), key](const Reply& reply) {
                    if (alive.expired()) return;
                    if (const auto found = sent_.find(key);
                        found != sent_.end() && reply.kind == Reply::Kind::done) {
                      found->second.confirmed = true;
                      return;
                    }
                    sent_.erase(key);
                    if (reply.kind != Reply::Kind::done && failed_) failed_(reply.cause);
                  });
}

}  // namespace repair
