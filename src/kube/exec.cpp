#include "kube/exec.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/fd.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Clock = std::chrono::system_clock;

constexpr std::size_t max_output = std::size_t{1} << 20;
constexpr std::size_t max_complaint = 2048;

struct Cache {
  std::mutex mutex;
  std::map<ExecConfig, ExecCredential> answers;
};

Cache& cache() {
  static Cache instance;
  return instance;
}

/// A started plugin; kills and reaps it when it goes out of scope.
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
  /// The wait status, or nullopt when the deadline passed first.
  std::optional<int> wait(base::Deadline deadline) {
    for (;;) {
      int status = 0;
      auto done = ::waitpid(pid_, &status, WNOHANG);
      if (done == pid_ || (done < 0 && errno != EINTR)) {
        pid_ = -1;
        // Somebody else reaped it: how it ended is lost, what it printed is not.
        return done < 0 ? 0 : status;
      }
      if (deadline.passed()) return std::nullopt;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
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
  base::UniqueFd read;
  base::UniqueFd write;
};

base::Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::system_error("pipe", errno);
  Pipe made{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return made;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment(const ExecConfig& config) {
  auto info = nlohmann::json{{"apiVersion", config.api_version},
                             {"kind", "ExecCredential"},
                             {"spec", {{"interactive", false}}}};
  auto added = config.env;
  added.emplace_back("KUBERNETES_EXEC_INFO", info.dump());
  std::vector<std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    auto name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : added) replaced = replaced || key == name;
    if (!replaced) out.emplace_back(text);
  }
  for (const auto& [key, value] : added) out.push_back(cat(key, '=', value));
  return out;
}

/// Appends what is there to read; false at the end of the stream.
bool drain(int fd, std::string& out, std::size_t limit, bool& overflow) {
  char buffer[16384];
  for (;;) {
    auto got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    auto room = std::min(limit - out.size(), static_cast<std::size_t>(got));
    out.append(buffer, room);
    if (room < static_cast<std::size_t>(got)) overflow = true;
    if (overflow) return true;
  }
}

base::Result<std::string> run(const ExecConfig& config, base::Deadline deadline) {
  auto output = make_pipe();
  if (!output) return std::move(output).error();
  auto complaints = make_pipe();
  if (!complaints) return std::move(complaints).error();

  SpawnSetup setup;
  ::posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&setup.actions, output->write.get(), 1);
  ::posix_spawn_file_actions_adddup2(&setup.actions, complaints->write.get(), 2);
  sigset_t set;
  ::sigemptyset(&set);
  ::posix_spawnattr_setsigmask(&setup.attributes, &set);
  ::sigaddset(&set, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&setup.attributes, &set);
  ::posix_spawnattr_setpgroup(&setup.attributes, 0);
  ::posix_spawnattr_setflags(
      &setup.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> arguments{config.command};
  arguments.insert(arguments.end(), config.args.begin(), config.args.end());
  auto variables = environment(config);
  auto argv = pointers(arguments);
  auto envp = pointers(variables);
  pid_t pid = -1;
  if (int failure = ::posix_spawnp(&pid, config.command.c_str(), &setup.actions, &setup.attributes,
                                   argv.data(), envp.data());
      failure != 0)
    return base::system_error("cannot be started", failure);
  Child child(pid);
  output->write.reset();
  complaints->write.reset();

  std::string out;
  std::string complaint;
  auto timed_out = [] { return Error{Errc::timeout, "no answer in time"}; };
  while (output->read.valid()) {
    pollfd waits[2] = {{output->read.get(), POLLIN, 0}, {complaints->read.get(), POLLIN, 0}};
    ::poll(waits, 2, deadline.poll_timeout());
    if (deadline.passed()) return timed_out();
    bool overflow = false;
    if (waits[0].revents != 0 && !drain(output->read.get(), out, max_output, overflow))
      output->read.reset();
    if (overflow) return Error{Errc::invalid_input, cat("prints more than ", max_output, " bytes")};
    // Only the beginning of the complaint is kept, but all of it is taken.
    std::string more;
    if (waits[1].revents != 0 && complaints->read.valid() &&
        !drain(complaints->read.get(), more, max_output, overflow))
      complaints->read.reset();
    complaint.append(more, 0, max_complaint - std::min(max_complaint, complaint.size()));
  }
  auto status = child.wait(deadline);
  if (!status) return timed_out();
  if (*status == 0) return out;
  bool overflow = false;
  if (complaints->read.valid()) drain(complaints->read.get(), complaint, max_complaint, overflow);
  auto how = WIFSIGNALED(*status) ? cat("killed by signal ", WTERMSIG(*status))
                                  : cat("exit status ", WEXITSTATUS(*status));
  auto said = base::trim(complaint);
  return Error{Errc::unavailable, said.empty() ? how : cat(how, ": ", base::quote(said, 300))};
}

}  // namespace

base::Result<ExecCredential> parse_exec_credential(std::string_view text,
                                                   std::string_view api_version) {
  auto bad = [](std::string message) { return Error{Errc::invalid_input, std::move(message)}; };
  auto json = base::parse_json(text, "its output");
  if (!json) return std::move(json).error();
  if (!json->is_object()) return bad("its output is not a JSON object");
  auto field = [](const nlohmann::ordered_json& object, const char* key) -> std::string {
    auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (field(*json, "kind") != "ExecCredential") return bad("its output is not an ExecCredential");
  if (field(*json, "apiVersion") != api_version)
    return bad(cat("it answers with apiVersion ", base::quote(field(*json, "apiVersion")),
                   ", expected ", base::quote(api_version)));
  auto status = json->find("status");
  if (status == json->end() || !status->is_object()) return bad("its output has no status");
  for (const char* key :
       {"token", "clientCertificateData", "clientKeyData", "expirationTimestamp"}) {
    auto found = status->find(key);
    if (found != status->end() && !found->is_string() && !found->is_null())
      return bad(cat("status.", key, " is not a string"));
  }
  ExecCredential out;
  out.token = field(*status, "token");
  out.cert_pem = field(*status, "clientCertificateData");
  out.key_pem = field(*status, "clientKeyData");
  if (out.cert_pem.empty() != out.key_pem.empty())
    return bad("status has only one of clientCertificateData and clientKeyData");
  if (out.token.empty() && out.cert_pem.empty())
    return bad("status has neither a token nor a client certificate");
  if (auto when = field(*status, "expirationTimestamp"); !when.empty()) {
    out.expires = base::parse_rfc3339(when);
    if (!out.expires)
      return bad(cat("status.expirationTimestamp is not an RFC 3339 time: ", base::quote(when)));
  }
  return out;
}

base::Result<ExecCredential> exec_credential(const ExecConfig& config, base::Deadline deadline) {
  constexpr auto margin = std::chrono::seconds(10);
  try {
    {
      std::lock_guard lock(cache().mutex);
      auto known = cache().answers.find(config);
      if (known != cache().answers.end() &&
          (!known->second.expires || *known->second.expires - margin > Clock::now()))
        return known->second;
    }
    auto what = cat("exec ", base::quote(config.command));
    auto output = run(config, deadline);
    if (!output) {
      auto error = std::move(output).error().wrap(what);
      if (error.sys == ENOENT && !config.install_hint.empty())
        error.message += cat(" (", base::quote(config.install_hint, 500), ")");
      return error;
    }
    auto credential = parse_exec_credential(*output, config.api_version);
    if (!credential) return std::move(credential).error().wrap(what);
    std::lock_guard lock(cache().mutex);
    cache().answers[config] = *credential;
    return credential;
  } catch (const std::exception& error) {
    return Error{Errc::io, cat("exec ", base::quote(config.command), ": ", error.what())};
  }
}

void forget_exec_credentials() {
  std::lock_guard lock(cache().mutex);
  cache().answers.clear();
}

}  // namespace kube
