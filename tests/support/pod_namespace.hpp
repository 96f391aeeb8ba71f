// A pod's network namespace, held open by a sleeping process.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include "base/strings.hpp"
#include "netns/netns.hpp"
#include "support/netns_child.hpp"

namespace test_support {

/// With an address on eth0, one end of a veth pair; `extra` goes on in the shell's
/// words ("&& ..."), `inside` in the process that stays there.
class PodNamespace {
 public:
  explicit PodNamespace(const std::string& address, const std::string& extra = "",
                        const std::function<bool()>& inside = nullptr) {
    int ready[2];
    if (::pipe(ready) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool made =
          ::unshare(CLONE_NEWNET) == 0 &&
          std::system(("ip link set lo up && ip link add eth0 type veth peer name eth0p && "
                       "ip addr add " +
                       address + " dev eth0 && ip link set eth0 up " + extra)
                          .c_str()) == 0 &&
          (!inside || inside());
      (void)!::write(ready[1], made ? "y" : "n", 1);
      for (;;) ::pause();
    }
    char answer = 'n';
    (void)!::read(ready[0], &answer, 1);
    ::close(ready[0]);
    ::close(ready[1]);
    good_ = answer == 'y';
  }
  ~PodNamespace() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  PodNamespace(const PodNamespace&) = delete;
  PodNamespace& operator=(const PodNamespace&) = delete;
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string path() const { return base::cat("/proc/", pid_, "/ns/net"); }
  std::string run(const std::string& command) const {
    return support::shell(base::cat("nsenter -t ", pid_, " -n ", command));
  }
  [[nodiscard]] netns::NsId id() const {
    auto fd = netns::open_netns(path());
    return *netns::ns_id(fd->get());
  }
  /// As "ip netns add" shows it.
  void mount_at(const std::string& file) const {
    std::ofstream(file).close();
    EXPECT_EQ(::mount(path().c_str(), file.c_str(), nullptr, MS_BIND, nullptr), 0);
  }

 private:
  pid_t pid_ = -1;
  bool good_ = false;
};

}  // namespace test_support
