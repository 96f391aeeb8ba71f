#include "base/json.hpp"

#include <nlohmann/json.hpp>

#include "base/strings.hpp"

namespace base {
namespace {

using Json = nlohmann::ordered_json;

std::string place(std::string_view text, std::size_t byte) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i + 1 < byte && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return cat("line ", line, ", column ", column);
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what) {
  struct TooDeep {};
  // the library takes a NUL byte for the end, whatever follows it
  if (const auto nul = text.find('\0'); nul != std::string_view::npos)
    return Error{Errc::invalid_input, cat(what, " is not valid JSON at ", place(text, nul + 1))};
  try {
    return Json::parse(text, [](int depth, Json::parse_event_t event, Json&) {
      const bool opens =
          event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
      if (opens && depth >= max_json_depth) throw TooDeep{};
      return true;
    });
  } catch (const Json::parse_error& error) {
    return Error{Errc::invalid_input, cat(what, " is not valid JSON at ", place(text, error.byte))};
  } catch (const TooDeep&) {
    return Error{Errc::invalid_input,
                 cat(what, " is nested deeper than ", max_json_depth, " levels")};
  } catch (const std::exception& error) {
    return Error{Errc::invalid_input, cat(what, " is not valid JSON: ", error.what())};
  }
}

}  // namespace base
