#include "istio-cnictl/node.hpp"

#include <utility>

#include "base/percent_encode.hpp"
#include "base/strings.hpp"
#include "kube/identity.hpp"
#include "kube/json_splitter.hpp"
#include "kube/pod_source.hpp"
#include "pod/parse.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using base::Deadline;
using base::Errc;
using base::Error;

}  // namespace

Node::Node(config::Config config, std::unique_ptr<Journal> journal, Getenv getenv)
    : config_(std::move(config)), journal_(std::move(journal)), getenv_(std::move(getenv)) {}

Node::~Node() = default;

// --- the agent

base::Result<agent::Connection*> Node::agent() {
  if (connection_) return &*connection_;
  auto opened = agent::Connection::open(cat(config_.run_dir, '/', agent::socket_name),
                                        Deadline::after(patience));
  if (!opened) {
    auto error = std::move(opened).error();
    if (error.code == Errc::not_found || error.code == Errc::unavailable)
      error.message.append(" (is istio-cni-node running?)");
    if (error.sys == EACCES || error.sys == EPERM) error.message.append(" (run this as root)");
    return error;
  }
  connection_.emplace(*std::move(opened));
  return &*connection_;
}

template <typename Query>
auto Node::ask(const Query& query)
    -> decltype(std::declval<agent::Connection&>().ask(query, Deadline::after(patience))) {
  auto connection = agent();
  if (!connection) return std::move(connection).error();
  auto answer = (*connection)->ask(query, Deadline::after(patience));
  // of no use after an error
  if (!answer) connection_.reset();
  return answer;
}

base::Result<agent::Status> Node::agent_status() { return ask(agent::StatusQuery{}); }

base::Result<std::vector<agent::PodEntry>> Node::agent_pods() {
  std::vector<agent::PodEntry> all;
  std::string after;
  do {
    auto page = ask(agent::PodsQuery{after, "", ""});
    if (!page) return std::move(page).error();
    // the agent's answer decides how long this goes on: it must move forward
    if (!page->next.empty() && page->next <= after)
      return Error{Errc::invalid_input, "the agent's list of pods does not end"};
    after = page->next;
    for (auto& pod : page->pods) all.push_back(std::move(pod));
  } while (!after.empty());
  return all;
}

base::Result<std::optional<agent::PodEntry>> Node::agent_pod(const PodName& name) {
  auto page = ask(agent::PodsQuery{"", name.name_space, name.name});
  if (!page) return std::move(page).error();
  for (auto& pod : page->pods)
    if (pod.name_space == name.name_space && pod.name == name.name)
      return std::optional(std::move(pod));
  return std::optional<agent::PodEntry>();
}

base::Result<pod::Pod> Node::agent_lookup(const PodName& name) {
  auto answer = ask(agent::Lookup{name.name_space, name.name, ""});
  if (!answer) return std::move(answer).error();
  if (auto* error = std::get_if<Error>(&answer->pod)) return std::move(*error);
  return std::get<pod::Pod>(std::move(answer->pod));
}

// --- the API server

base::Result<kube::Client*> Node::api() {
  if (!client_) {
    auto place = kube::find_credential(config_.api.kubeconfig, config_.host_root, getenv_);
    if (!place) {
      client_.emplace(std::move(place).error());
    } else {
      kube::CredentialSource source(*place, getenv_);
      auto credential = source.current(Deadline::after(patience));
      if (credential) {
        credential_node_ = (*credential)->node_name;
        client_.emplace(kube::Client::make((*credential)->client));
      } else {
        client_.emplace(std::move(credential).error());
      }
    }
  }
  if (!*client_) return client_->error();
  return &**client_;
}

base::Result<kube::Response> Node::get(const std::string& target) {
  auto client = api();
  if (!client) return std::move(client).error();
  return (*client)->get(target, Deadline::after(patience));
}

base::Result<FetchedPod> Node::api_pod(const PodName& name) {
  auto path = kube::pod_path(name.name_space, name.name);
  if (!path) return std::move(path).error();
  auto response = get(*path);
  if (!response) return std::move(response).error();
  auto pod = kube::read_pod(*response, name.name_space, name.name);
  if (!pod) return std::move(pod).error();
  return FetchedPod{*std::move(pod), view_of(response->body), "API server", ""};
}

base::Result<std::vector<pod::Pod>> Node::api_pods() {
  constexpr std::string_view what = "GET pods of this node";
  constexpr int most_pages = 1000;
  // what a node may list by the node authorizer, and what the agent lists
  const auto target = cat("/api/v1/pods?limit=100&fieldSelector=spec.nodeName%3D",
                          base::percent_encode(this->name()));
  std::vector<pod::Pod> pods;
  base::Status all_read = base::success();
  std::string token;
  for (int page = 0; page < most_pages; ++page) {
    auto response =
        get(token.empty() ? target : cat(target, "&continue=", base::percent_encode(token)));
    if (!response) return std::move(response).error();
    if (response->status != 200) return kube::http_error(what, *response);
    kube::JsonSplitter splitter(kube::JsonSplitter::Mode::list, [&](std::string_view item) {
      auto pod = pod::parse_pod(item);
      if (pod)
        pods.push_back(*std::move(pod));
      else if (all_read)
        all_read = std::move(pod).error();
    });
    auto read = splitter.feed(response->body);
    if (read) read = splitter.finish();
    if (read) read = all_read;
    if (!read) return std::move(read).error().wrap(what);
    if (splitter.head().kind != "PodList")
      return Error{Errc::invalid_input, cat(what, ": the answer is no PodList")};
    token = splitter.head().continue_token;
    if (token.empty()) return pods;
  }
  return Error{Errc::invalid_input, cat(what, ": the list does not end")};
}

base::Result<std::vector<PodEvent>> Node::events(const PodName& name) {
  // checks the names, so that nothing in them needs encoding
  if (auto path = kube::pod_path(name.name_space, name.name); !path) return std::move(path).error();
  // by name and not by uid: what happened to an earlier pod of the name counts too
  auto response = get(cat("/api/v1/namespaces/", name.name_space,
                          "/events?limit=500&fieldSelector=involvedObject.kind%3DPod%2C"
                          "involvedObject.name%3D",
                          name.name));
  if (!response) return std::move(response).error();
  if (response->status == 403)
    return Error{Errc::unauthorized,
                 cat("the agent's credential may not read Events; see kubectl -n ", name.name_space,
                     " events --for pod/", name.name)};
  if (response->status != 200) return kube::http_error("GET events", *response);
  return parse_events(response->body);
}

base::Result<FetchedPod> Node::pod(const PodName& name) {
  auto fetched = api_pod(name);
  if (fetched || fetched.error().code == Errc::not_found) {
    // a credential that is not there is "not found" as well
    if (fetched || (client_ && *client_)) return fetched;
  }
  auto error = std::move(fetched).error();
  auto known = agent_lookup(name);
  if (known) return FetchedPod{*std::move(known), std::nullopt, "agent", error.message};
  if (error.code == Errc::not_found) error.code = Errc::unavailable;
  error.message.append(cat("; the agent: ", known.error().message));
  return error;
}

// --- this machine

std::string Node::name() {
  if (!config_.api.node_name.empty()) return config_.api.node_name;
  if (auto status = agent_status(); status && !status->node_name.empty()) return status->node_name;
  if (api() && credential_node_) return *credential_node_;
  return kube::host_node_name();
}

base::Result<repair::State> Node::repairs() {
  return repair::load_state(cat(config_.state_dir, '/', repair::state_file_name));
}

base::Result<std::string> Node::metrics() {
  const auto& endpoint = config_.metrics;
  if (!endpoint.enabled) return Error{Errc::not_found, "metrics are switched off"};
  kube::ClientConfig where;
  where.source = "metrics.address";
  where.host = endpoint.host.empty() || endpoint.host == "0.0.0.0" ? "127.0.0.1" : endpoint.host;
  if (where.host == "::") where.host = "::1";
  where.port = endpoint.port;
  where.tls = false;
  where.server = cat("http://", where.host, ':', endpoint.port);
  auto client = kube::Client::make(std::move(where));
  if (!client) return std::move(client).error();
  auto response = client->get("/metrics", Deadline::after(patience));
  if (!response) return std::move(response).error();
  if (response->status != 200) return kube::http_error("GET /metrics", *response);
  return std::move(response->body);
}

}  // namespace istio_cnictl
