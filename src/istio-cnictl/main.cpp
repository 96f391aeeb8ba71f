#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "base/environment.hpp"
#include "istio-cnictl/commands.hpp"

namespace {

bool print(std::FILE* stream, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stream) == text.size() &&
         std::fflush(stream) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace istio_cnictl;
  try {
    (void)std::signal(SIGPIPE, SIG_IGN);  // a closed output is an error to report
    Streams streams;
    const int status = run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc),
                           base::environment_entries(), ::isatty(STDOUT_FILENO) == 1, streams);
    (void)print(stderr, streams.err);
    if (print(stdout, streams.out)) return status;
    std::perror("istio-cnictl: standard output");
    return exit_unknown;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "istio-cnictl: unexpected failure: %s\n", failure.what());
    return exit_unknown;
  }
}
