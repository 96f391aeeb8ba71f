// Single values of the configuration: from text to types and back, with errors
// that say what is allowed. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"

namespace config {

/// Errc::invalid_input.
base::Error invalid(std::string message);

/// "30s", "1500ms", "2m" or whole seconds: "30".
base::Result<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string print_duration(std::chrono::milliseconds span);

/// "HOST:PORT", "[ADDRESS]:PORT", ":PORT" or "off".
base::Result<Endpoint> parse_endpoint(std::string_view text);
std::string print_endpoint(const Endpoint& endpoint);

/// Octal with a leading zero ("0600", "0o600"), 0400 to 0777.
base::Result<std::uint32_t> parse_mode(std::string_view text);
/// As the known agent takes it: octal with a leading zero, else decimal (384).
base::Result<std::uint32_t> parse_go_mode(std::string_view text);
std::string print_mode(std::uint32_t mode);

base::Result<int> parse_number(std::string_view text, int min, int max);

/// Absolute, without ".." and control characters; slashes at the end are dropped.
base::Result<std::string> parse_path(std::string_view text);
/// As parse_path; "" and "/" are "".
base::Result<std::string> parse_optional_path(std::string_view text);
/// The folder of our sockets: short enough for a socket's address.
base::Result<std::string> parse_run_dir(std::string_view text);

/// The name of a file in the runtime's configuration folder that ends in one of
/// `endings`; no folder in it.
base::Status check_file_name(std::string_view text, const std::vector<std::string_view>& endings);

base::Status check_namespace(std::string_view text);
base::Status check_node_name(std::string_view text);
base::Status check_container_name(std::string_view text);
/// "[PREFIX/]NAME" as for labels and annotations.
base::Status check_qualified_name(std::string_view text);
base::Status check_label_value(std::string_view text);
/// The grammar of labelSelector: "a=b,c!=d,e in (f,g),h notin (i),j,!k".
base::Status check_label_selector(std::string_view text);
/// "FIELD=VALUE", "FIELD==VALUE" and "FIELD!=VALUE", separated by commas; the
/// fields are those that the API server selects pods by.
base::Status check_field_selector(std::string_view text);
/// UTF-8 of a sane size; without control characters unless `lines`, which
/// allows line feeds and tabs.
base::Status check_text(std::string_view text, bool lines = false);

/// Text as one YAML scalar on one line, quoted where a YAML parser could take it
/// for something else than text.
std::string yaml_text(std::string_view text);
/// "[a, b]".
std::string yaml_list(const std::vector<std::string>& items);

/// Text from outside as a part of a message: printable and short.
std::string printable(std::string_view text);

/// The candidate that `text` was probably meant to be, or "": letter case and
/// '-' or '_' do not count.
std::string nearest(std::string_view text, const std::vector<std::string>& candidates);

/// "a, b or c".
std::string alternatives(const std::vector<std::string>& words);

}  // namespace config
