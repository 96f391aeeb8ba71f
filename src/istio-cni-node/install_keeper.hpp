// Runs the installer whenever the disk may have changed: at once on inotify, on
// a timer where that is lost, slower against a peer that keeps reverting us.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "install/installer.hpp"
#include "log/log.hpp"

namespace boost::asio {
class io_context;
}

namespace istio_cni_node {

class InstallKeeper {
 public:
  struct Hooks {
    /// What should be there now; asked before every pass.
    std::function<install::Desired()> desired;
    /// After every pass.
    std::function<void(const install::Desired&, const install::Pass&)> passed;
  };
  InstallKeeper(boost::asio::io_context& io, const std::string& state_dir, logging::Logger& log,
                Hooks hooks);
  ~InstallKeeper();

  /// A pass now, or as soon as the back-off allows.
  void check();
  /// No more passes.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace istio_cni_node
