#include "cni/args.hpp"

#include <vector>

#include "base/strings.hpp"

namespace cni {

using base::cat;
using base::Errc;
using base::Error;

base::Result<Args> parse_args(std::string_view text) {
  Args args;
  if (text.empty()) return args;
  bool ignore_unknown = false;
  std::vector<std::string_view> unknown;
  for (auto pair : base::split(text, ';')) {
    const auto parts = base::split(pair, '=');
    if (parts.size() != 2)
      return Error{Errc::invalid_input,
                   cat("CNI_ARGS: ", base::quote(pair), " is not of the form KEY=VALUE")};
    const auto key = parts[0];
    const auto value = parts[1];
    if (key == "IgnoreUnknown") {
      const auto lower = base::to_lower(value);
      if (lower != "1" && lower != "true" && lower != "0" && lower != "false")
        return Error{Errc::invalid_input, cat("CNI_ARGS: IgnoreUnknown is ", base::quote(value),
                                              "; allowed: 1, true, 0, false")};
      ignore_unknown = lower == "1" || lower == "true";
    } else if (key == "K8S_POD_NAME") {
      args.pod_name = value;
    } else if (key == "K8S_POD_NAMESPACE") {
      args.pod_namespace = value;
    } else if (key == "K8S_POD_INFRA_CONTAINER_ID") {
      args.infra_container_id = value;
    } else if (key == "K8S_POD_UID") {
      args.pod_uid = value;
    } else {
      unknown.push_back(key);
    }
  }
  if (!unknown.empty() && !ignore_unknown)
    return Error{Errc::invalid_input, cat("CNI_ARGS: unknown key ", base::quote(unknown.front()),
                                          " and IgnoreUnknown is not set")};
  return args;
}

}  // namespace cni
