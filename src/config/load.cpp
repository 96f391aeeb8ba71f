#include "base/strings.hpp"
#include "config/config.hpp"
#include "config/draft.hpp"
#include "config/known.hpp"
#include "config/values.hpp"

namespace config {
namespace {

using base::cat;

constexpr std::string_view own_prefix = "ISTIO_CNI_";

/// The first of several with one name, as getenv(3) has it.
std::map<std::string, std::string> variables_of(const std::vector<std::string>& environment) {
  std::map<std::string, std::string> variables;
  for (const auto& entry : environment)
    if (const auto equals = entry.find('='); equals != std::string::npos && equals > 0)
      variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  return variables;
}

/// Kubernetes gives every container the addresses of the services beside it: a
/// service "istio-cni-node" is ISTIO_CNI_NODE_SERVICE_HOST, ISTIO_CNI_NODE_PORT_80_TCP
/// and so on.
bool service_link(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST") || name.find("_SERVICE_PORT") != std::string_view::npos)
    return true;
  if (name.ends_with("_PORT") && value.find("://") != std::string_view::npos) return true;
  const auto port = name.find("_PORT_");
  if (port == std::string_view::npos) return false;
  const auto parts = base::split(name.substr(port + 6), '_');
  return parts.size() >= 2 && base::parse_unsigned(parts[0], 65535) &&
         (parts[1] == "TCP" || parts[1] == "UDP" || parts[1] == "SCTP");
}

}  // namespace

void read_own_environment(const std::map<std::string, std::string>& variables, Draft& draft) {
  std::map<std::string, std::string_view> own;
  std::vector<std::string> names;
  for (const auto& setting : settings()) {
    names.push_back(setting.variable());
    own[names.back()] = setting.key;
  }
  for (const auto& [name, value] : variables) {
    if (!name.starts_with(own_prefix)) continue;
    const auto place = Place::in_environment(printable(name));
    if (const auto found = own.find(name); found != own.end()) {
      draft.set_text(found->second, value, place);
      continue;
    }
    if (service_link(name, value)) continue;
    const auto meant = nearest(name, names);
    draft.complain(
        place, cat("unknown variable", meant.empty() ? "; see the configuration file for the keys"
                                                     : cat("; did you mean ", meant, "?")));
  }
}

Outcome load(const std::vector<File>& files, const std::vector<std::string>& environment,
             const std::vector<std::string>& arguments) {
  Draft draft;
  for (const auto& file : files) read_yaml(file, draft);
  const auto variables = variables_of(environment);
  const auto flags = parse_flags(arguments, draft);
  const KnownNames known(variables, flags);
  known.read_environment(draft);
  read_own_environment(variables, draft);
  known.read_flags(draft);
  read_own_flags(flags, draft);
  KnownNames::resolve_mounts(draft);
  check_together(draft);
  return draft.take();
}

}  // namespace config
