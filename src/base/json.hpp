// JSON from outside, parsed with a bound on size and depth.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.hpp"

namespace base {

/// Deeper nesting than this is refused: nlohmann::json serialises recursively.
inline constexpr int max_json_depth = 100;

/// Parses `text`, keeping the order of keys. The error names `what`, and the
/// line and column of the mistake. Invalid UTF-8 is an error.
Result<nlohmann::ordered_json> parse_json(std::string_view text, std::string_view what);

}  // namespace base
