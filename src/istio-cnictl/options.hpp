// What the command line asks for. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cni/netconf.hpp"

namespace istio_cnictl {

enum class Command : std::uint8_t {
  status,
  pods,
  explain,
  rules,
  validate,
  support_bundle,
  version,
  help,
};

enum class Format : std::uint8_t { text, json };
enum class Color : std::uint8_t { automatic, always, never };
enum class Ipv6 : std::uint8_t { automatic, on, off };

struct PodName {
  std::string name_space;
  std::string name;

  [[nodiscard]] std::string text() const { return name_space + "/" + name; }
  bool operator==(const PodName&) const = default;
};

struct Options {
  Command command = Command::help;
  std::string help_on;  ///< Command::help: the command it is about, "" for all
  std::optional<PodName> pod;

  std::string config_file;  ///< "": the default place
  /// "--KEY=VALUE": settings of the agent's configuration, for config::load.
  std::vector<std::string> settings;
  std::string journal_dir;  ///< "": this machine's journal
  Format format = Format::text;
  Color color = Color::automatic;

  bool verify = false;  ///< pods
  bool all = false;     ///< pods
  enum class Rules : std::uint8_t { expected, live, diff } rules = Rules::expected;
  std::string pod_file;  ///< rules: a pod as JSON; "-" is the standard input
  cni::BackendChoice backend = cni::BackendChoice::automatic;
  Ipv6 ipv6 = Ipv6::automatic;
  std::string bundle_file;  ///< support-bundle; "" for a name made of node and time

  bool operator==(const Options&) const = default;
};

/// `arguments` without the program's name. The error says what is wrong and
/// which help to look at.
base::Result<Options> parse_options(const std::vector<std::string>& arguments);

/// Of all commands, or of one; a name that is none gives that of all.
std::string help_text(std::string_view command);

std::string_view to_string(Command command);

}  // namespace istio_cnictl
