#include "istio-cni-node/endpoints.hpp"

#include <cstdio>
#include <utility>

#include "base/strings.hpp"
#include "istio-cni-node/log_relay.hpp"
#include "log/message_id.hpp"

namespace istio_cni_node {
namespace {

using base::cat;

HttpResponse not_found() { return {404, {}, "not found\n"}; }

HttpResponse relay(const HttpRequest& request) {
  if (request.path != "/log" || request.method != "POST") return not_found();
  std::string lines;
  for (const auto& entry : parse_relayed(request.body))
    lines.append(logging::format_line(entry.unix_micros, entry.level, entry.message, entry.fields));
  (void)std::fwrite(lines.data(), 1, lines.size(), stdout);
  (void)std::fflush(stdout);
  return {};
}

HttpResponse health_page(const HttpRequest& request, const Health& health) {
  if (request.path == "/healthz") return {};
  if (request.path == "/readyz")
    return {health.ready ? 200 : 503, "text/plain; charset=utf-8", health.sentence + "\n"};
  return not_found();
}

}  // namespace

void Endpoints::configure(const config::Config& config) {
  const auto before = std::exchange(config_, config);
  if (!before || before->log_relay != config.log_relay) listen_relay();
  if (before && before->metrics == config.metrics && before->health == config.health) return;
  error_.clear();
  // both, since one may take over the other's address
  metrics_.reset();
  health_.reset();
  listen_metrics();
  listen_health();
}

void Endpoints::retry() {
  if (!metrics_) listen_metrics();
  if (!health_) listen_health();
}

void Endpoints::listen_metrics() {
  listen(metrics_, config_->metrics, "metrics", [this](const HttpRequest& request) {
    if (request.path != "/metrics") return not_found();
    return HttpResponse{200, "text/plain; version=0.0.4; charset=utf-8", pages_.metrics()};
  });
}

void Endpoints::listen_health() {
  listen(health_, config_->health, "health",
         [this](const HttpRequest& request) { return health_page(request, pages_.health()); });
}

void Endpoints::listen(std::optional<HttpServer>& server, const config::Endpoint& endpoint,
                       std::string_view what, HttpServer::Handler handler) {
  server.reset();
  if (!endpoint.enabled) return;
  auto listening =
      HttpServer::listen_tcp(io_, endpoint.host, endpoint.port, {}, std::move(handler));
  if (listening) {
    server.emplace(*std::move(listening));
    return;
  }
  auto message = cat("no ", what, " server: ", listening.error().message);
  if (message != error_)
    log_.error(error_ = std::move(message), {{"MESSAGE_ID", message_id::address_not_served}});
}

void Endpoints::listen_relay() {
  relay_.reset();
  if (!config_->log_relay) return;
  HttpLimits limits;
  limits.body = std::size_t{1} << 20;
  auto server =
      HttpServer::listen_unix(io_, cat(config_->run_dir, "/log.sock"), 0666, limits, relay);
  if (server)
    relay_.emplace(*std::move(server));
  else
    log_.error(cat("the plugin's log is not relayed: ", server.error().message),
               {{"MESSAGE_ID", message_id::log_relay_failed}});
}

}  // namespace istio_cni_node
