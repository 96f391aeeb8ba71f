// Loading in one line, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/settings.hpp"

namespace config {

using Strings = std::vector<std::string>;

inline Outcome load_yaml(const std::string& text) { return load({{"c.yaml", text}}, {}, {}); }
inline Outcome load_env(const Strings& environment) { return load({}, environment, {}); }
inline Outcome load_flags(const Strings& arguments) { return load({}, {}, arguments); }

inline std::string texts(const std::vector<Problem>& problems) {
  std::string out;
  for (const auto& problem : problems) out += problem.text() + "\n";
  return out;
}

/// The configuration of an outcome that must be without problems.
inline Config good(const Outcome& outcome) {
  EXPECT_EQ(texts(outcome.problems), "");
  return outcome.loaded.config;
}

/// A setting's value as print() shows it.
inline std::string printed(const Config& config, const std::string& key) {
  const auto* setting = find_setting(key);
  return setting == nullptr ? "no setting " + key : setting->print(config);
}

}  // namespace config
