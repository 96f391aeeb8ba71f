// A small Kubernetes API server for tests and for trying things out: TLS, one
// thread per connection, pods held in memory, lists in pages, watches, and
// faults on demand.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/certificates.hpp"

namespace test_support {

struct ApiServerOptions {
  bool tls = true;
  bool ipv6 = false;       ///< [::1] instead of 127.0.0.1
  std::uint16_t port = 0;  ///< 0: any free one
  std::string token = {};  ///< required as a bearer token when set
  bool require_client_cert = false;
  enum class Certificate { good, wrong_host, expired };
  Certificate certificate = Certificate::good;
  std::chrono::milliseconds bookmarks{60000};  ///< between two of a watch; 0: none
};

/// What happens to a request instead of an answer from the store.
struct Fault {
  enum class Kind {
    status,       ///< a Status object with `status`
    delay,        ///< the ordinary answer, after `delay`
    drop,         ///< the connection is closed without an answer
    cut,          ///< the connection is closed in the middle of the body
    hang,         ///< never answered; the connection stays open
    huge_body,    ///< a body of 17 MiB
    huge_header,  ///< a header of 64 KiB
    garbage,      ///< bytes that are not HTTP
    close_after,  ///< the ordinary answer, then closed without saying so
    lose,         ///< it is done, and the connection is closed without an answer
  };
  Kind kind = Kind::status;
  int status = 503;
  std::chrono::milliseconds delay{0};
  std::string request = {};  ///< it waits for one that begins so: "DELETE /api/"
};

/// What happens to the watches that are open. Those begun later are well.
enum class WatchFault {
  cut,      ///< the next event is sent by half, then the connection is closed
  silence,  ///< nothing more comes, not even the end
  garbage,  ///< bytes that are not an event, then the connection is closed
  close,    ///< ended as after timeoutSeconds; the connection stays
  drop,     ///< the connection is closed between two events
};

/// Serves from construction to destruction. All members may be called from any
/// thread. The constructor throws std::runtime_error when it cannot listen.
class ApiServer {
 public:
  explicit ApiServer(ApiServerOptions options = {});
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  /// A v1 Pod as JSON; replaces one of the same namespace and name, which for a
  /// watch is a change. It gets a new resourceVersion. Throws
  /// std::runtime_error when that is not what it is.
  void add_pod(const std::string& json);
  void remove_pod(const std::string& name_space, const std::string& name);
  /// As JSON; "" when there is none.
  [[nodiscard]] std::string find_pod(const std::string& name_space, const std::string& name) const;

  /// What a GET of a DaemonSet (apps/v1) or a Node answers, as it is; 404 until
  /// then, and again after "".
  void set_daemonset(const std::string& name_space, const std::string& name,
                     const std::string& json);
  void set_node(const std::string& name, const std::string& json);

  /// Every watch that is open and wants bookmarks gets one.
  void send_bookmark();
  void disturb_watches(WatchFault fault);
  /// Watches that begin at a version of before this are told 410: by the status,
  /// or by an ERROR event, which open watches then get too.
  enum class Expiry { status, event };
  void expire_history(Expiry how = Expiry::status);
  /// Lists cannot be continued: 410.
  void expire_continue_tokens();
  [[nodiscard]] std::size_t watches() const;  ///< open now
  [[nodiscard]] std::uint64_t version() const;

  void set_token(const std::string& token);
  /// 201 (the pod is removed), 429, or another.
  void set_eviction_status(int status);
  /// A v1 Event as somebody on the node posts it; it is listed from then on. Throws
  /// std::runtime_error when it is none, or when there is one of its name.
  void add_event(const std::string& json);
  [[nodiscard]] std::vector<std::string> events() const;  ///< posted Events, as patched since
  /// Events do not last: a patch of one that was posted before meets 404.
  void forget_events();
  /// "METHOD path?query" of each request, the newest 100,000.
  [[nodiscard]] std::vector<std::string> request_log() const;
  /// What such requests ("METHOD path?query") had as bodies, of the newest 100,000.
  [[nodiscard]] std::vector<std::string> bodies_of(const std::string& request) const;

  /// Out of reach: connections are closed, and new ones before they say anything.
  void set_away(bool away);
  /// The next `count` requests (not connections) meet this fault. Faults queue up.
  void inject(const Fault& fault, int count = 1);

  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] const std::string& ca_pem() const;
  /// A client certificate the server accepts.
  [[nodiscard]] const KeyPair& client() const;

  [[nodiscard]] std::size_t requests() const;
  [[nodiscard]] std::size_t connections() const;

  /// A kubeconfig (mode 0600) with the CA, the token, and the client
  /// certificate when one is required. Throws std::runtime_error.
  void write_kubeconfig(const std::string& path) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace test_support
