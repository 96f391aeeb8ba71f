#include "repair/selector.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/strings.hpp"

namespace repair {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Operator = LabelSelector::Operator;

/// Words and the signs , ( ) = == != ! < >.
struct Token {
  bool word = false;
  std::string_view text;
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_sign(char c) { return std::string_view(",()=!<>").find(c) != std::string_view::npos; }

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  for (std::size_t at = 0; at < text.size();) {
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    std::size_t size = 1;
    const bool sign = is_sign(text[at]);
    if (sign) {
      const auto two = text.substr(at, 2);
      if (two == "==" || two == "!=") size = 2;
    } else {
      while (at + size < text.size() && !is_blank(text[at + size]) && !is_sign(text[at + size]))
        ++size;
    }
    tokens.push_back({!sign, text.substr(at, size)});
    at += size;
  }
  return tokens;
}

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

/// A label's value, or the part of its key behind the '/'.
bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 63 || !is_alnum(text.front()) || !is_alnum(text.back()))
    return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_key(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return is_name(text);
  const auto prefix = text.substr(0, slash);
  return !prefix.empty() && prefix.size() <= 253 && is_alnum(prefix.front()) &&
         is_alnum(prefix.back()) &&
         std::all_of(prefix.begin(), prefix.end(),
                     [](char c) { return is_alnum(c) || c == '-' || c == '.'; }) &&
         is_name(text.substr(slash + 1));
}

std::optional<std::int64_t> integer(std::string_view text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class LabelParser {
 public:
  explicit LabelParser(std::string_view text) : text_(text), tokens_(tokens_of(text)) {}

  base::Result<std::vector<LabelSelector::Requirement>> parse() {
    std::vector<LabelSelector::Requirement> requirements;
    while (at_ < tokens_.size()) {
      auto requirement = one();
      if (!requirement) return std::move(requirement).error();
      requirements.push_back(*std::move(requirement));
      if (at_ == tokens_.size()) break;
      if (!take(",")) return wrong("expected ','");
      if (at_ == tokens_.size()) return wrong("a requirement is missing behind the last ','");
    }
    return requirements;
  }

 private:
  base::Result<LabelSelector::Requirement> one() {
    LabelSelector::Requirement requirement;
    if (take("!")) requirement.operation = Operator::not_exists;
    if (!peek_word()) return wrong("expected the key of a label");
    requirement.key = tokens_[at_++].text;
    if (!is_key(requirement.key))
      return wrong(cat(base::quote(requirement.key), " is not the key of a label"));
    if (requirement.operation == Operator::not_exists) return requirement;
    if (at_ == tokens_.size() || tokens_[at_].text == ",") return requirement;
    const auto sign = tokens_[at_++].text;
    if (sign == "in" || sign == "notin") {
      requirement.operation = sign == "in" ? Operator::in : Operator::not_in;
      if (auto status = values(requirement.values); !status) return std::move(status).error();
      return requirement;
    }
    if (sign == "=" || sign == "==") {
      requirement.operation = Operator::in;
    } else if (sign == "!=") {
      requirement.operation = Operator::not_in;
    } else if (sign == ">" || sign == "<") {
      requirement.operation = sign == ">" ? Operator::greater : Operator::less;
    } else {
      return wrong(
          cat("unknown operator ", base::quote(sign), "; there are =, ==, !=, in, notin, < and >"));
    }
    // "a=" asks for an empty value
    const std::string_view value = peek_word() ? tokens_[at_++].text : std::string_view{};
    if ((sign == ">" || sign == "<") && !integer(value))
      return wrong(cat(base::quote(value), " is not a whole number"));
    if (auto status = add(requirement.values, value); !status) return std::move(status).error();
    return requirement;
  }

  base::Status values(std::vector<std::string>& into) {
    if (!take("(")) return wrong("expected '(' and the values");
    for (;;) {
      const std::string_view value = peek_word() ? tokens_[at_++].text : std::string_view{};
      if (auto status = add(into, value); !status) return status;
      if (take(")")) return base::success();
      if (!take(",")) return wrong("expected ',' or ')' in the list of values");
    }
  }

  base::Status add(std::vector<std::string>& into, std::string_view value) {
    if (!value.empty() && !is_name(value))
      return wrong(cat(base::quote(value), " is not the value of a label"));
    into.emplace_back(value);
    return base::success();
  }

  [[nodiscard]] bool peek_word() const { return at_ < tokens_.size() && tokens_[at_].word; }
  bool take(std::string_view sign) {
    if (at_ == tokens_.size() || tokens_[at_].text != sign) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] Error wrong(std::string_view why) const {
    return Error{Errc::invalid_input, cat("label selector ", base::quote(text_), ": ", why)};
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

bool holds(const LabelSelector::Requirement& requirement, const std::string* value) {
  const auto& values = requirement.values;
  switch (requirement.operation) {
    case Operator::in:
      return value != nullptr && std::find(values.begin(), values.end(), *value) != values.end();
    case Operator::not_in:
      return value == nullptr || std::find(values.begin(), values.end(), *value) == values.end();
    case Operator::exists:
      return value != nullptr;
    case Operator::not_exists:
      return value == nullptr;
    case Operator::greater:
    case Operator::less: {
      if (value == nullptr) return false;
      const auto have = integer(*value);
      const auto limit = integer(values.front());
      if (!have || !limit) return false;
      return requirement.operation == Operator::greater ? *have > *limit : *have < *limit;
    }
  }
  return false;
}

using Field = std::string (*)(const pod::Pod&);
struct NamedField {
  std::string_view key;
  Field get;
};
constexpr std::array<NamedField, 7> fields{{
    {"metadata.name", [](const pod::Pod& pod) { return pod.name; }},
    {"metadata.namespace", [](const pod::Pod& pod) { return pod.name_space; }},
    {"spec.nodeName", [](const pod::Pod& pod) { return pod.node_name; }},
    {"spec.restartPolicy",
     [](const pod::Pod& pod) {
       return pod.restart_policy.empty() ? std::string("Always") : pod.restart_policy;
     }},
    {"spec.serviceAccountName", [](const pod::Pod& pod) { return pod.service_account; }},
    {"status.phase", [](const pod::Pod& pod) { return pod.phase; }},
    {"status.podIP",
     [](const pod::Pod& pod) { return pod.ips.empty() ? std::string() : pod.ips.front(); }},
}};

const NamedField* field_of(std::string_view key) {
  const auto* found = std::find_if(fields.begin(), fields.end(),
                                   [&](const NamedField& field) { return field.key == key; });
  return found == fields.end() ? nullptr : found;
}

/// Splits at commas that no '\' stands before.
std::vector<std::string_view> split_escaped(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ',') {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '=') return std::nullopt;
    if (text[i] == '\\' &&
        (++i == text.size() || std::string_view("\\,=").find(text[i]) == std::string_view::npos))
      return std::nullopt;
    out.push_back(text[i]);
  }
  return out;
}

}  // namespace

base::Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  auto requirements = LabelParser(text).parse();
  if (!requirements) return std::move(requirements).error();
  LabelSelector selector;
  selector.requirements_ = *std::move(requirements);
  return selector;
}

bool LabelSelector::matches(const std::map<std::string, std::string>& labels) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& one) {
    const auto found = labels.find(one.key);
    return holds(one, found == labels.end() ? nullptr : &found->second);
  });
}

base::Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  for (const auto part : split_escaped(text)) {
    const auto trimmed = base::trim(part);
    if (trimmed.empty()) continue;  // as the API server takes "a=b,"
    auto wrong = [&](std::string_view why) {
      return Error{Errc::invalid_input, cat("field selector ", base::quote(trimmed), ": ", why)};
    };
    const auto sign = trimmed.find_first_of("=!");
    if (sign == std::string_view::npos) return wrong("expected KEY=VALUE or KEY!=VALUE");
    Requirement requirement;
    requirement.key = base::trim(trimmed.substr(0, sign));
    const auto rest = trimmed.substr(sign);
    std::size_t size = 1;
    if (rest.substr(0, 2) == "!=" || rest.substr(0, 2) == "==") size = 2;
    if (rest.front() == '!' && size == 1) return wrong("expected KEY=VALUE or KEY!=VALUE");
    requirement.equal = rest.front() == '=';
    auto value = unescape(base::trim(rest.substr(size)));
    if (!value) return wrong("in the value, ',', '=' and '\\' need a '\\' before them");
    requirement.value = *std::move(value);
    if (field_of(requirement.key) == nullptr) {
      std::string known;
      for (const auto& field : fields) known.append(cat(known.empty() ? "" : ", ", field.key));
      return wrong(cat("unknown field; there are ", known));
    }
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

bool FieldSelector::matches(const pod::Pod& pod) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& one) {
    const auto* field = field_of(one.key);
    return field != nullptr && (field->get(pod) == one.value) == one.equal;
  });
}

}  // namespace repair
