// What `status` shows. Pure.
#pragma once

#include <string>

#include "istio-cnictl/disk.hpp"
#include "istio-cnictl/facts.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {

struct NodeStatus {
  base::Result<agent::Status> agent = base::Error{};
  DiskState disk;
  Time now{};

  /// The agent says so, and the disk does not say otherwise.
  [[nodiscard]] bool ready() const;
  /// One sentence.
  [[nodiscard]] std::string headline() const;
};

std::string text_of(const NodeStatus& status, const Style& style);
Json json_of(const NodeStatus& status);

}  // namespace istio_cnictl
