// A folder for one test, removed with everything in it at the end, and looks into folders.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace test_support {

/// Of a symbolic link itself.
inline struct stat info(const std::string& path) {
  struct stat out {};
  if (::lstat(path.c_str(), &out) != 0) throw std::runtime_error("no file " + path);
  return out;
}

/// The names in a folder, sorted.
inline std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

class TempDir {
 public:
  TempDir() : TempDir(std::filesystem::temp_directory_path()) {}
  explicit TempDir(const std::filesystem::path& parent) {
    std::string pattern = parent / "icn-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  /// In memory where possible, for what flushes much; TMPDIR has the last word.
  static TempDir fast() {
    const bool memory = std::getenv("TMPDIR") == nullptr && ::access("/dev/shm", W_OK | X_OK) == 0;
    return memory ? TempDir("/dev/shm") : TempDir();
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(const std::string& name) const { return path_ + "/" + name; }

  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content, mode_t mode = 0644) const {
    auto file = path(name);
    std::FILE* out = std::fopen(file.c_str(), "we");
    if (out == nullptr) throw std::runtime_error("cannot write " + file);
    bool good = std::fwrite(content.data(), 1, content.size(), out) == content.size();
    good = std::fclose(out) == 0 && good;
    if (!good || ::chmod(file.c_str(), mode) != 0) throw std::runtime_error("cannot write " + file);
    return file;
  }

 private:
  std::string path_;
};

}  // namespace test_support
