// Properties: what a body gives keeps to the bounds, is valid UTF-8, prints as one
// line and has journal field names; what we print as JSON is read back the same.
#include "istio-cni-node/log_relay.hpp"

#include <algorithm>

#include "base/time.hpp"
#include "base/utf8.hpp"
#include "fuzz/check.hpp"
#include "log/relay.hpp"

namespace {

using istio_cni_node::RelayedEntry;

bool is_field_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] >= 'A' && name[0] <= 'Z' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

void check(const RelayedEntry& entry) {
  fuzz::require(entry.message.size() <= 8192 && entry.fields.size() <= 32, "an entry is bounded");
  fuzz::require(base::clean_utf8(entry.message) == entry.message, "the message is UTF-8");
  for (const auto& [name, value] : entry.fields) {
    fuzz::require(is_field_name(name), "field names are the journal's");
    fuzz::require(value.size() <= 4096 && base::clean_utf8(value) == value,
                  "values are bounded UTF-8");
  }
  const auto line =
      logging::format_line(entry.unix_micros, entry.level, entry.message, entry.fields);
  fuzz::require(line.ends_with('\n') && std::count(line.begin(), line.end(), '\n') == 1 &&
                    line.find('\x1b') == std::string::npos,
                "an entry is one line");
}

/// The plugin's side and ours agree.
void check_round_trip(std::string_view text) {
  const auto micros = static_cast<std::int64_t>(text.size()) * 1'000'003;
  const auto object = logging::format_json(micros, logging::Level::warn, text, {{"POD", "p"}});
  std::string body = "[\"";
  for (const char c : object) {
    if (c == '"' || c == '\\') body.push_back('\\');
    body.push_back(c);
  }
  const auto entries = istio_cni_node::parse_relayed(body + "\"]");
  if (object.size() > 65536) return;
  fuzz::require(entries.size() == 1, "what the plugin prints can be read");
  fuzz::require(entries[0].unix_micros == micros && entries[0].level == logging::Level::warn &&
                    entries[0].fields.size() == 2,
                "nothing is lost on the way");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text_of(data, size);
  const auto entries = istio_cni_node::parse_relayed(text);
  fuzz::require(entries.size() <= 1000, "a body is bounded");
  for (const auto& entry : entries) check(entry);
  check_round_trip(text);
  (void)base::parse_rfc3339(text);
  return 0;
}
