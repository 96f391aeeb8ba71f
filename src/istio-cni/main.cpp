// The CNI plugin: a runtime executes it for every pod. See plugin.hpp.
#include <malloc.h>
#include <unistd.h>

#include <exception>
#include <limits>

#include "base/environment.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"
#include "istio-cni/plugin.hpp"
#include "log/relay.hpp"

namespace {

/// A network configuration is a few kilobytes; prevResult adds a few more.
constexpr std::size_t max_stdin = std::size_t{4} << 20;

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace

int main() {
  // A short life with little memory: nothing goes back to the kernel.
  (void)::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  (void)::mallopt(M_TOP_PAD, 256 * 1024);
  istio_cni::Outcome outcome;
  logging::Relay relay;
  std::unique_ptr<istio_cni::Edges> edges;  // lives on: the kernel closes faster than we do
  try {
    logging::Logger log("istio-cni");
    log.set_sink(
        [&relay](std::int64_t micros, logging::Level level, std::string_view message,
                 const logging::Fields& fields) { relay.record(micros, level, message, fields); });
    edges = istio_cni::make_edges();
    outcome = istio_cni::run(
        base::environment,
        [] { return base::read_fd(STDIN_FILENO, "network configuration on stdin", max_stdin); },
        *edges, log);
  } catch (const std::exception& error) {
    // a defect, but the runtime still gets an answer it understands, and the
    // pod does not start
    outcome = {cni::failure_json({cni::Code::internal, error.what(), ""}, ""), "", 1};
  }
  if (!write_all(STDERR_FILENO, outcome.err)) outcome.exit_status = 1;
  if (!write_all(STDOUT_FILENO, outcome.out)) outcome.exit_status = 1;
  // where the agent runs in a container, its log shows ours
  if (!outcome.run_dir.empty())
    relay.send(base::cat(outcome.run_dir, "/", logging::Relay::socket_name));
  ::_exit(outcome.exit_status);  // nothing to tear down that the kernel does not
}
