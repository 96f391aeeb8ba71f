#include "istio-cnictl/run_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
constexpr std::size_t output_limit = std::size_t{64} << 10;

class Actions {
 public:
  Actions() { ::posix_spawn_file_actions_init(&actions_); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&actions_); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// Until the end, the limit or the deadline; false for the last.
bool read_all(int fd, base::Deadline deadline, std::string& text) {
  std::array<char, 4096> buffer{};
  while (text.size() < output_limit) {
    pollfd item{fd, POLLIN, 0};
    const int ready = ::poll(&item, 1, deadline.poll_timeout());
    if (ready == 0 || (ready < 0 && errno != EINTR)) return false;
    if (ready < 0) continue;
    const auto size = ::read(fd, buffer.data(), buffer.size());
    if (size <= 0) return true;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return true;
}

}  // namespace

base::Result<std::string> run_program(const std::string& path,
                                      const std::vector<std::string>& arguments,
                                      base::Deadline deadline) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::system_error("pipe", errno);
  const base::UniqueFd reading(ends[0]);
  base::UniqueFd writing(ends[1]);
  Actions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), writing.get(), 1);
  ::posix_spawn_file_actions_adddup2(actions.get(), writing.get(), 2);
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::string search = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::array<char*, 2> environment{search.data(), nullptr};
  pid_t child = -1;
  const int error =
      ::posix_spawnp(&child, path.c_str(), actions.get(), nullptr, argv.data(), environment.data());
  if (error != 0) return base::system_error(path, error);
  writing.reset();
  std::string text;
  const bool ended = read_all(reading.get(), deadline, text);
  if (!ended || text.size() >= output_limit) ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (!ended) return base::Error{base::Errc::timeout, cat(path, " did not end in time")};
  return text;
}

}  // namespace istio_cnictl
