// Secrets taken out of text that leaves the machine. Pure.
#pragma once

#include <string>
#include <string_view>

namespace istio_cnictl {

inline constexpr std::string_view removed = "(removed)";

/// The same text with (removed) in place of
/// - what stands between "-----BEGIN" and "-----END" lines, also where line
///   feeds are written as \n;
/// - JSON Web Tokens, and what follows "Bearer " or "Basic ";
/// - the value of a key whose name speaks of a token, a password, a secret, a
///   key or a certificate's data, in YAML, JSON, "KEY=value" and "--flag=value";
/// - user and password of a URL;
/// - base64 of 200 characters or more in one piece.
std::string redact(std::string_view text);

/// Does the name of a key say that its value is a secret?
bool names_secret(std::string_view key);

}  // namespace istio_cnictl
