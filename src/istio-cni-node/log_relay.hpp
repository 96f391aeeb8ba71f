// The body of POST /log on log.sock, as plugins of the DaemonSet world send it:
// a JSON array of strings, each one JSON log object. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "log/log.hpp"

namespace istio_cni_node {

struct RelayedEntry {
  std::int64_t unix_micros = 0;
  logging::Level level = logging::Level::info;
  std::string message;     ///< trimmed; valid UTF-8 without control characters
  logging::Fields fields;  ///< the object's other keys, as text
};

/// Entries without msg, level or time, and of unknown levels, are left out; a
/// body that is no such array gives none. Bad parts never spoil good ones.
/// Anybody may write to the socket, so all is bounded: 1000 entries a body (the
/// rest is left out), 64 KiB an entry (longer ones are left out), 8 KiB a
/// message and 4 KiB a value (cut), 32 fields an entry. Field names are made
/// journal field names: upper case, '_' for what is neither letter nor digit;
/// one that would pass for a field of the journal's own is left out.
std::vector<RelayedEntry> parse_relayed(std::string_view body);

}  // namespace istio_cni_node
