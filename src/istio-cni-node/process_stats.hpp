// What the kernel says about this process, as Prometheus's process_* metrics.
#pragma once

#include <optional>
#include <string_view>

namespace istio_cni_node {

struct ProcessStats {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double started_ticks = 0;  ///< clock ticks after boot
};

/// The content of /proc/PID/stat; nothing for what does not look like it. proc(5).
std::optional<ProcessStats> parse_process_stat(std::string_view text, long ticks_per_second,
                                               long page_size);
/// The line "btime" of /proc/stat: when the machine was booted, in Unix seconds.
std::optional<double> parse_boot_time(std::string_view text);

std::optional<ProcessStats> read_process_stats();
std::optional<double> read_start_time();  ///< Unix seconds
std::optional<double> count_open_fds();
std::optional<double> read_max_fds();

}  // namespace istio_cni_node
