#include "istio-cnictl/redact.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/strings.hpp"

namespace istio_cnictl {
namespace {

using Span = std::pair<std::size_t, std::size_t>;  // begin, end

constexpr std::size_t long_base64 = 200;

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_word(char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; }
bool is_base64(char c) { return is_alnum(c) || c == '+' || c == '/' || c == '='; }
bool is_url_base64(char c) { return is_alnum(c) || c == '-' || c == '_'; }

std::size_t end_of(std::string_view text, std::size_t from, bool (*fits)(char)) {
  while (from < text.size() && fits(text[from])) ++from;
  return from;
}

std::string replace_spans(std::string_view text, const std::vector<Span>& spans) {
  std::string out;
  std::size_t at = 0;
  for (const auto& [begin, end] : spans) {
    if (begin < at) continue;
    out.append(text.substr(at, begin - at)).append(removed);
    at = end;
  }
  return out.append(text.substr(at));
}

std::string without_pem(std::string_view text) {
  constexpr std::string_view begin_mark = "-----BEGIN ";
  constexpr std::string_view end_mark = "-----END ";
  std::vector<Span> spans;
  for (auto at = text.find(begin_mark); at != std::string_view::npos;) {
    const auto content = text.find("-----", at + begin_mark.size());
    // one that is cut off is secret to the end
    const auto from = content == std::string_view::npos ? text.size() : content + 5;
    const auto to = std::min(text.find(end_mark, from), text.size());
    spans.emplace_back(from, to);
    at = text.find(begin_mark, to);
  }
  return replace_spans(text, spans);
}

/// "eyJ" and three parts, as every JSON Web Token begins and looks.
std::string without_tokens(std::string_view text) {
  std::vector<Span> spans;
  for (auto at = text.find("eyJ"); at != std::string_view::npos; at = text.find("eyJ", at + 1)) {
    if (at > 0 && is_url_base64(text[at - 1])) continue;
    const auto head = end_of(text, at, is_url_base64);
    if (head - at < 10 || head == text.size() || text[head] != '.') continue;
    auto end = end_of(text, head + 1, is_url_base64);
    if (end < text.size() && text[end] == '.') end = end_of(text, end + 1, is_url_base64);
    spans.emplace_back(at, end);
    at = end - 1;
  }
  return replace_spans(text, spans);
}

std::string without_long_base64(std::string_view text) {
  std::vector<Span> spans;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!is_base64(text[at])) continue;
    const auto end = end_of(text, at, is_base64);
    if (end - at >= long_base64) spans.emplace_back(at, end);
    at = end;
  }
  return replace_spans(text, spans);
}

std::string without_authorization(std::string_view text) {
  const auto lower = base::to_lower(text);
  std::vector<Span> spans;
  for (const std::string_view scheme : {"bearer ", "basic "})
    for (auto at = lower.find(scheme); at != std::string::npos; at = lower.find(scheme, at + 1)) {
      const auto from = at + scheme.size();
      const auto end = end_of(text, from, [](char c) { return is_base64(c) || is_word(c); });
      // words of a sentence are shorter than any credential
      if (end - from >= 16) spans.emplace_back(from, end);
    }
  std::sort(spans.begin(), spans.end());
  return replace_spans(text, spans);
}

/// SCHEME://USER:PASSWORD@HOST
std::string without_url_users(std::string_view text) {
  std::vector<Span> spans;
  for (auto at = text.find("://"); at != std::string_view::npos; at = text.find("://", at + 3)) {
    const auto end = std::min(text.find_first_of("/ \t\r\n\"'?#", at + 3), text.size());
    const auto user_end = text.substr(at + 3, end - at - 3).rfind('@');
    if (user_end != std::string_view::npos) spans.emplace_back(at + 3, at + 3 + user_end);
  }
  return replace_spans(text, spans);
}

/// The value that follows `at`, the end of a secret's key: behind ':' or '='.
std::optional<Span> value_after(std::string_view text, std::size_t at) {
  if (at < text.size() && (text[at] == '"' || text[at] == '\'')) ++at;
  at = end_of(text, at, [](char c) { return c == ' ' || c == '\t'; });
  if (at == text.size() || (text[at] != ':' && text[at] != '=')) return std::nullopt;
  at = end_of(text, at + 1, [](char c) { return c == ' ' || c == '\t'; });
  if (at == text.size() || text[at] == '\n' || text[at] == '\r') return std::nullopt;
  // an object or a list: its own keys are looked at
  if (text[at] == '{' || text[at] == '[') return std::nullopt;
  const char quote = text[at];
  if (quote == '"' || quote == '\'') {
    auto end = at + 1;
    while (end < text.size() && text[end] != quote)
      end += text[end] == '\\' && quote == '"' ? 2 : 1;
    return Span{at + 1, std::min(end, text.size())};
  }
  return Span{at, std::min(text.find_first_of(" \t\r\n,}#&", at), text.size())};
}

std::string without_secret_values(std::string_view text) {
  std::vector<Span> spans;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!is_word(text[at])) continue;
    const auto end = end_of(text, at, is_word);
    if (names_secret(text.substr(at, end - at)))
      if (const auto value = value_after(text, end); value && value->second > value->first)
        spans.push_back(*value);
    at = end - 1;
  }
  return replace_spans(text, spans);
}

}  // namespace

bool names_secret(std::string_view key) {
  auto name = base::to_lower(key);
  std::erase_if(name, [](char c) { return c == '-' || c == '_' || c == '.'; });
  // where they are, and how they are named, is no secret
  for (const std::string_view harmless :
       {"file", "path", "dir", "mode", "labelkey", "name", "keytype"})
    if (name.ends_with(harmless)) return false;
  for (const std::string_view word :
       {"token", "password", "passwd", "secret", "clientkeydata", "clientcertificatedata",
        "certificateauthoritydata", "credentials", "privatekey", "apikey", "accesskey", "authkey",
        "authorization", "psk"})
    if (name.find(word) != std::string::npos) return true;
  constexpr std::array<std::string_view, 6> whole{"key",      "cert", "keydata",
                                                  "certdata", "auth", "passphrase"};
  return std::find(whole.begin(), whole.end(), name) != whole.end();
}

std::string redact(std::string_view text) {
  auto out = without_pem(text);
  out = without_tokens(out);
  out = without_authorization(out);
  out = without_url_users(out);
  out = without_secret_values(out);
  return without_long_base64(out);
}

}  // namespace istio_cnictl
