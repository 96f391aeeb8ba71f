// Runs test code in a network namespace of its own. Whatever programs rules,
// addresses or routes goes through here, never the machine's namespace.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace support {

#define ICN_REQUIRE_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces"

/// Forks, enters a new network namespace with lo up, runs `body`, and returns
/// the text it returned. A child that dies returns "child died".
inline std::string in_new_netns(const std::function<std::string()>& body) {
  int pipe_fds[2];
  if (::pipe(pipe_fds) != 0) return "pipe failed";
  const auto child = ::fork();
  if (child == 0) {
    ::close(pipe_fds[0]);
    std::string text;
    if (::unshare(CLONE_NEWNET) != 0 || std::system("ip link set lo up") != 0) {
      text = "cannot make a network namespace";
    } else {
      text = body();
    }
    std::size_t done = 0;
    while (done < text.size()) {
      const auto wrote = ::write(pipe_fds[1], text.data() + done, text.size() - done);
      if (wrote <= 0) break;
      done += static_cast<std::size_t>(wrote);
    }
    ::_exit(0);
  }
  ::close(pipe_fds[1]);
  std::string text;
  char buffer[4096];
  for (;;) {
    const auto got = ::read(pipe_fds[0], buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(pipe_fds[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return "child died";
  return text;
}

/// Standard output and error of a shell command.
inline std::string shell(const std::string& command) {
  std::string text;
  auto* stream = ::popen((command + " 2>&1").c_str(), "r");
  if (stream == nullptr) return "popen failed";
  char buffer[4096];
  std::size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, stream)) > 0) text.append(buffer, got);
  const int status = ::pclose(stream);
  if (status != 0) text.append("\n[exit " + std::to_string(WEXITSTATUS(status)) + "]\n");
  return text;
}

/// Feeds `input` to a shell command.
inline std::string shell_with_input(const std::string& command, const std::string& input) {
  char path[] = "/tmp/icn-input-XXXXXX";
  const int fd = ::mkstemp(path);
  if (fd < 0 || ::write(fd, input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    return "cannot write input";
  ::close(fd);
  auto out = shell(command + " <" + path);
  ::unlink(path);
  return out;
}

}  // namespace support
