#include "install/plan.hpp"

#include <algorithm>
#include <utility>

#include "base/strings.hpp"

namespace install {
namespace {

using base::cat;

class Chooser {
 public:
  Chooser(const Desired& desired, const ConfFolder& folder, const Place& place,
          const std::function<bool(const std::string&)>& had_last_good)
      : desired_(desired), folder_(folder), place_(place), had_last_good_(had_last_good) {}

  Choice run() {
    switch (desired_.mode) {
      case Mode::chained:
        desired_.conf_name.empty() ? first_network() : named_network();
        break;
      case Mode::owned:
        first_network();
        if (choice_.action == Action::nothing && desired_.gate && !source_seen_)
          make_own(desired_.owned_name, cni::gate_list(desired_.entry), "");
        break;
      case Mode::standalone:
        make_own(desired_.standalone_name, cni::standalone_conf(desired_.entry), "");
        break;
    }
    return std::move(choice_);
  }

 private:
  [[nodiscard]] bool is_ours(const ConfFile& file) const {
    return contains(place_.own, file.name) || (file.network && is_own(*file.network));
  }

  /// The own list that lives from this file, if there is one and it is good.
  [[nodiscard]] const ConfFile* derived_from(const std::string& source) const {
    for (const auto& file : folder_.files)
      if (file.network && file.network->derived_from == source) return &file;
    return nullptr;
  }

  void first_network() {
    for (const auto& file : folder_.files) {
      if (is_ours(file)) continue;
      if (file.network) return use(file);
      if (decide_on_broken(file)) return;
      choice_.warnings.push_back(cat(folder_.path, "/", file.name, " is skipped: ", file.problem));
    }
    choice_.reason = cat("no CNI network configuration in ", folder_.path, " yet");
  }

  void named_network() {
    const auto* file = named(desired_.conf_name);
    if (file == nullptr) file = named(alternative(desired_.conf_name));
    if (file == nullptr) {
      choice_.reason = cat("no ", desired_.conf_name, " in ", folder_.path, " yet");
      return;
    }
    if (file->network) return use(*file);
    if (decide_on_broken(*file)) return;
    choice_.reason = cat(folder_.path, "/", file->name, " cannot be loaded: ", file->problem);
  }

  [[nodiscard]] const ConfFile* named(std::string_view name) const {
    const auto* file = folder_.find(name);
    if (file == nullptr || !is_ours(*file)) return file;
    return nullptr;
  }

  static std::string alternative(const std::string& name) {
    if (name.ends_with(".conf")) return name + "list";
    if (name.ends_with(".conflist")) return name.substr(0, name.size() - 4);
    return {};
  }

  /// False: skip it.
  bool decide_on_broken(const ConfFile& file) {
    if (!file.settled) {
      // not a sign of anything: a program that writes in place is not done yet
      source_seen_ = true;
      choice_.action = Action::hold;
      choice_.unsettled = true;
      choice_.reason = cat(folder_.path, "/", file.name, " is being written");
      return true;
    }
    if (!file.broken) return false;
    if (desired_.mode == Mode::chained && contains(place_.edited, file.name) &&
        had_last_good_(file.name)) {
      choice_.action = Action::heal;
      choice_.file = file.name;
      choice_.warnings.push_back(cat(folder_.path, "/", file.name, " was broken (", file.problem,
                                     "); its last good content is put back"));
      return true;
    }
    if (const auto* own = derived_from(file.name); own != nullptr) {
      source_seen_ = true;
      choice_.action = Action::hold;
      choice_.reason = cat(folder_.path, "/", file.name, " cannot be loaded");
      choice_.warnings.push_back(
          cat(folder_.path, "/", own->name,
              " keeps what it was made from, which is broken now: ", file.problem));
      return true;
    }
    return false;
  }

  void use(const ConfFile& file) {
    source_seen_ = true;
    if (desired_.mode == Mode::chained && file.network->kind == cni::FileKind::list) {
      choice_.action = Action::edit;
      choice_.file = file.name;
      return;
    }
    std::string name = desired_.owned_name;
    if (desired_.mode == Mode::chained) {
      auto found = derived_name(desired_, folder_, place_.own, file.name);
      if (!found) {
        choice_.error = base::Error{
            base::Errc::refused,
            cat("no name for a list of our own sorts before ", folder_.path, "/", file.name,
                "; give that file another name, or set install.owned_conf_name")};
        return;
      }
      name = std::move(*found);
    }
    auto content = cni::derived_list(file.name, file.content, desired_.entry);
    if (!content) {
      choice_.error = std::move(content).error().wrap(cat(folder_.path, "/", file.name));
      return;
    }
    make_own(name, std::move(*content), file.name);
  }

  void make_own(const std::string& name, std::string content, const std::string& source) {
    if (const auto* there = folder_.find(name);
        there != nullptr && !is_ours(*there) && !there->content.empty()) {
      choice_.action = Action::nothing;
      choice_.error = base::Error{
          base::Errc::refused,
          cat(folder_.path, "/", name,
              " is there already and was not made by istio-cni-node; move it away, or configure "
              "another name for our own file")};
      return;
    }
    if (auto network = cni::inspect(name, content); !network) {
      choice_.action = Action::nothing;
      choice_.error = std::move(network).error().wrap(
          "a runtime could not load our own file; configure "
          "another name for it");
      return;
    }
    choice_.action = Action::own;
    choice_.file = name;
    choice_.content = std::move(content);
    choice_.source = source;
  }

  const Desired& desired_;
  const ConfFolder& folder_;
  const Place& place_;
  const std::function<bool(const std::string&)>& had_last_good_;
  Choice choice_;
  bool source_seen_ = false;
};

}  // namespace

std::string chosen_by(const Desired& desired) {
  switch (desired.mode) {
    case Mode::chained:
      return cat("chained ", desired.conf_name);
    case Mode::owned:
      return cat("owned ", desired.owned_name);
    case Mode::standalone:
      break;
  }
  return cat("standalone ", desired.standalone_name);
}

std::optional<std::string> derived_name(const Desired& desired, const ConfFolder& folder,
                                        const std::vector<std::string>& own,
                                        const std::string& source) {
  for (std::string name : {desired.owned_name, std::string("00-istio-cni.conflist"),
                           std::string("!00-istio-cni.conflist")}) {
    if (name.empty() || name >= source) continue;
    const auto* there = folder.find(name);
    if (there == nullptr || contains(own, name) || there->content.empty() ||
        (there->network && is_own(*there->network)))
      return name;
  }
  return std::nullopt;
}

Choice choose(const Desired& desired, const ConfFolder& folder, const Place& place,
              const std::function<bool(const std::string&)>& had_last_good) {
  return Chooser(desired, folder, place, had_last_good).run();
}

}  // namespace install
