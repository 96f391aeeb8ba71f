// Property: a container runtime's configuration gives tidy, printable paths, or
// an error that names file, line and column on one line.
#include <algorithm>

#include "fuzz/check.hpp"
#include "install/discover.hpp"

namespace {

void check_text(const std::string& text) {
  fuzz::require(std::none_of(text.begin(), text.end(),
                             [](char c) { return static_cast<unsigned char>(c) < ' '; }),
                "no control characters");
}

void check_folder(const std::string& path) {
  check_text(path);
  fuzz::require(!path.empty(), "an empty path is absent");
  fuzz::require(path.size() == 1 || path.back() != '/', "no slash at the end");
}

void check(const base::Result<install::RuntimeDirs>& parsed) {
  if (!parsed) {
    const auto& message = parsed.error().message;
    fuzz::require(message.starts_with("/etc/file:") && message[10] >= '0' && message[10] <= '9',
                  "an error names file and line");
    check_text(message);
    return;
  }
  if (parsed->conf_dir) check_folder(*parsed->conf_dir);
  for (const auto& dir : parsed->bin_dirs) check_folder(dir);
  for (const auto& pattern : parsed->imports) check_text(pattern);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text_of(data, size);
  check(install::parse_containerd(text, "/etc/file"));
  check(install::parse_crio(text, "/etc/file"));
  return 0;
}
