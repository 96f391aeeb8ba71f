#include "istio-cni-node/lookup_service.hpp"

#include <chrono>
#include <utility>

#include "base/strings.hpp"
#include "base/time.hpp"
#include "istio-cni-node/status_report.hpp"
#include "kube/pod_source.hpp"
#include "redirect/project.hpp"

namespace istio_cni_node {
namespace {

using base::cat;
using base::Errc;
using base::Error;

// the plugin turns to the API server itself after 3 s without an answer
constexpr std::chrono::milliseconds live_timeout{2500};

}  // namespace

LookupService::LookupService(PodCache& cache, Metrics& metrics, logging::Logger& log)
    : cache_(cache), metrics_(metrics), log_(log) {}

LookupService::~LookupService() = default;

void LookupService::lookup(const agent::Lookup& lookup, std::function<void(agent::Answer)> answer) {
  if (const auto* cached = cache_.find(lookup)) {
    metrics_.lookup("cache");
    answer({cached->pod, log_level_});
    return;
  }
  auto path = kube::pod_path(lookup.name_space, lookup.name);
  if (!path) {
    metrics_.lookup("error");
    answer({std::move(path).error(), log_level_});
    return;
  }
  if (api_ == nullptr) {
    metrics_.lookup("error");
    answer({Error{Errc::unavailable, "the agent is starting"}, log_level_});
    return;
  }
  api_->request({kube::ApiRequest::Method::get, *std::move(path), "", ""},
                base::Deadline::after(live_timeout),
                [this, alive = std::weak_ptr(alive_), lookup,
                 answer = std::move(answer)](base::Result<kube::Response> response) {
                  if (alive.expired()) return;
                  answer(answer_of(std::move(response), lookup));
                });
}

agent::Answer LookupService::answer_of(base::Result<kube::Response> response,
                                       const agent::Lookup& lookup) {
  auto pod = response ? kube::read_pod(*response, lookup.name_space, lookup.name)
                      : base::Result<pod::Pod>(std::move(response).error());
  if (pod && !lookup.uid.empty() && pod->uid != lookup.uid)
    pod = Error{Errc::mismatch, cat("the API server has uid ", base::quote(pod->uid),
                                    ", the runtime asks for ", base::quote(lookup.uid))};
  metrics_.lookup(pod ? "api" : "error");
  if (!pod) {
    log_.debug(cat("lookup failed: ", pod.error().message),
               {{"POD_NAMESPACE", lookup.name_space}, {"POD_NAME", lookup.name}});
    return {std::move(pod).error(), log_level_};
  }
  return {redirect::project(*std::move(pod), {}), log_level_};
}

void LookupService::outcome(const agent::Outcome& outcome) {
  metrics_.outcome(outcome);
  const auto now = std::chrono::system_clock::now();
  if (outcome.command == "ADD" && outcome.decision == "redirect" && outcome.result == "success") {
    const auto* cached = cache_.find({outcome.name_space, outcome.name, outcome.uid});
    if (cached != nullptr && !cached->redirection) {
      if (auto scheduled = base::parse_rfc3339(cached->pod.scheduled_at);
          scheduled && *scheduled <= now)
        metrics_.scheduled_to_redirected(
            std::chrono::duration_cast<std::chrono::milliseconds>(now - *scheduled));
    }
  }
  cache_.report(outcome, now);
}

agent::PodPage LookupService::pods(const agent::PodsQuery& query) {
  std::vector<agent::PodEntry> entries;
  cache_.for_each([&](const CachedPod& cached) {
    const auto& pod = cached.pod;
    if (!query.name.empty() && (pod.name != query.name || pod.name_space != query.name_space))
      return;
    // in the cache's order, which is by namespace, then name
    if (const auto slash = query.after.find('/');
        slash != std::string::npos &&
        std::pair(pod.name_space, pod.name) <=
            std::pair(query.after.substr(0, slash), query.after.substr(slash + 1)))
      return;
    auto entry = pod_entry(cached);
    if (describe) describe(entry);
    entries.push_back(std::move(entry));
  });
  return agent::page_of(std::move(entries));
}

}  // namespace istio_cni_node
