#include "cni/json_spans.hpp"

namespace cni {
namespace {

/// A position in the text; moves past the end never.
class Cursor {
 public:
  Cursor(std::string_view text, std::size_t at) : text_(text), at_(at) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void blank() { at_ = skip_blank(text_, at_); }

  /// Passes over `c` and the white space around it.
  bool take(char c) {
    blank();
    if (peek() != c) return false;
    ++at_;
    blank();
    return true;
  }

  std::optional<Span> string() {
    if (peek() != '"') return std::nullopt;
    const auto begin = at_++;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return Span{begin, at_};
      if (c == '\\' && at_ < text_.size()) ++at_;
    }
    return std::nullopt;
  }

  std::optional<Span> value() {
    const auto begin = at_;
    if (peek() == '"') return string();
    if (peek() != '{' && peek() != '[') {
      while (at_ < text_.size() &&
             std::string_view(",]} \t\r\n").find(text_[at_]) == std::string_view::npos)
        ++at_;
      if (at_ == begin) return std::nullopt;
      return Span{begin, at_};
    }
    std::size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!string()) return std::nullopt;
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) return Span{begin, at_};
    }
    return std::nullopt;
  }

 private:
  std::string_view text_;
  std::size_t at_;
};

}  // namespace

std::size_t skip_blank(std::string_view text, std::size_t at) {
  const auto end = text.find_first_not_of(" \t\r\n", at);
  return end == std::string_view::npos ? text.size() : end;
}

std::optional<std::vector<MemberSpan>> object_members(std::string_view text, std::size_t begin) {
  Cursor cursor(text, begin);
  std::vector<MemberSpan> members;
  if (!cursor.take('{')) return std::nullopt;
  if (cursor.take('}')) return members;
  do {
    auto key = cursor.string();
    if (!key || !cursor.take(':')) return std::nullopt;
    auto value = cursor.value();
    if (!value) return std::nullopt;
    members.push_back({*key, *value});
  } while (cursor.take(','));
  if (!cursor.take('}')) return std::nullopt;
  return members;
}

std::optional<std::vector<Span>> array_elements(std::string_view text, std::size_t begin) {
  Cursor cursor(text, begin);
  std::vector<Span> elements;
  if (!cursor.take('[')) return std::nullopt;
  if (cursor.take(']')) return elements;
  do {
    auto value = cursor.value();
    if (!value) return std::nullopt;
    elements.push_back(*value);
  } while (cursor.take(','));
  if (!cursor.take(']')) return std::nullopt;
  return elements;
}

}  // namespace cni
