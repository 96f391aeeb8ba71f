#include "base/rooted.hpp"

#include <unistd.h>

#include <climits>
#include <optional>
#include <vector>

#include "base/strings.hpp"

namespace base {
namespace {

constexpr int max_links = 40;

std::optional<std::string> link_target(const std::string& path) {
  char buffer[PATH_MAX];
  auto size = ::readlink(path.c_str(), buffer, sizeof buffer);
  if (size <= 0) return std::nullopt;
  return std::string(buffer, static_cast<std::size_t>(size));
}

}  // namespace

std::string resolve_below(std::string_view root, std::string_view path) {
  while (root.ends_with('/')) root.remove_suffix(1);
  if (root.empty()) return std::string(path);
  std::vector<std::string> todo;  // the next component is at the end
  auto push = [&todo](std::string_view text) {
    auto parts = split_nonempty(text, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) todo.emplace_back(*part);
  };
  std::vector<std::string> done;
  auto place = [&] { return done.empty() ? std::string(root) : cat(root, '/', join(done, "/")); };
  push(path);
  int links = 0;
  while (!todo.empty()) {
    auto name = std::move(todo.back());
    todo.pop_back();
    if (name == ".") continue;
    if (name == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    done.push_back(std::move(name));
    if (links >= max_links) continue;
    auto target = link_target(place());
    if (!target) continue;
    ++links;
    if (target->starts_with('/'))
      done.clear();
    else
      done.pop_back();
    push(*target);
  }
  return place();
}

}  // namespace base
