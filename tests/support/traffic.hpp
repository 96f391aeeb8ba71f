// Real traffic for tests: servers that tell each client which port it reached
// and where it was going, and clients that run under a chosen user.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace support {

enum class Transport { tcp, udp };

/// Listens in the network namespace of the thread that makes it, on the
/// unspecified addresses of both families, and answers every client with
/// "PORT ORIGINAL_ADDRESS:ORIGINAL_PORT" (IPv6 addresses in brackets).
class TagServer {
 public:
  struct Endpoint {
    Transport transport = Transport::tcp;
    unsigned short port = 0;
    bool transparent = false;  ///< IP_TRANSPARENT, for TPROXY
    unsigned owner = 0;        ///< user and group that the sockets belong to
  };
  /// Empty `error()` when all endpoints listen.
  explicit TagServer(const std::vector<Endpoint>& endpoints);
  ~TagServer();
  TagServer(const TagServer&) = delete;
  TagServer& operator=(const TagServer&) = delete;

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct Socket {
    int fd;
    Endpoint endpoint;
    int family;
  };
  void serve();
  void answer(const Socket& socket) const;

  std::vector<Socket> sockets_;
  std::string error_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Client {
  unsigned uid = 0;
  unsigned gid = 0;
  int netns_of_pid = 0;  ///< run in that process's network namespace; 0: here
  std::string bind;      ///< source address, "" for any
};

/// What the client was told: a TagServer's answer, or "refused", "timeout",
/// "error: ...". `address` is an IP literal. Runs in a forked child.
std::string ask(Transport transport, const std::string& address, unsigned short port,
                const Client& client = {});

}  // namespace support
