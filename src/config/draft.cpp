#include "config/draft.hpp"

#include <algorithm>
#include <utility>

#include "base/strings.hpp"
#include "config/values.hpp"

namespace config {

using base::cat;

Place Place::in_file(const std::string& file, Mark mark, std::string key) {
  return {{Source::Kind::file, cat(file, ":", mark.line)},
          {file, mark.line, mark.column, std::move(key), {}}};
}

Place Place::in_environment(std::string variable) {
  return {{Source::Kind::environment, variable}, {"environment", 0, 0, std::move(variable), {}}};
}

Place Place::on_command_line(std::string flag) {
  return {{Source::Kind::flag, flag}, {"command line", 0, 0, std::move(flag), {}}};
}

Draft::Draft() {
  for (const auto& setting : settings())
    places_[setting.key] = {{Source::Kind::built_in, ""}, {"", 0, 0, setting.key, {}}};
}

void Draft::set(const Setting& setting, const Value& value, const Place& place) {
  if (auto status = setting.set(outcome_.loaded.config, value); !status) {
    reject(setting.key, place, std::move(status).error().message);
    return;
  }
  places_[setting.key] = place;
}

void Draft::set(std::string_view key, const Value& value, const Place& place) {
  if (const auto* setting = find_setting(key)) set(*setting, value, place);
}

void Draft::set_text(std::string_view key, std::string_view text, const Place& place) {
  const auto* setting = find_setting(key);
  if (setting == nullptr) return;
  if (auto value = value_of_text(*setting, text)) {
    set(*setting, *value, place);
  } else {
    reject(key, place, std::move(value).error().message);
  }
}

void Draft::reject(std::string_view key, const Place& place, std::string message) {
  rejected_.emplace(key);
  complain(place, std::move(message));
}

void Draft::complain(const Place& place, std::string message) {
  outcome_.problems.push_back(place.problem);
  outcome_.problems.back().message = std::move(message);
}

void Draft::warn(const Place& place, std::string message) {
  outcome_.loaded.warnings.push_back(place.problem);
  outcome_.loaded.warnings.back().message = std::move(message);
}

const Place& Draft::place(std::string_view key) const { return places_.find(key)->second; }

bool Draft::rejected(std::initializer_list<std::string_view> keys) const {
  return std::any_of(keys.begin(), keys.end(),
                     [&](std::string_view key) { return rejected_.contains(key); });
}

Outcome Draft::take() {
  for (auto& [key, place] : places_) outcome_.loaded.sources[key] = std::move(place.source);
  return std::move(outcome_);
}

void check_together(Draft& draft) {
  const auto& config = draft.config();
  const auto& install = config.install;
  if (install.gate && install.mode != InstallMode::owned &&
      !draft.rejected({"install.mode", "install.gate"}))
    draft.complain(draft.place("install.gate"),
                   "the gate is a list of our own; it needs install.mode: owned");

  const std::pair<std::string_view, const std::string&> names[] = {
      {"install.owned_conf_name", install.owned_conf_name},
      {"install.standalone_conf_name", install.standalone_conf_name},
      {"install.cni_conf_name", install.cni_conf_name}};
  for (std::size_t i = 0; i < std::size(names); ++i)
    for (std::size_t j = i + 1; j < std::size(names); ++j)
      if (names[i].second == names[j].second && !draft.rejected({names[i].first, names[j].first})) {
        // complain about the one that somebody wrote
        const bool later = draft.place(names[j].first).source.kind != Source::Kind::built_in;
        const auto& [key, other] = later ? std::pair(names[j].first, names[i].first)
                                         : std::pair(names[i].first, names[j].first);
        draft.complain(draft.place(key),
                       cat("is the same file as ", other, ", ", base::quote(names[i].second),
                           "; give it another name"));
      }

  const auto every = [](const std::string& host) {
    return host.empty() || host == "0.0.0.0" || host == "::";
  };
  const auto& a = config.metrics;
  const auto& b = config.health;
  if (a.enabled && b.enabled && a.port == b.port &&
      (a.host == b.host || every(a.host) || every(b.host)) &&
      !draft.rejected({"metrics.address", "health.address"})) {
    const bool later = draft.place("health.address").source.kind != Source::Kind::built_in;
    draft.complain(draft.place(later ? "health.address" : "metrics.address"),
                   cat("is the same address as ", later ? "metrics.address" : "health.address",
                       ", port ", a.port, "; two servers need two ports"));
  }
}

}  // namespace config
