// test-traffic: the traffic helpers for scripts.
//   test-traffic serve tcp:PORT|udp:PORT|tproxy:PORT...   until killed; prints "ready"
//   test-traffic ask tcp|udp ADDRESS PORT [UID [GID]]     prints the answer
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/traffic.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() >= 2 && args[0] == "serve") {
    std::vector<support::TagServer::Endpoint> endpoints;
    for (std::size_t i = 1; i < args.size(); ++i) {
      const auto colon = args[i].find(':');
      const auto kind = args[i].substr(0, colon);
      endpoints.push_back({kind == "udp" ? support::Transport::udp : support::Transport::tcp,
                           static_cast<unsigned short>(std::atoi(args[i].c_str() + colon + 1)),
                           kind == "tproxy"});
    }
    const support::TagServer server(endpoints);
    if (!server.error().empty()) {
      std::fprintf(stderr, "%s\n", server.error().c_str());
      return 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    for (;;) ::pause();
  }
  if (args.size() >= 4 && args[0] == "ask") {
    support::Client client;
    if (args.size() > 4) client.uid = static_cast<unsigned>(std::atoi(args[4].c_str()));
    client.gid = args.size() > 5 ? static_cast<unsigned>(std::atoi(args[5].c_str())) : client.uid;
    std::puts(support::ask(args[1] == "udp" ? support::Transport::udp : support::Transport::tcp,
                           args[2], static_cast<unsigned short>(std::atoi(args[3].c_str())), client)
                  .c_str());
    return 0;
  }
  std::fputs("usage: test-traffic serve KIND:PORT... | ask tcp|udp ADDRESS PORT [UID [GID]]\n",
             stderr);
  return 2;
}
