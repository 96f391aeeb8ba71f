// UTF-8 from outside, made valid.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace base {

/// `text` with every byte that is no part of a well-formed UTF-8 sequence
/// (Unicode 15, table 3-7) replaced by U+FFFD.
std::string clean_utf8(std::string_view text);

/// The longest start of well-formed `text` that has at most `limit` bytes and
/// ends between characters.
std::string_view utf8_prefix(std::string_view text, std::size_t limit);

}  // namespace base
