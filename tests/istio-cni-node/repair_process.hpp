// The built agent that repairs, and an API server that fails as it is told.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <optional>
#include <string>

#include "repair/mesh.hpp"

namespace test_support {

class RepairProcess : public testing::Test {
 protected:
  MeshNode& node(const std::string& repair) {
    node_.emplace(ICN_AGENT, ICN_PLUGIN, repair);
    return *node_;
  }
  void TearDown() override {
    if (HasFailure() && node_) std::fputs(node_->agent.log().c_str(), stderr);
  }
  std::optional<MeshNode> node_;
};

inline void add_many(MeshNode& node, int count, const std::string& owner = "") {
  for (int i = 0; i < count; ++i)
    node.add(broken_mesh_pod(base::cat("web-", i), base::cat("u-", i),
                             owner.empty() ? base::cat("rs-", i) : owner));
}

}  // namespace test_support
