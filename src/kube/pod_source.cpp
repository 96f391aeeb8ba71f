#include "kube/pod_source.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "pod/parse.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using std::chrono::milliseconds;

/// The character set of a DNS subdomain, which both names have; nothing in it
/// needs percent-encoding, and "." and ".." are out.
bool valid_name(std::string_view name) {
  auto inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > 253 || !inner(name.front()) || !inner(name.back()))
    return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return inner(c) || c == '-' || c == '.'; });
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 400:
      return " Bad Request";
    case 401:
      return " Unauthorized";
    case 403:
      return " Forbidden";
    case 404:
      return " Not Found";
    case 429:
      return " Too Many Requests";
    case 500:
      return " Internal Server Error";
    case 502:
      return " Bad Gateway";
    case 503:
      return " Service Unavailable";
    case 504:
      return " Gateway Timeout";
    default:
      return "";
  }
}

/// The message of a Status object, or else the beginning of the body.
std::string explanation(const std::string& body) {
  auto text = base::trim(body);
  if (text.empty()) return {};
  if (text.size() <= 65536 && text.front() == '{') {
    auto json = base::parse_json(text, "answer");
    if (json) {
      auto message = json->find("message");
      if (message != json->end() && message->is_string()) {
        const auto& words = message->get_ref<const std::string&>();
        if (!words.empty()) return cat(": ", base::quote(words, 500));
      }
    }
  }
  return cat(": ", base::quote(text));
}

Errc code_of(int status) {
  if (status == 404) return Errc::not_found;
  if (status == 401 || status == 403) return Errc::unauthorized;
  if (status == 429 || status / 100 == 5) return Errc::unavailable;
  return Errc::invalid_input;
}

std::string label(const PodRef& ref) { return cat("pod ", ref.name_space, '/', ref.name); }

}  // namespace

base::Result<std::string> pod_path(const std::string& name_space, const std::string& name) {
  if (!valid_name(name_space) || !valid_name(name))
    return Error{Errc::invalid_input,
                 cat("not a pod's name: ", base::quote(cat(name_space, '/', name), 600))};
  return cat("/api/v1/namespaces/", name_space, "/pods/", name);
}

Error http_error(std::string_view request, const Response& response) {
  return {code_of(response.status),
          cat(request, ": HTTP ", response.status, reason_phrase(response.status),
              explanation(response.body))};
}

base::Result<pod::Pod> read_pod(const Response& response, const std::string& name_space,
                                const std::string& name) {
  const auto request = cat("GET ", label({name_space, name, ""}));
  if (response.status != 200) return http_error(request, response);
  auto pod = pod::parse_pod(response.body);
  if (!pod) return std::move(pod).error().wrap(request);
  if (pod->name != name || pod->name_space != name_space)
    return Error{Errc::invalid_input, cat(request, ": the answer is pod ",
                                          base::quote(cat(pod->name_space, '/', pod->name)))};
  return pod;
}

base::Result<pod::Pod> get_pod(Client& client, const std::string& name_space,
                               const std::string& name, base::Deadline deadline) {
  auto path = pod_path(name_space, name);
  if (!path) return std::move(path).error();
  auto response = client.get(*path, deadline);
  if (!response) return std::move(response).error();
  auto pod = read_pod(*response, name_space, name);
  if (!pod) return std::move(pod).error().wrap(client.server());
  return pod;
}

void RetryHooks::sleep_for(milliseconds span) { std::this_thread::sleep_for(span); }

double RetryHooks::random_unit() {
  static thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

base::Result<pod::Pod> find_pod(const FetchPod& fetch, const PodRef& ref, base::Deadline deadline,
                                const Backoff& backoff, const RetryHooks& hooks) {
  // Deadline reads the real clock once; from here on only the hooks' clock counts.
  const auto start = hooks.now();
  const auto whole = deadline.left();
  auto spent = [&] { return std::chrono::duration_cast<milliseconds>(hooks.now() - start); };
  auto wait = backoff.first;
  for (int attempt = 1;; ++attempt) {
    auto pod = fetch(ref, base::Deadline::after(std::min(whole - spent(), backoff.attempt)));
    if (pod && (ref.uid.empty() || pod->uid == ref.uid)) return pod;
    auto error = pod ? Error{Errc::mismatch, cat("the API server has uid ", base::quote(pod->uid),
                                                 ", the runtime asks for ", base::quote(ref.uid))}
                     : std::move(pod).error();
    if (hooks.failed) hooks.failed(attempt, error);

    bool again = base::retryable(error.code) || error.code == Errc::mismatch;
    auto left = whole - spent();
    auto pause = milliseconds(std::llround(static_cast<double>(wait.count()) *
                                           (0.5 + 0.5 * std::clamp(hooks.random(), 0.0, 1.0))));
    // Near the end shorten the wait rather than give up with seconds left.
    if (pause * 2 > left) pause = left / 2;
    if (!again || left <= backoff.first)
      return std::move(error).wrap(cat(label(ref), ": ", again ? "gave up after " : "failed after ",
                                       attempt, attempt == 1 ? " attempt in " : " attempts in ",
                                       spent().count(), " ms"));
    hooks.sleep(pause);
    wait = std::min(wait * 2, backoff.cap);
  }
}

}  // namespace kube
