// A tar archive with gzip, made in memory.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace istio_cnictl {

struct ArchiveFile {
  std::string name;  ///< "FOLDER/FILE"
  std::string content;
};

/// Owner root, mode 0600, one time for all.
base::Result<std::string> make_archive(const std::vector<ArchiveFile>& files,
                                       std::chrono::system_clock::time_point time);

}  // namespace istio_cnictl
