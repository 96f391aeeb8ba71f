#include <algorithm>
#include <initializer_list>
#include <sstream>
#include <toml.hpp>

#include "base/strings.hpp"
#include "base/utf8.hpp"
#include "install/discover.hpp"

namespace install {
namespace {

using base::cat;
using base::Errc;
using base::Error;

/// toml11 takes time with the square of a line's length.
constexpr std::size_t max_size = std::size_t{256} << 10;
constexpr std::size_t max_line = std::size_t{8} << 10;
constexpr int max_depth = 100;

/// Carries an Error through the reading below; never leaves this file.
struct Failure {
  Error error;
};

[[noreturn]] void fail(std::string_view file, std::size_t line, std::size_t column,
                       std::string_view problem) {
  throw Failure{{Errc::invalid_input, cat(file, ':', line, ':', column, ": ", problem)}};
}

struct Position {
  std::size_t line = 1;
  std::size_t column = 1;
};

#if TOML11_VERSION_MAJOR >= 4  // Fedora, EL 10
Position position(const toml::source_location& where) {
  return {where.first_line_number(), where.first_column_number()};
}

Position position(const toml::exception& error) {
  const auto* syntax = dynamic_cast<const toml::syntax_error*>(&error);
  if (syntax == nullptr || syntax->errors().empty() || syntax->errors().front().locations().empty())
    return {};
  return position(syntax->errors().front().locations().front().first);
}
#else  // Debian 12, EL 9
Position position(const toml::source_location& where) { return {where.line(), where.column()}; }

Position position(const toml::exception& error) { return position(error.location()); }
#endif

[[noreturn]] void fail(std::string_view file, const toml::value& where, std::string_view problem) {
  const auto place = position(where.location());
  fail(file, place.line, place.column, problem);
}

Position position(std::string_view text, std::size_t at) {
  auto before = text.substr(0, at);
  auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  auto start = before.rfind('\n');
  return {line, start == std::string_view::npos ? at + 1 : at - start};
}

/// What the TOML parser is not given: too much, and text that is not UTF-8, whose
/// place it reads out of bounds to tell.
void check_characters(std::string_view text, std::string_view file) {
  if (text.size() > max_size) fail(file, 1, 1, "larger than 256 KiB");
  std::size_t number = 1;
  for (auto line : base::split(text, '\n')) {
    if (line.size() > max_line) fail(file, number, max_line + 1, "a line longer than 8 KiB");
    ++number;
  }
  auto bad = std::min(text.find('\0'), text.size());
  auto before = text.substr(0, bad);
  if (auto clean = base::clean_utf8(before); clean != before) {
    auto same = std::mismatch(before.begin(), before.end(), clean.begin(), clean.end()).first;
    bad = std::min(static_cast<std::size_t>(same - before.begin()), before.size() - 1);
  }
  if (bad == text.size()) return;
  auto [line, column] = position(text, bad);
  fail(file, line, column, text[bad] == '\0' ? "a zero byte" : "not UTF-8");
}

/// The TOML parser recurses for every bracket and every dot of a key; this
/// bounds both beforehand, passing over strings and comments.
class DepthCheck {
 public:
  DepthCheck(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  void run() {
    while (at_ < text_.size()) step();
  }

 private:
  void step() {
    char c = text_[at_];
    if (c == '"' || c == '\'') return skip_string(c);
    if (c == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
      return;
    }
    if (c == '[' || c == '{') ++brackets_;
    if ((c == ']' || c == '}') && brackets_ > 0) --brackets_;
    if (c == '.') ++dots_;
    if (c == '\n' || c == '=' || c == ',' || c == '[' || c == '{') dots_ = 0;
    if (brackets_ > max_depth || dots_ > max_depth) too_deep();
    ++at_;
  }

  void skip_string(char quote) {
    const std::string three(3, quote);
    const bool multi = text_.substr(at_).starts_with(three);
    at_ += multi ? 3 : 1;
    for (; at_ < text_.size(); ++at_) {
      if (quote == '"' && text_[at_] == '\\') {
        ++at_;
      } else if (multi && text_.substr(at_).starts_with(three)) {
        at_ += 3;
        // One or two more belong to the string.
        for (int i = 0; i < 2 && at_ < text_.size() && text_[at_] == quote; ++i) ++at_;
        return;
      } else if (!multi && (text_[at_] == quote || text_[at_] == '\n')) {
        ++at_;
        return;
      }
    }
    at_ = text_.size();
  }

  [[noreturn]] void too_deep() const {
    auto [line, column] = position(text_, at_);
    fail(file_, line, column, cat("nested deeper than ", max_depth, " levels"));
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
  int brackets_ = 0;
  int dots_ = 0;
};

/// toml11 draws its errors over several lines, and the drawing points better
/// than its numbers do: "WHAT", then pairs of " 12 | text" and "    |   ^--- why".
[[noreturn]] void fail(std::string_view file, const toml::exception& error) {
  std::string_view drawing = error.what();
  auto [line, column] = position(error);
  auto rows = base::split(drawing, '\n');
  auto problem = rows.front();
  if (auto end = problem.find("] "); problem.starts_with('[') && end != std::string_view::npos)
    problem.remove_prefix(end + 2);
  if (auto end = problem.find(": "); problem.starts_with("toml::") && end != std::string_view::npos)
    problem.remove_prefix(end + 2);
  std::string_view why;
  std::optional<std::uint64_t> number;
  for (auto row : rows) {
    auto bar = row.find('|');
    if (bar == std::string_view::npos) continue;
    auto margin = base::trim(row.substr(0, bar));
    if (!margin.empty()) {
      number = base::parse_unsigned(margin);
      continue;
    }
    auto mark = row.find_first_of("^~", bar);
    if (!number || mark == std::string_view::npos || mark < bar + 2) continue;
    line = *number;
    column = mark - bar - 1;
    auto comment = row.find("--- ", mark);
    if (comment == std::string_view::npos) comment = row.find("~~~ ", mark);
    why = comment == std::string_view::npos ? "" : row.substr(comment + 4);
    if (TOML11_VERSION_MAJOR >= 4) break;  // the first is the mistake, others explain it
  }
  while (problem.ends_with('.')) problem.remove_suffix(1);
  fail(file, line, column,
       why.empty() ? base::quote(problem) : cat(base::quote(problem), " (", base::quote(why), ')'));
}

class File {
 public:
  File(std::string_view text, std::string_view name) : name_(name) {
    check_characters(text, name);
    DepthCheck(text, name).run();
    std::istringstream stream{std::string(text)};
    root_ = toml::parse(stream, std::string(name));
  }

  [[nodiscard]] const toml::value& root() const { return root_; }

  /// Null when there is none.
  [[nodiscard]] const toml::value* find(const toml::value* table, const std::string& key) const {
    if (table == nullptr) return nullptr;
    const auto& fields = table->as_table();
    auto found = fields.find(key);
    return found == fields.end() ? nullptr : &found->second;
  }

  [[nodiscard]] const toml::value* section(std::initializer_list<const char*> path) const {
    const toml::value* at = &root_;
    for (const char* key : path) {
      at = find(at, key);
      if (at == nullptr) return nullptr;
      if (!at->is_table()) fail(name_, *at, cat(base::quote(key), " is not a table"));
    }
    return at;
  }

  [[nodiscard]] std::optional<std::string> text(const toml::value* table,
                                                const std::string& key) const {
    const auto* found = find(table, key);
    if (found == nullptr) return std::nullopt;
    return string_of(*found, key);
  }

  [[nodiscard]] std::vector<std::string> texts(const toml::value* table,
                                               const std::string& key) const {
    const auto* found = find(table, key);
    std::vector<std::string> out;
    if (found == nullptr) return out;
    if (!found->is_array()) fail(name_, *found, cat(base::quote(key), " is not a list"));
    for (const auto& item : found->as_array()) out.push_back(string_of(item, key));
    return out;
  }

  [[nodiscard]] std::optional<std::int64_t> integer(const std::string& key) const {
    const auto* found = find(&root_, key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_integer()) fail(name_, *found, cat(base::quote(key), " is not a number"));
    return found->as_integer();
  }

  [[nodiscard]] std::optional<std::string> folder(const toml::value* table,
                                                  const std::string& key) const {
    auto found = text(table, key);
    if (!found || found->empty()) return std::nullopt;  // "" is "not set" to the runtimes
    return tidy(*std::move(found));
  }

  void add_folder(std::vector<std::string>& out, std::string folder) const {
    if (folder.empty()) return;
    folder = tidy(std::move(folder));
    if (std::find(out.begin(), out.end(), folder) == out.end()) out.push_back(std::move(folder));
  }

 private:
  [[nodiscard]] std::string string_of(const toml::value& value, const std::string& key) const {
    if (!value.is_string()) fail(name_, value, cat(base::quote(key), " is not a string"));
    const std::string& text = value.as_string();
    for (char c : text)
      if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
        fail(name_, value, cat(base::quote(key), " has control characters in it"));
    return text;
  }

  static std::string tidy(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
  }

  std::string_view name_;
  toml::value root_;
};

template <typename Read>
base::Result<RuntimeDirs> guarded(std::string_view text, std::string_view file, const Read& read) {
  try {
    try {
      return read(File(text, file));
    } catch (const toml::exception& error) {
      fail(file, error);
    }
  } catch (Failure& failure) {
    return std::move(failure.error);
  } catch (const std::exception& error) {
    return Error{Errc::invalid_input, cat(file, ":1:1: ", base::quote(error.what()))};
  }
}

}  // namespace

base::Result<RuntimeDirs> parse_containerd(std::string_view toml, std::string_view file) {
  return guarded(toml, file, [](const File& config) {
    RuntimeDirs out;
    out.imports = config.texts(&config.root(), "imports");
    auto version = config.integer("version").value_or(0);
    struct {
      bool counts;
      const char* plugin;
    } const places[] = {{version >= 3 || version <= 0, "io.containerd.cri.v1.runtime"},
                        {version == 2 || version <= 0, "io.containerd.grpc.v1.cri"},
                        {version <= 1, "cri"}};
    for (const auto& [counts, plugin] : places) {
      if (!counts) continue;
      const auto* cni = config.section({"plugins", plugin, "cni"});
      if (!out.conf_dir) out.conf_dir = config.folder(cni, "conf_dir");
      if (!out.bin_dirs.empty()) continue;
      for (auto& dir : config.texts(cni, "bin_dirs")) config.add_folder(out.bin_dirs, dir);
      if (auto dir = config.folder(cni, "bin_dir")) config.add_folder(out.bin_dirs, *dir);
    }
    return out;
  });
}

base::Result<RuntimeDirs> parse_crio(std::string_view toml, std::string_view file) {
  return guarded(toml, file, [](const File& config) {
    RuntimeDirs out;
    const auto* network = config.section({"crio", "network"});
    out.conf_dir = config.folder(network, "network_dir");
    for (auto& dir : config.texts(network, "plugin_dirs")) config.add_folder(out.bin_dirs, dir);
    if (auto dir = config.folder(network, "plugin_dir")) config.add_folder(out.bin_dirs, *dir);
    return out;
  });
}

}  // namespace install
