#include "support/apiserver_store.hpp"

#include <algorithm>

#include "base/strings.hpp"

namespace test_support {
namespace {

using base::cat;

constexpr std::size_t max_history = 100'000;
constexpr std::size_t max_snapshots = 64;

std::string node_of(const Json& pod) {
  auto spec = pod.find("spec");
  return spec == pod.end() ? std::string() : text_at(*spec, "nodeName");
}

}  // namespace

std::string text_at(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json status_object(int code, const std::string& reason, const std::string& message) {
  return {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
          {"status", "Failure"}, {"message", message}, {"reason", reason},
          {"code", code}};
}

std::uint64_t Store::put(Json pod) {
  Key key(text_at(pod["metadata"], "namespace"), text_at(pod["metadata"], "name"));
  std::uint64_t version = 0;
  {
    std::lock_guard lock(mutex_);
    version = ++version_;
    pod["metadata"]["resourceVersion"] = std::to_string(version);
    Change change{version, key.first, std::nullopt, node_of(pod),
                  std::make_shared<const std::string>(pod.dump())};
    auto found = pods_.find(key);
    if (found != pods_.end()) change.node_before = found->second.node;
    pods_[key] = {std::move(pod), change.pod, *change.node_after};
    history_.push_back(std::move(change));
    if (history_.size() > max_history) {
      lost_ = history_.front().version;
      history_.pop_front();
    }
  }
  if (on_change) on_change();
  return version;
}

bool Store::remove(const std::string& name_space, const std::string& name) {
  {
    std::lock_guard lock(mutex_);
    auto found = pods_.find({name_space, name});
    if (found == pods_.end()) return false;
    auto pod = std::move(found->second.pod);
    pod["metadata"]["resourceVersion"] = std::to_string(++version_);
    history_.push_back({version_, name_space, found->second.node, std::nullopt,
                        std::make_shared<const std::string>(pod.dump())});
    pods_.erase(found);
  }
  if (on_change) on_change();
  return true;
}

std::optional<Json> Store::find(const std::string& name_space, const std::string& name) const {
  std::lock_guard lock(mutex_);
  auto found = pods_.find({name_space, name});
  if (found == pods_.end()) return std::nullopt;
  return found->second.pod;
}

std::vector<Text> Store::selected(const Selection& selection) const {
  std::vector<Text> found;
  for (const auto& [key, entry] : pods_)
    if ((selection.name_space.empty() || selection.name_space == key.first) &&
        (selection.node.empty() || selection.node == entry.node))
      found.push_back(entry.text);
  return found;
}

std::vector<Text> Store::current(const Selection& selection, std::uint64_t& version) const {
  std::lock_guard lock(mutex_);
  version = version_;
  return selected(selection);
}

Store::Page Store::list(const Selection& selection, std::size_t limit, const std::string& token) {
  std::lock_guard lock(mutex_);
  Snapshot snapshot;
  if (token.empty()) {
    snapshot = {version_, selected(selection)};
  } else {
    // Kept: the client may have to ask again.
    auto number = base::parse_unsigned(std::string_view(token).substr(token.find('/') + 1));
    auto found = snapshots_.find(number.value_or(0));
    if (found == snapshots_.end()) return {{}, true};
    snapshot = found->second;
  }
  auto count = limit == 0 ? snapshot.rest.size() : std::min(limit, snapshot.rest.size());
  std::vector<Text> page(snapshot.rest.begin(),
                         snapshot.rest.begin() + static_cast<std::ptrdiff_t>(count));
  snapshot.rest.erase(snapshot.rest.begin(),
                      snapshot.rest.begin() + static_cast<std::ptrdiff_t>(count));
  auto body = cat(R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":")",
                  snapshot.version, '"');
  if (!snapshot.rest.empty()) {
    // With characters that a client must escape.
    body += cat(R"(,"continue":"page+/)", next_snapshot_, R"(","remainingItemCount":)",
                snapshot.rest.size());
    snapshots_[next_snapshot_++] = std::move(snapshot);
    if (snapshots_.size() > max_snapshots) snapshots_.erase(snapshots_.begin());
  }
  body += R"(},"items":[)";
  for (std::size_t i = 0; i < page.size(); ++i) {
    if (i > 0) body += ',';
    body += *page[i];
  }
  body += "]}\n";
  return {std::move(body), false};
}

std::optional<std::vector<Change>> Store::since(std::uint64_t version, std::size_t limit) const {
  std::lock_guard lock(mutex_);
  if (version < lost_) return std::nullopt;
  auto from = std::upper_bound(
      history_.begin(), history_.end(), version,
      [](std::uint64_t wanted, const Change& change) { return wanted < change.version; });
  auto left = static_cast<std::size_t>(history_.end() - from);
  return std::vector<Change>(from, from + static_cast<std::ptrdiff_t>(std::min(left, limit)));
}

std::uint64_t Store::version() const {
  std::lock_guard lock(mutex_);
  return version_;
}

void Store::forget_history() {
  std::lock_guard lock(mutex_);
  // Even the newest version becomes too old to begin at.
  forgotten_ = ++version_;
}

bool Store::too_old(std::uint64_t version) const {
  std::lock_guard lock(mutex_);
  return version < std::max(forgotten_, lost_);
}

void Store::forget_tokens() {
  std::lock_guard lock(mutex_);
  snapshots_.clear();
}

void Store::set_object(const std::string& path, std::string json) {
  std::lock_guard lock(mutex_);
  if (json.empty())
    objects_.erase(path);
  else
    objects_[path] = std::move(json);
}

std::optional<std::string> Store::object(std::string_view path) const {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(path);
  if (found == objects_.end()) return std::nullopt;
  return found->second;
}

}  // namespace test_support
