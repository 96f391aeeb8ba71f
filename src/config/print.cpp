#include "base/strings.hpp"
#include "config/config.hpp"
#include "config/settings.hpp"
#include "config/values.hpp"

namespace config {
namespace {

using base::cat;

/// Calls `section` before the first setting of each, and `setting` for every one
/// with its indent.
template <typename OnSection, typename OnSetting>
void for_each_setting(OnSection on_section, OnSetting on_setting) {
  std::string section;
  for (const auto& setting : settings()) {
    if (setting.section() != section) {
      section = setting.section();
      on_section(section);
    }
    on_setting(setting, section.empty() ? "" : "  ");
  }
}

std::string describe(const Source& source) {
  switch (source.kind) {
    case Source::Kind::built_in:
      break;
    case Source::Kind::file:
      return printable(source.where);
    case Source::Kind::environment:
      return cat("environment ", printable(source.where));
    case Source::Kind::flag:
      return cat("flag ", printable(source.where));
  }
  return "default";
}

constexpr std::string_view file_head =
    "# Configuration of istio-cni-node. Every setting stands here with its default, as\n"
    "# a comment. Take the # away in front of one to change it, and run\n"
    "#   istio-cni-node check-config\n"
    "#   systemctl reload istio-cni-node\n"
    "#\n"
    "# What outranks what, lowest first: the defaults, this file, config.d/*.yaml beside\n"
    "# it in the order of their names, the environment, flags. A list replaces the list\n"
    "# of the level below.\n"
    "#\n"
    "# Each setting is also a variable and a flag: install.mode, the setting mode below\n"
    "# install, is ISTIO_CNI_INSTALL_MODE and --install-mode, where lists are separated by\n"
    "# commas. istio-cni-node print-config shows the values and where they come from.\n";

}  // namespace

std::string Problem::text() const {
  std::string out;
  if (!file.empty()) out = line > 0 ? cat(file, ":", line, ":", column, ": ") : cat(file, ": ");
  if (!key.empty()) out.append(key).append(": ");
  return out + message;
}

std::string print(const Loaded& loaded) {
  std::string out;
  for_each_setting([&](const std::string& section) { out.append(section).append(":\n"); },
                   [&](const Setting& setting, std::string_view indent) {
                     const auto found = loaded.sources.find(setting.key);
                     const auto from =
                         describe(found == loaded.sources.end() ? Source() : found->second);
                     out.append(cat(indent, setting.name(), ": ", setting.print(loaded.config),
                                    "   # ", from, "\n"));
                   });
  return out;
}

std::vector<Change> differences(const Config& from, const Config& to) {
  std::vector<Change> changes;
  for (const auto& setting : settings()) {
    auto before = setting.print(from);
    auto after = setting.print(to);
    if (before != after)
      changes.push_back({setting.key, std::move(before), std::move(after), setting.restart});
  }
  return changes;
}

std::string documented_file() {
  std::string out(file_head);
  const Config defaults;
  for_each_setting(
      [&](const std::string& section) {
        out.append(cat("\n# ", section_help(section), "\n", section, ":\n"));
      },
      [&](const Setting& setting, std::string_view indent) {
        if (indent.empty()) out.push_back('\n');
        for (const auto& line : setting.help) out.append(cat(indent, "# ", line, "\n"));
        out.append(cat(indent, "#", setting.name(), ": ", setting.print(defaults), "\n"));
      });
  return out;
}

}  // namespace config
