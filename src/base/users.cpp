#include "base/users.hpp"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/strings.hpp"

namespace base {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

template <typename Find>
Result<std::uint32_t> look_up(std::string_view kind, const std::string& name,
                              const std::string& path, Find find) {
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "re"));
  if (!file) return system_error(cat("open ", path), errno);
  if (auto id = find(file.get())) return *id;
  return Error{Errc::not_found, cat("no ", kind, " ", quote(name), " in ", path)};
}

}  // namespace

Result<std::uint32_t> user_id(const std::string& name, const std::string& path) {
  return look_up("user", name, path, [&](std::FILE* file) -> std::optional<std::uint32_t> {
    while (const auto* entry = ::fgetpwent(file))
      if (name == entry->pw_name) return entry->pw_uid;
    return std::nullopt;
  });
}

Result<std::uint32_t> group_id(const std::string& name, const std::string& path) {
  return look_up("group", name, path, [&](std::FILE* file) -> std::optional<std::uint32_t> {
    while (const auto* entry = ::fgetgrent(file))
      if (name == entry->gr_name) return entry->gr_gid;
    return std::nullopt;
  });
}

}  // namespace base
