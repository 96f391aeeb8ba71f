#include "istio-cni-node/install_keeper.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/strings.hpp"
#include "install/watcher.hpp"
#include "log/message_id.hpp"

namespace istio_cni_node {
namespace {

namespace asio = boost::asio;
using base::cat;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds rescan{60};      ///< when inotify works
constexpr std::chrono::seconds fast_rescan{1};  ///< when it does not

std::vector<std::string> watched_paths(const install::Desired& desired) {
  std::vector<std::string> paths{desired.conf_dir, desired.plugin_binary, desired.kubeconfig_path};
  for (const auto& dir : desired.bin_dirs) paths.push_back(cat(dir, "/", cni::plugin_type));
  return paths;
}

}  // namespace

struct InstallKeeper::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& context, const std::string& state_dir, logging::Logger& logger,
       Hooks the_hooks)
      : log(logger),
        hooks(std::move(the_hooks)),
        installer(state_dir),
        descriptor(context),
        delayed(context),
        again(context),
        periodic(context) {}

  void start() {
    auto made = install::Watcher::make();
    if (made) {
      watcher.emplace(*std::move(made));
      descriptor.assign(watcher->fd());
      wait_for_events();
    } else {
      log.warn(
          cat("changes of the CNI folders are looked for every second: ", made.error().message),
          {{"MESSAGE_ID", message_id::folders_not_watched}});
    }
    arm_periodic();
  }

  void wait_for_events() {
    descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            if (error || self->stopped) return;
                            const auto events = self->watcher->take();
                            if (events.degraded)
                              self->log.debug("CNI folders are looked at anew after lost events");
                            if (events.relevant || events.degraded) self->check();
                            self->wait_for_events();
                          });
  }

  void arm_periodic() {
    const bool blind = !watcher || !watcher->unwatched().empty();
    periodic.expires_after(blind ? fast_rescan : rescan);
    periodic.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (error || self->stopped) return;
      self->check();
      self->arm_periodic();
    });
  }

  void check() {
    if (stopped || waiting) return;
    const auto now = Clock::now();
    if (now < not_before) {
      waiting = true;
      delayed.expires_at(not_before);
      delayed.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (error || self->stopped) return;
        self->waiting = false;
        self->check();
      });
      return;
    }
    pass(now);
  }

  void pass(Clock::time_point now) {
    const auto desired = hooks.desired();
    // first the watch, then the look: nothing falls between
    if (watcher) {
      if (auto paths = watched_paths(desired); paths != watched) {
        watcher->watch(paths);
        watched = std::move(paths);
      }
    }
    const auto result = installer.reconcile(desired);
    if (result.foreign) {
      const auto wait = guard.reverted(now, unit(random));
      not_before = now + wait;
      report_foreign(desired, result, wait);
    }
    report(desired, result);
    if (result.look_again.count() > 0) {
      again.expires_after(result.look_again);
      again.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error && !self->stopped) self->check();
      });
    }
    hooks.passed(desired, result);
    // behind all that this pass leads to
    asio::post(descriptor.get_executor(), [self = shared_from_this()] {
      if (!self->stopped) self->installer.prepare(self->hooks.desired());
    });
  }

  void report_foreign(const install::Desired& desired, const install::Pass& result,
                      std::chrono::milliseconds wait) {
    const auto who = result.peer.empty() ? std::string("another program") : result.peer;
    if (wait.count() == 0) {
      log.info(cat(who, " changed the CNI configuration; ", install::describe(desired, result),
                   " again"),
               {{"CNI_CONF_FILE", result.file}, {"PEER", result.peer}});
      return;
    }
    if (!guard.warn_now()) return;
    log.warn(cat(who, " keeps undoing the entry of istio-cni in ", desired.conf_dir,
                 "; it is put back more slowly from now on, up to 1 s later. Pods that start in "
                 "between are not redirected: use install.mode owned, or stop the other side",
                 result.peer == "Cilium" ? " (Cilium: cni.exclusive=false)" : ""),
             {{"PEER", result.peer}, {"MESSAGE_ID", message_id::entry_contested}});
  }

  void report(const install::Desired& desired, const install::Pass& result) {
    for (const auto& warning : result.warnings)
      if (std::find(last_warnings.begin(), last_warnings.end(), warning) == last_warnings.end())
        log.warn(warning, {{"MESSAGE_ID", message_id::installation_warning}});
    last_warnings = result.warnings;
    auto sentence = result.failure ? cat("installation failed: ", result.failure->error.message)
                                   : install::describe(desired, result);
    if (sentence == last_sentence) return;
    logging::Fields fields{{"CNI_CONF_FILE", result.file}};
    if (result.failure) {
      fields.emplace_back("MESSAGE_ID", message_id::installation_failed);
      log.error(sentence, fields);
    } else if (result.ready) {
      log.info(cat("installed: ", sentence), fields);
    } else {
      fields.emplace_back("MESSAGE_ID", message_id::not_installed_yet);
      log.warn(cat("not installed yet: ", sentence), fields);
    }
    last_sentence = std::move(sentence);
  }

  void stop() {
    stopped = true;
    if (descriptor.is_open()) (void)descriptor.release();  // the watcher owns it
    delayed.cancel();
    again.cancel();
    periodic.cancel();
  }

  logging::Logger& log;
  Hooks hooks;
  install::Installer installer;
  std::optional<install::Watcher> watcher;
  std::vector<std::string> watched;
  install::ReversionGuard guard;
  asio::posix::stream_descriptor descriptor;
  asio::steady_timer delayed;  ///< back-off
  asio::steady_timer again;    ///< a file that was being written
  asio::steady_timer periodic;
  Clock::time_point not_before{};
  bool waiting = false;
  bool stopped = false;
  std::string last_sentence;
  std::vector<std::string> last_warnings;
  std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> unit{0, 1};
};

InstallKeeper::InstallKeeper(asio::io_context& io, const std::string& state_dir,
                             logging::Logger& log, Hooks hooks)
    : impl_(std::make_shared<Impl>(io, state_dir, log, std::move(hooks))) {
  impl_->start();
}

InstallKeeper::~InstallKeeper() { stop(); }

void InstallKeeper::check() { impl_->check(); }

void InstallKeeper::stop() { impl_->stop(); }

}  // namespace istio_cni_node
