#include "istio-cnictl/json_form.hpp"

#include "base/strings.hpp"
#include "base/time.hpp"
#include "config/values.hpp"

namespace istio_cnictl {

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json json_of(const std::optional<Time>& time) {
  if (!time) return nullptr;
  return base::format_rfc3339(*time);
}

Json json_of(const DiskState& disk, bool agent_answers) {
  Json copies = Json::array();
  for (const auto& copy : disk.copies)
    copies.push_back({{"path", copy.path},
                      {"present", copy.present},
                      {"executable", copy.executable},
                      {"current", copy.current ? Json(*copy.current) : Json(nullptr)},
                      {"version", copy.version},
                      {"written", json_of(copy.written)}});
  const auto problems = problems_of(disk, agent_answers);
  return {{"ready", problems.empty()},
          {"problems", problems},
          {"mode", disk.mode},
          {"confDir", disk.conf_dir},
          {"foundIn", disk.found_in},
          {"runtime", disk.runtime},
          {"firstFile", disk.first_file},
          {"file", disk.file},
          {"position", disk.position},
          {"plugins", disk.plugins},
          {"gated", disk.gated},
          {"written", json_of(disk.written)},
          {"source", disk.source},
          {"copies", copies},
          {"kubeconfig",
           {{"path", disk.kubeconfig},
            {"present", disk.kubeconfig_present},
            {"mode", disk.kubeconfig_present ? Json(config::print_mode(disk.kubeconfig_mode))
                                             : Json(nullptr)}}},
          {"recorded", disk.recorded},
          {"recordError", disk.record_error},
          {"warnings", disk.warnings}};
}

namespace {
/// The agent's own form, which is the same in both places.
Json parsed(const std::string& text) {
  auto json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json(nullptr) : json;
}
}  // namespace

Json json_of(const agent::Status& status) {
  auto json = parsed(agent::to_json(status));
  return json.is_object() && json.contains("status") ? json["status"] : json;
}

Json json_of(const agent::PodEntry& entry) {
  auto json = parsed(agent::to_json(agent::PodPage{{entry}, ""}));
  return json.is_object() && json.contains("pods") && !json["pods"].empty() ? json["pods"][0]
                                                                            : json;
}

Json json_of(const Verdict& verdict, const PodName& pod) {
  Json evidence = Json::array();
  for (const auto& line : verdict.evidence)
    evidence.push_back({{"at", json_of(line.at)}, {"source", line.source}, {"text", line.text}});
  return {{"namespace", pod.name_space},
          {"name", pod.name},
          {"finding", to_string(verdict.finding)},
          {"cause", verdict.cause ? Json(to_string(*verdict.cause)) : Json(nullptr)},
          {"good", exit_code(verdict.finding) == 0},
          {"sentence", verdict.sentence},
          {"evidence", evidence},
          {"next", verdict.next}};
}

std::string_view to_string(ProbeResult::Outcome outcome) {
  switch (outcome) {
    case ProbeResult::Outcome::arrived:
      return "arrived";
    case ProbeResult::Outcome::refused:
      return "refused";
    case ProbeResult::Outcome::timeout:
      return "timeout";
    case ProbeResult::Outcome::failed:
      break;
  }
  return "failed";
}

Json json_of(const ProbeResult& result) {
  return {{"family", result.family == redirect::Family::v4 ? "IPv4" : "IPv6"},
          {"outcome", to_string(result.outcome)},
          {"failure", result.failure},
          {"attempts", result.attempts}};
}

}  // namespace istio_cnictl
