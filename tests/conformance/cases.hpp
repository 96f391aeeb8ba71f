// Published expectations, read from a folder beside the checkout (or from
// $ICN_CONFORMANCE_DIR). Where it is absent the tests are skipped.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "redirect/config.hpp"

namespace conformance {

std::optional<nlohmann::json> load(const std::string& file);

/// "config" of a case in terms of ours. Lists drop empty elements.
redirect::Config to_config(const nlohmann::json& config);

std::string lines(const nlohmann::json& list);

struct PodCase {
  std::string name;
  redirect::Config config;
  std::string ipv4;
};
std::vector<PodCase> pod_cases(const nlohmann::json& file);

}  // namespace conformance

#define ICN_LOAD_OR_SKIP(variable, file)   \
  auto variable = conformance::load(file); \
  if (!variable) GTEST_SKIP() << file << ": no folder with expectations beside the checkout"
