#include "istio-cni-node/plugin_versions.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "cni/conflist.hpp"

namespace istio_cni_node {
namespace {

/// What the plugin begins with when it is asked who it is (src/istio-cni/plugin.cpp).
constexpr std::string_view words = "CNI plugin istio-cni ";
constexpr std::size_t longest = 64;
constexpr std::string_view unknown = "unknown";

bool may_be_in_a_version(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '-' || c == '+' || c == '~' || c == '_';
}

}  // namespace

bool VersionFinder::feed(std::string_view piece) {
  rest_.append(piece);
  for (;;) {
    const auto at = rest_.find(words);
    if (at == std::string::npos) {
      rest_.erase(0, rest_.size() - std::min(rest_.size(), words.size() - 1));
      return false;
    }
    rest_.erase(0, at);
    const auto begin = rest_.begin() + words.size();
    const auto end = std::find_if_not(begin, rest_.end(), may_be_in_a_version);
    const auto length = static_cast<std::size_t>(end - begin);
    if (end == rest_.end() && length <= longest) return false;  // the next piece tells
    if (length > 0 && length <= longest) {
      version_.assign(begin, end);
      return true;
    }
    rest_.erase(0, words.size());
  }
}

std::string plugin_version_of(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  VersionFinder finder;
  std::string buffer(std::size_t{64} * 1024, '\0');
  for (;;) {
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || finder.feed({buffer.data(), static_cast<std::size_t>(got)})) break;
  }
  // its pages are nothing to keep
  if (fd.valid()) ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  return finder.version().empty() ? std::string(unknown) : finder.version();
}

const std::set<std::string>& PluginVersions::look(const std::vector<std::string>& bin_dirs) {
  std::map<std::string, Seen> now;
  versions_.clear();
  for (const auto& dir : bin_dirs) {
    auto path = base::cat(dir, '/', cni::plugin_type);
    const auto identity = install::identity_at(path);
    if (!identity) continue;
    const auto before = seen_.find(path);
    auto version = before != seen_.end() && before->second.identity == *identity
                       ? before->second.version
                       : plugin_version_of(path);
    versions_.insert(version);
    now[std::move(path)] = {*identity, std::move(version)};
  }
  seen_ = std::move(now);
  return versions_;
}

}  // namespace istio_cni_node
