// Stands between a client and the test API server, and lets through only what is
// granted; the rest is answered with 403. Plain HTTP, on the loopback.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kubernetes/rbac.hpp"

namespace kubernetes_test {

class RbacProxy {
 public:
  /// `upstream`: the port of an API server without TLS. Throws std::runtime_error
  /// when it cannot listen.
  RbacProxy(std::uint16_t upstream, std::vector<Grant> grants);
  ~RbacProxy();
  RbacProxy(const RbacProxy&) = delete;
  RbacProxy& operator=(const RbacProxy&) = delete;

  /// A request that is allowed and begins so ("GET /path") is answered with 200 and
  /// this body: for what the test API server does not have.
  void answer(const std::string& begin, const std::string& body);

  [[nodiscard]] std::string url() const;
  /// What was asked and allowed, or asked and refused, each once.
  [[nodiscard]] std::vector<Attributes> passed() const;
  [[nodiscard]] std::vector<Attributes> refused() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kubernetes_test
