// Reading small files whole, with a bound.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.hpp"

namespace base {

/// The whole content of `path`. Errors name the path; more than `limit` bytes
/// is Errc::invalid_input, a missing file Errc::not_found.
Result<std::string> read_file(const std::string& path, std::size_t limit = std::size_t{1} << 20);

/// Everything from `fd` to its end, bounded by `limit` bytes.
Result<std::string> read_fd(int fd, std::string_view name, std::size_t limit);

}  // namespace base
