#include "istio-cni/plugin.hpp"

#include <chrono>

#include "base/strings.hpp"
#include "cni/args.hpp"
#include "log/message_id.hpp"

namespace istio_cni {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using cni::Code;
using cni::Failure;
using redirect::Ruleset;
using Clock = std::chrono::steady_clock;

/// The agent has this long, and never more than a third of the time that is left.
constexpr std::chrono::milliseconds agent_limit{3000};

constexpr std::string_view gate_closed =
    "no primary network on this node yet: pods start once its configuration is in the CNI "
    "configuration folder (option gate of istio-cni-node)";

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

/// What journalctl -x explains: why the pod does not start, and what to do.
const char* message_of(const Failure& failure, bool gate) {
  switch (failure.code) {
    case Code::incompatible_version:
    case Code::decoding_failure:
    case Code::invalid_config:
      return message_id::network_configuration_bad;
    case Code::invalid_environment:
    case Code::invalid_namespace:
      return message_id::runtime_call_bad;
    case Code::try_again_later:
      return gate ? message_id::no_primary_network : message_id::pod_lookup_failed;
    case Code::bad_annotation:
      return message_id::pod_annotation_bad;
    case Code::kernel_unsupported:
      return message_id::kernel_lacks_feature;
    case Code::redirection_differs:
      return message_id::redirection_differs;
    default:
      return message_id::plugin_failed;
  }
}

std::int64_t micros_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

/// One ADD, CHECK or DEL: carries what the steps share and measures them.
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

  /// The command ends before it began, with this.
  Failure reject(Failure failure) {
    (void)identify();
    return *failed(std::move(failure));
  }

  /// DEL: the rules go with the namespace.
  void del() {
    (void)identify();
    tell("", nullptr);
  }

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

  /// Which pod it is, for the log and the agent too.
  std::optional<Failure> identify() {
    auto args = cni::parse_args(environment_.args);
    if (args) pod_ = PodRequest{args->pod_namespace, args->pod_name, args->pod_uid};
    set_log_context();
    if (!args) return Failure{Code::invalid_environment, args.error().message, ""};
    return std::nullopt;
  }

  Decided decide() {
    if (auto failure = identify()) return *std::move(failure);
    if (conf_.gate) return Failure{Code::try_again_later, std::string(gate_closed), ""};

    // before any file or server is touched: the agent's own pod must be able to
    // start when nothing works yet, and others need no lookup either
    if (auto skip = redirect::decide_by_name({pod_.name, pod_.name_space}, conf_.agent_namespace,
                                             conf_.exclude_namespaces))
      return *skip;
    if (auto status = edges_.open_namespace(environment_.netns); !status)
      return failure_of(status.error());

    const auto start = Clock::now();
    auto pod = look_up();
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
    auto decision = redirect::decide(*pod, redirect::host_input(getenv_));
    if (!decision)
      return Failure{Code::bad_annotation, decision.error().message,
                     "the pod cannot be redirected as it asks; correct it and create it again"};
    if (auto* skip = std::get_if<redirect::Skip>(&*decision)) return std::move(*skip);
    return std::get<redirect::RedirectPlan>(std::move(*decision));
  }

  /// Asks the agent, and the API server when that gives no pod.
  base::Result<pod::Pod> look_up() {
    auto pod = look_up_with_agent();
    if (pod) {
      lookup_from_ = "agent";
      return pod;
    }
    const auto& why = pod.error();
    // no agent is a way to run the plugin; one that gives no answer is worth knowing
    log_.write(why.code == Errc::not_found ? logging::Level::debug : logging::Level::info,
               cat("no answer from the agent, asking the API server: ", why.message),
               {{"MESSAGE_ID", message_id::agent_not_answering}});
    auto found = edges_.find_pod(conf_, pod_, deadline_, [this](int attempt, const Error& error) {
      if (attempt == 1) log_.warn(cat("pod lookup failed, trying again: ", error.message));
    });
    if (found) lookup_from_ = "api";
    return found;
  }

  base::Result<pod::Pod> look_up_with_agent() {
    auto answer =
        edges_.ask_agent(conf_, pod_, deadline_.at_most(deadline_.left() / 3).at_most(agent_limit));
    if (!answer) return std::move(answer).error();
    if (!answer->log_level.empty()) log_.set_level(logging::parse_level(answer->log_level));
    if (auto* error = std::get_if<Error>(&answer->pod)) {
      // not_found is kept for an agent that is not there
      if (error->code == Errc::not_found) error->code = Errc::unavailable;
      return std::move(*error);
    }
    auto& pod = std::get<pod::Pod>(answer->pod);
    if (pod.name != pod_.name || pod.name_space != pod_.name_space ||
        (!pod_.uid.empty() && pod.uid != pod_.uid))
      return Error{Errc::mismatch, cat("it answers for pod ", pod.name_space, "/", pod.name,
                                       " with uid ", base::quote(pod.uid))};
    return std::move(pod);
  }

  /// Into the namespace, and the rules that belong there.
  std::variant<Failure, Ruleset> enter(redirect::RedirectPlan& plan) {
    warn(plan.warnings);
    if (auto status = edges_.resolve_owners(plan.config); !status)
      return failure_of(status.error());
    if (auto status = edges_.enter_namespace(); !status) return failure_of(status.error());
    auto host_ip = edges_.host_ip(plan.dual_stack);
    if (!host_ip) return failure_of(host_ip.error());
    plan.config.ipv6 = host_ip->ipv6;
    auto ruleset = redirect::build_ruleset(plan.config);
    warn(ruleset.warnings);
    return ruleset;
  }

  base::Status program(const Ruleset& ruleset) {
    return redirection::program(edges_.kernel(), ruleset, conf_.backend, trace_);
  }

  base::Status verify(const Ruleset& ruleset) {
    return redirection::verify(edges_.kernel(), ruleset, conf_.backend, trace_);
  }

  void warn(const std::vector<std::string>& warnings) {
    for (const auto& warning : warnings)
      log_.warn(warning, {{"MESSAGE_ID", message_id::pod_setting_ignored}});
  }

  Failure failure_of(const Error& error) const {
    return Failure{code_of(error),
                   cat("pod ", pod_.name_space, "/", pod_.name, ": ", error.message), ""};
  }

  std::optional<Failure> failed(Failure failure) {
    report(logging::Level::error, failure.message, "failed", &failure);
    return failure;
  }

  std::optional<Failure> skipped(const redirect::Skip& skip) {
    // every plain container passes here: not worth a line at the default level
    const auto level = skip.reason == redirect::SkipReason::not_kubernetes ? logging::Level::debug
                                                                           : logging::Level::info;
    report(level, cat("pod left as it is: ", skip.detail), redirect::to_string(skip.reason));
    return std::nullopt;
  }

  /// How the command ends: once for the log, once for the agent.
  void report(logging::Level level, std::string_view message, std::string_view decision,
              const Failure* failure = nullptr) {
    logging::Fields fields{{"DECISION", std::string(decision)}};
    if (failure != nullptr) {
      fields.emplace_back("ERROR_CODE", cat(static_cast<int>(failure->code)));
      fields.emplace_back("MESSAGE_ID", message_of(*failure, conf_.gate));
    }
    if (!trace_.backend.empty()) fields.emplace_back("BACKEND", trace_.backend);
    if (!trace_.backend_reason.empty())
      fields.emplace_back("BACKEND_REASON", trace_.backend_reason);
    fields.emplace_back("DURATION_US", cat(micros_since(start_)));
    if (!lookup_from_.empty()) fields.emplace_back("LOOKUP_FROM", lookup_from_);
    if (lookup_micros_ >= 0) fields.emplace_back("LOOKUP_US", cat(lookup_micros_));
    if (trace_.rules.count() >= 0) fields.emplace_back("RULES_US", cat(trace_.rules.count()));
    if (trace_.verify.count() >= 0) fields.emplace_back("VERIFY_US", cat(trace_.verify.count()));
    log_.write(level, message, fields);
    tell(decision, failure);
  }

  void tell(std::string_view decision, const Failure* failure) {
    agent::Outcome outcome;
    outcome.command = to_string(environment_.command);
    outcome.decision = decision;
    outcome.result = failure == nullptr ? "success" : "error";
    if (failure != nullptr) {
      outcome.error_code = static_cast<int>(failure->code);
      outcome.message = failure->message;
    }
    outcome.backend = trace_.backend;
    outcome.name_space = pod_.name_space;
    outcome.name = pod_.name;
    outcome.uid = pod_.uid;
    outcome.container_id = environment_.container_id;
    outcome.netns = environment_.netns;
    outcome.lookup = lookup_from_;
    outcome.total = std::chrono::microseconds(micros_since(start_));
    const auto time = [](std::int64_t micros) -> std::optional<std::chrono::microseconds> {
      if (micros < 0) return std::nullopt;
      return std::chrono::microseconds(micros);
    };
    outcome.lookup_time = time(lookup_micros_);
    outcome.rules_time = time(trace_.rules.count());
    outcome.verify_time = time(trace_.verify.count());
    edges_.tell(conf_, outcome);
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
  redirection::Trace trace_;
  std::string lookup_from_;
  std::int64_t lookup_micros_ = -1;
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

/// The command, with its configuration read.
Outcome execute(const cni::Environment& environment, const cni::Netconf& conf,
                const cni::Getenv& getenv, Edges& edges, logging::Logger& log) {
  const auto version = conf.version.text();
  Request request(environment, conf, getenv, edges, log);
  switch (environment.command) {
    case cni::Command::add: {
      // a prevResult that could not be printed must fail before anything is done
      auto result = cni::result_json(conf);
      if (auto* failure = std::get_if<Failure>(&result))
        return fail(request.reject(std::move(*failure)), version);
      if (auto failure = request.add()) return fail(*failure, version);
      return Outcome{std::get<std::string>(std::move(result)), "", 0};
    }
    case cni::Command::check: {
      if (auto failure = needs_version(conf, "0.4.0", environment.command))
        return fail(request.reject(*std::move(failure)), version);
      if (auto failure = request.check()) return fail(*failure, version);
      return Outcome{};
    }
    case cni::Command::del:
      request.del();
      return Outcome{};
    case cni::Command::gc:
      if (auto failure = needs_version(conf, "1.1.0", environment.command))
        return fail(*failure, version);
      return Outcome{};
    case cni::Command::status:
      if (auto failure = needs_version(conf, "1.1.0", environment.command))
        return fail(*failure, version);
      if (conf.gate)
        return fail(Failure{Code::not_available, std::string(gate_closed), ""}, version);
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

/// In one piece in the file, where the agent finds the version of what is installed.
[[gnu::used]] constexpr char introduction[] =
    "CNI plugin istio-cni " ICN_VERSION "\nCNI protocol versions supported: ";

}  // namespace

Outcome run(const cni::Getenv& getenv, const std::function<base::Result<std::string>()>& read_stdin,
            Edges& edges, logging::Logger& log) {
  const auto parsed = cni::parse_environment(getenv);
  if (parsed.about) {
    std::string about(introduction);
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
    log.error(failure->message, {{"CNI_COMMAND", std::string(to_string(environment.command))},
                                 {"MESSAGE_ID", message_of(*failure, false)}});
    return fail(*failure);
  }
  const auto& conf = std::get<cni::Netconf>(netconf);
  log.set_level(logging::parse_level(conf.log_level));
  auto outcome = execute(environment, conf, getenv, edges, log);
  outcome.run_dir = conf.run_dir;
  return outcome;
}

}  // namespace istio_cni
