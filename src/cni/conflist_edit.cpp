// Edits of a list's text that leave the bytes of others alone.
#include <nlohmann/json.hpp>

#include "base/strings.hpp"
#include "cni/conflist.hpp"
#include "cni/conflist_parse.hpp"
#include "cni/json_spans.hpp"

namespace cni {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using detail::Json;

constexpr std::string_view what = "network configuration list";

struct List {
  Json document;
  Span plugins;
  std::vector<Span> elements;  ///< of plugins

  [[nodiscard]] const Json& plugin(std::size_t i) const { return document.at("plugins").at(i); }
  [[nodiscard]] bool ours(std::size_t i) const { return detail::is_ours(plugin(i)); }
  [[nodiscard]] std::size_t count_ours() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < elements.size(); ++i) count += ours(i) ? 1 : 0;
    return count;
  }
};

bool key_is(std::string_view literal, std::string_view key) {
  if (literal.find('\\') == std::string_view::npos)
    return literal.substr(1, literal.size() - 2) == key;
  const auto decoded = Json::parse(literal, nullptr, false);
  return decoded.is_string() && decoded.get_ref<const std::string&>() == key;
}

base::Result<List> open_list(std::string_view text) {
  auto document = detail::parse_config(text, what);
  if (!document) return std::move(document).error();
  auto members = object_members(text, 0);
  const Error lost{Errc::mismatch, cat(what, ": cannot find its parts in the text")};
  if (!members) return lost;
  const MemberSpan* found = nullptr;
  for (const auto& member : *members) {
    if (!key_is(member.key.of(text), "plugins")) continue;
    if (found != nullptr)
      return Error{Errc::invalid_input,
                   cat(what, " has \"plugins\" twice; remove the one that is not meant")};
    found = &member;
  }
  if (found == nullptr) return Error{Errc::invalid_input, cat(what, " has no plugins")};
  const auto& plugins = document->at("plugins");
  if (!plugins.is_array())
    return Error{Errc::invalid_input, cat(what, " has plugins that are not a list")};
  auto elements = array_elements(text, found->value.begin);
  if (!elements || elements->size() != plugins.size()) return lost;
  return List{std::move(*document), found->value, std::move(*elements)};
}

/// `text` without the elements of ours. At least one other is there.
std::string cut_ours(std::string_view text, const List& list) {
  std::size_t first_kept = 0;
  while (list.ours(first_kept)) ++first_kept;
  const auto& at = list.elements;
  std::string out(text.substr(0, at[0].begin));
  out.append(at[first_kept].of(text));
  for (std::size_t i = first_kept + 1; i < at.size(); ++i)
    if (!list.ours(i)) out.append(text.substr(at[i - 1].end, at[i].end - at[i - 1].end));
  out.append(text.substr(at.back().end));
  return out;
}

/// How an entry is laid out beside its neighbours.
struct Layout {
  std::string separator;  ///< between the comma and the entry
  std::string colon;      ///< between a key and its value
  std::string comma;      ///< between two elements, or two members on one line
  std::string open;       ///< after the opening brace
  std::string between;    ///< between two members
  std::string close;      ///< before the closing brace
};

std::string_view blank_after(std::string_view text, std::size_t at) {
  return text.substr(at, skip_blank(text, at) - at);
}

std::string_view blank_before(std::string_view text, std::size_t end) {
  const auto last = text.substr(0, end).find_last_not_of(" \t\r\n");
  const auto begin = last == std::string_view::npos ? 0 : last + 1;
  return text.substr(begin, end - begin);
}

/// What follows the last line feed; all of it where there is none.
std::string_view after_newline(std::string_view blank) {
  return blank.substr(blank.rfind('\n') + 1);
}

bool has_newline(std::string_view blank) { return blank.find('\n') != std::string_view::npos; }

/// After the model of the last element.
Layout layout_of(std::string_view text, const List& list) {
  Layout layout;
  const auto model = list.elements.back();
  const auto members = object_members(text, model.begin);
  const auto open = blank_after(text, model.begin + 1);
  layout.colon = ": ";
  layout.comma = ",";
  if (members && !members->empty()) {
    const auto& first = members->front();
    const auto colon = text.substr(first.key.end, first.value.begin - first.key.end);
    if (!has_newline(colon)) layout.colon = colon;
    if (members->size() > 1) {
      const auto comma = text.substr(first.value.end, (*members)[1].key.begin - first.value.end);
      layout.comma = has_newline(comma) ? ", " : std::string(comma);
    } else if (layout.colon.ends_with(' ')) {
      layout.comma = ", ";
    }
  }
  layout.separator = blank_before(text, model.begin);
  if (has_newline(open)) {
    const std::string newline = open.find("\r\n") != std::string_view::npos ? "\r\n" : "\n";
    const auto closing = blank_before(text, model.end - 1);
    const auto outer = has_newline(closing)            ? after_newline(closing)
                       : has_newline(layout.separator) ? after_newline(layout.separator)
                                                       : std::string_view();
    layout.open = newline + std::string(after_newline(open));
    layout.between = "," + layout.open;
    layout.close = newline + std::string(outer);
    layout.comma = ", ";
  } else {
    layout.open = open;
    layout.between = layout.comma;
    layout.close = open;
  }
  if (list.elements.size() == 1 && layout.separator.empty())
    layout.separator = layout.comma.ends_with(' ') ? " " : "";
  return layout;
}

std::string value_text(const Json& value, const Layout& layout) {
  if (!value.is_array()) return detail::dump(value);
  std::string out = "[";
  for (const auto& item : value)
    out.append(cat(out.size() > 1 ? layout.comma : "", detail::dump(item)));
  return out + "]";
}

std::string entry_text(const Json& entry, const Layout& layout) {
  std::string out = "{";
  for (const auto& [key, value] : entry.items())
    out.append(cat(out.size() > 1 ? layout.between : layout.open, detail::dump(Json(key)),
                   layout.colon, value_text(value, layout)));
  return cat(out, layout.close, "}");
}

/// The last line of defence against a mistake in the code above.
base::Result<std::string> verified(std::string text, const Json& expected) {
  const auto parsed = detail::parse_config(text, what);
  if (parsed && *parsed == expected) return text;
  return Error{Errc::mismatch, cat(what,
                                   ": the edited text does not hold what it should; the file "
                                   "is left alone, please report this")};
}

/// Equal but for the order of keys: another tool may have sorted them.
bool same_entry(const Json& left, const Json& right) {
  return nlohmann::json(left) == nlohmann::json(right);
}

Json without_ours(const Json& document) {
  auto expected = document;
  auto& plugins = expected["plugins"];
  auto kept = Json::array();
  for (auto& plugin : plugins)
    if (!detail::is_ours(plugin)) kept.push_back(std::move(plugin));
  plugins = std::move(kept);
  return expected;
}

}  // namespace

base::Result<std::string> with_entry(std::string_view text, const PluginEntry& entry) {
  auto list = open_list(text);
  if (!list) return std::move(list).error();
  if (auto network = detail::read_list(list->document, what); !network)
    return std::move(network).error();

  const auto wanted = entry_json(entry);
  const auto ours = list->count_ours();
  const auto last = list->elements.size() - 1;
  if (ours == 1 && list->ours(last) && same_entry(list->plugin(last), wanted))
    return std::string(text);

  auto expected = without_ours(list->document);
  expected["plugins"].push_back(wanted);
  if (ours == list->elements.size()) {
    const auto new_text = entry_text(wanted, layout_of(text, *list));
    return verified(cat(text.substr(0, list->elements.front().begin), new_text,
                        text.substr(list->elements.back().end)),
                    expected);
  }
  const auto others = ours == 0 ? std::string(text) : cut_ours(text, *list);
  auto rest = open_list(others);
  if (!rest) return std::move(rest).error();
  const auto layout = layout_of(others, *rest);
  const auto at = rest->elements.back().end;
  return verified(cat(std::string_view(others).substr(0, at), ",", layout.separator,
                      entry_text(wanted, layout), std::string_view(others).substr(at)),
                  expected);
}

base::Result<std::string> without_entry(std::string_view text) {
  auto list = open_list(text);
  if (!list) return std::move(list).error();
  const auto ours = list->count_ours();
  if (ours == 0) return std::string(text);
  if (ours == list->elements.size())
    return Error{Errc::invalid_input,
                 cat(what, " has no plugin but ", plugin_type, "; remove the file instead")};
  return verified(cut_ours(text, *list), without_ours(list->document));
}

}  // namespace cni
