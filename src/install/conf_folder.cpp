#include "install/conf_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"

namespace install {
namespace {

using base::cat;

constexpr std::size_t largest_file = std::size_t{1} << 20;

bool runtime_reads(std::string_view name) {
  return name.ends_with(".conflist") || name.ends_with(".conf") || name.ends_with(".json");
}

struct Peer {
  std::string_view word;  ///< in a plugin's type, a network's or a file's name
  std::string_view who;
};
constexpr std::array<Peer, 12> peers{{{"cilium", "Cilium"},
                                      {"calico", "Calico"},
                                      {"azure", "AKS"},
                                      {"aws-cni", "Amazon VPC CNI"},
                                      {"antrea", "Antrea"},
                                      {"ovn-k8s", "OVN-Kubernetes"},
                                      {"kube-router", "kube-router"},
                                      {"weave", "Weave Net"},
                                      {"multus", "Multus"},
                                      {"flannel", "Flannel"},
                                      {"linkerd", "Linkerd"},
                                      {"kuma", "Kuma"}}};

bool mentions(const ConfFile& file, std::string_view word) {
  if (base::to_lower(file.name).find(word) != std::string::npos) return true;
  if (!file.network) return false;
  if (base::to_lower(file.network->name).find(word) != std::string::npos) return true;
  return std::any_of(
      file.network->plugin_types.begin(), file.network->plugin_types.end(),
      [word](const std::string& type) { return base::to_lower(type).find(word) != type.npos; });
}

}  // namespace

ConfFile examine(std::string name, std::string content) {
  ConfFile file;
  file.name = std::move(name);
  file.content = std::move(content);
  auto network = cni::inspect(file.name, file.content);
  if (network) {
    file.network = std::move(*network);
  } else {
    file.problem = network.error().message;
    file.broken = !base::parse_json(file.content, file.name).ok();
  }
  return file;
}

base::Result<ConfFolder> ConfFolder::read(const std::string& path) {
  ConfFolder folder;
  folder.path = path;
  std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(path.c_str()), ::closedir);
  if (handle == nullptr) {
    if (errno == ENOENT) return folder;
    return base::system_error(cat("read the folder ", path), errno);
  }
  folder.exists = true;
  std::vector<std::string> names;
  while (const auto* entry = ::readdir(handle.get()))
    (runtime_reads(entry->d_name) ? names : folder.others).emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  for (auto& name : names) {
    const base::UniqueFd fd(
        ::openat(::dirfd(handle.get()), name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
      if (errno == ENOENT) continue;  // gone meanwhile, or a link to nowhere
      ConfFile file;
      file.problem = base::system_error(cat("read ", name), errno).message;
      file.name = std::move(name);
      folder.files.push_back(std::move(file));
      continue;
    }
    if (S_ISDIR(info.st_mode)) continue;
    auto content = S_ISREG(info.st_mode)
                       ? base::read_fd(fd.get(), name, largest_file)
                       : base::Result<std::string>(base::Error{
                             base::Errc::invalid_input, cat(name, " is not a regular file")});
    if (content) {
      folder.files.push_back(examine(std::move(name), std::move(*content)));
    } else {
      ConfFile file;
      file.name = std::move(name);
      file.problem = content.error().message;
      folder.files.push_back(std::move(file));
    }
    folder.files.back().identity = identity_of(info);
  }
  return folder;
}

const ConfFile* ConfFolder::find(std::string_view name) const {
  for (const auto& file : files)
    if (file.name == name) return &file;
  return nullptr;
}

const ConfFile* ConfFolder::first() const {
  for (const auto& file : files)
    if (file.network) return &file;
  return nullptr;
}

void ConfFolder::put(const std::string& name, std::string content, Identity identity) {
  drop(name);
  auto file = examine(name, std::move(content));
  file.identity = identity;
  const auto at = std::find_if(files.begin(), files.end(),
                               [&name](const ConfFile& other) { return other.name > name; });
  files.insert(at, std::move(file));
}

void ConfFolder::drop(std::string_view name) {
  std::erase_if(files, [name](const ConfFile& file) { return file.name == name; });
}

bool is_marked(const cni::Network& network) {
  return !network.derived_from.empty() ||
         (network.gate && network.plugin_types.size() == 1 && network.our_position() == 0);
}

bool is_own(const cni::Network& network) {
  return is_marked(network) || (network.plugin_types.size() == 1 && network.our_position() == 0);
}

bool entry_is_good(const ConfFile& file, const cni::PluginEntry& entry) {
  if (!file.network || file.network->kind != cni::FileKind::list) return false;
  const auto& types = file.network->plugin_types;
  const auto position = file.network->our_position();
  if (position < 0 || std::count(types.begin(), types.end(), cni::plugin_type) != 1) return false;
  if (position == 0 && types.size() > 1) return false;
  const auto json = base::parse_json(file.content, file.name);
  if (!json) return false;
  // without regard to the order of keys
  const nlohmann::json there = json->at("plugins").at(static_cast<std::size_t>(position));
  const nlohmann::json wanted = cni::entry_json(entry);
  return there == wanted;
}

std::string guess_peer(const ConfFile& file) {
  for (const auto& peer : peers)
    if (mentions(file, peer.word)) return std::string(peer.who);
  return {};
}

}  // namespace install
