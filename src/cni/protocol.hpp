// The CNI protocol between a container runtime and a plugin
// (https://www.cni.dev/docs/spec/): environment, versions, errors.
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cni {

/// Error codes of the specification, and ours from 100 on.
enum class Code : int {
  incompatible_version = 1,
  invalid_environment = 4,
  decoding_failure = 6,
  invalid_config = 7,
  invalid_namespace = 8,  ///< as libcni's skeleton: the runtime's own namespace
  try_again_later = 11,
  not_available = 50,  ///< STATUS: ADD would fail now
  bad_annotation = 100,
  kernel_unsupported = 101,
  redirection_differs = 102,
  internal = 999,
};

/// What the runtime gets instead of a result.
struct Failure {
  Code code = Code::internal;
  std::string message;
  std::string details;
};
/// {"code":..,"msg":..} as the specification's error, 4-space indent. `version`
/// is the configuration's, when known.
std::string failure_json(const Failure& failure, std::string_view version);

/// A cniVersion that we support; ordered.
class Version {
 public:
  static std::optional<Version> parse(std::string_view text);
  [[nodiscard]] std::string_view text() const;
  auto operator<=>(const Version&) const = default;

 private:
  explicit Version(unsigned index) : index_(index) {}
  unsigned index_;
};
/// Oldest first.
const std::vector<std::string_view>& supported_versions();
/// The answer to VERSION.
std::string version_json();

enum class Command { add, del, check, gc, status, version };
std::string_view to_string(Command command);

struct Environment {
  Command command = Command::version;
  std::string container_id;
  std::string netns;
  std::string ifname;
  std::string args;
  bool netns_override = false;  ///< CNI_NETNS_OVERRIDE
};

/// nullopt value: the variable is not set.
using Getenv = std::function<std::optional<std::string>(const std::string&)>;

/// No CNI_COMMAND: `about` is set, there is nothing to do. Otherwise either the
/// environment or the failure (code 4, naming every missing variable).
struct ParsedEnvironment {
  bool about = false;
  Environment environment;
  std::optional<Failure> failure;
};
ParsedEnvironment parse_environment(const Getenv& getenv);

}  // namespace cni
