#include "istio-cni-node/repair_service.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <set>
#include <utility>

#include "base/environment.hpp"
#include "base/strings.hpp"
#include "log/message_id.hpp"
#include "repair/api_adapter.hpp"
#include "repair/controller.hpp"

namespace istio_cni_node {
namespace {

namespace asio = boost::asio;
using base::cat;

/// The state on disk. Written by whoever comes, the newest content only: a write
/// that was slow never follows a newer one.
class StateFile {
 public:
  explicit StateFile(std::string path) : path_(std::move(path)) {}

  void set(std::string json) {
    const std::lock_guard lock(content_);
    unwritten_ = std::move(json);
  }
  /// Writes what is not there yet; blocks on the disk.
  base::Status write() {
    const std::lock_guard file(file_);
    std::optional<std::string> json;
    {
      const std::lock_guard lock(content_);
      json = std::exchange(unwritten_, std::nullopt);
    }
    return json ? repair::save_state(path_, *json) : base::success();
  }

 private:
  const std::string path_;
  std::mutex file_;
  std::mutex content_;
  std::optional<std::string> unwritten_;
};

/// What makes a pod a broken one, whether or not it is to be repaired.
std::optional<repair::Criteria> criteria_of_any_pod(config::Repair repair) {
  repair.label_selectors.clear();
  repair.field_selectors.clear();
  auto criteria = repair::make_criteria(repair);
  return criteria ? std::optional(*std::move(criteria)) : std::nullopt;
}

repair::InPlaceOptions in_place_options(const config::Config& config) {
  repair::InPlaceOptions options;
  options.places = repair::places_below(config.host_root);
  options.backend = config.plugin.backend;
  options.host = redirect::host_input(base::environment);
  options.agent_namespace = config.plugin.agent_namespace;
  options.exclude_namespaces = config.plugin.exclude_namespaces;
  return options;
}

}  // namespace

struct RepairService::Impl : repair::Jobs,
                             repair::Clock,
                             std::enable_shared_from_this<RepairService::Impl> {
  Impl(asio::io_context& context, Worker& disk, PodCache& pods, Metrics& numbers,
       logging::Logger& logger)
      : io(context), files(disk), cache(pods), metrics(numbers), log(logger), timer(context) {}

  // repair::Jobs
  void repair(const pod::Pod& pod, const std::string& netns_hint,
              std::function<void(repair::InPlaceReport)> done) override;
  // repair::Clock
  [[nodiscard]] repair::Time now() const override { return std::chrono::system_clock::now(); }
  void wake_at(repair::Time when) override;

  void begin(const config::Config& config, std::string node_name);
  void tell(const CachedPod& pod);
  void replay();
  void save(std::string json, std::function<void()> then);
  void tell_change();
  [[nodiscard]] repair::Hooks hooks();

  asio::io_context& io;
  Worker& files;
  PodCache& cache;
  Metrics& metrics;
  logging::Logger& log;
  asio::steady_timer timer;
  std::function<void()> changed;
  std::shared_ptr<StateFile> file;     ///< the writing thread has it too
  std::optional<repair::State> state;  ///< of the controller before; empty: still on disk
  bool telling = false;
  std::optional<std::pair<bool, std::string>> node;
  repair::InPlaceOptions options;
  std::optional<repair::Criteria> any_pod;  ///< selectors aside
  std::optional<Worker> namespaces;         ///< made when first needed
  std::optional<repair::ApiAdapter> api;
  std::optional<repair::Controller> controller;
};

void RepairService::Impl::repair(const pod::Pod& pod, const std::string& netns_hint,
                                 std::function<void(repair::InPlaceReport)> done) {
  if (!namespaces) namespaces.emplace(io);
  namespaces->run([pod, netns_hint, settings = options, done = std::move(done)] {
    return [done, report = repair::repair_in_place(pod, netns_hint, settings)] { done(report); };
  });
}

void RepairService::Impl::wake_at(repair::Time when) {
  const auto wait = std::max<repair::Time::duration>(when - now(), {});
  timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(wait));
  timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && self->controller) self->controller->tick();
  });
}

repair::Hooks RepairService::Impl::hooks() {
  repair::Hooks hooks;
  hooks.log = [this](logging::Level level, std::string_view message,
                     const logging::Fields& fields) { log.write(level, message, fields); };
  hooks.repaired = [this](std::string_view type, std::string_view result) {
    metrics.repaired(type, result);
  };
  hooks.held_back = [this](std::string_view reason) { metrics.repair_held_back(reason); };
  hooks.duration = [this](std::chrono::duration<double> time) {
    metrics.repair_took(std::chrono::duration_cast<std::chrono::milliseconds>(time));
  };
  hooks.save = [this](std::string json, std::function<void()> then) {
    save(std::move(json), std::move(then));
  };
  hooks.changed = [this] { tell_change(); };
  return hooks;
}

/// Once for all that changes together: many pods may break at the same moment.
void RepairService::Impl::tell_change() {
  if (std::exchange(telling, true)) return;
  asio::post(io, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->telling = false;
    if (self->changed) self->changed();
  });
}

void RepairService::Impl::begin(const config::Config& config, std::string node_name) {
  options = in_place_options(config);
  any_pod = criteria_of_any_pod(config.repair);
  if (!file) {
    const auto path = cat(config.state_dir, "/", repair::state_file_name);
    file = std::make_shared<StateFile>(path);
    auto loaded = repair::load_state(path);
    if (!loaded)
      log.warn(cat("what was repaired before is not known: ", loaded.error().message),
               {{"MESSAGE_ID", message_id::repair_record_failed}});
    state = loaded ? *std::move(loaded) : repair::State{};
  }
  auto criteria = repair::make_criteria(config.repair);
  if (!criteria) {
    log.error(cat("pods are not repaired: ", criteria.error().message));
    return;
  }
  controller.emplace(config.repair, *std::move(criteria), std::move(node_name),
                     *std::exchange(state, std::nullopt), *api, *this, *this, hooks());
  if (node) controller->node_ready(node->first, node->second);
  replay();
}

void RepairService::Impl::tell(const CachedPod& pod) {
  if (controller) controller->pod_changed(pod.pod, pod.redirection ? pod.redirection->netns : "");
}

void RepairService::Impl::replay() {
  cache.for_each([this](const CachedPod& pod) { tell(pod); });
}

void RepairService::Impl::save(std::string json, std::function<void()> then) {
  file->set(std::move(json));
  files.run([weak = weak_from_this(), to = file, then = std::move(then)] {
    return [weak, then, outcome = to->write()] {
      const auto self = weak.lock();
      if (!self) return;
      if (!outcome)
        self->log.warn(cat("a restart may repeat a repair: ", outcome.error().message),
                       {{"MESSAGE_ID", message_id::repair_record_failed}});
      if (then) then();
    };
  });
}

RepairService::RepairService(asio::io_context& io, Worker& files, PodCache& cache, Metrics& metrics,
                             logging::Logger& log)
    : impl_(std::make_shared<Impl>(io, files, cache, metrics, log)) {
  impl_->changed = [this] {
    if (changed) changed();
  };
  auto* impl = impl_.get();
  cache.pod_changed = [impl](const CachedPod& pod) { impl->tell(pod); };
  cache.pod_removed = [impl](const std::string& uid) {
    if (impl->controller) impl->controller->pod_removed(uid);
  };
  cache.listed = [impl] {
    if (!impl->controller) return;
    std::set<std::string> uids;
    impl->cache.for_each([&](const CachedPod& pod) { uids.insert(pod.pod.uid); });
    impl->controller->listed(uids);
  };
}

RepairService::~RepairService() {
  impl_->cache.pod_changed = nullptr;
  impl_->cache.pod_removed = nullptr;
  impl_->cache.listed = nullptr;
  impl_->timer.cancel();
  impl_->changed = nullptr;
  // the worker drops what it has not begun
  if (impl_->file) (void)impl_->file->write();
}

void RepairService::start(kube::ApiClient& api, const config::Config& config,
                          std::string node_name) {
  stop();
  impl_->api.emplace(api);
  impl_->begin(config, std::move(node_name));
}

void RepairService::stop() {
  if (impl_->controller) impl_->state = impl_->controller->state();
  impl_->controller.reset();
  impl_->api.reset();
}

void RepairService::configure(const config::Config& config, std::string node_name) {
  if (!impl_->controller) {
    if (impl_->api) impl_->begin(config, std::move(node_name));
    return;
  }
  impl_->options = in_place_options(config);
  impl_->any_pod = criteria_of_any_pod(config.repair);
  auto criteria = repair::make_criteria(config.repair);
  if (!criteria) return;  // the configuration's own check has refused it
  impl_->controller->configure(config.repair, *std::move(criteria), std::move(node_name));
  impl_->replay();
}

void RepairService::node_ready(bool ready, std::string reason) {
  impl_->node = {ready, reason};
  if (impl_->controller) impl_->controller->node_ready(ready, std::move(reason));
}

std::map<Doubt, std::size_t> RepairService::unredirected() const {
  std::map<Doubt, std::size_t> counted{
      {Doubt::broken, 0}, {Doubt::add_failed, 0}, {Doubt::unproven, 0}};
  if (!impl_->any_pod) return counted;
  const auto* records = impl_->controller ? &impl_->controller->state().pods : nullptr;
  impl_->cache.for_each([&](const CachedPod& pod) {
    const repair::Record* record = nullptr;
    if (records != nullptr)
      if (const auto found = records->find(pod.pod.uid); found != records->end())
        record = &found->second;
    const auto broken = repair::find_broken(pod.pod, *impl_->any_pod);
    if (const auto one = doubt(pod, broken, record, impl_->any_pod->container)) ++counted[*one];
  });
  return counted;
}

std::uint64_t RepairService::repaired() const {
  return impl_->controller ? impl_->controller->repaired() : 0;
}

std::uint64_t RepairService::held_back() const {
  return impl_->controller ? impl_->controller->held() : 0;
}

void RepairService::describe(agent::PodEntry& entry) const {
  if (!impl_->controller) return;
  const auto& records = impl_->controller->state().pods;
  if (const auto record = records.find(entry.uid); record != records.end())
    entry.repair = {record->second.at, std::string(to_string(record->second.deed)),
                    record->second.attempts};
  if (auto held = impl_->controller->held(entry.uid)) {
    entry.held_reason = std::move(held->reason);
    entry.held_text = std::move(held->text);
  }
}

}  // namespace istio_cni_node
