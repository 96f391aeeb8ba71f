#include "agent/status.hpp"

#include <utility>

#include "agent/json_io.hpp"
#include "agent/protocol.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace agent {
namespace {

using base::cat;
using base::Errc;
using base::Error;

/// An object that leaves out what is empty.
class Writer {
 public:
  Writer& text(const char* key, const std::string& value) {
    if (!value.empty()) json_[key] = value;
    return *this;
  }
  Writer& line(const char* key, const std::string& value) { return text(key, one_line(value)); }
  Writer& time(const char* key, const std::optional<Time>& value) {
    if (value) json_[key] = base::format_rfc3339_micros(*value);
    return *this;
  }
  template <typename Value>
  Writer& value(const char* key, Value&& value) {
    json_[key] = std::forward<Value>(value);
    return *this;
  }
  [[nodiscard]] Json take() { return std::move(json_); }

 private:
  Json json_ = Json::object();
};

Json json_of(const Change& change) {
  return Writer()
      .time("at", change.at)
      .value("ready", change.ready)
      .value("inList", change.in_list)
      .line("sentence", change.sentence)
      .take();
}

Json json_of(const Status::Installation& installation) {
  return Writer()
      .value("ready", installation.ready)
      .text("mode", installation.mode)
      .line("description", installation.description)
      .text("confDir", installation.conf_dir)
      .text("file", installation.file)
      .value("position", installation.position)
      .value("plugins", installation.plugins)
      .value("foreignRewrites", installation.foreign_rewrites)
      .time("lastForeignRewrite", installation.last_foreign_rewrite)
      .text("lastPeer", installation.last_peer)
      .take();
}

Json json_of(const Status::Watch& watch) {
  return Writer()
      .text("phase", watch.phase)
      .value("synced", watch.synced)
      .time("lastContact", watch.last_contact)
      .value("lists", watch.lists)
      .value("restarts", watch.restarts)
      .value("expired", watch.expired)
      .line("error", watch.error)
      .take();
}

Json json_of(const Status::Credential& credential) {
  return Writer()
      .text("what", credential.what)
      .text("path", credential.path)
      .text("server", credential.server)
      .time("expires", credential.expires)
      .line("error", credential.error)
      .take();
}

Json json_of(const PodEntry& pod) {
  Writer writer;
  writer.text("namespace", pod.name_space)
      .text("name", pod.name)
      .text("uid", pod.uid)
      .text("phase", pod.phase)
      .value("ips", pod.ips)
      .value("inMesh", pod.in_mesh);
  if (pod.add)
    writer.value("add", Writer()
                            .time("at", pod.add->at)
                            .text("decision", pod.add->decision)
                            .text("result", pod.add->result)
                            .text("backend", pod.add->backend)
                            .text("containerId", pod.add->container_id)
                            .text("netns", pod.add->netns)
                            .line("message", pod.add->message)
                            .take());
  if (pod.repair)
    writer.value("repair", Writer()
                               .time("at", pod.repair->at)
                               .text("deed", pod.repair->deed)
                               .value("attempts", pod.repair->attempts)
                               .take());
  writer.text("heldReason", pod.held_reason).line("heldText", pod.held_text);
  return writer.take();
}

void read(Reader& from, const Json& json, Change& change) {
  Reader reader(json, "change");
  reader.time("at", change.at);
  reader.flag("ready", change.ready);
  change.in_list = change.ready;
  reader.flag("inList", change.in_list);
  reader.text("sentence", change.sentence);
  from.take(reader);
}

void read(Reader& from, const Json& json, Status::Installation& installation) {
  Reader reader(json, "installation");
  reader.flag("ready", installation.ready);
  reader.text("mode", installation.mode);
  reader.text("description", installation.description);
  reader.text("confDir", installation.conf_dir);
  reader.text("file", installation.file);
  reader.number("position", installation.position);
  reader.number("plugins", installation.plugins);
  reader.number("foreignRewrites", installation.foreign_rewrites);
  reader.time("lastForeignRewrite", installation.last_foreign_rewrite);
  reader.text("lastPeer", installation.last_peer);
  from.take(reader);
}

void read(Reader& from, const Json& json, Status::Watch& watch) {
  Reader reader(json, "watch");
  reader.text("phase", watch.phase);
  reader.flag("synced", watch.synced);
  reader.time("lastContact", watch.last_contact);
  reader.number("lists", watch.lists);
  reader.number("restarts", watch.restarts);
  reader.number("expired", watch.expired);
  reader.text("error", watch.error);
  from.take(reader);
}

void read(Reader& from, const Json& json, Status::Credential& credential) {
  Reader reader(json, "credential");
  reader.text("what", credential.what);
  reader.text("path", credential.path);
  reader.text("server", credential.server);
  reader.time("expires", credential.expires);
  reader.text("error", credential.error);
  from.take(reader);
}

void read(Reader& from, const Json& json, AddReport& add) {
  Reader reader(json, "add");
  reader.time("at", add.at);
  reader.text("decision", add.decision);
  reader.text("result", add.result);
  reader.text("backend", add.backend);
  reader.text("containerId", add.container_id);
  reader.text("netns", add.netns);
  reader.text("message", add.message);
  from.take(reader);
}

void read(Reader& from, const Json& json, PodEntry::Repair& repair) {
  Reader reader(json, "repair");
  reader.time("at", repair.at);
  reader.text("deed", repair.deed);
  reader.number("attempts", repair.attempts);
  from.take(reader);
}

void read(Reader& from, const Json& json, PodEntry& pod) {
  Reader reader(json, "pod");
  reader.required("namespace", pod.name_space);
  reader.required("name", pod.name);
  reader.text("uid", pod.uid);
  reader.text("phase", pod.phase);
  reader.flag("inMesh", pod.in_mesh);
  if (const auto* ips = reader.array("ips"))
    for (const auto& ip : *ips)
      if (ip.is_string()) pod.ips.push_back(ip.get<std::string>());
  if (const auto* add = reader.object("add")) read(reader, *add, pod.add.emplace());
  if (const auto* repair = reader.object("repair")) read(reader, *repair, pod.repair.emplace());
  reader.text("heldReason", pod.held_reason);
  reader.text("heldText", pod.held_text);
  from.take(reader);
}

}  // namespace

std::string to_json(const StatusQuery&) { return R"({"status":{}})"; }

std::string to_json(const PodsQuery& query) {
  return dump(Json{{"pods", Writer()
                                .text("after", query.after)
                                .text("namespace", query.name_space)
                                .text("name", query.name)
                                .take()}});
}

std::string to_json(const Status& status) {
  auto changes = Json::array();
  for (const auto& change : status.changes) changes.push_back(json_of(change));
  return dump(Json{{"status", Writer()
                                  .text("version", status.version)
                                  .time("started", status.started)
                                  .text("nodeName", status.node_name)
                                  .value("ready", status.ready)
                                  .line("sentence", status.sentence)
                                  .value("changes", std::move(changes))
                                  .value("installation", json_of(status.installation))
                                  .value("watch", json_of(status.watch))
                                  .value("credential", json_of(status.credential))
                                  .value("pods", status.pods)
                                  .value("inMesh", status.in_mesh)
                                  .text("repairMode", status.repair_mode)
                                  .value("repaired", status.repaired)
                                  .value("heldBack", status.held_back)
                                  .take()}});
}

std::string to_json(const PodPage& page) {
  auto pods = Json::array();
  for (const auto& pod : page.pods) pods.push_back(json_of(pod));
  return dump(Json{{"pods", std::move(pods)}, {"next", page.next}});
}

base::Result<Status> parse_status(std::string_view text) {
  auto json = parse_object(text, "answer", max_answer);
  if (!json) return std::move(json).error();
  Reader answer(*json, "answer");
  const auto* body = answer.object("status");
  if (answer.error()) return *answer.error();
  if (body == nullptr) return Error{Errc::invalid_input, "answer: there is no status in it"};
  Status status;
  Reader reader(*body, "status");
  reader.text("version", status.version);
  reader.time("started", status.started);
  reader.text("nodeName", status.node_name);
  reader.flag("ready", status.ready);
  reader.text("sentence", status.sentence);
  if (const auto* changes = reader.array("changes"))
    for (const auto& change : *changes) read(reader, change, status.changes.emplace_back());
  if (const auto* part = reader.object("installation")) read(reader, *part, status.installation);
  if (const auto* part = reader.object("watch")) read(reader, *part, status.watch);
  if (const auto* part = reader.object("credential")) read(reader, *part, status.credential);
  reader.number("pods", status.pods);
  reader.number("inMesh", status.in_mesh);
  reader.text("repairMode", status.repair_mode);
  reader.number("repaired", status.repaired);
  reader.number("heldBack", status.held_back);
  if (reader.error()) return *reader.error();
  return status;
}

base::Result<PodPage> parse_pods(std::string_view text) {
  auto json = parse_object(text, "answer", max_answer);
  if (!json) return std::move(json).error();
  PodPage page;
  Reader answer(*json, "answer");
  const auto* pods = answer.array("pods");
  if (pods == nullptr && !answer.error())
    return Error{Errc::invalid_input, "answer: there are no pods in it"};
  if (pods != nullptr)
    for (const auto& pod : *pods) read(answer, pod, page.pods.emplace_back());
  answer.text("next", page.next);
  if (answer.error()) return *answer.error();
  return page;
}

PodPage page_of(std::vector<PodEntry> entries) {
  // for the frame of the message, and `next`
  constexpr std::size_t frame = std::size_t{2} << 10;
  PodPage page;
  std::size_t size = frame;
  for (auto& entry : entries) {
    size += dump(json_of(entry)).size() + 1;
    if (size > max_answer && !page.pods.empty()) {
      page.next = cat(page.pods.back().name_space, "/", page.pods.back().name);
      break;
    }
    page.pods.push_back(std::move(entry));
  }
  return page;
}

}  // namespace agent
