// test-apiserver --dir DIR --pod FILE... [--port N] [--ipv6]
// Serves the given pods over TLS and writes DIR/kubeconfig for its clients.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "support/apiserver.hpp"

namespace {

int usage() {
  std::fputs("usage: test-apiserver --dir DIR --pod FILE... [--port N] [--ipv6]\n", stderr);
  return 2;
}

std::string random_token() {
  std::random_device source;
  std::string token;
  for (int i = 0; i < 4; ++i) token += base::cat(source(), i == 3 ? "" : "-");
  return token;
}

int serve(int argc, char** argv) {
  std::string dir;
  std::vector<std::string> pods;
  test_support::ApiServerOptions options;
  for (int i = 1; i < argc; ++i) {
    std::string_view flag = argv[i];
    if (flag == "--ipv6") {
      options.ipv6 = true;
      continue;
    }
    if (i + 1 == argc) return usage();
    std::string value = argv[++i];
    if (flag == "--dir") {
      dir = value;
    } else if (flag == "--pod") {
      pods.push_back(value);
      while (i + 1 < argc && argv[i + 1][0] != '-') pods.emplace_back(argv[++i]);
    } else if (auto port = base::parse_unsigned(value, 65535); flag == "--port" && port) {
      options.port = static_cast<std::uint16_t>(*port);
    } else {
      return usage();
    }
  }
  if (dir.empty()) return usage();
  options.token = random_token();

  // Blocked before the server's threads begin, so that sigwait gets them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);

  test_support::ApiServer server(options);
  for (const auto& file : pods) {
    auto text = base::read_file(file);
    if (!text) {
      std::fprintf(stderr, "test-apiserver: %s\n", text.error().message.c_str());
      return 1;
    }
    try {
      server.add_pod(*text);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "test-apiserver: %s: %s\n", file.c_str(), error.what());
      return 1;
    }
  }
  ::mkdir(dir.c_str(), 0755);
  server.write_kubeconfig(dir + "/kubeconfig");
  std::printf("listening on %s\n", server.url().c_str());
  std::fflush(stdout);
  int got = 0;
  sigwait(&ends, &got);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return serve(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "test-apiserver: %s\n", error.what());
    return 1;
  }
}
