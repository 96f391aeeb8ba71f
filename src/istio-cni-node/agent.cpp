#include "istio-cni-node/agent.hpp"

#include <malloc.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "base/strings.hpp"
#include "install/discover.hpp"
#include "istio-cni-node/credential_provider.hpp"
#include "istio-cni-node/desired.hpp"
#include "istio-cni-node/endpoints.hpp"
#include "istio-cni-node/install_keeper.hpp"
#include "istio-cni-node/lookup_service.hpp"
#include "istio-cni-node/memory.hpp"
#include "istio-cni-node/metrics.hpp"
#include "istio-cni-node/plugin_versions.hpp"
#include "istio-cni-node/pod_cache.hpp"
#include "istio-cni-node/readiness.hpp"
#include "istio-cni-node/repair_service.hpp"
#include "istio-cni-node/service_manager.hpp"
#include "istio-cni-node/status_report.hpp"
#include "istio-cni-node/stop_decision.hpp"
#include "istio-cni-node/worker.hpp"
#include "kube/identity.hpp"
#include "log/message_id.hpp"

namespace istio_cni_node {
namespace {

namespace asio = boost::asio;
using base::cat;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A credential plugin that hangs does not hold up the installation.
constexpr milliseconds first_credential_wait{1000};
constexpr seconds upkeep_interval{10};
constexpr milliseconds stop_timeout{5000};
/// Until a manager that did not read is told again.
constexpr milliseconds notify_again{200};

class Agent {
 public:
  Agent(config::Loaded loaded, LoadConfig load, logging::Logger& log)
      : loaded_(std::move(loaded)),
        load_(std::move(load)),
        log_(log),
        worker_(io_),
        cache_(mesh_rules()),
        lookups_(cache_, metrics_, log_),
        repair_(io_, worker_, cache_, metrics_, log_),
        endpoints_(
            io_, log_,
            {[this] { return metrics_text(); }, [this]() -> const Health& { return health_; }}),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        upkeep_(io_),
        first_pass_(io_),
        watchdog_(io_),
        notify_(io_) {}

  int run() {
    log_.info(cat("istio-cni-node ", ICN_VERSION, " starting"));
    warn_of_configuration(loaded_);
    service_manager_.waits = [this] { tell_manager_later(); };
    wait_for_signal();
    feed_watchdog();
    discover();
    cache_.changed = [this] {
      tell_watch();
      note_changes();
    };
    repair_.changed = [this] { note_changes(); };
    lookups_.set_plugin_log_level(plugin_log_level());
    lookups_.report_status = [this] { return status(); };
    lookups_.describe = [this](agent::PodEntry& entry) { repair_.describe(entry); };
    start_api();
    start_lookup_server();
    endpoints_.configure(config());
    first_pass_.expires_after(first_credential_wait);
    first_pass_.async_wait([this](const boost::system::error_code& error) {
      if (!error) start_keeper();
    });
    arm_upkeep();
    io_.run();
    return 0;
  }

 private:
  [[nodiscard]] const config::Config& config() const { return loaded_.config; }

  [[nodiscard]] MeshRules mesh_rules() const {
    return {config().plugin.agent_namespace, config().plugin.exclude_namespaces,
            config().repair.sidecar_annotation};
  }

  [[nodiscard]] std::string plugin_log_level() const {
    return std::string(logging::to_string(config().plugin.log_level));
  }

  // --- installation

  void discover() {
    std::vector<std::string> warnings;
    found_ = install::discover(config().host_root, warnings);
    for (auto& warning : warnings)
      if (warning != discovery_warning_)
        log_.warn(discovery_warning_ = std::move(warning),
                  {{"MESSAGE_ID", message_id::runtime_configuration_ignored}});
  }

  void start_keeper() {
    if (keeper_) return;
    keeper_.emplace(
        io_, config().state_dir, log_,
        InstallKeeper::Hooks{
            [this] { return desired_installation(config(), found_, plugin_kubeconfig()); },
            [this](const install::Desired& desired, const install::Pass& pass) {
              passed(desired, pass);
            }});
    keeper_->check();
  }

  [[nodiscard]] std::optional<std::string> plugin_kubeconfig() const {
    const auto& reading = credentials_->last();
    if (!reading) return std::nullopt;
    return (*reading)->plugin_kubeconfig;
  }

  void passed(const install::Desired& desired, const install::Pass& pass) {
    using Result = Metrics::InstallResult;
    if (pass.failure) {
      switch (pass.failure->step) {
        case install::Step::binary:
          metrics_.install(Result::copy_binaries);
          break;
        case install::Step::kubeconfig:
          metrics_.install(Result::create_kubeconfig);
          break;
        case install::Step::conf:
          metrics_.install(Result::create_cni_config);
          break;
      }
    } else if (pass.ready && (pass.changed || !facts_.installed)) {
      metrics_.install(Result::success);
    }
    installed_.desired = desired;
    installed_.pass = pass;
    metrics_.plugin_versions(plugin_versions_.look(desired.bin_dirs));
    if (pass.foreign) {
      metrics_.foreign_rewrite(pass.peer);
      ++installed_.foreign_rewrites;
      installed_.last_foreign_rewrite = std::chrono::system_clock::now();
      installed_.last_peer = pass.peer;
    }
    facts_.installed = pass.ready && !pass.failure;
    facts_.in_list = pass.ready || pass.gated;
    facts_.installation = pass.failure ? cat("installation failed: ", pass.failure->error.message)
                                       : install::describe(desired, pass);
    facts_.first_pass_done = true;
    note_changes();
    service_manager_.ready();
    // a pod that starts now meets the plugin: the old ones may go
    repair_.node_ready(facts_.installed, facts_.installation);
  }

  // --- API server

  void start_api() {
    credentials_.emplace(worker_, config().api.kubeconfig, config().host_root);
    credentials_->changed = [this] { credential_changed(); };
    api_.emplace(io_, *credentials_);
    lookups_.use(&*api_);
    repair_.start(*api_, config(), node_name());
    credentials_->get([this](const auto&) {
      // the first reading is there, good or bad: nothing to wait for
      first_pass_.cancel();
      start_keeper();
      start_watch();
    });
  }

  void credential_changed() {
    const auto& reading = credentials_->last();
    if (reading) {
      if (facts_.credential) watch_with_credential();
      facts_.credential.reset();
      metrics_.credential_expires((*reading)->expires);
      log_.info(cat("credential: ", (*reading)->place.what, ", ", (*reading)->place.path),
                {{"API_SERVER", (*reading)->client.server}});
    } else {
      facts_.credential = reading.error();
      metrics_.credential_expires(std::nullopt);
      log_.warn(reading.error().message, {{"MESSAGE_ID", message_id::no_credential}});
    }
    if (keeper_) keeper_->check();
    if (watch_ && node_name() != watched_node_) {
      start_watch();
      repair_.configure(config(), watched_node_);
    }
    note_changes();
  }

  [[nodiscard]] std::string node_name() const {
    if (!config().api.node_name.empty()) return config().api.node_name;
    if (const auto& reading = credentials_->last(); reading && (*reading)->node_name)
      return *(*reading)->node_name;
    return kube::host_node_name();
  }

  /// What is said of the pods must not name a cause that is over.
  void watch_with_credential() {
    using Phase = kube::WatchState::Phase;
    const auto& watch = cache_.watch();
    if (!watch_ || watch.phase == Phase::watching) return;
    cache_.error_is_over();
    // at once, whatever its back-off was
    if (watch.phase == Phase::waiting && !watch.synced) start_watch();
  }

  void start_watch() {
    watched_node_ = node_name();
    kube::WatchOptions options;
    options.node_name = watched_node_;
    watch_.emplace(io_, *credentials_, std::move(options), cache_);
    watch_->start();
  }

  // --- servers

  void start_lookup_server() {
    auto server = LookupServer::start(io_, ServiceManager::activation_socket(),
                                      cat(config().run_dir, "/", agent::socket_name), {}, lookups_);
    if (server)
      lookup_server_.emplace(*std::move(server));
    else
      log_.error(cat("the plugin looks pods up without the agent: ", server.error().message),
                 {{"MESSAGE_ID", message_id::lookup_socket_failed}});
  }

  std::string metrics_text() {
    metrics_.api_requests(api_->requests());
    for (const auto& [doubt, pods] : repair_.unredirected())
      metrics_.unredirected(to_string(doubt), pods);
    if (watch_) metrics_.watch(watch_->state());
    return metrics_.text();
  }

  agent::Status status() {
    const kube::Credential* credential = nullptr;
    if (const auto& reading = credentials_->last()) credential = reading->get();
    return status_report({facts_, health_, changes_, installed_, credential, started_,
                          std::chrono::system_clock::now(), std::chrono::steady_clock::now(),
                          node_name(), config::to_string(config().install.mode),
                          config::to_string(config().repair.mode)});
  }

  // --- what is told

  void note_changes() {
    facts_.watch = cache_.watch();
    facts_.pods = cache_.size();
    facts_.in_mesh = cache_.in_mesh();
    facts_.repaired = repair_.repaired();
    facts_.held_back = repair_.held_back();
    const bool before = health_.ready;
    health_ = assess(facts_);
    if (facts_.first_pass_done && changes_.note(facts_, health_, std::chrono::system_clock::now()))
      tell_change(before);
    metrics_.install_ready(facts_.installed);
    metrics_.watch(facts_.watch);
    metrics_.pods(facts_.pods, facts_.in_mesh);
    if (stopping_) return;
    service_manager_.status(health_.sentence);
  }

  void warn_of_configuration(const config::Loaded& loaded) {
    for (const auto& warning : loaded.warnings)
      log_.warn(warning.text(), {{"MESSAGE_ID", message_id::configuration_warning}});
  }

  /// Once for each cause, and when it is over.
  void tell_watch() {
    using Phase = kube::WatchState::Phase;
    const auto& watch = cache_.watch();
    if (watch.phase == Phase::watching && !watch_error_.empty()) {
      watch_error_.clear();
      log_.info("pods of this node are watched again");
    } else if (watch.phase == Phase::waiting && watch.last_error &&
               watch.last_error->message != watch_error_) {
      watch_error_ = watch.last_error->message;
      log_.warn(cat("pods of this node are not watched: ", watch_error_),
                {{"MESSAGE_ID", message_id::pods_not_watched}});
    }
  }

  void tell_change(bool was_ready) {
    if (stopping_) return;
    const auto fields = readiness_fields(health_.ready, facts_.in_list);
    // what stays unready is told once as a warning
    const bool news = !health_.ready && (was_ready || changes_.changes().size() == 1);
    log_.write(news ? logging::Level::warn : logging::Level::info, health_.sentence, fields);
  }

  // --- time and signals

  void arm_upkeep() {
    upkeep_.expires_after(upkeep_interval);
    upkeep_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      credentials_->get(nullptr);  // a rotated one reaches the plugin's kubeconfig
      if (found_for_config()) {
        const auto before = found_;
        discover();
        if (keeper_ && (before.conf_dir != found_.conf_dir || before.bin_dirs != found_.bin_dirs))
          keeper_->check();
      }
      endpoints_.retry();
      give_back_heap();
      if (watch_ && settled_ != watch_->state().restarts + watch_->state().lists) {
        settled_ = watch_->state().restarts + watch_->state().lists;
        give_back_code();
      }
      arm_upkeep();
    });
  }

  [[nodiscard]] bool found_for_config() const {
    return config().install.cni_conf_dir.empty() || config().install.cni_bin_dirs.empty();
  }

  void feed_watchdog() {
    service_manager_.alive();
    const auto interval = ServiceManager::watchdog_interval();
    if (!interval) return;
    watchdog_.expires_after(*interval);
    watchdog_.async_wait([this](const boost::system::error_code& error) {
      if (!error) feed_watchdog();
    });
  }

  void tell_manager_later() {
    notify_.expires_after(notify_again);
    notify_.async_wait([this](const boost::system::error_code& error) {
      if (!error) service_manager_.retry();
    });
  }

  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      if (signal == SIGHUP) {
        if (!stopping_) reload();
      } else {
        stop(signal);
      }
      wait_for_signal();
    });
  }

  void reload() {
    service_manager_.reloading();
    auto outcome = load_();
    if (!outcome.problems.empty()) {
      for (const auto& problem : outcome.problems)
        log_.error(cat("configuration: ", problem.text()),
                   {{"MESSAGE_ID", message_id::configuration_refused}});
      log_.error("configuration not reloaded: the one from before stays in force");
      metrics_.reload(false);
    } else {
      apply(std::move(outcome.loaded));
      metrics_.reload(true);
    }
    service_manager_.reloaded();
  }

  void apply(config::Loaded loaded) {
    warn_of_configuration(loaded);
    const auto changes = config::differences(config(), loaded.config);
    if (changes.empty()) log_.info("configuration reloaded: nothing changed");
    for (const auto& change : changes) {
      const auto text = cat(change.key, ": ", change.from, " -> ", change.to);
      if (change.restart)
        log_.warn(cat("configuration: ", text, " takes effect at the next start"),
                  {{"MESSAGE_ID", message_id::configuration_needs_restart}});
      else
        log_.info(cat("configuration: ", text));
    }
    const auto before = std::exchange(loaded_, std::move(loaded)).config;
    // what only a restart can change stays as it was
    loaded_.config.run_dir = before.run_dir;
    loaded_.config.state_dir = before.state_dir;
    loaded_.config.host_root = before.host_root;

    log_.set_level(config().log_level);
    cache_.set_rules(mesh_rules());
    if (config().api != before.api) {
      watch_.reset();
      lookups_.use(nullptr);
      repair_.stop();
      api_.reset();
      start_api();
    } else {
      repair_.configure(config(), node_name());
    }
    lookups_.set_plugin_log_level(plugin_log_level());
    endpoints_.configure(config());
    discover();
    if (keeper_) keeper_->check();
  }

  // --- the end

  void stop(int signal) {
    if (stopping_) {  // asked twice: at once
      io_.stop();
      return;
    }
    stopping_ = true;
    service_manager_.stopping();
    service_manager_.status("Stopping");
    log_.info(cat("stopping on ", signal == SIGINT ? "SIGINT" : "SIGTERM"));
    if (keeper_) keeper_->stop();
    switch (config().install.on_stop) {
      case config::OnStop::keep:
        log_.info("the installation stays in place");
        io_.stop();
        return;
      case config::OnStop::remove:
        uninstall();
        return;
      case config::OnStop::automatic:
        ask_daemonset();
        return;
    }
  }

  void uninstall() {
    const auto result = install::uninstall(config().state_dir);
    for (const auto& line : result.done) log_.info(line);
    if (!result.done.empty() && !result.left_to_another)
      log_.info(taken_out, readiness_fields(false, false));
    for (const auto& failure : result.failures)
      log_.error(failure.message, {{"MESSAGE_ID", message_id::uninstall_incomplete}});
    io_.stop();
  }

  void ask_daemonset() {
    decide_stop(*api_, config().plugin.agent_namespace, node_name(),
                base::Deadline::after(stop_timeout), [this](const StopDecision& decision) {
                  log_.info(cat(decision.keep ? "the installation stays in place: "
                                              : "the installation is removed: ",
                                decision.why));
                  if (decision.keep)
                    io_.stop();
                  else
                    uninstall();
                });
  }

  asio::io_context io_{1};
  config::Loaded loaded_;
  LoadConfig load_;
  logging::Logger& log_;
  ServiceManager service_manager_;
  Metrics metrics_;
  Worker worker_;
  PodCache cache_;
  LookupService lookups_;
  RepairService repair_;
  Endpoints endpoints_;
  install::CniDirs found_;
  std::string discovery_warning_;
  std::string watched_node_;
  std::string watch_error_;  ///< told last
  const agent::Time started_ = std::chrono::system_clock::now();
  Facts facts_;
  Health health_;
  ChangeLog changes_;
  Installed installed_;
  PluginVersions plugin_versions_;
  bool stopping_ = false;
  std::uint64_t settled_ = 0;  ///< lists and watches, when memory was given back
  // each uses what stands above it
  std::optional<CredentialReader> credentials_;
  std::optional<kube::ApiClient> api_;
  std::optional<kube::PodWatch> watch_;
  std::optional<LookupServer> lookup_server_;
  std::optional<InstallKeeper> keeper_;
  asio::signal_set signals_;
  asio::steady_timer upkeep_;
  asio::steady_timer first_pass_;
  asio::steady_timer watchdog_;
  asio::steady_timer notify_;
};

}  // namespace

int run_agent(config::Loaded loaded, const LoadConfig& load, logging::Logger& log) {
  // one arena: the worker thread does not need its own, and memory stays small
  ::mallopt(M_ARENA_MAX, 1);
  Agent agent(std::move(loaded), load, log);
  return agent.run();
}

}  // namespace istio_cni_node
