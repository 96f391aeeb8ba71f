// This node's pods, as the API server tells them: a paginated list, then a
// watch, for ever. https://kubernetes.io/docs/reference/using-api/api-concepts/
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kube/api.hpp"
#include "pod/pod.hpp"

namespace kube {

struct WatchOptions {
  std::string node_name;  ///< fieldSelector spec.nodeName; never empty
  int page = 50;          ///< limit of one list request
  /// A bookmark comes about once a minute; a connection silent for longer than
  /// this is half open and is given up.
  std::chrono::milliseconds silence{90000};
  std::chrono::seconds server_timeout{300};  ///< timeoutSeconds, scaled by [1, 2]
  std::chrono::milliseconds backoff_first{100};
  std::chrono::milliseconds backoff_cap{30000};
  std::chrono::milliseconds health{60000};   ///< a watch of this length resets the back-off
  std::chrono::milliseconds request{10000};  ///< connect, and each page
  std::function<double()> random = {};       ///< uniform in [0, 1]; empty: a real one
};

/// What the watch is doing, for metrics and status.
struct WatchState {
  enum class Phase { starting, listing, watching, waiting };
  Phase phase = Phase::starting;
  bool synced = false;                                   ///< a first list is complete
  std::chrono::steady_clock::time_point last_contact{};  ///< last byte from the server
  std::uint64_t lists = 0;                               ///< complete ones
  std::uint64_t restarts = 0;                            ///< watches that ended, for any reason
  std::uint64_t expired = 0;                             ///< 410 Gone
  std::optional<base::Error> last_error;                 ///< cleared when watching
};

/// Receives the pods. Between list_begin and list_end every pod of the node is
/// upserted once; one that is not is gone. A pod is passed whole, as parse_pod
/// gives it; keeping less of it is the observer's business.
class PodObserver {
 public:
  virtual ~PodObserver() = default;
  virtual void list_begin() = 0;
  virtual void upsert(pod::Pod pod) = 0;
  virtual void list_end() = 0;
  virtual void remove(const std::string& name_space, const std::string& name,
                      const std::string& uid) = 0;
  virtual void watch_changed(const WatchState& state) = 0;
};

/// A list that fails half-way is begun again with list_begin. A watch resumes at
/// the last resourceVersion; 410 leads to a new list, everything else to a new
/// watch after a jittered back-off that a minute of health resets. Items are
/// parsed one by one as their bytes come: memory is bounded by the largest
/// single pod (4 MiB) whatever the list's size. A pod that cannot be parsed is
/// skipped and reported through watch_changed, not a reason to stop.
class PodWatch {
 public:
  PodWatch(boost::asio::io_context& io, CredentialProvider& credentials, WatchOptions options,
           PodObserver& observer);
  /// Stops; no callback runs afterwards.
  ~PodWatch();
  void start();
  [[nodiscard]] const WatchState& state() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace kube
