#include "cni/protocol.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/strings.hpp"

namespace cni {
namespace {

using base::cat;

bool valid_container_id(std::string_view id) {
  auto alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !id.empty() && alnum(id[0]) && std::all_of(id.begin(), id.end(), [&](char c) {
    return alnum(c) || c == '_' || c == '.' || c == '-';
  });
}

bool valid_ifname(std::string_view name) {
  return !name.empty() && name.size() <= 15 && name != "." && name != ".." &&
         name.find_first_of("/: \t\n\r\v\f") == std::string_view::npos;
}

}  // namespace

std::string failure_json(const Failure& failure, std::string_view version) {
  nlohmann::ordered_json json;
  if (!version.empty()) json["cniVersion"] = version;
  json["code"] = static_cast<int>(failure.code);
  json["msg"] = failure.message;
  if (!failure.details.empty()) json["details"] = failure.details;
  return json.dump(4, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

const std::vector<std::string_view>& supported_versions() {
  static const std::vector<std::string_view> versions{"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                                      "0.4.0", "1.0.0", "1.1.0"};
  return versions;
}

std::optional<Version> Version::parse(std::string_view text) {
  const auto& versions = supported_versions();
  auto at = std::find(versions.begin(), versions.end(), text);
  if (at == versions.end()) return std::nullopt;
  return Version(static_cast<unsigned>(at - versions.begin()));
}

std::string_view Version::text() const { return supported_versions()[index_]; }

std::string version_json() {
  nlohmann::ordered_json json;
  json["cniVersion"] = supported_versions().back();
  json["supportedVersions"] = supported_versions();
  return json.dump() + "\n";
}

std::string_view to_string(Command command) {
  switch (command) {
    case Command::add:
      return "ADD";
    case Command::del:
      return "DEL";
    case Command::check:
      return "CHECK";
    case Command::gc:
      return "GC";
    case Command::status:
      return "STATUS";
    case Command::version:
      return "VERSION";
  }
  return "";
}

ParsedEnvironment parse_environment(const Getenv& getenv) {
  ParsedEnvironment out;
  const auto command = getenv("CNI_COMMAND").value_or("");
  if (command.empty()) {
    out.about = true;
    return out;
  }
  bool known = false;
  for (auto candidate : {Command::add, Command::del, Command::check, Command::gc, Command::status,
                         Command::version}) {
    if (command != to_string(candidate)) continue;
    out.environment.command = candidate;
    known = true;
  }
  if (!known) {
    out.failure =
        Failure{Code::invalid_environment, cat("unknown CNI_COMMAND: ", base::quote(command)), ""};
    return out;
  }
  auto& environment = out.environment;
  environment.container_id = getenv("CNI_CONTAINERID").value_or("");
  environment.netns = getenv("CNI_NETNS").value_or("");
  environment.ifname = getenv("CNI_IFNAME").value_or("");
  environment.args = getenv("CNI_ARGS").value_or("");
  const auto override_value = base::to_lower(getenv("CNI_NETNS_OVERRIDE").value_or(""));
  environment.netns_override = override_value == "1" || override_value == "true";
  if (environment.command == Command::version) return out;

  const bool per_container = environment.command == Command::add ||
                             environment.command == Command::check ||
                             environment.command == Command::del;
  std::vector<std::string> missing;
  if (per_container && environment.container_id.empty()) missing.emplace_back("CNI_CONTAINERID");
  if (per_container && environment.command != Command::del && environment.netns.empty())
    missing.emplace_back("CNI_NETNS");
  if (per_container && environment.ifname.empty()) missing.emplace_back("CNI_IFNAME");
  if (getenv("CNI_PATH").value_or("").empty()) missing.emplace_back("CNI_PATH");
  if (!missing.empty()) {
    out.failure = Failure{Code::invalid_environment, "required environment variables are missing",
                          cat(base::join(missing, ","), " needed for ", command)};
    out.failure->message.append(cat(": ", base::join(missing, ",")));
  } else if (per_container && !valid_container_id(environment.container_id)) {
    out.failure = Failure{
        Code::invalid_environment,
        cat("CNI_CONTAINERID ", base::quote(environment.container_id), " has invalid characters"),
        ""};
  } else if (per_container && !valid_ifname(environment.ifname)) {
    out.failure = Failure{
        Code::invalid_environment,
        cat("CNI_IFNAME ", base::quote(environment.ifname), " is not an interface name"), ""};
  }
  return out;
}

}  // namespace cni
