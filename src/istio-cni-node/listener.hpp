// Listening sockets for the agent's servers: made whole or not at all.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace istio_cni_node {

/// Non-blocking, close-on-exec, SO_REUSEADDR. host "": see HttpServer.
base::Result<base::UniqueFd> listen_tcp_socket(const std::string& host, std::uint16_t port);
std::uint16_t local_port(int fd);

/// Until the next attempt when the process has no descriptor left for a new client.
inline constexpr std::chrono::milliseconds accept_pause{100};

/// A listening Unix socket, SOCK_STREAM or SOCK_SEQPACKET, and the file that leads to it.
class UnixListener {
 public:
  /// See HttpServer::listen_unix.
  static base::Result<UnixListener> make(const std::string& path, mode_t mode, int type,
                                         int backlog);

  UnixListener() = default;
  base::UniqueFd fd;  ///< valid until moved from
  /// Removes the file, unless another program's is there now. Before the socket
  /// is closed: until then no other file can have this one's inode.
  void remove_file();

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace istio_cni_node
