#include "istio-iptables/flow.hpp"

#include <algorithm>
#include <cerrno>

#include "base/strings.hpp"
#include "redirect/render.hpp"

namespace istio_iptables {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using base::quote;
using base::Result;
using base::Status;
using logging::Level;
using redirect::Family;
using redirect::Owner;

constexpr std::uint32_t default_proxy_id = 1337;
constexpr std::size_t differences_shown = 20;

class Flow {
 public:
  Flow(const Options& options, System& system)
      : options_(options), system_(system), config_(options.config) {}

  int run() {
    for (const auto& warning : options_.warnings) log(Level::warn, warning);
    if (auto status = prepare(); !status) return fail(status.error());
    if (options_.skip_rule_apply) {
      log(Level::info, "rules are not applied (--skip-rule-apply)");
    } else {
      auto status = options_.dry_run ? dry_run() : program();
      if (!status) return fail(status.error());
    }
    if (!options_.run_validation) return exit_ok;
    if (options_.dry_run && !options_.skip_rule_apply) {
      log(Level::warn, "--run-validation needs applied rules, ignoring because of --dry-run");
      return exit_ok;
    }
    return validate() ? exit_ok : exit_invalid;
  }

 private:
  void log(Level level, std::string_view message, const logging::Fields& fields = {}) {
    system_.log(level, message, fields);
  }
  int fail(const Error& error) {
    log(Level::error, error.message);
    return exit_failed;
  }

  // --- what the options leave open ---------------------------------------

  Status prepare() {
    const bool needs_addresses = options_.ipv6 == Ipv6::automatic;
    // a dry run with the family given does not look at the namespace at all
    const bool needs_namespace = needs_addresses || !options_.dry_run ||
                                 (options_.skip_rule_apply && options_.run_validation);
    if (!options_.network_namespace.empty() && needs_namespace) {
      if (auto status = system_.enter_network_namespace(options_.network_namespace); !status)
        return std::move(status).error().wrap("--network-namespace");
    }
    if (needs_addresses) {
      auto local = system_.host_ip(options_.dual_stack);
      if (!local)
        return std::move(local).error().wrap(
            "find out the IP families of the pod (--ipv6 on or off decides without)");
      config_.ipv6 = local->ipv6;
      first_family_ = local->ip.family;
    } else {
      config_.ipv6 = options_.ipv6 == Ipv6::on;
      first_family_ = config_.ipv6 ? Family::v6 : Family::v4;
    }
    if (options_.skip_rule_apply) return base::success();
    if (auto status = fill_owners(); !status) return status;
    if (auto status = fill_dns_servers(); !status) return status;
    return options_.dry_run ? base::success() : resolve_owners();
  }

  Status fill_owners() {
    if (config_.proxy_uids.empty()) {
      auto id = system_.user_id(options_.envoy_user);
      const bool missing = !id && (id.error().code == Errc::not_found || id.error().sys == ENOENT);
      if (!id && !missing)
        return std::move(id).error().wrap("find the proxy's user (--proxy-uid decides without)");
      config_.proxy_uids = {Owner::numeric(missing ? default_proxy_id : *id)};
    }
    if (config_.proxy_gids.empty()) config_.proxy_gids = config_.proxy_uids;
    return base::success();
  }

  Status fill_dns_servers() {
    if (!config_.redirect_dns || config_.capture_all_dns || options_.dns_servers_given)
      return base::success();
    auto text = system_.resolv_conf();
    if (!text)
      return std::move(text).error().wrap(
          "find the name servers for --redirect-dns (--dns-servers or --capture-all-dns decide "
          "without)");
    redirect::set_dns_servers(config_, *text);
    return base::success();
  }

  Status resolve_owners() {
    for (auto& uid : config_.proxy_uids)
      if (auto status = resolve(uid, true); !status) return status;
    for (auto* list :
         {&config_.proxy_gids, &config_.owner_groups_include.items, &config_.owner_groups_exclude})
      for (auto& gid : *list)
        if (auto status = resolve(gid, false); !status) return status;
    return base::success();
  }

  Status resolve(Owner& owner, bool user) {
    if (owner.id) return base::success();
    auto id = user ? system_.user_id(owner.text) : system_.group_id(owner.text);
    if (!id)
      return std::move(id).error().wrap(cat("find the id of ", user ? "user " : "group ",
                                            quote(owner.text), " (a numeric id needs no look-up)"));
    owner.id = *id;
    return base::success();
  }

  redirect::Ruleset build() {
    auto ruleset = redirect::build_ruleset(config_);
    for (const auto& warning : ruleset.warnings) log(Level::warn, warning);
    return ruleset;
  }

  // --- rules ---------------------------------------------------------------

  static std::string text_of(const redirect::Ruleset& ruleset, bool nftables) {
    if (nftables) return redirect::nft_commands(ruleset);
    return redirect::iptables_restore_text(ruleset, Family::v4) +
           redirect::iptables_restore_text(ruleset, Family::v6);
  }

  Status dry_run() {
    std::string text;
    if (!options_.cleanup_only) {
      text = text_of(build(), options_.native_nftables);
    } else if (options_.native_nftables) {
      text = redirect::nft_cleanup_commands();
    }
    if (!options_.dry_run_file.empty()) {
      if (auto status = system_.write_file(options_.dry_run_file, text); !status)
        return std::move(status).error().wrap("DRY_RUN_FILE_PATH");
    }
    return system_.write_stdout(text);
  }

  struct Choice {
    bool nftables = false;
    std::string_view reason;
  };

  Result<Choice> choose_backend() {
    if (options_.native_nftables) return Choice{true, "--native-nftables"};
    if (options_.force_binary == Binary::nft) return Choice{true, "--force-iptables-binary=nft"};
    if (options_.force_binary == Binary::legacy)
      return Choice{false, "--force-iptables-binary=legacy"};
    auto iptables = system_.probe_iptables();
    if (iptables) return Choice{false, "the kernel offers it"};
    auto nftables = system_.probe_nftables();
    if (nftables) return Choice{true, "the kernel does not offer iptables"};
    return Error{Errc::unsupported,
                 cat("no way to program rules: iptables: ", iptables.error().message,
                     "; nftables: ", nftables.error().message,
                     "; load the kernel modules ip_tables, iptable_nat or nf_tables on the node, "
                     "and run with the capability NET_ADMIN")};
  }

  Status program() {
    auto choice = choose_backend();
    if (!choice) return std::move(choice).error();
    const auto backend = choice->nftables ? system_.nftables() : system_.iptables();
    const std::string name(backend->name());
    log(Level::info, "backend chosen",
        {{"BACKEND", name}, {"REASON", std::string(choice->reason)}});

    const auto ruleset = build();
    if (options_.cleanup_only) {
      // whichever backend an earlier run chose
      for (auto each : {&System::iptables, &System::nftables}) {
        auto present =
            each == &System::iptables ? system_.probe_iptables() : system_.probe_nftables();
        if (!present) continue;
        if (auto status = clean_up(*(system_.*each)(), ruleset); !status) return status;
      }
      return base::success();
    }
    if (auto status = reach(*backend, ruleset); !status)
      return std::move(status).error().wrap(name);
    if (auto status = system_.apply_routes(ruleset); !status)
      return std::move(status).error().wrap("configure routes");
    log(Level::info, "final rules:");
    const auto text = text_of(ruleset, choice->nftables);
    for (auto line : base::split_nonempty(text, '\n')) log(Level::info, line);
    return base::success();
  }

  Status clean_up(netfilter::Backend& backend, const redirect::Ruleset& ruleset) {
    if (auto status = backend.remove(ruleset); !status)
      return std::move(status).error().wrap(cat(backend.name(), ": remove the rules"));
    if (auto status = system_.remove_routes(ruleset); !status)
      return std::move(status).error().wrap("remove routes");
    log(Level::info, "rules removed", {{"BACKEND", std::string(backend.name())}});
    return base::success();
  }

  /// From what is there to `ruleset`.
  Status reach(netfilter::Backend& backend, const redirect::Ruleset& ruleset) {
    auto found = backend.compare(ruleset);
    if (!found) return std::move(found).error().wrap("read the present rules");
    if (found->equal() && !options_.force_apply) {
      log(Level::info, "the rules are in place already, nothing to apply");
      return base::success();
    }
    // nftables replaces its tables in one transaction, as the known program does
    const bool replaces = options_.reconcile || backend.name() == "nftables";
    if (!found->equal() && !found->absent && !replaces)
      return Error{Errc::mismatch,
                   cat("other redirection rules are in place, nothing was changed: ",
                       describe(found->differences),
                       "; use --reconcile to replace them, or --cleanup-only to remove them")};
    if (auto status = backend.apply(ruleset); !status)
      return std::move(status).error().wrap("apply the rules");
    auto applied = backend.compare(ruleset);
    if (!applied) return std::move(applied).error().wrap("read the rules back");
    if (!applied->equal())
      return Error{Errc::mismatch, cat("the kernel does not hold the rules that were applied: ",
                                       describe(applied->differences))};
    log(Level::info, found->equal()  ? "rules applied again (--force-apply)"
                     : found->absent ? "rules applied"
                                     : "rules replaced");
    return base::success();
  }

  static std::string describe(const std::vector<std::string>& differences) {
    const auto shown = std::min(differences.size(), differences_shown);
    std::vector<std::string> lines(differences.begin(),
                                   differences.begin() + static_cast<std::ptrdiff_t>(shown));
    if (shown < differences.size()) lines.push_back(cat(differences.size() - shown, " more"));
    return base::join(lines, "; ");
  }

  // --- validation ------------------------------------------------------------

  [[nodiscard]] std::vector<Family> families_to_validate() const {
    std::vector<Family> families{first_family_};
    if (options_.dual_stack && config_.ipv6)
      families.push_back(first_family_ == Family::v4 ? Family::v6 : Family::v4);
    return families;
  }

  bool validate() {
    for (auto family : families_to_validate()) {
      const std::string name = family == Family::v4 ? "IPv4" : "IPv6";
      const auto report = system_.run_probe(
          validate::ProbeConfig{family, config_.proxy_port, config_.inbound_capture_port,
                                options_.probe_port, options_.probe_timeout});
      for (const auto& attempt : report.attempts)
        log(report.ok() ? Level::info : Level::error, attempt, {{"FAMILY", name}});
      if (!report.ok()) {
        log(Level::error, cat("validation failed for ", name, ": ", report.failure, ". ",
                              validate::failure_advice()));
        return false;
      }
      log(Level::info, "validation passed", {{"FAMILY", name}});
    }
    return true;
  }

  const Options& options_;
  System& system_;
  redirect::Config config_;
  Family first_family_ = Family::v4;
};

}  // namespace

int run(const Options& options, System& system) { return Flow(options, system).run(); }

Level log_level(std::string_view output_level) {
  auto level = Level::info;
  for (auto part : base::split_nonempty(output_level, ',')) {
    const auto colon = part.find(':');
    const auto scope = colon == std::string_view::npos ? "default" : part.substr(0, colon);
    if (scope == "default" || scope == "all")
      level = logging::parse_level(colon == std::string_view::npos ? part : part.substr(colon + 1));
  }
  return level;
}

}  // namespace istio_iptables
