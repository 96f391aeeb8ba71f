#include "istio-cni-node/process_stats.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>

#include "base/file.hpp"
#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

double ticks_per_second() { return static_cast<double>(::sysconf(_SC_CLK_TCK)); }

}  // namespace

std::optional<ProcessStats> parse_process_stat(std::string_view text, long ticks, long page_size) {
  // the second field is the program's name in parentheses, and may hold anything
  const auto name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const auto fields = base::split_nonempty(base::trim(text.substr(name_end + 1)), ' ');
  constexpr std::size_t first = 3;  // proc(5) counts from 1, and two are behind us
  const auto field = [&](std::size_t number) {
    return number - first < fields.size() ? base::parse_unsigned(fields[number - first])
                                          : std::nullopt;
  };
  const auto user = field(14);
  const auto system = field(15);
  const auto start = field(22);
  const auto size = field(23);
  const auto resident = field(24);
  if (!user || !system || !start || !size || !resident || ticks <= 0) return std::nullopt;
  ProcessStats stats;
  stats.cpu_seconds = static_cast<double>(*user + *system) / static_cast<double>(ticks);
  stats.started_ticks = static_cast<double>(*start);
  stats.virtual_bytes = static_cast<double>(*size);
  stats.resident_bytes = static_cast<double>(*resident) * static_cast<double>(page_size);
  return stats;
}

std::optional<double> parse_boot_time(std::string_view text) {
  for (const auto line : base::split(text, '\n')) {
    if (!line.starts_with("btime ")) continue;
    if (const auto seconds = base::parse_unsigned(base::trim(line.substr(6))))
      return static_cast<double>(*seconds);
  }
  return std::nullopt;
}

std::optional<ProcessStats> read_process_stats() {
  const auto text = base::read_file("/proc/self/stat");
  if (!text) return std::nullopt;
  return parse_process_stat(*text, ::sysconf(_SC_CLK_TCK), ::sysconf(_SC_PAGESIZE));
}

std::optional<double> read_start_time() {
  const auto stats = read_process_stats();
  const auto text = base::read_file("/proc/stat", std::size_t{16} << 20);
  if (!stats || !text) return std::nullopt;
  const auto boot = parse_boot_time(*text);
  if (!boot) return std::nullopt;
  return *boot + stats->started_ticks / ticks_per_second();
}

std::optional<double> count_open_fds() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), &::closedir);
  if (!folder) return std::nullopt;
  double count = -1;  // the folder's own
  while (const auto* entry = ::readdir(folder.get()))
    if (entry->d_name[0] != '.') ++count;
  return count;
}

std::optional<double> read_max_fds() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace istio_cni_node
