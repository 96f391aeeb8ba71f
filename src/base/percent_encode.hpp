#pragma once

#include <string>
#include <string_view>

namespace base {

/// For one segment or value of a URL: all but letters, digits and "-._~" as %XX.
std::string percent_encode(std::string_view text);

}  // namespace base
