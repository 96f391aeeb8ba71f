#include "istio-cnictl/evidence.hpp"

#include <algorithm>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "istio-cnictl/output.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

constexpr std::size_t journal_lines = 12;
constexpr std::size_t event_lines = 8;
constexpr std::size_t difference_lines = 10;

class Collector {
 public:
  explicit Collector(const Facts& facts) : facts_(facts) {}

  std::vector<Evidence> run() {
    pod();
    events();
    journal();
    agent();
    installation();
    repairs();
    live();
    probe();
    std::stable_sort(lines_.begin(), lines_.end(), [](const Evidence& a, const Evidence& b) {
      if (a.at && b.at) return *a.at < *b.at;
      return a.at.has_value() && !b.at.has_value();
    });
    return std::move(lines_);
  }

 private:
  void add(std::optional<Time> at, std::string_view source, std::string_view text) {
    lines_.push_back({at, std::string(source), printable(text, 1000)});
  }
  void lacking(std::string_view source, const base::Error& error) {
    add({}, source, cat("could not be read: ", error.message));
  }

  void pod() {
    if (!facts_.pod) return lacking("API server", facts_.pod.error());
    const auto& fetched = *facts_.pod;
    const auto& pod = fetched.pod;
    add({}, fetched.from,
        cat("phase ", pod.phase.empty() ? "unknown" : pod.phase, ", node ",
            pod.node_name.empty() ? "none" : pod.node_name, ", ",
            pod.ips.empty() ? "no address" : base::join(pod.ips, ", "),
            pod.deleting ? ", being deleted" : ""));
    if (!fetched.why_not_api.empty())
      add({}, "API server", cat("could not be asked: ", fetched.why_not_api));
    if (facts_.decision) {
      using Kind = DecisionNow::Kind;
      const auto& now = *facts_.decision;
      if (now.kind == Kind::skip)
        add({}, fetched.from, cat("left as it is: ", now.reason, ": ", now.detail));
      if (now.kind == Kind::error) add({}, fetched.from, now.detail);
    }
    if (facts_.broken)
      add(base::parse_rfc3339(facts_.broken->termination.finished_at), fetched.from,
          facts_.broken->cause());
    if (fetched.view) view(*fetched.view);
  }

  void view(const PodView& view) {
    if (view.accepted) add(view.accepted, "API server", "accepted by the kubelet");
    if (const auto first = view.first_start()) {
      add(first, "API server", "first container started");
      if (auto then = installation_at_start(facts_); then && !then->source.empty())
        add(then->at, then->source, cat("the installation at the pod's start: ", then->text));
    }
    for (const auto& one : view.containers) {
      if (one.state != ContainerView::State::waiting || one.reason.empty()) continue;
      add({}, "API server",
          cat("container ", one.name, " waits: ", one.reason,
              one.message.empty() ? "" : cat(": ", one.message)));
    }
  }

  void events() {
    if (!facts_.events) {
      // said already when the server could not be asked for the pod either
      const auto& why = facts_.events.error();
      const auto said = facts_.pod ? facts_.pod->why_not_api : facts_.pod.error().message;
      if (said.find(why.message) == std::string::npos) lacking("events", why);
      return;
    }
    const auto& all = *facts_.events;
    const auto from = all.size() > event_lines ? all.size() - event_lines : 0;
    for (auto i = from; i < all.size(); ++i)
      if (all[i].type == "Warning" || all[i].component == "cni-repair")
        add(all[i].last, "events",
            cat(all[i].reason, ": ", all[i].message,
                all[i].count > 1 ? cat(" (", all[i].count, " times)") : ""));
  }

  void journal() {
    if (!facts_.journal) return lacking("journal", facts_.journal.error());
    const auto& all = *facts_.journal;
    if (all.empty()) return add({}, "journal", "says nothing about this pod");
    const auto from = all.size() > journal_lines ? all.size() - journal_lines : 0;
    for (auto i = from; i < all.size(); ++i) {
      const auto command = all[i].field("CNI_COMMAND");
      add(all[i].at, "journal",
          cat(command, command.empty() ? "" : ": ", all[i].message,
              earlier(all[i].field("POD_UID"))));
    }
  }

  [[nodiscard]] std::string earlier(const std::string& uid) const {
    if (!facts_.pod || uid.empty() || uid == facts_.pod->pod.uid) return {};
    return " (an earlier pod of this name)";
  }

  void agent() {
    if (!facts_.agent) return lacking("agent", facts_.agent.error());
    add({}, "agent", facts_.agent->sentence);
    if (!facts_.entry) return lacking("agent", facts_.entry.error());
    if (!*facts_.entry) return add({}, "agent", "does not know this pod");
    const auto& entry = **facts_.entry;
    if (entry.add)
      add(entry.add->at, "agent",
          cat("ADD: ", entry.add->decision, ", ", entry.add->result,
              entry.add->backend.empty() ? "" : cat(", ", entry.add->backend),
              entry.add->message.empty() ? "" : cat(": ", entry.add->message)));
    if (!entry.held_reason.empty())
      add({}, "agent", cat("repair waits (", entry.held_reason, "): ", entry.held_text));
  }

  void installation() {
    for (const auto& problem : problems_of(facts_.disk, facts_.agent.ok()))
      add({}, "disk", problem);
    if (facts_.disk.position >= 0) add(facts_.disk.written, "disk", describe(facts_.disk));
  }

  void repairs() {
    if (facts_.entry && *facts_.entry && (*facts_.entry)->repair) {
      const auto& done = *(*facts_.entry)->repair;
      add(done.at, "agent",
          cat(done.deed, done.attempts > 1 ? cat(" at attempt ", done.attempts) : ""));
      return;
    }
    if (!facts_.repairs) return lacking("disk", facts_.repairs.error());
    for (const auto& [uid, record] : facts_.repairs->pods)
      if (record.name == facts_.name.name && record.name_space == facts_.name.name_space)
        add(record.at, "disk", cat(repair::to_string(record.deed), " by the agent", earlier(uid)));
  }

  void live() {
    if (!facts_.live) return;
    if (!*facts_.live) return lacking("namespace", facts_.live->error());
    const auto& state = **facts_.live;
    const auto where = cat(state.netns, " (", state.backend, ')');
    if (state.absent) return add({}, "namespace", cat("no rules of ours in ", where));
    if (state.differences.empty())
      return add({}, "namespace", cat("exactly the expected rules in ", where));
    const auto shown = std::min(state.differences.size(), difference_lines);
    for (std::size_t i = 0; i < shown; ++i) add({}, "namespace", state.differences[i]);
    if (shown < state.differences.size())
      add({}, "namespace", cat(state.differences.size() - shown, " more differences in ", where));
  }

  void probe() {
    if (!facts_.probe) return;
    if (!*facts_.probe) return lacking("probe", facts_.probe->error());
    for (const auto& result : **facts_.probe) {
      const std::string_view family = result.family == redirect::Family::v4 ? "IPv4" : "IPv6";
      if (result.outcome == ProbeResult::Outcome::arrived)
        add({}, "probe", cat(family, ": redirected traffic arrives"));
      else
        add({}, "probe", cat(family, ": ", result.failure));
      if (result.outcome != ProbeResult::Outcome::arrived)
        for (const auto& attempt : result.attempts) add({}, "probe", cat(family, ": ", attempt));
    }
  }

  const Facts& facts_;
  std::vector<Evidence> lines_;
};

}  // namespace

std::vector<Evidence> evidence_of(const Facts& facts) { return Collector(facts).run(); }

}  // namespace istio_cnictl
