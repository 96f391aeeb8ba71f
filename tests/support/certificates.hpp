// Throw-away certificate authorities for tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace test_support {

struct KeyPair {
  std::string cert_pem;
  std::string key_pem;
};

/// A self-signed authority with an ECDSA P-256 key, made anew for each object.
/// Throws std::runtime_error: tests have nothing better to do without it.
class Authority {
 public:
  explicit Authority(const std::string& name);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  [[nodiscard]] const std::string& cert_pem() const;
  /// `names` as in OpenSSL configuration: "DNS:localhost", "IP:127.0.0.1".
  [[nodiscard]] KeyPair server(const std::vector<std::string>& names, bool expired = false) const;
  [[nodiscard]] KeyPair client(const std::string& common_name) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string base64_encode(const std::string& bytes);

}  // namespace test_support
