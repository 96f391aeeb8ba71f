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

/// nullopt: the file was changed meanwhile.
using Attempt = std::optional<Undone>;

Attempt outcome(const base::Result<base::Updated>& updated, std::string done) {
  if (!updated) return updated.error();
  if (*updated == base::Updated::overtaken) return std::nullopt;
  return Undone(std::move(done));
}

/// `step` is given what is there, until nobody changes that meanwhile.
template <typename Step>
Undone on_file(const std::string& conf_dir, const std::string& name, const Step& step) {
  constexpr int attempts = 5;
  const auto path = cat(conf_dir, "/", name);
  for (int i = 0; i < attempts; ++i) {
    auto file = look_at(conf_dir, name);
    if (!file) return std::move(file).error();
    if (!*file) return std::string();
    if (Attempt attempt = step(path, **file)) return std::move(*attempt);
  }
  return Error{Errc::unavailable,
               cat(path, " is being changed all the time; try again when that has ended")};
}

Attempt take_out(const std::string& path, const ConfFile& file, const base::RenameCall& rename) {
  if (!file.network) {
    if (!mentions_plugin(file)) return Undone(std::string());
    return Error{Errc::refused, cat(path, " cannot be edited: ", file.problem,
                                    "; take the entry of istio-cni out by hand")};
  }
  if (!file.has_our_entry()) return Undone(std::string());
  if (file.network->kind == cni::FileKind::single || is_own(*file.network))
    return Error{Errc::refused,
                 cat(path, " holds nothing but istio-cni; remove it by hand if it is not needed")};
  auto without = cni::without_entry(file.content);
  if (!without) return std::move(without).error().wrap(path);
  return outcome(base::update_atomically(path, file.content, *without, {}, rename),
                 cat("took our entry out of ", path));
}

}  // namespace

Undone take_out_entry(const std::string& conf_dir, const std::string& name,
                      const base::RenameCall& rename) {
  return on_file(conf_dir, name, [&](const std::string& path, const ConfFile& file) {
    return take_out(path, file, rename);
  });
}

Undone remove_own_file(const std::string& conf_dir, const std::string& name,
                       const base::RenameCall& rename) {
  return on_file(conf_dir, name, [&](const std::string& path, const ConfFile& file) {
    // a broken one is what a loss of power left of ours
    const bool ours = file.network ? is_own(*file.network) : file.broken;
    if (!ours) return take_out(path, file, rename);
    return outcome(base::remove_unchanged(path, file.content, rename), cat("removed ", path));
  });
}

std::vector<std::string> recover_lists(const Place& place, const base::RenameCall& rename) {
  auto names = place.edited;
  for (const auto& name : place.own) add_once(names, name);
  // the record may be lost
  if (const auto folder = ConfFolder::read(place.conf_dir))
    for (const auto& file : folder->files) add_once(names, file.name);
  std::vector<std::string> said;
  for (const auto& name : names) {
    const auto path = cat(place.conf_dir, "/", name);
    const auto recovered = base::recover_update(path, rename);
    if (!recovered) {
      said.push_back(recovered.error().message);
      continue;
    }
    if (recovered->restored)
      said.push_back(cat("put back ", path,
                         ", as another program had written it when we were "
                         "killed"));
    for (const auto& kept : recovered->kept)
      said.push_back(cat(kept, " was written for ", path,
                         " by another program when we were "
                         "killed, and may be newer; compare the two, and remove it"));
  }
  return said;
}

Undone remove_binary(const Binary& binary) {
  auto there = fingerprint(binary.path, binary.fingerprints);
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
  Uninstaller(const std::string& state_dir, const base::RenameCall& rename)
      : store_(state_dir), rename_(rename) {}

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
    if (const auto other = plugin_of_another(); !other.empty()) {
      leave_to_another(other);
      return std::move(out_);
    }
    for (const auto& place : record_.places) lists(place);
    for (const auto& path : record_.kubeconfigs) note(remove_file(path));
    binaries();
    folders();
    if (out_.failures.empty()) note_failure(store_.remove());
    return std::move(out_);
  }

 private:
  void lists(const Place& place) {
    for (auto& line : recover_lists(place, rename_)) out_.done.push_back(std::move(line));
    for (const auto& name : place.edited) note(take_out_entry(place.conf_dir, name, rename_));
    for (const auto& name : place.own) {
      note(remove_own_file(place.conf_dir, name, rename_));
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
        note(remove_own_file(place.conf_dir, file.name, rename_));
      else if (file.network->kind == cni::FileKind::list && !contains(place.edited, file.name))
        note(take_out_entry(place.conf_dir, file.name, rename_));
    }
  }

  /// A plugin that has taken the place of ours, and can run.
  [[nodiscard]] std::string plugin_of_another() const {
    for (const auto& binary : record_.binaries) {
      const auto there = fingerprint(binary.path, binary.fingerprints);
      const auto file = identity_at(binary.path);
      if (there && !contains(binary.fingerprints, *there) && file && file->size > 0 &&
          ::access(binary.path.c_str(), X_OK) == 0)
        return binary.path;
    }
    return {};
  }

  /// The DaemonSet is back: entry and kubeconfig, even where we wrote them, have the
  /// names that it uses, and it does not look at all of them again.
  void leave_to_another(const std::string& plugin) {
    out_.left_to_another = true;
    out_.done.push_back(cat("left ", plugin,
                            ", and the entry and kubeconfig that go with it: it is not the one "
                            "that was installed, so another installer of istio-cni is in charge"));
    note_failure(store_.remove());
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
  const base::RenameCall& rename_;
  Record record_;
  Uninstalled out_;
};

}  // namespace

Uninstalled uninstall(const std::string& state_dir, const base::RenameCall& rename) {
  return Uninstaller(state_dir, rename).run();
}

}  // namespace install
