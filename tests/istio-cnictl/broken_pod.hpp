#pragma once

#include "repair/mesh.hpp"

namespace test_support {

/// A broken pod whose first container started now. Nothing has its address
/// (RFC 5737), so that no namespace of another test is taken for its own.
inline json broken_pod(const std::string& name, const std::string& uid,
                       const std::string& owner = "rs-1") {
  constexpr const char* address = "192.0.2.7";
  auto pod = broken_mesh_pod(name, uid, owner);
  auto& status = pod["status"];
  status["podIP"] = address;
  status["podIPs"] = {{{"ip", address}}};
  status["startTime"] = now_text();
  status["initContainerStatuses"][0]["lastState"]["terminated"]["startedAt"] = now_text();
  return pod;
}

}  // namespace test_support
