// The probe: does a connection that the rules must redirect arrive where they
// must send it? Needs no privilege, but the user id of the proxy: the rules
// leave other users' connections to this address alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "redirect/types.hpp"

namespace validate {

struct ProbeConfig {
  redirect::Family family = redirect::Family::v4;
  redirect::Port proxy_port{15001};
  redirect::Port inbound_port{15006};
  redirect::Port probe_port{15002};
  /// Covers everything, from the first socket on.
  std::chrono::milliseconds timeout{5000};
  /// False where a proxy listens at the inbound port already: that it accepts the
  /// connection is then what is looked for. Listening beside it would take other
  /// connections of the pod away from it.
  bool listen = true;
};

struct ProbeReport {
  enum class Outcome : std::uint8_t {
    arrived,
    refused,  ///< connections are refused, so they are not redirected
    timeout,  ///< none arrived in time
    failed,   ///< it could not be tried
  };
  Outcome outcome = Outcome::failed;
  [[nodiscard]] bool ok() const { return outcome == Outcome::arrived; }
  /// What was tried and what came of it, in the order of first occurrence.
  std::vector<std::string> attempts;
  /// One sentence; empty when it arrived.
  std::string failure;
};

/// Listens on the loopback address at both capture ports and connects to the
/// probe port of the address that only the rules lead there. Runs in the
/// network namespace of the calling thread and starts no thread.
ProbeReport run_probe(const ProbeConfig& config);

/// The likely causes of a failure and what to do about them, for people.
std::string_view failure_advice();

}  // namespace validate
