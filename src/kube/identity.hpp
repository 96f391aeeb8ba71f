// What a credential says about itself: until when it is good, and whose it is.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace kube {

struct Identity {
  std::optional<std::chrono::system_clock::time_point> expires;
  std::optional<std::string> node_name;  ///< a valid object name
};

/// Of the first certificate in `cert_pem`: its notAfter, and NAME when its
/// subject is a node's (O=system:nodes, CN=system:node:NAME). Errors
/// (Errc::invalid_input): either text holds no certificate or key, or the two do
/// not belong together, as in the middle of a rotation.
base::Result<Identity> certificate_identity(const std::string& cert_pem,
                                            const std::string& key_pem);

/// Of a JSON Web Token, unverified: `exp`, and the node it was issued to (`sub`
/// is system:node:NAME) or for a pod on (kubernetes.io/node/name). What is not
/// such a token, or says nothing usable, leaves both empty.
Identity token_identity(std::string_view token);

/// The node that nothing else names: this host, in lower case as the kubelet has it.
std::string host_node_name();

/// `seconds` since 1970, at most what the clock can count to.
std::chrono::system_clock::time_point unix_time(double seconds);

}  // namespace kube
