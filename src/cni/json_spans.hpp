// Where the parts of a JSON text stand, for edits that leave every other byte
// alone. For text that base::parse_json has accepted: only the structure is
// looked at here. (A text that it would refuse gives nullopt or nonsense, never
// an access out of bounds.)
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace cni {

/// Bytes [begin, end) of a text.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;

  [[nodiscard]] std::string_view of(std::string_view text) const {
    return text.substr(begin, end - begin);
  }
};

struct MemberSpan {
  Span key;  ///< with its quotes
  Span value;
};

/// The members of the object that starts at `begin` (white space before it is
/// passed over), in order, repeated keys included. nullopt: no object there.
std::optional<std::vector<MemberSpan>> object_members(std::string_view text, std::size_t begin);

/// The elements of the array that starts at `begin`. nullopt: no array there.
std::optional<std::vector<Span>> array_elements(std::string_view text, std::size_t begin);

/// The first position from `at` on that holds no JSON white space.
std::size_t skip_blank(std::string_view text, std::size_t at);

}  // namespace cni
