#include "istio-cni/plugin.hpp"

#include <chrono>

#include "base/strings.hpp"
#include "cni/args.hpp"

namespace istio_cni {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using cni::Code;
using cni::Failure;
using redirect::Ruleset;
using Clock = std::chrono::steady_clock;

Code code_of(const Error& error) {
  switch (error.code) {
    case Errc::unsupported:
      return Code::kernel_unsupported;
    case Errc::mismatch:
      return Code::redirection_differs;
    case Errc::refused:
      return Code::invalid_namespace;
    default:
      return Code::internal;
  }
}

std::int64_t micros_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

/// One ADD or CHECK: carries what the steps share and measures them.
class Request {
 public:
  Request(const cni::Environment& environment, const cni::Netconf& conf, const cni::Getenv& getenv,
          Edges& edges, logging::Logger& log)
      : environment_(environment),
        conf_(conf),
        getenv_(getenv),
        edges_(edges),
        log_(log),
        start_(Clock::now()),
        deadline_(base::Deadline::after(conf.timeout)) {}

  /// ADD: nothing means success, and the previous result is to be printed.
  std::optional<Failure> add() {
    auto decision = decide();
    if (auto* failure = std::get_if<Failure>(&decision)) return failed(std::move(*failure));
    if (auto* skip = std::get_if<redirect::Skip>(&decision)) return skipped(*skip);
    auto ruleset = enter(std::get<redirect::RedirectPlan>(decision));
    if (auto* failure = std::get_if<Failure>(&ruleset)) return failed(std::move(*failure));
    if (auto status = program(std::get<Ruleset>(ruleset)); !status)
      return failed(failure_of(status.error()));
    report(logging::Level::info, "pod redirected", "redirect");
    return std::nullopt;
  }

  /// CHECK: the namespace still holds exactly what ADD would make.
  std::optional<Failure> check() {
    auto decision = decide();
    if (auto* failure = std::get_if<Failure>(&decision)) return failed(std::move(*failure));
    if (auto* skip = std::get_if<redirect::Skip>(&decision)) return skipped(*skip);
    auto ruleset = enter(std::get<redirect::RedirectPlan>(decision));
    if (auto* failure = std::get_if<Failure>(&ruleset)) return failed(std::move(*failure));
    if (auto status = verify(std::get<Ruleset>(ruleset)); !status)
      return failed(failure_of(status.error()));
    report(logging::Level::info, "redirection verified", "redirect");
    return std::nullopt;
  }

 private:
  using Decided = std::variant<Failure, redirect::Skip, redirect::RedirectPlan>;

  Decided decide() {
    auto args = cni::parse_args(environment_.args);
    if (!args) return Failure{Code::invalid_environment, args.error().message, ""};
    pod_ = PodRequest{args->pod_namespace, args->pod_name, args->pod_uid};
    set_log_context();

    // before any file or server is touched: the agent's own pod must be able to
    // start when nothing works yet, and others need no lookup either
    if (auto skip = redirect::decide_by_name({pod_.name, pod_.name_space}, conf_.agent_namespace,
                                             conf_.exclude_namespaces))
      return *skip;
    if (auto status = edges_.check_namespace(environment_.netns); !status)
      return failure_of(status.error());

    const auto start = Clock::now();
    auto pod = edges_.find_pod(conf_, pod_, deadline_, [this](int attempt, const Error& error) {
      if (attempt == 1) log_.warn(cat("pod lookup failed, trying again: ", error.message));
    });
    lookup_micros_ = micros_since(start);
    if (!pod)
      return Failure{
          Code::try_again_later,
          cat("cannot look up pod ", pod_.name_space, "/", pod_.name, ": ", pod.error().message),
          ""};
    if (pod_.uid.empty()) {
      pod_.uid = pod->uid;
      set_log_context();
    }
    redirect::HostInput host;
    if (auto value = getenv_("ISTIO_OUTBOUND_OWNER_GROUPS")) host.owner_groups_include = *value;
    if (auto value = getenv_("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"))
      host.owner_groups_exclude = *value;
    if (auto value = getenv_("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR")) host.loopback_cidr = *value;
    auto decision = redirect::decide(*pod, host);
    if (!decision)
      return Failure{Code::bad_annotation, decision.error().message,
                     "the pod cannot be redirected as it asks; correct it and create it again"};
    if (auto* skip = std::get_if<redirect::Skip>(&*decision)) return std::move(*skip);
    return std::get<redirect::RedirectPlan>(std::move(*decision));
  }

  /// Into the namespace, and the rules that belong there.
  std::variant<Failure, Ruleset> enter(redirect::RedirectPlan& plan) {
    for (const auto& warning : plan.warnings) log_.warn(warning);
    if (auto status = edges_.resolve_owners(plan.config); !status)
      return failure_of(status.error());
    if (auto status = edges_.enter_namespace(environment_.netns); !status)
      return failure_of(status.error());
    auto host_ip = edges_.host_ip(plan.dual_stack);
    if (!host_ip) return failure_of(host_ip.error());
    plan.config.ipv6 = host_ip->ipv6;
    auto ruleset = redirect::build_ruleset(plan.config);
    for (const auto& warning : ruleset.warnings) log_.warn(warning);
    return ruleset;
  }

  struct Choice {
    netfilter::Backend* backend;
    std::string reason;
    bool may_fall_back = false;
  };

  base::Result<Choice> choose() {
    auto legacy = edges_.legacy_rules_present();
    if (!legacy) return legacy.error();
    legacy_present_ = *legacy;
    switch (conf_.backend) {
      case cni::BackendChoice::nftables:
        return Choice{&edges_.nftables(), "configured"};
      case cni::BackendChoice::iptables:
        return Choice{&edges_.iptables(), "configured"};
      case cni::BackendChoice::automatic:
        break;
    }
    if (*legacy) return Choice{&edges_.iptables(), "legacy iptables rules in the namespace"};
    if (auto status = edges_.probe_nftables(); !status)
      return Choice{&edges_.iptables(), status.error().message};
    return Choice{&edges_.nftables(), "offered by the kernel", true};
  }

  base::Status program(const Ruleset& ruleset) {
    const auto start = Clock::now();
    auto choice = choose();
    if (!choice) return choice.error();
    auto status = choice->backend->apply(ruleset);
    if (!status && choice->may_fall_back && status.error().code == Errc::unsupported) {
      choice = Choice{&edges_.iptables(), status.error().message};
      status = choice->backend->apply(ruleset);
    }
    if (!status) return std::move(status).error().wrap(choice->backend->name());
    // what another backend left here would redirect a second time
    if (choice->backend != &edges_.nftables()) {
      if (edges_.probe_nftables().ok())
        if (auto removed = edges_.nftables().remove(ruleset); !removed) return removed;
    } else if (legacy_present_) {
      if (auto removed = edges_.iptables().remove(ruleset); !removed) return removed;
    }
    if (auto routed = edges_.apply_routes(ruleset); !routed) return routed;
    rules_micros_ = micros_since(start);
    backend_ = choice->backend->name();
    backend_reason_ = choice->reason;

    const auto verify_start = Clock::now();
    auto verified = verify_with(*choice->backend, ruleset);
    verify_micros_ = micros_since(verify_start);
    return verified;
  }

  base::Status verify(const Ruleset& ruleset) {
    const auto start = Clock::now();
    auto choice = choose();
    if (!choice) return choice.error();
    auto* backend = choice->backend;
    // ADD may have chosen nftables before somebody else's legacy rules came
    if (conf_.backend == cni::BackendChoice::automatic && legacy_present_ &&
        edges_.probe_nftables().ok()) {
      auto held = edges_.nftables().compare(ruleset);
      if (held && !held->absent) backend = &edges_.nftables();
    }
    backend_ = backend->name();
    auto status = verify_with(*backend, ruleset);
    verify_micros_ = micros_since(start);
    return status;
  }

  base::Status verify_with(netfilter::Backend& backend, const Ruleset& ruleset) {
    auto comparison = backend.compare(ruleset);
    if (!comparison) return std::move(comparison).error().wrap("read the rules back");
    auto differences = std::move(comparison->differences);
    auto routes = edges_.compare_routes(ruleset);
    if (!routes) return std::move(routes).error().wrap("read the routes back");
    differences.insert(differences.end(), routes->begin(), routes->end());
    if (differences.empty()) return base::success();
    constexpr std::size_t shown = 10;
    std::string text = comparison->absent ? "no redirection in the namespace"
                                          : "the namespace does not hold the expected redirection";
    for (std::size_t i = 0; i < differences.size() && i < shown; ++i)
      text.append(cat(i == 0 ? ": " : "; ", differences[i]));
    if (differences.size() > shown) text.append(cat("; and ", differences.size() - shown, " more"));
    return Error{Errc::mismatch, std::move(text)};
  }

  Failure failure_of(const Error& error) const {
    return Failure{code_of(error),
                   cat("pod ", pod_.name_space, "/", pod_.name, ": ", error.message), ""};
  }

  std::optional<Failure> failed(Failure failure) {
    report(logging::Level::error, failure.message, "failed",
           {{"ERROR_CODE", cat(static_cast<int>(failure.code))}});
    return failure;
  }

  std::optional<Failure> skipped(const redirect::Skip& skip) {
    // every plain container passes here: not worth a line at the default level
    const auto level = skip.reason == redirect::SkipReason::not_kubernetes ? logging::Level::debug
                                                                           : logging::Level::info;
    report(level, cat("pod left as it is: ", skip.detail), redirect::to_string(skip.reason));
    return std::nullopt;
  }

  void report(logging::Level level, std::string_view message, std::string_view decision,
              logging::Fields fields = {}) {
    fields.insert(fields.begin(), {"DECISION", std::string(decision)});
    if (!backend_.empty()) fields.emplace_back("BACKEND", backend_);
    if (!backend_reason_.empty()) fields.emplace_back("BACKEND_REASON", backend_reason_);
    fields.emplace_back("DURATION_US", cat(micros_since(start_)));
    if (lookup_micros_ >= 0) fields.emplace_back("LOOKUP_US", cat(lookup_micros_));
    if (rules_micros_ >= 0) fields.emplace_back("RULES_US", cat(rules_micros_));
    if (verify_micros_ >= 0) fields.emplace_back("VERIFY_US", cat(verify_micros_));
    log_.write(level, message, fields);
  }

  void set_log_context() {
    logging::Fields fields{{"CNI_COMMAND", std::string(to_string(environment_.command))},
                           {"CONTAINER_ID", environment_.container_id},
                           {"NETNS", environment_.netns}};
    if (!pod_.name_space.empty()) fields.emplace_back("POD_NAMESPACE", pod_.name_space);
    if (!pod_.name.empty()) fields.emplace_back("POD_NAME", pod_.name);
    if (!pod_.uid.empty()) fields.emplace_back("POD_UID", pod_.uid);
    log_.set_context(std::move(fields));
  }

  const cni::Environment& environment_;
  const cni::Netconf& conf_;
  const cni::Getenv& getenv_;
  Edges& edges_;
  logging::Logger& log_;
  const Clock::time_point start_;
  const base::Deadline deadline_;
  PodRequest pod_;
  bool legacy_present_ = false;
  std::string backend_;
  std::string backend_reason_;
  std::int64_t lookup_micros_ = -1;
  std::int64_t rules_micros_ = -1;
  std::int64_t verify_micros_ = -1;
};

std::optional<Failure> needs_version(const cni::Netconf& conf, std::string_view oldest,
                                     cni::Command command) {
  if (!(conf.version < *cni::Version::parse(oldest))) return std::nullopt;
  return Failure{Code::incompatible_version,
                 cat("incompatible CNI versions: ", to_string(command), " needs cniVersion ",
                     oldest, " or later, the configuration has ", conf.version.text()),
                 ""};
}

Outcome fail(const Failure& failure, std::string_view version = {}) {
  return Outcome{cni::failure_json(failure, version), "", 1};
}

}  // namespace

Outcome run(const cni::Getenv& getenv, const std::function<base::Result<std::string>()>& read_stdin,
            Edges& edges, logging::Logger& log) {
  const auto parsed = cni::parse_environment(getenv);
  if (parsed.about) {
    std::string about = "CNI plugin istio-cni " ICN_VERSION "\nCNI protocol versions supported: ";
    for (auto version : cni::supported_versions())
      about.append(cat(version == cni::supported_versions().front() ? "" : ", ", version));
    return Outcome{"", about + "\n", 0};
  }
  if (parsed.failure) return fail(*parsed.failure);
  const auto& environment = parsed.environment;
  if (environment.command == cni::Command::version) return Outcome{cni::version_json(), "", 0};

  auto input = read_stdin();
  if (!input) return fail(Failure{Code::decoding_failure, input.error().message, ""});
  auto netconf = cni::parse_netconf(*input);
  if (auto* failure = std::get_if<Failure>(&netconf)) {
    log.error(failure->message, {{"CNI_COMMAND", std::string(to_string(environment.command))}});
    return fail(*failure);
  }
  const auto& conf = std::get<cni::Netconf>(netconf);
  log.set_level(logging::parse_level(conf.log_level));
  const auto version = conf.version.text();

  switch (environment.command) {
    case cni::Command::add: {
      // a prevResult that could not be printed must fail before anything is done
      auto result = cni::result_json(conf);
      if (auto* failure = std::get_if<Failure>(&result)) return fail(*failure, version);
      if (auto failure = Request(environment, conf, getenv, edges, log).add())
        return fail(*failure, version);
      return Outcome{std::get<std::string>(std::move(result)), "", 0};
    }
    case cni::Command::check: {
      if (auto failure = needs_version(conf, "0.4.0", environment.command))
        return fail(*failure, version);
      if (auto failure = Request(environment, conf, getenv, edges, log).check())
        return fail(*failure, version);
      return Outcome{};
    }
    case cni::Command::del:
      // the rules go with the namespace
      return Outcome{};
    case cni::Command::gc:
      if (auto failure = needs_version(conf, "1.1.0", environment.command))
        return fail(*failure, version);
      return Outcome{};
    case cni::Command::status:
      if (auto failure = needs_version(conf, "1.1.0", environment.command))
        return fail(*failure, version);
      if (auto status = edges.lookup_ready(conf, base::Deadline::after(conf.timeout)); !status)
        return fail(
            Failure{Code::not_available, cat("ADD would fail now: ", status.error().message), ""},
            version);
      return Outcome{};
    case cni::Command::version:
      break;
  }
  return Outcome{};
}

}  // namespace istio_cni
