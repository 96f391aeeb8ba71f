// The agent's HTTP servers: metrics, health, and the log relay of DaemonSet mode.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.hpp"
#include "istio-cni-node/http_server.hpp"
#include "istio-cni-node/readiness.hpp"
#include "log/log.hpp"

namespace istio_cni_node {

class Endpoints {
 public:
  struct Pages {
    std::function<std::string()> metrics;  ///< text exposition
    std::function<const Health&()> health;
  };
  Endpoints(boost::asio::io_context& io, logging::Logger& log, Pages pages)
      : io_(io), log_(log), pages_(std::move(pages)) {}

  /// Listens where `config` says; what has not changed stays as it is.
  void configure(const config::Config& config);
  /// Tries again where listening failed.
  void retry();

 private:
  void listen(std::optional<HttpServer>& server, const config::Endpoint& endpoint,
              std::string_view what, HttpServer::Handler handler);
  void listen_metrics();
  void listen_health();
  void listen_relay();

  boost::asio::io_context& io_;
  logging::Logger& log_;
  Pages pages_;
  std::optional<config::Config> config_;
  std::string error_;  ///< told last
  std::optional<HttpServer> metrics_;
  std::optional<HttpServer> health_;
  std::optional<HttpServer> relay_;
};

}  // namespace istio_cni_node
