// RBAC as far as the project's manifests use it: what a subject is granted, and
// whether that allows a request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kubernetes_test {

/// What the API server makes of a request before it asks whether it is allowed.
struct Attributes {
  std::string verb;
  std::string group;
  std::string resource;  ///< with its subresource: "pods/status"
  std::string name_space;
  std::string name;

  bool operator==(const Attributes&) const = default;
};

/// `method` and `target` as on the wire. Throws std::invalid_argument for what is
/// no resource.
Attributes attributes_of(std::string_view method, std::string_view target);
std::string to_string(const Attributes& attributes);

/// One verb on one resource.
struct Grant {
  std::string verb;
  std::string group;
  std::string resource;
  std::string name_space;  ///< "": every one
  std::string name;        ///< "": every one

  bool operator==(const Grant&) const = default;
};
std::string to_string(const Grant& grant);
bool allows(const Grant& grant, const Attributes& request);
bool allowed(const std::vector<Grant>& grants, const Attributes& request);

struct Subject {
  std::string kind;  ///< ServiceAccount or Group
  std::string name_space;
  std::string name;
};

/// What the bindings in these files give the subject. Throws std::runtime_error
/// for wildcards, for a role that is not there, and for a role that nobody is
/// bound to.
std::vector<Grant> grants_of(const std::vector<std::string>& files, const Subject& subject);

/// The files of a kustomization and of those it builds on. Throws when it patches
/// anything but the DaemonSet and the ConfigMap.
std::vector<std::string> files_of(const std::string& folder);

}  // namespace kubernetes_test
