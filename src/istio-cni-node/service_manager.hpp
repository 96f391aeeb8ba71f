// What systemd is told: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
// Every call is a no-op without a manager, and none waits for one that does not
// read: what cannot be told now is told later.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"

namespace istio_cni_node {

class ServiceManager {
 public:
  void ready();  ///< READY=1, once
  /// STATUS=, sent when it differs from the last. Line feeds and other control
  /// characters become spaces; what systemd would refuse as too long is cut. Of
  /// several that have to wait only the last is sent.
  void status(std::string_view text);
  // A reload before ready() is part of starting and is not told.
  void reloading();  ///< RELOADING=1 with MONOTONIC_USEC
  void reloaded();   ///< READY=1 again
  void stopping();   ///< STOPPING=1
  void alive();      ///< WATCHDOG=1; not sent later: it speaks of this moment

  /// Something could not be told: retry() is to be called soon.
  std::function<void()> waits;
  void retry();

  /// How often alive() is to be called: a quarter of WatchdogSec; nothing when
  /// there is no watchdog, or it is another process's.
  static std::optional<std::chrono::microseconds> watchdog_interval();
  /// The listening SOCK_SEQPACKET Unix socket that systemd passed in: the one
  /// named "agent.sock" or "istio-cni-node.socket", else the first. Invalid when
  /// there is none; other descriptors are left alone. Non-blocking and
  /// close-on-exec. The caller owns it: a second call gives none.
  static base::UniqueFd activation_socket();

 private:
  void tell(std::string message);
  bool send_waiting();

  bool ready_ = false;
  std::deque<std::string> waiting_;  ///< in order; the status comes after them
  std::string status_;
  bool status_waits_ = false;
};

}  // namespace istio_cni_node
