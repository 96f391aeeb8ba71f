// What is needed to talk to one API server.
#pragma once

#include <cstdint>
#include <string>

namespace kube {

/// Everything is held in memory: no file is read after this is made. Tokens and
/// certificates expire, so a long-lived caller makes a new one from time to time.
struct ClientConfig {
  std::string source;  ///< the file it came from, for messages
  std::string server;  ///< the URL as written, for messages
  std::string host;    ///< without brackets around an IPv6 address
  std::uint16_t port = 0;
  std::string base_path;  ///< "" or "/prefix", without a slash at the end
  bool tls = true;

  std::string ca_pem;           ///< "": the system's certificate authorities
  bool insecure = false;        ///< does not verify the server at all
  std::string tls_server_name;  ///< verified and sent instead of `host` when set
  std::string cert_pem;         ///< client certificate and chain, with `key_pem`
  std::string key_pem;
  std::string token;  ///< bearer token, "" for none
};

}  // namespace kube
