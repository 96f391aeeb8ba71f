// Reading and writing of the small JSON objects that agent.sock carries.
// Internal to this folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace agent {

using Json = nlohmann::ordered_json;

/// Bytes that are not UTF-8 are replaced.
std::string dump(const Json& json);
/// `text` as one line of at most max_message bytes, valid UTF-8.
std::string one_line(std::string_view text);
/// Null stands for absent.
const Json* member(const Json& object, const char* key);
/// The object in `text`, which is no longer than `most`.
base::Result<Json> parse_object(std::string_view text, std::string_view what, std::size_t most);

/// Reads members of one object; what is wrong is remembered, the first mistake.
/// What is absent leaves `out` as it was.
class Reader {
 public:
  Reader(const Json& object, std::string_view where);

  void text(const char* key, std::string& out);
  void required(const char* key, std::string& out);
  void flag(const char* key, bool& out);
  void number(const char* key, int& out);
  void number(const char* key, std::uint64_t& out);
  void micros(const char* key, std::chrono::microseconds& out);
  void micros(const char* key, std::optional<std::chrono::microseconds>& out);
  void time(const char* key, std::chrono::system_clock::time_point& out);
  void time(const char* key, std::optional<std::chrono::system_clock::time_point>& out);
  /// An object or array of that name, or null.
  const Json* object(const char* key);
  const Json* array(const char* key);
  /// Takes over another's mistake.
  void take(const Reader& other);

  [[nodiscard]] const std::optional<base::Error>& error() const { return error_; }

 private:
  [[nodiscard]] const Json* find(const char* key) const;
  void integer(const char* key, std::int64_t least, std::int64_t most, std::int64_t& out);
  void fail(std::string_view key, std::string_view what);

  const Json& object_;
  std::string_view where_;
  std::optional<base::Error> error_;
};

}  // namespace agent
