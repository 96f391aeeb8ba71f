// What the command line and the environment ask for. Pure: everything from the
// machine (addresses, user database, resolv.conf) comes later, in flow.hpp.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "redirect/config.hpp"

namespace istio_iptables {

enum class Command { run, help, version };
enum class Ipv6 { automatic, on, off };
enum class Binary { any, legacy, nft };

struct Options {
  Command command = Command::run;

  /// Complete but for what only the machine knows: owners that were left empty,
  /// `ipv6`, and the DNS servers unless they were given.
  redirect::Config config;
  std::string envoy_user = "istio-proxy";  ///< whose uid counts when no proxy uid is given
  Ipv6 ipv6 = Ipv6::automatic;
  bool dns_servers_given = false;
  bool dual_stack = false;

  redirect::Port probe_port{15002};
  std::chrono::milliseconds probe_timeout{5000};

  bool dry_run = false;
  std::string dry_run_file;
  bool skip_rule_apply = false;
  bool run_validation = false;
  bool reconcile = false;
  bool cleanup_only = false;
  bool force_apply = false;
  bool native_nftables = false;
  Binary force_binary = Binary::any;
  std::string network_namespace;

  std::string log_output_level;

  std::vector<std::string> warnings;  ///< what was ignored, for the log
};

/// The value of an environment variable; present but empty is a value.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// `args` without the program's own name. A value comes from the flag, else the
/// additional variable, else the flag's own variable, else the default.
base::Result<Options> parse_options(const std::vector<std::string>& args, const Environment& env);

std::string help_text();

/// Go's time.ParseDuration, rounded up to whole milliseconds: "5s", "1m30s", "1.5h".
std::optional<std::chrono::milliseconds> parse_go_duration(std::string_view text);

}  // namespace istio_iptables
