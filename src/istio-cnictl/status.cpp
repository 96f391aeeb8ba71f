// istio-cnictl status: is this node ready?
#include "base/strings.hpp"
#include "base/time.hpp"
#include "config/values.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/status_view.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using Rows = std::vector<std::vector<Cell>>;

constexpr std::chrono::hours expiry_warning{24};
constexpr std::chrono::minutes stale_watch{10};

std::string count(std::uint64_t number, std::string_view one, std::string_view many) {
  return cat(number, ' ', number == 1 ? one : many);
}

Rows installation_rows(const NodeStatus& status) {
  const auto& disk = status.disk;
  const auto problems = problems_of(disk, status.agent.ok());
  Rows rows;
  if (disk.position >= 0) {
    const bool first = disk.file == disk.first_file;
    rows.push_back({{"list"},
                    {cat(disk.conf_dir, '/', disk.file, " (", disk.mode, ", entry ",
                         disk.position + 1, " of ", disk.plugins, ')'),
                     first || disk.mode == "standalone" ? Tone::plain : Tone::bad}});
  }
  for (const auto& problem : problems) rows.push_back({{"problem"}, {problem, Tone::bad}});
  for (const auto& warning : disk.warnings) rows.push_back({{"warning"}, {warning, Tone::warning}});
  rows.push_back(
      {{"folder"},
       {cat("from ", disk.found_in, disk.runtime.empty() ? "" : cat("; runtime ", disk.runtime))}});
  for (const auto& copy : disk.copies) {
    if (!copy.present) continue;
    std::string text = cat(copy.path, copy.version.empty() ? "" : cat(", version ", copy.version));
    Tone tone = Tone::plain;
    if (copy.current == true) text.append(", the agent's");
    if (copy.current == false) {
      text.append(cat(", not the one in ", disk.source));
      tone = Tone::warning;
    }
    rows.push_back({{"plugin"}, {std::move(text), tone}});
  }
  if (disk.kubeconfig_present)
    rows.push_back({{"kubeconfig"},
                    {cat(disk.kubeconfig, ", mode ", config::print_mode(disk.kubeconfig_mode)),
                     (disk.kubeconfig_mode & 0007U) == 0 ? Tone::plain : Tone::bad}});
  if (!disk.record_error.empty()) rows.push_back({{"record"}, {disk.record_error, Tone::warning}});
  if (status.agent && status.agent->installation.foreign_rewrites > 0) {
    const auto& installation = status.agent->installation;
    rows.push_back(
        {{"rewrites"},
         {cat(count(installation.foreign_rewrites, "time", "times"), " by others",
              installation.last_peer.empty() ? "" : cat(" (", installation.last_peer, ')'),
              installation.last_foreign_rewrite
                  ? cat(", last ", with_distance(*installation.last_foreign_rewrite, status.now))
                  : ""),
          Tone::warning}});
  }
  return rows;
}

Cell credential_cell(const agent::Status::Credential& credential, Time now) {
  if (!credential.error.empty()) return {credential.error, Tone::bad};
  auto text = cat(credential.what, ", ", credential.path);
  if (!credential.server.empty()) text.append(cat(", for ", credential.server));
  if (!credential.expires) return {text, Tone::plain};
  text.append(cat(", expires ", with_distance(*credential.expires, now)));
  if (*credential.expires <= now) return {text, Tone::bad};
  return {text, *credential.expires - now < expiry_warning ? Tone::warning : Tone::plain};
}

Cell watch_cell(const agent::Status::Watch& watch, Time now) {
  auto text = cat(watch.phase, watch.synced ? "" : ", not synced yet");
  if (watch.last_contact) text.append(cat(", last contact ", distance(*watch.last_contact, now)));
  if (watch.restarts > 0) text.append(cat(", ", count(watch.restarts, "restart", "restarts")));
  if (!watch.error.empty()) text.append(cat(": ", watch.error));
  const bool stale = watch.last_contact && now - *watch.last_contact > stale_watch;
  if (!watch.error.empty()) return {text, Tone::bad};
  return {text, stale || !watch.synced ? Tone::warning : Tone::plain};
}

Rows agent_rows(const NodeStatus& status) {
  if (!status.agent) return {{{"agent"}, {status.agent.error().message, Tone::bad}}};
  const auto& agent = *status.agent;
  Rows rows;
  rows.push_back(
      {{"agent"},
       {cat("version ", agent.version, ", since ", with_distance(agent.started, status.now))}});
  rows.push_back({{"node"}, {agent.node_name}});
  rows.push_back({{"credential"}, credential_cell(agent.credential, status.now)});
  rows.push_back({{"watch"}, watch_cell(agent.watch, status.now)});
  rows.push_back({{"pods"}, {cat(agent.pods, ", ", agent.in_mesh, " in the mesh")}});
  auto repair = agent.repair_mode;
  if (agent.repaired > 0) repair.append(cat(", ", agent.repaired, " repaired"));
  if (agent.held_back > 0) repair.append(cat(", ", agent.held_back, " held back"));
  rows.push_back({{"repair"}, {repair, agent.held_back > 0 ? Tone::warning : Tone::plain}});
  if (!agent.changes.empty() && agent.changes.back().at != agent.started)
    rows.push_back({{"changed"}, {with_distance(agent.changes.back().at, status.now)}});
  return rows;
}

}  // namespace

bool NodeStatus::ready() const { return agent && agent->ready && problems_of(disk, true).empty(); }

std::string NodeStatus::headline() const {
  const auto problems = problems_of(disk, agent.ok());
  if (!agent)
    return cat("Not ready: the agent does not answer; ",
               problems.empty() ? cat("the plugin is in place (", describe(disk),
                                      "): pods start and are redirected, and nothing keeps it so "
                                      "or repairs pods")
                                : problems.front());
  if (agent->ready && !problems.empty()) return cat("Not ready: ", problems.front());
  return agent->sentence;
}

std::string text_of(const NodeStatus& status, const Style& style) {
  auto text = style.paint(status.ready() ? Tone::good : Tone::bad, printable(status.headline()));
  auto rows = installation_rows(status);
  for (auto& row : agent_rows(status)) rows.push_back(std::move(row));
  for (auto& row : rows)
    for (auto& cell : row) cell.text = printable(cell.text);
  return cat(text, "\n\n", table(rows, style, 2));
}

Json json_of(const NodeStatus& status) {
  return {{"ready", status.ready()},
          {"sentence", status.headline()},
          {"installation", json_of(status.disk, status.agent.ok())},
          {"agent", status.agent ? json_of(*status.agent) : Json(nullptr)},
          {"agentError", status.agent ? Json(nullptr) : Json(status.agent.error().message)}};
}

int status_command(Context& context) {
  NodeStatus status;
  status.agent = context.node.agent_status();
  status.disk = read_disk(context.node.config());
  status.now = std::chrono::system_clock::now();
  if (context.options.format == Format::json) {
    context.out = dump(json_of(status));
  } else {
    context.out = text_of(status, context.style);
  }
  return status.ready() ? exit_good : exit_bad;
}

}  // namespace istio_cnictl
