#include "install/discover.hpp"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>

#include "base/file.hpp"
#include "base/rooted.hpp"
#include "base/strings.hpp"

namespace install {
namespace {

using base::cat;
using Strings = std::vector<std::string>;

constexpr const char* usual_places = "the usual places";
constexpr const char* default_conf_dir = "/etc/cni/net.d";
constexpr const char* default_bin_dir = "/opt/cni/bin";
constexpr std::size_t max_files = 200;

enum class Syntax { containerd, crio };

struct Runtime {
  const char* name;
  Syntax syntax;
  Strings sockets;
  Strings configs;  ///< the first that exists counts
  std::string conf_dir;
  Strings bin_dirs;  ///< the first that exists counts, else the first
  std::string base;  ///< of the folders that `current` leads to one of, or ""
};

const Runtime& k3s() {
  static const Runtime runtime{
      "k3s",
      Syntax::containerd,
      {"/run/k3s/containerd/containerd.sock"},
      {"/var/lib/rancher/k3s/agent/etc/containerd/config.toml"},
      "/var/lib/rancher/k3s/agent/etc/cni/net.d",
      {"/var/lib/rancher/k3s/data/cni", "/var/lib/rancher/k3s/data/current/bin"},
      "/var/lib/rancher/k3s/data"};
  return runtime;
}

const Runtime& rke2() {
  static const Runtime runtime{"RKE2",
                               Syntax::containerd,
                               {"/run/k3s/containerd/containerd.sock"},
                               {"/var/lib/rancher/rke2/agent/etc/containerd/config.toml"},
                               default_conf_dir,
                               {default_bin_dir},
                               ""};
  return runtime;
}

const Runtime& microk8s() {
  static const Runtime runtime{"MicroK8s",
                               Syntax::containerd,
                               {"/var/snap/microk8s/common/run/containerd.sock"},
                               {"/var/snap/microk8s/current/args/containerd.toml",
                                "/var/snap/microk8s/current/args/containerd-template.toml"},
                               "/var/snap/microk8s/current/args/cni-network",
                               {"/var/snap/microk8s/current/opt/cni/bin"},
                               "/var/snap/microk8s"};
  return runtime;
}

const Runtime& crio() {
  static const Runtime runtime{"CRI-O",
                               Syntax::crio,
                               {"/run/crio/crio.sock", "/var/run/crio/crio.sock"},
                               {"/etc/crio/crio.conf", "/etc/crio/crio.conf.d"},
                               default_conf_dir,
                               {default_bin_dir},
                               ""};
  return runtime;
}

const Runtime& containerd() {
  static const Runtime runtime{"containerd",
                               Syntax::containerd,
                               {"/run/containerd/containerd.sock"},
                               {"/etc/containerd/config.toml"},
                               default_conf_dir,
                               {default_bin_dir},
                               ""};
  return runtime;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

/// The host's files, by the host's names.
class Host {
 public:
  explicit Host(std::string root) : root_(std::move(root)) {}

  [[nodiscard]] std::string real(const std::string& path) const {
    return base::resolve_below(root_, path);
  }
  [[nodiscard]] std::optional<struct stat> status(const std::string& path) const {
    struct stat info {};
    if (::stat(real(path).c_str(), &info) != 0) return std::nullopt;
    return info;
  }
  [[nodiscard]] bool exists(const std::string& path) const { return status(path).has_value(); }
  [[nodiscard]] bool is_socket(const std::string& path) const {
    auto info = status(path);
    return info && S_ISSOCK(info->st_mode);
  }
  [[nodiscard]] base::Result<std::string> read(const std::string& path) const {
    return base::read_file(real(path));
  }
  /// The names in a folder, sorted byte by byte; none when it cannot be read.
  [[nodiscard]] Strings names(const std::string& folder) const {
    struct Close {
      void operator()(DIR* dir) const { ::closedir(dir); }
    };
    Strings out;
    std::unique_ptr<DIR, Close> dir(::opendir(real(folder).c_str()));
    if (!dir) return out;
    while (const auto* entry = ::readdir(dir.get())) {  // NOLINT(concurrency-mt-unsafe)
      std::string name = entry->d_name;
      if (name != "." && name != "..") out.push_back(std::move(name));
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  /// The paths that a pattern like "/etc/a*/b?.toml" stands for, sorted.
  [[nodiscard]] Strings glob(const std::string& pattern) const {
    Strings found{""};
    for (auto part : base::split_nonempty(pattern, '/')) {
      const std::string wanted(part);
      Strings next;
      for (const auto& folder : found) {
        if (wanted.find_first_of("*?[") == std::string::npos) {
          next.push_back(cat(folder, '/', wanted));
          continue;
        }
        for (const auto& name : names(folder.empty() ? "/" : folder)) {
          if (next.size() > max_files) break;
          if (::fnmatch(wanted.c_str(), name.c_str(), 0) == 0)
            next.push_back(cat(folder, '/', name));
        }
      }
      found = std::move(next);
    }
    std::erase_if(found, [this](const std::string& path) { return !exists(path); });
    return found;
  }

 private:
  std::string root_;
};

/// What the files of one runtime say together.
class Reading {
 public:
  Reading(const Host& host, const Runtime& runtime, Strings& warnings)
      : host_(host), runtime_(runtime), warnings_(warnings) {
    if (runtime.syntax == Syntax::crio)
      read_crio();
    else
      read_containerd();
  }

  [[nodiscard]] CniDirs result() const {
    CniDirs out;
    out.runtime = runtime_.name;
    // A configuration that was read and says nothing leaves the choice to the
    // program itself, not to the distribution around it.
    out.conf_dir = conf_dir_.value_or(good_ ? default_conf_dir : runtime_.conf_dir);
    out.bin_dirs = bin_dirs_;
    if (out.bin_dirs.empty()) out.bin_dirs = {good_ ? default_bin_dir : usual_bin_dir()};
    out.found_in = !conf_from_.empty() ? conf_from_ : !bin_from_.empty() ? bin_from_ : usual_places;
    return out;
  }

 private:
  void read_crio() {
    const auto& main = runtime_.configs.front();
    const auto& folder = runtime_.configs.back();
    if (host_.exists(main)) read(main, parse_crio);
    // All files count to CRI-O, whatever their names end in.
    for (const auto& name : host_.names(folder)) {
      auto path = cat(folder, '/', name);
      auto info = host_.status(path);
      if (info && S_ISREG(info->st_mode)) read(path, parse_crio);
    }
    good_ = true;  // the usual places are CRI-O's own
  }

  void read_containerd() {
    std::deque<std::string> pending;
    for (const auto& config : runtime_.configs)
      if (pending.empty() && host_.exists(config)) pending.push_back(config);
    std::set<std::string> seen;
    bool first = true;
    while (!pending.empty()) {
      auto path = std::move(pending.front());
      pending.pop_front();
      if (!seen.insert(host_.real(path)).second) continue;
      if (seen.size() > max_files) {
        warnings_.push_back(cat(path, ": ignored: more than ", max_files, " imported files"));
        return;
      }
      auto dirs = read(path, parse_containerd);
      if (first) good_ = dirs.has_value();
      first = false;
      if (!dirs) continue;
      for (const auto& pattern : dirs->imports)
        for (auto& import : imported(path, pattern)) pending.push_back(std::move(import));
    }
  }

  Strings imported(const std::string& by, const std::string& written) {
    auto pattern = host_path(written);
    if (!pattern.starts_with('/')) pattern = cat(folder_of(by), '/', pattern);
    // A pattern may match nothing; a plain name may not, and containerd refuses
    // to start then.
    const bool plain = pattern.find('*') == std::string::npos;
    if (plain && !host_.exists(pattern)) {
      warnings_.push_back(cat(by, ": imports ", base::quote(written), ", which does not exist"));
      return {};
    }
    return plain ? Strings{pattern} : host_.glob(pattern);
  }

  template <typename Parse>
  std::optional<RuntimeDirs> read(const std::string& path, const Parse& parse) {
    auto text = host_.read(path);
    if (!text) {
      warnings_.push_back(cat("ignored: ", text.error().message));
      return std::nullopt;
    }
    auto parsed = parse(*text, path);
    if (!parsed) {
      warnings_.push_back(cat("ignored: ", parsed.error().message));
      return std::nullopt;
    }
    if (parsed->conf_dir) {
      if (auto dir = checked(path, *parsed->conf_dir)) {
        conf_dir_ = std::move(dir);
        conf_from_ = path;
      }
    }
    Strings bin_dirs;
    for (const auto& written : parsed->bin_dirs) {
      auto dir = checked(path, written);
      if (dir && std::find(bin_dirs.begin(), bin_dirs.end(), *dir) == bin_dirs.end())
        bin_dirs.push_back(*std::move(dir));
    }
    if (!bin_dirs.empty()) {
      bin_dirs_ = std::move(bin_dirs);
      bin_from_ = path;
    }
    return *std::move(parsed);
  }

  std::optional<std::string> checked(const std::string& file, const std::string& written) {
    auto path = host_path(written);
    if (path.starts_with('/')) return through_current(path);
    warnings_.push_back(
        cat(file, ": ", base::quote(written), " is not an absolute path: the setting is ignored"));
    return std::nullopt;
  }

  /// MicroK8s' files hold placeholders.
  [[nodiscard]] std::string host_path(std::string path) const {
    if (&runtime_ != &microk8s()) return path;
    static constexpr std::pair<std::string_view, std::string_view> values[] = {
        {"${SNAP_DATA}", "/var/snap/microk8s/current"},
        {"${SNAP_COMMON}", "/var/snap/microk8s/common"},
        {"${SNAP}", "/snap/microk8s/current"}};
    for (const auto& [name, value] : values)
      for (auto at = path.find(name); at != std::string::npos; at = path.find(name, at))
        path.replace(at, name.size(), value);
    return path;
  }

  /// BASE/5372/opt as BASE/current/opt when `current` leads to 5372.
  [[nodiscard]] std::string through_current(const std::string& path) const {
    const auto prefix = cat(runtime_.base, '/');
    if (runtime_.base.empty() || !path.starts_with(prefix)) return path;
    auto end = std::min(path.find('/', prefix.size()), path.size());
    auto numbered = host_.status(path.substr(0, end));
    auto link = cat(prefix, "current");
    auto current = host_.status(link);
    if (!numbered || !current || numbered->st_ino != current->st_ino ||
        numbered->st_dev != current->st_dev)
      return path;
    return link + path.substr(end);
  }

  [[nodiscard]] std::string usual_bin_dir() const {
    for (const auto& dir : runtime_.bin_dirs)
      if (host_.exists(dir)) return dir;
    return runtime_.bin_dirs.front();
  }

  const Host& host_;
  const Runtime& runtime_;
  Strings& warnings_;
  bool good_ = false;  ///< the main file was read
  std::optional<std::string> conf_dir_;
  Strings bin_dirs_;
  std::string conf_from_;
  std::string bin_from_;
};

bool has_config(const Host& host, const Runtime& runtime) {
  return std::any_of(runtime.configs.begin(), runtime.configs.end(),
                     [&](const std::string& path) { return host.exists(path); });
}

bool has_socket(const Host& host, const Runtime& runtime) {
  return std::any_of(runtime.sockets.begin(), runtime.sockets.end(),
                     [&](const std::string& path) { return host.is_socket(path); });
}

/// Which of the two that share Rancher's places it is.
const Runtime& rancher(const Host& host) {
  auto a = host.status(k3s().configs.front());
  auto b = host.status(rke2().configs.front());
  if (!a && !b) {
    // Before their first start only the folders tell.
    const bool other = host.exists("/var/lib/rancher/rke2") && !host.exists("/var/lib/rancher/k3s");
    return other ? rke2() : k3s();
  }
  if (!b) return k3s();
  if (!a) return rke2();
  auto younger = [](const timespec& x, const timespec& y) {
    return x.tv_sec != y.tv_sec ? x.tv_sec > y.tv_sec : x.tv_nsec > y.tv_nsec;
  };
  return younger(b->st_mtim, a->st_mtim) ? rke2() : k3s();
}

const Runtime* in_use(const Host& host) {
  const Runtime* const order[] = {&rancher(host), &microk8s(), &crio(), &containerd()};
  for (const auto* runtime : order)
    if (has_socket(host, *runtime)) return runtime;
  for (const auto* runtime : order)
    if (has_config(host, *runtime)) return runtime;
  return nullptr;
}

}  // namespace

CniDirs discover(const std::string& root, std::vector<std::string>& warnings) {
  Host host(root);
  const auto* runtime = in_use(host);
  if (runtime == nullptr) return {default_conf_dir, {default_bin_dir}, usual_places};
  return Reading(host, *runtime, warnings).result();
}

}  // namespace install
