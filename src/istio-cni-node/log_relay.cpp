#include "istio-cni-node/log_relay.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "base/utf8.hpp"

namespace istio_cni_node {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t max_entries = 1000;
constexpr std::size_t max_entry = std::size_t{64} << 10;
constexpr std::size_t max_message = std::size_t{8} << 10;
constexpr std::size_t max_value = std::size_t{4} << 10;
constexpr std::size_t max_fields = 32;
constexpr std::size_t max_name = 64;  // of the journal

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<logging::Level> relayed_level(std::string_view text) {
  using logging::Level;
  for (const auto level : {Level::debug, Level::info, Level::warn, Level::error})
    if (text == to_string(level)) return level;
  return std::nullopt;
}

/// One line of text that a terminal shows as it is.
std::string one_line(std::string_view text, std::size_t limit) {
  std::string out(base::utf8_prefix(text, limit));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, ' ');
  return out;
}

/// A journal field name; empty when `key` cannot be one. systemd.journal-fields(7).
std::string field_name(std::string_view key) {
  // what the journal and our own records say must not be said by others
  static constexpr std::array<std::string_view, 4> reserved = {"MESSAGE", "MESSAGE_ID", "PRIORITY",
                                                               "ERRNO"};
  static constexpr std::array<std::string_view, 4> reserved_starts = {"SYSLOG_", "CODE_",
                                                                      "COREDUMP_", "OBJECT_"};
  std::string name;
  for (const char c : key) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const char upper = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    const char kept = letter || is_digit(c) ? upper : '_';
    if (name.empty() && (kept == '_' || is_digit(kept))) continue;
    if (name.size() == max_name) break;
    name.push_back(kept);
  }
  if (std::find(reserved.begin(), reserved.end(), name) != reserved.end()) return {};
  for (const auto start : reserved_starts)
    if (name.starts_with(start)) return {};
  return name;
}

std::string value_text(const Json& value) {
  const auto text = value.is_string() ? value.get<std::string>() : value.dump();
  return std::string(base::utf8_prefix(text, max_value));
}

const std::string* text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

std::optional<RelayedEntry> parse_entry(std::string_view text) {
  if (text.size() > max_entry) return std::nullopt;
  const auto object = base::parse_json(text, "entry");
  if (!object || !object->is_object()) return std::nullopt;
  const auto* message = text_at(*object, "msg");
  const auto* level_text = text_at(*object, "level");
  const auto* time_text = text_at(*object, "time");
  if (message == nullptr || level_text == nullptr || time_text == nullptr) return std::nullopt;
  const auto level = relayed_level(*level_text);
  const auto time = base::parse_rfc3339_micros(*time_text);
  if (!level || !time) return std::nullopt;

  RelayedEntry entry{*time, *level, one_line(base::trim(*message), max_message), {}};
  for (const auto& [key, value] : object->items()) {
    if (key == "msg" || key == "level" || key == "time") continue;
    if (entry.fields.size() == max_fields) break;
    if (auto name = field_name(key); !name.empty())
      entry.fields.emplace_back(std::move(name), value_text(value));
  }
  return entry;
}

}  // namespace

std::vector<RelayedEntry> parse_relayed(std::string_view body) {
  std::vector<RelayedEntry> entries;
  // bytes that are no UTF-8 in one entry must not cost the others
  const auto array = base::parse_json(base::clean_utf8(body), "body");
  if (!array || !array->is_array()) return entries;
  std::size_t seen = 0;
  for (const auto& element : *array) {
    if (++seen > max_entries) break;
    if (!element.is_string()) continue;
    if (auto entry = parse_entry(element.get_ref<const std::string&>()))
      entries.push_back(std::move(*entry));
  }
  return entries;
}

}  // namespace istio_cni_node
