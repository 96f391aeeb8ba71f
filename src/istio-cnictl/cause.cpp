// Why the plugin failed: from its error code, or else from its words.
#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/strings.hpp"
#include "cni/protocol.hpp"
#include "istio-cnictl/verdict.hpp"

namespace istio_cnictl {
namespace {

bool says(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

Cause lookup_failure(const std::string& text) {
  if (says(text, {"no primary network"})) return Cause::gate;
  // the server's own, or the authority that it is checked with: not our credential
  if (says(text, {"handshake: certificate of"})) return Cause::api_unreachable;
  if (says(text, {"http 401", "http 403", "unauthorized", "forbidden", "certificate", "credential",
                  "expired", "kubeconfig"}))
    return Cause::credential;
  return Cause::api_unreachable;
}

}  // namespace

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::bad_annotation:
      return "bad-annotation";
    case Cause::api_unreachable:
      return "api-unreachable";
    case Cause::credential:
      return "credential";
    case Cause::gate:
      return "no-primary-network";
    case Cause::kernel:
      return "kernel";
    case Cause::host_namespace:
      return "host-namespace";
    case Cause::rules_differ:
      return "rules-differ";
    case Cause::configuration:
      return "configuration";
    case Cause::plugin_missing:
      return "plugin-missing";
    case Cause::other:
      return "other";
  }
  return "";
}

Cause classify(int code, std::string_view message) {
  const auto text = base::to_lower(message);
  switch (static_cast<cni::Code>(code)) {
    case cni::Code::bad_annotation:
      return Cause::bad_annotation;
    case cni::Code::kernel_unsupported:
      return Cause::kernel;
    case cni::Code::redirection_differs:
      return Cause::rules_differ;
    case cni::Code::invalid_namespace:
      return Cause::host_namespace;
    case cni::Code::try_again_later:
    case cni::Code::not_available:
      return lookup_failure(text);
    case cni::Code::incompatible_version:
    case cni::Code::invalid_environment:
    case cni::Code::decoding_failure:
    case cni::Code::invalid_config:
      return Cause::configuration;
    default:
      break;
  }
  // a runtime passes the message on without its code
  if (says(text, {"failed to find plugin"})) return Cause::plugin_missing;
  if (says(text, {"the kernel lacks"})) return Cause::kernel;
  if (says(text, {"no primary network", "cannot look up pod", "add would fail now"}))
    return lookup_failure(text);
  if (says(text, {"annotation"})) return Cause::bad_annotation;
  if (says(text, {"the host's own"})) return Cause::host_namespace;
  if (says(text, {"the expected redirection", "no redirection in the namespace"}))
    return Cause::rules_differ;
  return Cause::other;
}

}  // namespace istio_cnictl
