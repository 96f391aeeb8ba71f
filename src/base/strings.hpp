// Small string helpers. The plugin is a static binary that starts for every
// pod, so there is no iostream and no formatting library below the programs.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

namespace detail {
inline void append_one(std::string& out, std::string_view text) { out.append(text); }
inline void append_one(std::string& out, char c) { out.push_back(c); }
template <std::integral T>
  requires(!std::same_as<T, char> && !std::same_as<T, bool>)
void append_one(std::string& out, T value) {
  char buffer[24];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}
}  // namespace detail

/// Concatenates strings, characters and integers.
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (detail::append_one(out, parts), ...);
  return out;
}

/// Strips blanks, tabs, line feeds and carriage returns at both ends.
std::string_view trim(std::string_view text);

/// Splits at every separator; empty elements are kept ("" gives one "").
std::vector<std::string_view> split(std::string_view text, char separator);

/// Splits at every separator and drops empty elements ("" gives none).
std::vector<std::string_view> split_nonempty(std::string_view text, char separator);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// Plain unsigned decimal of at most `max`; no sign, no blanks, no other base.
std::optional<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max = UINT64_MAX);

/// The set of spellings Go's strconv.ParseBool takes: 1 t T TRUE true True and
/// 0 f F FALSE false False; anything else is nullopt.
std::optional<bool> parse_go_bool(std::string_view text);

std::string to_lower(std::string_view text);

/// `text` for a message: at most `limit` bytes, control characters escaped.
std::string quote(std::string_view text, std::size_t limit = 120);

/// RFC 4648 base64 (standard alphabet, padding optional, line breaks allowed).
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace base
