#include "validate/as_proxy.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.hpp"

namespace validate {
namespace {

std::uint32_t first_id(const std::vector<redirect::Owner>& owners) {
  constexpr std::uint32_t proxy = 1337;  // user and group of Istio's proxy image
  return owners.empty() ? proxy : owners.front().id.value_or(proxy);
}

}  // namespace

// System calls, since the C library's functions would do it to the whole process.
base::Status become_proxy(const redirect::Config& config) {
  const auto gid = first_id(config.proxy_gids);
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0)
    return base::system_error(
        base::cat("become group ", gid, " for the probe (CAP_SETGID is needed)"), errno);
  const auto uid = first_id(config.proxy_uids);
  if (::syscall(SYS_setresuid, uid, uid, uid) != 0)
    return base::system_error(
        base::cat("become user ", uid, " for the probe (CAP_SETUID is needed)"), errno);
  return base::success();
}

}  // namespace validate
