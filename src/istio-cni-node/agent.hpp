// The agent: one event loop that keeps the plugin installed, answers for this
// node's pods, and tells systemd and Prometheus how things are.
#pragma once

#include <functional>
#include <memory>

#include "config/config.hpp"
#include "log/log.hpp"

namespace istio_cni_node {

/// Reads the configuration again, as at the start.
using LoadConfig = std::function<config::Outcome()>;

/// Runs until SIGTERM or SIGINT; SIGHUP reloads. Returns the exit status: 0, or
/// 1 when nothing could be started (an error is logged).
int run_agent(config::Loaded loaded, const LoadConfig& load, logging::Logger& log);

}  // namespace istio_cni_node
