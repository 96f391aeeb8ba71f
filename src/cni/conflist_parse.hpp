// What the two halves of conflist share. Not for others.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.hpp"
#include "cni/conflist.hpp"

namespace cni::detail {

using Json = nlohmann::ordered_json;

/// base::parse_json, and what Go's parser refuses besides: a byte order mark,
/// and NUL bytes at the end, as an interrupted write may leave them. An object.
base::Result<Json> parse_config(std::string_view text, std::string_view what);

/// A list as inspect describes it.
base::Result<Network> read_list(const Json& document, std::string_view what);

bool is_ours(const Json& plugin);

/// dump() that does not throw on invalid UTF-8.
std::string dump(const Json& json, int indentation = -1);

}  // namespace cni::detail
