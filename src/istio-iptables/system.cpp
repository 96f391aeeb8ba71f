#include "istio-iptables/system.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/strings.hpp"
#include "base/users.hpp"
#include "netns/netns.hpp"
#include "netns/routes.hpp"

namespace istio_iptables {
namespace {

using base::cat;

base::Status write_all(int fd, std::string_view text, std::string_view what) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return base::system_error(cat("write to ", what), errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return base::success();
}

class Machine : public System {
 public:
  explicit Machine(logging::Logger& logger) : logger_(logger) {}

  base::Status enter_network_namespace(const std::string& path) override {
    auto fd = netns::open_netns(path);
    if (!fd) return std::move(fd).error();
    return netns::enter_netns(fd->get());
  }
  base::Result<netns::HostIp> host_ip(bool dual_stack) override {
    auto addresses = netns::local_addresses();
    if (!addresses) return std::move(addresses).error();
    return netns::choose_host_ip(*addresses, dual_stack);
  }
  base::Result<std::string> resolv_conf() override { return base::read_file("/etc/resolv.conf"); }
  base::Result<std::uint32_t> user_id(const std::string& name) override {
    return base::user_id(name);
  }
  base::Result<std::uint32_t> group_id(const std::string& name) override {
    return base::group_id(name);
  }

  base::Status probe_iptables() override { return netfilter::probe_iptables(); }
  base::Status probe_nftables() override { return netfilter::probe_nftables(); }
  std::unique_ptr<netfilter::Backend> iptables() override { return netfilter::make_iptables(); }
  std::unique_ptr<netfilter::Backend> nftables() override { return netfilter::make_nftables(); }
  base::Status apply_routes(const redirect::Ruleset& ruleset) override {
    return netns::apply_routes(ruleset);
  }
  base::Status remove_routes(const redirect::Ruleset& ruleset) override {
    return netns::remove_routes(ruleset);
  }

  validate::ProbeReport run_probe(const validate::ProbeConfig& config) override {
    return validate::run_probe(config);
  }

  base::Status write_stdout(std::string_view text) override {
    return write_all(STDOUT_FILENO, text, "standard output");
  }
  base::Status write_file(const std::string& path, std::string_view text) override {
    const base::UniqueFd fd(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644));
    if (!fd.valid()) return base::system_error(cat("open ", path), errno);
    return write_all(fd.get(), text, path);
  }
  void log(logging::Level level, std::string_view message, const logging::Fields& fields) override {
    logger_.write(level, message, fields);
  }

 private:
  logging::Logger& logger_;
};

}  // namespace

std::unique_ptr<System> make_system(logging::Logger& logger) {
  return std::make_unique<Machine>(logger);
}

}  // namespace istio_iptables
