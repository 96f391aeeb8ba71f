#include "kubernetes/rbac.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <stdexcept>

#include "base/strings.hpp"

namespace kubernetes_test {
namespace {

using base::cat;

std::string verb_of(std::string_view method, bool named, std::string_view query) {
  if (method == "POST") return "create";
  if (method == "PATCH") return "patch";
  if (method == "PUT") return "update";
  if (method == "DELETE") return named ? "delete" : "deletecollection";
  if (method != "GET") throw std::invalid_argument(cat("method ", method));
  if (named) return "get";
  for (const auto part : base::split(query, '&'))
    if (part == "watch=1" || part == "watch=true") return "watch";
  return "list";
}

std::string text(const YAML::Node& node) { return node ? node.as<std::string>() : std::string(); }

std::vector<std::string> texts(const YAML::Node& node) {
  std::vector<std::string> all;
  for (const auto& item : node) {
    all.push_back(item.as<std::string>());
    if (all.back().find('*') != std::string::npos) throw std::runtime_error("a wildcard");
  }
  return all;
}

bool binds(const YAML::Node& binding, const Subject& subject) {
  const auto& subjects = binding["subjects"];
  return std::any_of(subjects.begin(), subjects.end(), [&](const YAML::Node& one) {
    return text(one["kind"]) == subject.kind && text(one["name"]) == subject.name &&
           text(one["namespace"]) == subject.name_space;
  });
}

void add_grants(const YAML::Node& role, const std::string& name_space, std::vector<Grant>& out) {
  for (const auto& rule : role["rules"]) {
    auto names = texts(rule["resourceNames"]);
    if (names.empty()) names.emplace_back();
    for (const auto& group : texts(rule["apiGroups"]))
      for (const auto& resource : texts(rule["resources"]))
        for (const auto& verb : texts(rule["verbs"]))
          for (const auto& name : names) out.push_back({verb, group, resource, name_space, name});
  }
}

}  // namespace

Attributes attributes_of(std::string_view method, std::string_view target) {
  const auto question = target.find('?');
  const auto query =
      question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  auto parts = base::split_nonempty(target.substr(0, question), '/');
  Attributes out;
  std::size_t at = 0;
  if (parts.size() > 2 && parts[0] == "api") {
    at = 2;
  } else if (parts.size() > 3 && parts[0] == "apis") {
    out.group = parts[1];
    at = 3;
  } else {
    throw std::invalid_argument(cat("no resource: ", target));
  }
  if (parts[at] == "namespaces" && parts.size() > at + 2) {
    out.name_space = parts[at + 1];
    at += 2;
  }
  out.resource = parts[at];
  if (parts.size() > at + 1) out.name = parts[at + 1];
  if (parts.size() > at + 2) out.resource.append(cat('/', parts[at + 2]));
  if (parts.size() > at + 3) throw std::invalid_argument(cat("too long: ", target));
  out.verb = verb_of(method, !out.name.empty(), query);
  return out;
}

std::string to_string(const Attributes& a) {
  return cat(a.verb, ' ', a.resource, a.group.empty() ? "" : ".", a.group, " of namespace '",
             a.name_space, "', name '", a.name, '\'');
}

std::string to_string(const Grant& grant) {
  return to_string(
      Attributes{grant.verb, grant.group, grant.resource, grant.name_space, grant.name});
}

bool allows(const Grant& grant, const Attributes& request) {
  return grant.verb == request.verb && grant.group == request.group &&
         grant.resource == request.resource &&
         (grant.name_space.empty() || grant.name_space == request.name_space) &&
         (grant.name.empty() || grant.name == request.name);
}

bool allowed(const std::vector<Grant>& grants, const Attributes& request) {
  return std::any_of(grants.begin(), grants.end(),
                     [&](const Grant& grant) { return allows(grant, request); });
}

std::vector<Grant> grants_of(const std::vector<std::string>& files, const Subject& subject) {
  std::map<std::string, YAML::Node> roles;  // "Role NAMESPACE NAME", "ClusterRole NAME"
  std::vector<YAML::Node> bindings;
  for (const auto& file : files) {
    for (const auto& document : YAML::LoadAllFromFile(file)) {
      const auto kind = text(document["kind"]);
      const auto& metadata = document["metadata"];
      if (kind == "ClusterRole") roles[cat(kind, ' ', text(metadata["name"]))] = document;
      if (kind == "Role")
        roles[cat(kind, ' ', text(metadata["namespace"]), ' ', text(metadata["name"]))] = document;
      if (kind == "ClusterRoleBinding" || kind == "RoleBinding") bindings.push_back(document);
    }
  }
  std::vector<Grant> grants;
  std::set<std::string> bound;
  for (const auto& binding : bindings) {
    const bool cluster = text(binding["kind"]) == "ClusterRoleBinding";
    const auto name_space = cluster ? std::string() : text(binding["metadata"]["namespace"]);
    const auto kind = text(binding["roleRef"]["kind"]);
    const auto key = cat(kind, ' ', kind == "Role" ? name_space + " " : std::string(),
                         text(binding["roleRef"]["name"]));
    if (!roles.contains(key)) throw std::runtime_error(cat("there is no ", key));
    if (!binds(binding, subject)) continue;
    bound.insert(key);
    add_grants(roles[key], name_space, grants);
  }
  for (const auto& [key, role] : roles)
    if (!bound.contains(key)) throw std::runtime_error(cat("the subject is not bound to ", key));
  return grants;
}

std::vector<std::string> files_of(const std::string& folder) {
  namespace fs = std::filesystem;
  const auto kustomization = YAML::LoadFile(folder + "/kustomization.yaml");
  std::vector<std::string> files;
  for (const auto& resource : kustomization["resources"]) {
    auto path = cat(folder, '/', resource.as<std::string>());
    if (fs::is_directory(path)) {
      for (auto& file : files_of(path)) files.push_back(std::move(file));
    } else {
      files.push_back(std::move(path));
    }
  }
  for (const auto& patch : kustomization["patches"]) {
    const auto kind = text(YAML::LoadFile(cat(folder, '/', text(patch["path"])))["kind"]);
    if (kind != "DaemonSet" && kind != "ConfigMap")
      throw std::runtime_error(cat(folder, " patches a ", kind));
  }
  return files;
}

}  // namespace kubernetes_test
