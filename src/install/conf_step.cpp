#include <algorithm>
#include <ctime>
#include <utility>

#include "base/atomic_file.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"
#include "install/steps.hpp"
#include "install/undo.hpp"

namespace install {
namespace {

using base::cat;

constexpr std::chrono::milliseconds settling_time{1000};

std::string path_of(const ConfFolder& folder, std::string_view name) {
  return cat(folder.path, "/", name);
}

/// In whole seconds; 0 for a time that is still to come.
std::time_t age_of(const timespec& time) {
  return std::max<std::time_t>(std::time(nullptr) - time.tv_sec, 0);
}

/// After the record was lost: whatever has our entry is ours.
Record adopt_all(const Desired& desired, const ConfFolder& folder, Record record) {
  auto& place = record.place(desired.conf_dir);
  for (const auto& file : folder.files) {
    if (!file.has_our_entry()) continue;
    const bool named = file.name == desired.standalone_name || file.name == desired.owned_name;
    if (is_marked(*file.network) || (named && is_own(*file.network)))
      add_once(place.own, file.name);
    else if (file.network->kind == cni::FileKind::list && !is_own(*file.network))
      add_once(place.edited, file.name);
  }
  return record;
}

bool stands(const Choice& choice) {
  return choice.action == Action::edit || choice.action == Action::heal ||
         choice.action == Action::own;
}

/// What belongs into the target; for an edited list made from what is there.
base::Result<std::string> wanted_content(const Desired& desired, const ConfFolder& folder,
                                         const Choice& choice, Store& store) {
  switch (choice.action) {
    case Action::edit: {
      const auto& file = *folder.find(choice.file);
      if (entry_is_good(file, desired.entry)) return file.content;
      return cni::with_entry(file.content, desired.entry);
    }
    case Action::heal:
      return cni::with_entry(*store.last_good(choice.file), desired.entry);
    case Action::own:
    case Action::nothing:
    case Action::hold:
      break;
  }
  return choice.content;
}

std::string peer_behind(const ConfFolder& folder, const std::string& target,
                        const ConfFile* culprit, const std::string& source) {
  // how Cilium's cni.exclusive treats every file that is not its own
  if (contains(folder.others, target + ".cilium_bak")) return "Cilium";
  if (culprit != nullptr && !(culprit->network && is_own(*culprit->network)))
    return guess_peer(*culprit);
  const auto* origin = folder.find(source);
  return origin == nullptr ? std::string() : guess_peer(*origin);
}

/// True when an own file has nothing to stand for any more although no other
/// place took over.
bool has_lost_its_reason(const Desired& desired, const ConfFolder& folder, const ConfFile& file) {
  if (!file.network) return file.broken;
  if (file.network->gate) return desired.mode != Mode::owned || !desired.gate;
  return !file.network->derived_from.empty() && folder.find(file.network->derived_from) == nullptr;
}

void reread(ConfFolder& folder, const std::string& name) {
  auto content = base::read_file(path_of(folder, name));
  const auto identity = identity_at(path_of(folder, name));
  if (content && identity)
    folder.put(name, std::move(*content), *identity);
  else
    folder.drop(name);
}

std::string not_first(const Desired& desired, const ConfFolder& folder, const std::string& target,
                      const ConfFile& first) {
  const auto what =
      cat("the runtime loads ", first.name, " first in ", folder.path, ", and not ", target);
  if (desired.mode == Mode::owned)
    return cat(what, "; set install.owned_conf_name to a name that sorts before ", first.name);
  if (!desired.conf_name.empty())
    return cat(what, "; remove ", first.name, ", or let install.cni_conf_name name it, or none");
  return cat(what, "; remove ", first.name, " if it is not needed");
}

}  // namespace

void ConfStep::settle(ConfFolder& folder) {
  const auto now = Clock::now();
  std::erase_if(broken_, [&folder](const auto& known) {
    const auto* file = folder.find(known.first);
    return file == nullptr || file->network;
  });
  for (auto& file : folder.files) {
    if (file.network) continue;
    auto [at, fresh] = broken_.try_emplace(file.name, Broken{file.identity, now, now});
    auto& known = at->second;
    if (!fresh && known.identity != file.identity) {
      known.identity = file.identity;
      known.since = now;
    }
    file.settled = now - known.since >= settling_time || now - known.first >= 3 * settling_time ||
                   age_of(file.identity.modified) > 2;
  }
}

base::Status ConfStep::announce(const Desired& desired, const Choice& choice, Store& store) {
  auto record = store.record();
  record.chosen_by = chosen_by(desired);
  record.target = choice.file;
  auto& place = record.place(desired.conf_dir);
  if (choice.action == Action::own) {
    add_once(place.own, choice.file);
    std::erase(place.edited, choice.file);
  } else {
    add_once(place.edited, choice.file);
  }
  return store.save(std::move(record));
}

bool ConfStep::undone_by_others(const Desired& desired, const ConfFolder& folder,
                                const Choice& choice, const std::string& wanted, Store& store,
                                Pass& pass) {
  const auto& record = store.record();
  const auto& target = record.target;
  if (target.empty() || record.chosen_by != chosen_by(desired) ||
      record.find_place(desired.conf_dir) == nullptr || choice.action == Action::heal)
    return false;
  // without it our last write was never finished
  const auto& last_good = store.last_good(target);
  if (!last_good) return false;
  const auto* culprit = folder.find(target);
  if (stands(choice) && choice.file == target) {
    if (culprit != nullptr &&
        (culprit->content == wanted || culprit->content == *last_good || culprit->broken))
      return false;
  } else {
    culprit = folder.first();
    if (culprit != nullptr && culprit->has_our_entry()) return false;
  }
  pass.peer = peer_behind(folder, target, culprit, choice.source);
  return true;
}

base::Result<bool> ConfStep::write(const Desired& desired, const Choice& choice,
                                   const std::string& wanted, ConfFolder& folder, Pass& pass) {
  const auto* there = folder.find(choice.file);
  base::WriteOptions options;
  if (choice.action == Action::own) options = {desired.own_file_mode, true};
  if (there != nullptr && there->content == wanted &&
      (choice.action != Action::own || (there->identity.mode & base::permission_bits) ==
                                           (desired.own_file_mode & base::permission_bits)))
    return true;
  const auto path = path_of(folder, choice.file);
  if (there != nullptr && there->unread()) {  // under our own name: nobody's list
    auto written = base::write_atomically(path, wanted, options);
    if (!written) return std::move(written).error();
    if (*written == base::Written::changed) pass.changed = true;
  } else {
    const auto basis =
        there == nullptr ? std::nullopt : std::optional<std::string_view>(there->content);
    auto updated = base::update_atomically(path, basis, wanted, options, rename_, &spare_);
    if (!updated) return std::move(updated).error();
    if (*updated == base::Updated::overtaken) return false;
    if (*updated == base::Updated::changed) pass.changed = true;
  }
  folder.put(choice.file, wanted, identity_at(path).value_or(Identity{}));
  return true;
}

void ConfStep::undo_elsewhere(const Desired& desired, const Choice& choice, ConfFolder& folder,
                              Record& record, Pass& pass) {
  const bool moved = stands(choice);
  auto done = [&](Undone undone, bool here, const std::string& name) {
    if (!undone) {
      pass.warnings.push_back(undone.error().message);
      return false;
    }
    if (undone->empty()) return true;
    pass.changed = true;
    if (here) reread(folder, name);
    return true;
  };
  // our mark tells, even where the record does not
  for (const auto& file : folder.files)
    if (file.network && is_marked(*file.network))
      add_once(record.place(desired.conf_dir).own, file.name);
  for (auto& place : record.places) {
    const bool here = place.conf_dir == desired.conf_dir;
    if (!here && !moved) continue;  // not before the new place stands
    std::erase_if(place.edited, [&](const std::string& name) {
      if (here && name == choice.file && choice.action != Action::own) return false;
      if (here && folder.find(name) == nullptr) return true;
      return moved && done(take_out_entry(place.conf_dir, name, rename_), here, name);
    });
    std::erase_if(place.own, [&](const std::string& name) {
      if (here && name == choice.file && choice.action == Action::own) return false;
      const auto* file = here ? folder.find(name) : nullptr;
      if (here && file == nullptr) return true;
      if (!moved && !has_lost_its_reason(desired, folder, *file)) return false;
      return done(remove_own_file(place.conf_dir, name, rename_), here, name);
    });
  }
  record.drop_empty_places(desired.conf_dir);
}

void ConfStep::report(const Desired& desired, const Choice& choice, const ConfFolder& folder,
                      const std::string& target, Pass& pass) {
  const auto* file = target.empty() ? nullptr : folder.find(target);
  const auto* first = folder.first();
  if (file == nullptr || !file->has_our_entry()) {
    pass.waiting_for = choice.reason;
    return;
  }
  pass.file = file->name;
  pass.position = file->network->our_position();
  pass.plugins = file->network->plugin_types.size();
  pass.derived_from = file->network->derived_from;
  pass.gated = file->network->gate;
  if (pass.gated) {
    pass.waiting_for = cat("no CNI network configuration in ", folder.path, " yet");
    return;
  }
  pass.ready = desired.mode == Mode::standalone || first == file ||
               (first->has_our_entry() && first->network->plugin_types.size() > 1);
  if (!pass.ready) {
    pass.waiting_for = not_first(desired, folder, target, *first);
    pass.warnings.push_back(pass.waiting_for);
  }
}

base::Status ConfStep::run(const Desired& desired, Store& store, bool adopt, Pass& pass) {
  // what a peer changes between our look and our write must not be lost
  constexpr int attempts = 5;
  const auto warnings = pass.warnings.size();
  for (int i = 0; i < attempts; ++i) {
    pass.warnings.resize(warnings);
    auto done = attempt(desired, store, adopt, pass);
    if (!done) return std::move(done).error();
    if (*done) return base::success();
  }
  pass.waiting_for = cat(desired.conf_dir, " is being changed all the time");
  pass.look_again = settling_time;
  return base::success();
}

base::Result<bool> ConfStep::attempt(const Desired& desired, Store& store, bool adopt, Pass& pass) {
  auto read = ConfFolder::read(desired.conf_dir);
  if (!read) return std::move(read).error();
  auto& folder = *read;
  settle(folder);
  if (adopt)
    if (auto status = store.save(adopt_all(desired, folder, store.record())); !status)
      return std::move(status).error();
  if (store.record().find_place(desired.conf_dir) == nullptr) {
    // the copies are of files elsewhere
    if (auto status = store.forget_last_good(); !status) return std::move(status).error();
    auto record = store.record();
    record.place(desired.conf_dir);
    if (auto status = store.save(std::move(record)); !status) return std::move(status).error();
  }
  const bool was_installed =
      !store.record().target.empty() && store.record().chosen_by == chosen_by(desired);

  auto choice =
      choose(desired, folder, *store.record().find_place(desired.conf_dir),
             [&store](const std::string& name) { return store.last_good(name).has_value(); });
  std::move(choice.warnings.begin(), choice.warnings.end(), std::back_inserter(pass.warnings));
  if (choice.error || choice.action == Action::hold) {
    report(desired, choice, folder, store.record().target, pass);
    if (choice.unsettled) pass.look_again = settling_time;
    if (!choice.error) return true;
    pass.ready = false;
    return *std::move(choice.error);
  }
  auto wanted = wanted_content(desired, folder, choice, store);
  if (!wanted) return std::move(wanted).error().wrap(path_of(folder, choice.file));

  pass.foreign = undone_by_others(desired, folder, choice, *wanted, store, pass);
  if (stands(choice)) {
    if (auto status = announce(desired, choice, store); !status) return std::move(status).error();
    if (!folder.exists)
      if (auto status = ensure_folder(desired.conf_dir, 0755, store); !status)
        return std::move(status).error();
    auto written = write(desired, choice, *wanted, folder, pass);
    if (!written || !*written) return written;
  }
  auto record = store.record();
  if (!stands(choice)) record.target.clear();
  undo_elsewhere(desired, choice, folder, record, pass);
  if (auto status = store.save(std::move(record)); !status) return std::move(status).error();
  if (stands(choice))
    if (auto status = store.keep_last_good(choice.file, *wanted); !status)
      pass.warnings.push_back(status.error().message);

  report(desired, choice, folder, choice.file, pass);
  const auto* first = folder.first();
  const std::string preempting =
      stands(choice) && !pass.ready && !pass.gated && first != nullptr ? first->name : "";
  if (!preempting.empty() && preempting != preempted_by_ && was_installed && seen_) {
    pass.foreign = true;
    pass.peer = guess_peer(*first);
  }
  preempted_by_ = preempting;
  seen_ = true;
  if (pass.foreign && pass.peer == "Cilium")
    pass.warnings.emplace_back(
        "Cilium keeps the CNI folder to itself; set cni.exclusive=false in its Helm values "
        "(cni-exclusive: \"false\" in the ConfigMap cilium-config)");
  return true;
}

void ConfStep::look(const Desired& desired, const Store& store, Pass& pass) {
  auto folder = ConfFolder::read(desired.conf_dir);
  if (folder) report(desired, Choice{}, *folder, store.record().target, pass);
  pass.ready = false;
}

bool ConfStep::prepare(const Desired& desired, Store& store) {
  const auto& target = store.record().target;
  if (!target.empty())
    if (const auto& content = store.last_good(target))
      return spare_.prepare(cat(desired.conf_dir, "/", target), *content);
  spare_.drop();
  return false;
}

}  // namespace install
