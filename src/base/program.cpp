#include "base/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace base {
namespace {

constexpr std::size_t max_complaints = 2048;

/// A started program; kills and reaps it when it goes out of scope.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  /// The wait status, once it has ended.
  std::optional<int> ended() {
    int status = 0;
    const auto done = ::waitpid(pid_, &status, WNOHANG);
    if (done == 0 || (done < 0 && errno == EINTR)) return std::nullopt;
    pid_ = -1;
    // Somebody else reaped it: how it ended is lost, what it printed is not.
    return done < 0 ? 0 : status;
  }

 private:
  pid_t pid_;
};

struct SpawnSetup {
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe", errno);
  Pipe made{UniqueFd(ends[0]), UniqueFd(ends[1])};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return made;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// What comes out of one of the program's streams.
class Stream {
 public:
  explicit Stream(std::size_t limit) : limit_(limit) {}

  /// Takes what is there, the whole of a pipe at most: who never stops writing does
  /// not keep us here. Closed at its end.
  void take() {
    constexpr int rounds = 4;
    char buffer[16384];
    for (int i = 0; i < rounds && fd.valid(); ++i) {
      const auto got = ::read(fd.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return fd.reset();
      const auto size = static_cast<std::size_t>(got);
      const auto room = std::min(limit_ - text.size(), size);
      text.append(buffer, room);
      overflow = overflow || room < size;
    }
  }

  UniqueFd fd;
  std::string text;
  bool overflow = false;  ///< not all of it was kept

 private:
  std::size_t limit_;
};

Result<pid_t> spawn(const Program& program, const UniqueFd& output, const UniqueFd& complaints) {
  SpawnSetup setup;
  ::posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&setup.actions, output.get(), 1);
  ::posix_spawn_file_actions_adddup2(&setup.actions, complaints.get(), 2);
  sigset_t set;
  ::sigemptyset(&set);
  ::posix_spawnattr_setsigmask(&setup.attributes, &set);
  ::sigaddset(&set, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&setup.attributes, &set);
  ::posix_spawnattr_setpgroup(&setup.attributes, 0);
  ::posix_spawnattr_setflags(
      &setup.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> arguments{program.path};
  arguments.insert(arguments.end(), program.arguments.begin(), program.arguments.end());
  auto variables = program.environment;
  const auto argv = pointers(arguments);
  const auto envp = pointers(variables);
  pid_t pid = -1;
  const int failure = ::posix_spawnp(&pid, program.path.c_str(), &setup.actions, &setup.attributes,
                                     argv.data(), envp.data());
  if (failure != 0) return system_error("cannot be started", failure);
  return pid;
}

}  // namespace

std::string ProgramEnd::how() const {
  return WIFSIGNALED(status) ? cat("killed by signal ", WTERMSIG(status))
                             : cat("exit status ", WEXITSTATUS(status));
}

Result<ProgramEnd> run_program(const Program& program, Deadline deadline) {
  auto to_output = make_pipe();
  if (!to_output) return std::move(to_output).error();
  auto to_complaints = make_pipe();
  if (!to_complaints) return std::move(to_complaints).error();
  const auto pid = spawn(program, to_output->write, to_complaints->write);
  if (!pid) return pid.error();
  Child child(*pid);
  to_output->write.reset();
  to_complaints->write.reset();

  Stream output(program.output_limit);
  output.fd = std::move(to_output->read);
  Stream complaints(max_complaints);
  complaints.fd = std::move(to_complaints->read);
  const Error late{Errc::timeout, "no answer in time"};
  while (output.fd.valid()) {
    pollfd waits[2] = {{output.fd.get(), POLLIN, 0}, {complaints.fd.get(), POLLIN, 0}};
    ::poll(waits, 2, deadline.poll_timeout());
    if (deadline.passed()) return late;
    output.take();
    complaints.take();
    if (output.overflow)
      return Error{Errc::invalid_input, cat("prints more than ", program.output_limit, " bytes")};
  }
  for (;;) {
    const auto status = child.ended();
    complaints.take();
    if (status) return ProgramEnd{std::move(output.text), std::move(complaints.text), *status};
    if (deadline.passed()) return late;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace base
