#include "netns/netns.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <exception>
#include <system_error>
#include <thread>

#include "base/strings.hpp"

namespace netns {

using base::Errc;
using base::Error;
using base::Result;
using base::Status;

namespace {

Result<NsId> id_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return base::system_error(path, errno);
  return NsId{status.st_dev, status.st_ino};
}

}  // namespace

Result<base::UniqueFd> open_netns(const std::string& path) {
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    Error error = base::system_error(base::cat("open network namespace ", path), errno);
    if (error.sys == ENOENT || error.sys == ENOTDIR) error.code = Errc::not_found;
    return error;
  }
  struct statfs system {};
  if (::fstatfs(fd.get(), &system) != 0) return base::system_error(path, errno);
  // Kernels before 3.19 show namespaces as files of procfs.
  if (system.f_type != NSFS_MAGIC && system.f_type != PROC_SUPER_MAGIC) {
    return Error{Errc::invalid_input, base::cat(path, ": not a namespace file")};
  }
  // Before Linux 4.11 the kernel cannot tell; setns() will.
  const int type = ::ioctl(fd.get(), NS_GET_NSTYPE);
  if (type >= 0 && type != CLONE_NEWNET) {
    return Error{Errc::invalid_input,
                 base::cat(path, ": a namespace, but not a network namespace")};
  }
  return fd;
}

Result<NsId> ns_id(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return base::system_error("identify network namespace", errno);
  return NsId{status.st_dev, status.st_ino};
}

Result<NsId> own_ns() { return id_of("/proc/thread-self/ns/net"); }

Result<NsId> host_ns() { return id_of("/proc/1/ns/net"); }

Status enter_netns(int fd) {
  if (::setns(fd, CLONE_NEWNET) == 0) return base::success();
  Error error = base::system_error("enter network namespace", errno);
  if (error.sys == EPERM) error.message += "; CAP_SYS_ADMIN is needed";
  return error;
}

Status run_in_netns(int fd, const std::function<Status()>& body) {
  Status result = base::success();
  try {
    std::thread([&] {
      try {
        result = enter_netns(fd);
        if (result) result = body();
      } catch (const std::exception& e) {
        result = Error{Errc::io, base::cat("in network namespace: ", std::string_view(e.what()))};
      }
    }).join();
  } catch (const std::system_error& e) {
    return base::system_error("start a thread for a network namespace", e.code().value());
  }
  return result;
}

}  // namespace netns
