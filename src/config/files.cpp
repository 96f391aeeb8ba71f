#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "config/config.hpp"

namespace config {
namespace {

using base::cat;

constexpr std::size_t max_size = std::size_t{1} << 20;

void read_one(const std::string& path, bool optional, Files& out) {
  const auto complain = [&](std::string message) {
    out.problems.push_back({path, 0, 0, "", std::move(message)});
  };
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (optional && errno == ENOENT) return;
    complain(base::system_error("cannot be read", errno).message);
    return;
  }
  // opening a pipe would wait for its writer
  if (!S_ISREG(status.st_mode)) {
    complain("is not a regular file");
    return;
  }
  if (status.st_size > static_cast<off_t>(max_size)) {
    complain(cat("is larger than ", max_size, " bytes"));
    return;
  }
  auto text = base::read_file(path, max_size);
  if (!text) {
    complain(std::move(text).error().message);
    return;
  }
  out.files.push_back({path, *std::move(text)});
}

}  // namespace

Files read_files(const std::string& path) {
  namespace fs = std::filesystem;
  Files out;
  read_one(path, path == default_path, out);

  const auto folder = (fs::path(path).parent_path() / "config.d").string();
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    auto name = at->path().filename().string();
    if (name.ends_with(".yaml") && !name.starts_with('.')) names.push_back(std::move(name));
  }
  if (error && error != std::errc::no_such_file_or_directory)
    out.problems.push_back({folder, 0, 0, "", cat("cannot be read: ", error.message())});
  std::sort(names.begin(), names.end());
  for (const auto& name : names) read_one(cat(folder, "/", name), false, out);
  return out;
}

}  // namespace config
