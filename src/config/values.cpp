#include "config/values.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <numeric>

#include "base/strings.hpp"
#include "base/utf8.hpp"

namespace config {
namespace {

using base::cat;
using base::quote;
using base::Status;

constexpr std::size_t max_text = 4096;
constexpr std::size_t max_run_dir = 90;  // sun_path has 108 bytes, for "/agent.sock" too

bool host_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  });
}

bool is_ip(int family, std::string_view text) {
  unsigned char address[16];
  return ::inet_pton(family, std::string(text).c_str(), address) == 1;
}

}  // namespace

base::Error invalid(std::string message) {
  return {base::Errc::invalid_input, std::move(message), 0};
}

base::Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr std::uint64_t max = 1'000'000;  // far from overflow in any unit
  auto digits = text;
  std::int64_t unit = 1000;
  if (text.ends_with("ms")) {
    digits.remove_suffix(2);
    unit = 1;
  } else if (text.ends_with('s')) {
    digits.remove_suffix(1);
  } else if (text.ends_with('m')) {
    digits.remove_suffix(1);
    unit = 60'000;
  }
  const auto number = base::parse_unsigned(digits, max);
  if (!number)
    return invalid(
        cat(quote(text), " is not a duration such as 30s, 1500ms, 2m or 30 (whole seconds)"));
  return std::chrono::milliseconds(static_cast<std::int64_t>(*number) * unit);
}

std::string print_duration(std::chrono::milliseconds span) {
  const auto count = span.count();
  return count % 1000 == 0 ? cat(count / 1000, "s") : cat(count, "ms");
}

base::Result<Endpoint> parse_endpoint(std::string_view text) {
  constexpr std::string_view allowed =
      "; allowed: HOST:PORT, [IPV6]:PORT, :PORT for every address, or off";
  if (text == "off") return Endpoint{false, "", 0};
  const auto bad = [&](std::string_view why) { return invalid(cat(quote(text), why, allowed)); };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad(" has no port");
  auto host = text.substr(0, colon);
  const auto port = base::parse_unsigned(text.substr(colon + 1), 65535);
  if (!port || *port == 0) return bad(" has no port between 1 and 65535");
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!is_ip(AF_INET6, host)) return bad(" has no IPv6 address in its brackets");
  } else if (host.find(':') != std::string_view::npos) {
    return bad(" has an IPv6 address without brackets");
  } else if (!host.empty() && !host_name(host)) {
    return bad(" has no address or host name before the port");
  }
  return Endpoint{true, std::string(host), static_cast<std::uint16_t>(*port)};
}

std::string print_endpoint(const Endpoint& endpoint) {
  if (!endpoint.enabled) return "off";
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return cat(v6 ? "[" : "", endpoint.host, v6 ? "]:" : ":", endpoint.port);
}

namespace {

constexpr std::string_view mode_allowed = "; allowed: 0400 to 0777, octal with a leading zero";

base::Result<std::uint32_t> checked_mode(std::string_view text, std::uint64_t mode) {
  if (mode > 0777 || (mode & 0400) == 0)
    return invalid(
        cat(quote(text), " does not let the owner read, or is no permission", mode_allowed));
  return static_cast<std::uint32_t>(mode);
}

std::optional<std::uint64_t> octal(std::string_view text) {
  if (!text.starts_with('0')) return std::nullopt;
  text.remove_prefix(text.starts_with("0o") ? 2 : 1);
  if (text.empty() || text.size() > 6) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

}  // namespace

base::Result<std::uint32_t> parse_mode(std::string_view text) {
  if (const auto mode = octal(text)) return checked_mode(text, *mode);
  std::string hint;
  if (const auto number = base::parse_unsigned(text, 07777)) {
    // 600 was meant as octal, 384 is what a program made of 0600
    const auto as_octal = octal(cat("0", text));
    if (as_octal && *as_octal <= 0777 && (*as_octal & 0400) != 0) {
      hint = cat("; did you mean \"0", text, "\"?");
    } else if (*number <= 0777 && (*number & 0400) != 0) {
      hint = cat("; did you mean \"", print_mode(static_cast<std::uint32_t>(*number)), "\"?");
    }
  }
  return invalid(cat(quote(text), " is not a file mode", mode_allowed, hint));
}

base::Result<std::uint32_t> parse_go_mode(std::string_view text) {
  if (const auto mode = octal(text)) return checked_mode(text, *mode);
  if (const auto mode = base::parse_unsigned(text, 07777)) return checked_mode(text, *mode);
  return invalid(cat(quote(text),
                     " is not a file mode; allowed: octal (0600) or decimal (384) as an integer"));
}

std::string print_mode(std::uint32_t mode) {
  std::string out = "0000";
  for (std::size_t i = out.size(); i-- > 1; mode /= 8) out[i] = static_cast<char>('0' + mode % 8);
  return out;
}

base::Result<int> parse_number(std::string_view text, int min, int max) {
  const auto number = base::parse_unsigned(text, static_cast<std::uint64_t>(max));
  if (!number || *number < static_cast<std::uint64_t>(min))
    return invalid(cat(quote(text), " is not a number between ", min, " and ", max));
  return static_cast<int>(*number);
}

base::Result<std::string> parse_path(std::string_view text) {
  if (auto status = check_text(text); !status) return std::move(status).error();
  if (!text.starts_with('/')) return invalid(cat(quote(text), " is not an absolute path"));
  const auto parts = base::split_nonempty(text, '/');
  if (std::find(parts.begin(), parts.end(), "..") != parts.end())
    return invalid(cat(quote(text), " has \"..\" in it; write the path without"));
  while (text.size() > 1 && text.ends_with('/')) text.remove_suffix(1);
  if (text == "/") return invalid("\"/\" is the root folder; name a folder or file below it");
  return std::string(text);
}

base::Result<std::string> parse_optional_path(std::string_view text) {
  if (text.find_first_not_of('/') == std::string_view::npos && text.size() <= max_text)
    return std::string();
  return parse_path(text);
}

base::Result<std::string> parse_run_dir(std::string_view text) {
  auto path = parse_path(text);
  if (path && path->size() > max_run_dir)
    return invalid(cat(quote(text), " is longer than ", max_run_dir,
                       " bytes; sockets in it would have no valid address"));
  return path;
}

Status check_text(std::string_view text, bool lines) {
  if (text.size() > max_text) return invalid(cat("is longer than ", max_text, " bytes"));
  if (base::clean_utf8(text) != text) return invalid(cat(quote(text), " is not valid UTF-8"));
  for (const char c : text) {
    const bool control = (c >= 0 && c < ' ') || c == '\x7f';
    if (control && !(lines && (c == '\n' || c == '\t')))
      return invalid(cat(quote(text), " has a control character"));
  }
  return base::success();
}

// --- printing ----------------------------------------------------------

std::string yaml_text(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  const auto plain_start = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/';
  };
  const auto plain = [&](char c) {
    return plain_start(c) || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  // what any version of YAML takes for something else than text
  static const std::vector<std::string> reserved = {"true", "false", "yes", "no", "on",
                                                    "off",  "null",  "y",   "n"};
  const auto lower = base::to_lower(text);
  if (!text.empty() && plain_start(text.front()) && std::all_of(text.begin(), text.end(), plain) &&
      std::find(reserved.begin(), reserved.end(), lower) == reserved.end())
    return std::string(text);
  std::string out = "\"";
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(byte);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c == '\t') {
      out.append("\\t");
    } else if (c < 0x20 || c == 0x7f) {
      out.append("\\x").push_back(hex[c >> 4]);
      out.push_back(hex[c & 15]);
    } else {
      out.push_back(byte);
    }
  }
  out.push_back('"');
  return out;
}

std::string yaml_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const auto& item : items) out.append(out.size() > 1 ? ", " : "").append(yaml_text(item));
  return out + "]";
}

std::string printable(std::string_view text) {
  auto quoted = quote(text);
  return quoted.substr(1, quoted.size() - 2);
}

// --- suggestions -------------------------------------------------------

namespace {

std::string folded(std::string_view text) {
  auto out = base::to_lower(text);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

/// Levenshtein's, of texts of a bounded size.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view text, const std::vector<std::string>& candidates) {
  constexpr std::size_t max_length = 100;  // of a name that can still be a typing error
  if (text.empty() || text.size() > max_length) return {};
  const auto wanted = folded(text);
  // a third of the letters wrong is no typing error any more
  auto best = std::max<std::size_t>(text.size() / 3, 1) + 1;
  std::string found;
  for (const auto& candidate : candidates) {
    const auto away = distance(wanted, folded(candidate));
    if (away >= best || away >= candidate.size()) continue;
    best = away;
    found = candidate;
  }
  return found;
}

std::string alternatives(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out.append(i + 1 == words.size() ? " or " : ", ");
    out.append(words[i]);
  }
  return out;
}

}  // namespace config
