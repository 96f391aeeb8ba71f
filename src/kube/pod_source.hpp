// One pod from the API server, with retries.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "kube/client.hpp"
#include "pod/pod.hpp"

namespace kube {

/// "/api/v1/namespaces/NS/pods/NAME". Errc::invalid_input for names that cannot
/// be a pod's.
base::Result<std::string> pod_path(const std::string& name_space, const std::string& name);

/// The pod in an answer to a GET of that path. Errors name the HTTP status and
/// the reason given: not_found (404), unauthorized (401, 403), unavailable (429,
/// 5xx), invalid_input (any other status, an answer that is not this pod).
base::Result<pod::Pod> read_pod(const Response& response, const std::string& name_space,
                                const std::string& name);

/// A status other than success as such an error: "REQUEST: HTTP 404 Not Found: ...".
base::Error http_error(std::string_view request, const Response& response);

/// pod_path, GET and read_pod in one; errors name the server's URL, and are
/// those of Client::get besides.
base::Result<pod::Pod> get_pod(Client& client, const std::string& name_space,
                               const std::string& name, base::Deadline deadline);

struct PodRef {
  std::string name_space;
  std::string name;
  std::string uid;  ///< "" when the caller does not know it
};

/// One attempt to fetch the pod; get_pod bound to a client, or a fake.
using FetchPod = std::function<base::Result<pod::Pod>(const PodRef&, base::Deadline)>;

/// Full exponential back-off: `first`, doubled up to `cap`, each wait scaled by
/// a random factor in [0.5, 1].
struct Backoff {
  std::chrono::milliseconds first{50};
  std::chrono::milliseconds cap{2000};
  /// Bound of a single attempt, so that a server that accepts and then hangs
  /// does not use up the whole deadline.
  std::chrono::milliseconds attempt{10000};
};

/// What find_pod needs from the world; the defaults are the real one. An empty
/// `failed` is not called.
struct RetryHooks {
  using Clock = base::Deadline::Clock;
  std::function<Clock::time_point()> now = [] { return Clock::now(); };
  std::function<void(std::chrono::milliseconds)> sleep = sleep_for;
  std::function<double()> random = random_unit;                 ///< uniform in [0, 1]
  std::function<void(int attempt, const base::Error&)> failed;  ///< after each failed attempt

  static void sleep_for(std::chrono::milliseconds span);
  static double random_unit();
};

/// Fetches until it gets the pod with `ref.uid` (any, when that is ""). Retries
/// retryable errors, and a pod of the same name with another uid: the API
/// server's cache may lag behind the kubelet. The last failure is returned with
/// the number of attempts and the time they took; its code is kept, a uid
/// mismatch is Errc::mismatch. At least one attempt is made.
base::Result<pod::Pod> find_pod(const FetchPod& fetch, const PodRef& ref, base::Deadline deadline,
                                const Backoff& backoff = {}, const RetryHooks& hooks = {});

}  // namespace kube
