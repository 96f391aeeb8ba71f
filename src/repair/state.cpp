#include "repair/state.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/atomic_file.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace repair {
namespace {

using Json = nlohmann::ordered_json;
using base::cat;
using base::Errc;
using base::Error;

constexpr std::array<std::pair<Deed, std::string_view>, 5> deeds{{
    {Deed::repaired, "repaired"},
    {Deed::repair_failed, "repair_failed"},
    {Deed::deleted, "deleted"},
    {Deed::evicted, "evicted"},
    {Deed::labelled, "labelled"},
}};

/// Thrown and caught in this file: a value of the wrong type.
struct Wrong {
  std::string what;
};

const Json& field(const Json& object, const char* key) {
  static const Json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

std::string text_field(const Json& object, const char* key) {
  const auto& value = field(object, key);
  if (value.is_null()) return {};
  if (!value.is_string()) throw Wrong{cat(key, " is not a string")};
  return value.get<std::string>();
}

int number_of(const Json& object, const char* key, int otherwise) {
  const auto& value = field(object, key);
  if (value.is_null()) return otherwise;
  if (!value.is_number_integer()) throw Wrong{cat(key, " is not a whole number")};
  return static_cast<int>(std::clamp<std::int64_t>(value.get<std::int64_t>(), 0, INT32_MAX));
}

Time time_from(const Json& value, const char* key) {
  if (value.is_null()) return {};
  auto time =
      value.is_string() ? base::parse_rfc3339(value.get_ref<const std::string&>()) : std::nullopt;
  if (!time) throw Wrong{cat(key, " is not a time")};
  return *time;
}

std::map<std::string, Time> times_of(const Json& object, const char* key) {
  std::map<std::string, Time> times;
  const auto& value = field(object, key);
  if (value.is_null()) return times;
  if (!value.is_object()) throw Wrong{cat(key, " is not an object")};
  for (const auto& [pod, time] : value.items()) times[pod] = time_from(time, key);
  return times;
}

Json times_json(const std::map<std::string, Time>& times) {
  auto json = Json::object();
  for (const auto& [pod, time] : times) json[pod] = base::format_rfc3339(time);
  return json;
}

Record record_of(const Json& value) {
  if (!value.is_object()) throw Wrong{"a pod is not an object"};
  Record record;
  record.name_space = text_field(value, "namespace");
  record.name = text_field(value, "name");
  const auto deed = text_field(value, "done");
  const auto* found =
      std::find_if(deeds.begin(), deeds.end(), [&](const auto& one) { return one.second == deed; });
  if (found == deeds.end()) throw Wrong{cat("done: unknown value ", base::quote(deed))};
  record.deed = found->first;
  record.at = time_from(field(value, "at"), "at");
  record.restart_count = number_of(value, "restartCount", 0);
  record.attempts = number_of(value, "attempts", 1);
  return record;
}

Budget::Owner owner_of(const Json& value) {
  if (!value.is_object()) throw Wrong{"an owner is not an object"};
  Budget::Owner owner;
  owner.label = text_field(value, "owner");
  owner.pods = times_of(value, "pods");
  owner.strikes = number_of(value, "strikes", 0);
  owner.blocked_until = time_from(field(value, "blockedUntil"), "blockedUntil");
  return owner;
}

}  // namespace

std::string_view to_string(Deed deed) {
  for (const auto& [value, name] : deeds)
    if (value == deed) return name;
  return "";
}

void State::put(const std::string& uid, Record record) {
  pods[uid] = std::move(record);
  if (pods.size() <= max_records) return;
  pods.erase(std::min_element(pods.begin(), pods.end(), [](const auto& a, const auto& b) {
    return a.second.at < b.second.at;
  }));
}

bool State::prune(const std::set<std::string>& uids) {
  return std::erase_if(pods, [&](const auto& one) { return !uids.contains(one.first); }) > 0;
}

std::string to_json(const State& state) {
  auto pods = Json::object();
  for (const auto& [uid, record] : state.pods)
    pods[uid] = {{"namespace", record.name_space},       {"name", record.name},
                 {"done", to_string(record.deed)},       {"at", base::format_rfc3339(record.at)},
                 {"restartCount", record.restart_count}, {"attempts", record.attempts}};
  auto owners = Json::object();
  for (const auto& [uid, owner] : state.budget.owners)
    owners[uid] = {{"owner", owner.label},
                   {"pods", times_json(owner.pods)},
                   {"strikes", owner.strikes},
                   {"blockedUntil", base::format_rfc3339(owner.blocked_until)}};
  const Json all{{"version", 1},
                 {"pods", std::move(pods)},
                 {"owners", std::move(owners)},
                 {"node", times_json(state.budget.node)}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<State> parse_state(std::string_view json, std::string_view name) {
  auto parsed = base::parse_json(json, name);
  if (!parsed) return std::move(parsed).error();
  try {
    if (!parsed->is_object()) throw Wrong{"not an object"};
    State state;
    if (const auto& pods = field(*parsed, "pods"); pods.is_object()) {
      for (const auto& [uid, value] : pods.items()) state.put(uid, record_of(value));
    } else if (!pods.is_null()) {
      throw Wrong{"pods is not an object"};
    }
    if (const auto& owners = field(*parsed, "owners"); owners.is_object()) {
      for (const auto& [uid, value] : owners.items()) state.budget.owners[uid] = owner_of(value);
    } else if (!owners.is_null()) {
      throw Wrong{"owners is not an object"};
    }
    state.budget.node = times_of(*parsed, "node");
    return state;
  } catch (const Wrong& wrong) {
    return Error{Errc::invalid_input, cat(name, ": ", wrong.what)};
  } catch (const std::exception& error) {
    return Error{Errc::invalid_input, cat(name, ": ", std::string_view(error.what()))};
  }
}

base::Result<State> load_state(const std::string& path) {
  auto text = base::read_file(path, std::size_t{8} << 20);
  if (!text) {
    if (text.error().code == Errc::not_found) return State{};
    return std::move(text).error();
  }
  return parse_state(*text, path);
}

base::Status save_state(const std::string& path, std::string_view json) {
  auto written = base::write_atomically(path, json, {0600, true});
  if (!written) return std::move(written).error();
  return base::success();
}

}  // namespace repair
