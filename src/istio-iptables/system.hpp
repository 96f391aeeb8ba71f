// System: all that the command does to, or learns from, the machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "log/log.hpp"
#include "netfilter/backend.hpp"
#include "netns/addresses.hpp"
#include "redirect/ruleset.hpp"
#include "validate/probe.hpp"

namespace istio_iptables {

/// A seam for tests; the flow is the same with either.
class System {
 public:
  virtual ~System() = default;

  virtual base::Status enter_network_namespace(const std::string& path) = 0;
  virtual base::Result<netns::HostIp> host_ip(bool dual_stack) = 0;
  virtual base::Result<std::string> resolv_conf() = 0;
  /// From /etc/passwd and /etc/group alone: the name service switch could ask
  /// a directory over a network that is not up yet. Unknown: Errc::not_found.
  virtual base::Result<std::uint32_t> user_id(const std::string& name) = 0;
  virtual base::Result<std::uint32_t> group_id(const std::string& name) = 0;

  virtual base::Status probe_iptables() = 0;
  virtual base::Status probe_nftables() = 0;
  virtual std::unique_ptr<netfilter::Backend> iptables() = 0;
  virtual std::unique_ptr<netfilter::Backend> nftables() = 0;
  virtual base::Status apply_routes(const redirect::Ruleset& ruleset) = 0;
  virtual base::Status remove_routes(const redirect::Ruleset& ruleset) = 0;

  virtual validate::ProbeReport run_probe(const validate::ProbeConfig& config) = 0;

  virtual base::Status write_stdout(std::string_view text) = 0;
  virtual base::Status write_file(const std::string& path, std::string_view text) = 0;
  virtual void log(logging::Level level, std::string_view message,
                   const logging::Fields& fields) = 0;
};

std::unique_ptr<System> make_system(logging::Logger& logger);

}  // namespace istio_iptables
