#include "install/undo.hpp"

#include <unistd.h>

#include <cerrno>

#include "base/atomic_file.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"
#include "install/conf_folder.hpp"
#include "install/installer.hpp"

namespace install {
namespace {

using base::cat;
using base::Errc;
using base::Error;

bool mentions_plugin(const ConfFile& file) {
  return file.content.find(cat("\"", cni::plugin_type, "\"")) != std::string::npos;
}

/// nullopt: there is no such file.
base::Result<std::optional<ConfFile>> look_at(const std::string& conf_dir,
                                              const std::string& name) {
  auto content = base::read_file(cat(conf_dir, "/", name));
  if (content) return std::optional(examine(name, std::move(*content)));
  if (content.error().code == Errc::not_found) return std::optional<ConfFile>();
  return std::move(content).error();
}

Undone take_out(const std::string& path, const ConfFile& file) {
  if (!file.network) {
    if (!mentions_plugin(file)) return std::string();
    return Error{Errc::refused, cat(path, " cannot be edited: ", file.problem,
                                    "; take the entry of istio-cni out by hand")};
  }
  if (!file.has_our_entry()) return std::string();
  if (file.network->kind == cni::FileKind::single || is_own(*file.network))
    return Error{Errc::refused,
                 cat(path, " holds nothing but istio-cni; remove it by hand if it is not needed")};
  auto without = cni::without_entry(file.content);
  if (!without) return std::move(without).error().wrap(path);
  auto written = base::write_atomically(path, *without);
  if (!written) return std::move(written).error();
  return cat("took our entry out of ", path);
}

}  // namespace

Undone take_out_entry(const std::string& conf_dir, const std::string& name) {
  auto file = look_at(conf_dir, name);
  if (!file) return std::move(file).error();
  if (!*file) return std::string();
  return take_out(cat(conf_dir, "/", name), **file);
}

Undone remove_own_file(const std::string& conf_dir, const std::string& name) {
  const auto path = cat(conf_dir, "/", name);
  auto file = look_at(conf_dir, name);
  if (!file) return std::move(file).error();
  if (!*file) return std::string();
  const auto& found = **file;
  // a broken one is what a loss of power left of ours
  const bool ours = found.network ? is_own(*found.network) : found.broken;
  if (!ours) return take_out(path, found);
  auto removed = base::remove_file(path);
  if (!removed) return std::move(removed).error();
  return cat("removed ", path);
}

Undone remove_binary(const Binary& binary) {
  auto there = fingerprint(binary.path);
  if (!there) {
    if (there.error().code == Errc::not_found) return std::string();
    return std::move(there).error();
  }
  if (!contains(binary.fingerprints, *there))
    return cat("left ", binary.path, ": it is not the one that was installed");
  auto removed = base::remove_file(binary.path);
  if (!removed) return std::move(removed).error();
  return cat("removed ", binary.path);
}

base::Result<std::string> names_our_plugin(const std::vector<std::string>& conf_dirs) {
  for (const auto& conf_dir : conf_dirs) {
    auto folder = ConfFolder::read(conf_dir);
    if (!folder) return std::move(folder).error();
    for (const auto& file : folder->files)
      if (file.network ? file.has_our_entry() : mentions_plugin(file))
        return cat(conf_dir, "/", file.name);
  }
  return std::string();
}

namespace {

class Uninstaller {
 public:
  explicit Uninstaller(const std::string& state_dir) : store_(state_dir) {}

  Uninstalled run() {
    std::string damage;
    const auto found = store_.load(damage);
    if (!found) {
      out_.failures.push_back(found.error());
      return std::move(out_);
    }
    if (*found == Store::Found::damaged)
      out_.failures.push_back(
          {Errc::invalid_input,
           cat("what was installed is not known (", damage,
               "); start the service once, so that it is found again, or take the entries of "
               "istio-cni out of the CNI configuration by hand")});
    if (*found != Store::Found::good) return std::move(out_);
    record_ = store_.record();
    for (const auto& place : record_.places) lists(place);
    for (const auto& path : record_.kubeconfigs) note(remove_file(path));
    binaries();
    folders();
    if (out_.failures.empty()) note_failure(store_.remove());
    return std::move(out_);
  }

 private:
  void lists(const Place& place) {
    for (const auto& name : place.edited) note(take_out_entry(place.conf_dir, name));
    for (const auto& name : place.own) {
      note(remove_own_file(place.conf_dir, name));
      // where Cilium puts the files of others when it is to be alone
      const auto put_aside = cat(name, ".cilium_bak");
      auto content = base::read_file(cat(place.conf_dir, "/", put_aside));
      if (!content) continue;
      const auto file = examine(name, std::move(*content));
      if (file.network && is_own(*file.network))
        note(remove_file(cat(place.conf_dir, "/", put_aside)));
    }
    // whatever was renamed, copied, or added since
    auto folder = ConfFolder::read(place.conf_dir);
    if (!folder) {
      out_.failures.push_back(folder.error());
      return;
    }
    for (const auto& file : folder->files) {
      if (!file.has_our_entry() || contains(place.own, file.name)) continue;
      if (is_marked(*file.network))
        note(remove_own_file(place.conf_dir, file.name));
      else if (file.network->kind == cni::FileKind::list && !contains(place.edited, file.name))
        note(take_out_entry(place.conf_dir, file.name));
    }
  }

  static Undone remove_file(const std::string& path) {
    auto removed = base::remove_file(path);
    if (!removed) return std::move(removed).error();
    return *removed == base::Written::changed ? cat("removed ", path) : std::string();
  }

  void binaries() {
    if (record_.binaries.empty()) return;
    std::vector<std::string> conf_dirs;
    for (const auto& place : record_.places) conf_dirs.push_back(place.conf_dir);
    const auto named = names_our_plugin(conf_dirs);
    if (!named) {
      out_.failures.push_back(named.error().wrap("the plugin stays"));
      return;
    }
    for (const auto& binary : record_.binaries) {
      if (named->empty()) {
        note(remove_binary(binary));
        continue;
      }
      if (::access(binary.path.c_str(), F_OK) == 0)
        out_.failures.push_back({Errc::refused, cat(binary.path, " stays, as ", *named,
                                                    " names it; remove that first")});
    }
  }

  /// The ones that we made, where nothing else has moved in.
  void folders() {
    const auto& created = record_.created_dirs;
    for (auto at = created.rbegin(); at != created.rend(); ++at)
      if (::rmdir(at->c_str()) == 0) out_.done.push_back(cat("removed ", *at));
  }

  void note(Undone undone) {
    if (!undone)
      out_.failures.push_back(std::move(undone).error());
    else if (!undone->empty())
      out_.done.push_back(std::move(*undone));
  }
  void note_failure(base::Status status) {
    if (!status) out_.failures.push_back(std::move(status).error());
  }

  Store store_;
  Record record_;
  Uninstalled out_;
};

}  // namespace

Uninstalled uninstall(const std::string& state_dir) { return Uninstaller(state_dir).run(); }

}  // namespace install
