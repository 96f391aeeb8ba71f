#include "kube/credentials.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <tuple>

#include "base/file.hpp"
#include "base/rooted.hpp"
#include "base/strings.hpp"
#include "kube/exec.hpp"
#include "kube/identity.hpp"
#include "kube/kubeconfig.hpp"
#include "kube/plugin_kubeconfig.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Clock = std::chrono::system_clock;
using Environment = std::function<std::optional<std::string>(const std::string&)>;

constexpr const char* service_account = "/var/run/secrets/kubernetes.io/serviceaccount";
/// exec_credential() runs the plugin again this long before its answer expires.
constexpr std::chrono::seconds exec_margin{10};

struct Known {
  const char* path;
  const char* what;
};
constexpr Known known[] = {
    {"/etc/istio-cni-node/kubeconfig", "own kubeconfig"},
    {"/etc/kubernetes/kubelet.conf", "kubelet (kubeadm)"},
    {"/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "kubelet (k3s)"},
    {"/var/lib/rancher/rke2/agent/kubelet.kubeconfig", "kubelet (RKE2)"},
    {"/var/snap/microk8s/current/credentials/kubelet.config", "kubelet (MicroK8s)"},
    {"/var/lib/kubelet/kubeconfig", "kubelet"},
};

std::string value_of(const Environment& getenv, const std::string& name) {
  return getenv ? getenv(name).value_or("") : std::string();
}

/// What cannot be looked at for another reason than its absence exists: reading
/// it then tells the reason.
bool exists(const std::string& root, const std::string& path, bool folder) {
  struct stat info {};
  if (::stat(base::resolve_below(root, path).c_str(), &info) == 0)
    return (S_ISDIR(info.st_mode) != 0) == folder;
  return errno != ENOENT && errno != ENOTDIR;
}

/// Which file a path led to, and what it was like.
struct Signature {
  int error = 0;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::pair<std::time_t, long> modified{0, 0};

  bool operator==(const Signature&) const = default;
};

Signature signature_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {.error = errno};
  return {.error = 0,
          .device = info.st_dev,
          .inode = info.st_ino,
          .size = info.st_size,
          .modified = {info.st_mtim.tv_sec, info.st_mtim.tv_nsec}};
}

/// False when the file could change once more without another mtime: the kernel
/// takes it from a clock that ticks every 10 ms at worst.
bool settled(const Signature& signature) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  auto nanoseconds = [](std::time_t seconds, long rest) {
    return std::chrono::seconds(seconds) + std::chrono::nanoseconds(rest);
  };
  return signature.error != 0 || nanoseconds(signature.modified.first, signature.modified.second) +
                                         std::chrono::milliseconds(50) <
                                     nanoseconds(now.tv_sec, now.tv_nsec);
}

/// The files of one reading, each looked at before it is read and read once.
class Files {
 public:
  explicit Files(std::string root) : root_(std::move(root)) {}

  [[nodiscard]] std::string real(const std::string& path) const {
    return base::resolve_below(root_, path);
  }

  void watch(const std::string& path) {
    if (std::any_of(seen_.begin(), seen_.end(), [&](const Seen& s) { return s.path == path; }))
      return;
    auto signature = signature_of(real(path));
    seen_.push_back({path, signature, settled(signature)});
  }

  const base::Result<std::string>& read(const std::string& path) {
    auto known_content = contents_.find(path);
    if (known_content != contents_.end()) return known_content->second;
    watch(path);
    return contents_.emplace(path, base::read_file(real(path))).first->second;
  }

  [[nodiscard]] bool changed() const {
    return std::any_of(seen_.begin(), seen_.end(), [this](const Seen& seen) {
      return !seen.settled || signature_of(real(seen.path)) != seen.signature;
    });
  }

  /// Keys need not stay in memory longer than they are used.
  void forget_contents() { contents_.clear(); }

 private:
  struct Seen {
    std::string path;
    Signature signature;
    bool settled;
  };
  std::string root_;
  std::vector<Seen> seen_;
  std::map<std::string, base::Result<std::string>> contents_;
};

bool same(const Credential& a, const Credential& b) {
  auto fields = [](const Credential& c) {
    const auto& k = c.client;
    return std::tie(k.source, k.server, k.host, k.port, k.base_path, k.tls, k.ca_pem, k.insecure,
                    k.tls_server_name, k.cert_pem, k.key_pem, k.token, c.expires, c.node_name,
                    c.plugin_kubeconfig);
  };
  return fields(a) == fields(b);
}

void keep_earlier(std::optional<Clock::time_point>& kept, std::optional<Clock::time_point> other) {
  if (other && (!kept || *other < *kept)) kept = other;
}

}  // namespace

base::Result<CredentialPlace> find_credential(const std::string& configured,
                                              const std::string& root, const Environment& getenv) {
  auto prefix = root;
  while (prefix.ends_with('/')) prefix.pop_back();
  using Kind = CredentialPlace::Kind;
  if (!configured.empty()) {
    if (!configured.starts_with('/'))
      return Error{Errc::invalid_input, cat("the configured kubeconfig is not an absolute path: ",
                                            base::quote(configured))};
    if (exists(prefix, configured, false))
      return CredentialPlace{Kind::kubeconfig, prefix + configured, "configured", prefix};
    if (exists("", configured, false))
      return CredentialPlace{Kind::kubeconfig, configured, "configured", prefix};
    return Error{Errc::not_found,
                 cat("the configured kubeconfig does not exist: ", prefix, configured,
                     prefix.empty() ? "" : " and ", prefix.empty() ? "" : configured)};
  }
  std::string looked_for;
  for (const auto& [path, what] : known) {
    if (exists(prefix, path, false))
      return CredentialPlace{Kind::kubeconfig, prefix + path, what, prefix};
    looked_for += cat(prefix, path, ", ");
  }
  if (!value_of(getenv, "KUBERNETES_SERVICE_HOST").empty()) {
    const bool below = exists(prefix, service_account, true);
    return CredentialPlace{Kind::in_cluster, (below ? prefix : "") + service_account,
                           "service account", prefix};
  }
  return Error{Errc::not_found, cat("no credential for the API server: looked for ", looked_for,
                                    "and KUBERNETES_SERVICE_HOST is not set; put a kubeconfig at ",
                                    prefix, known[0].path, ", or configure the path of one")};
}

struct CredentialSource::Impl {
  Impl(CredentialPlace where, Environment environment)
      : place(std::move(where)), getenv(std::move(environment)) {
    while (place.root.ends_with('/')) place.root.pop_back();
    host_path = place.path;
    on_host = place.root.empty();
    if (!on_host && place.path.starts_with(place.root + "/")) {
      host_path = place.path.substr(place.root.size());
      on_host = true;
    }
  }

  [[nodiscard]] bool stale() const {
    return !last || again || files.changed() || (exec_expires && Clock::now() >= *exec_expires);
  }

  base::Result<std::shared_ptr<const Credential>> read(base::Deadline deadline) {
    again = true;  // until this reading succeeds
    files = Files(on_host ? place.root : "");
    auto credential =
        place.kind == CredentialPlace::Kind::in_cluster ? in_cluster() : kubeconfig(deadline);
    files.forget_contents();
    if (!credential) return std::move(credential).error();
    again = false;
    if (last && same(*last, *credential)) return last;
    credential->place = place;
    credential->generation = ++generation;
    last = std::make_shared<const Credential>(*std::move(credential));
    return last;
  }

  base::Result<Credential> kubeconfig(base::Deadline deadline) {
    const auto& text = files.read(host_path);
    if (!text) return text.error().wrap("kubeconfig");
    auto parsed = parse_kubeconfig(*text, host_path,
                                   [this](const std::string& path) { return files.read(path); });
    if (!parsed) return std::move(parsed).error();
    Credential out;
    auto& client = out.client;
    client = std::move(parsed->client);
    auto plugin = derived_kubeconfig(*text, host_path, client, on_host);
    if (!plugin) return std::move(plugin).error();
    out.plugin_kubeconfig = *std::move(plugin);

    has_exec = parsed->exec.has_value();
    exec_expires.reset();
    std::optional<Clock::time_point> exec_says;
    if (parsed->exec) {
      auto answer = exec_credential(*parsed->exec, deadline);
      if (!answer) return std::move(answer).error().wrap(client.source);
      client.token = std::string(base::trim(answer->token));
      if (!answer->cert_pem.empty()) {
        client.cert_pem = std::move(answer->cert_pem);
        client.key_pem = std::move(answer->key_pem);
      }
      exec_says = answer->expires;
      if (exec_says) exec_expires = *exec_says - exec_margin;
    }
    if (auto status = identify(out); !status) return std::move(status).error().wrap(client.source);
    keep_earlier(out.expires, exec_says);
    return out;
  }

  base::Result<Credential> in_cluster() {
    // All three change at once, through the link ..data, when one does.
    for (const char* name : {"/token", "/ca.crt", "/namespace"}) files.watch(host_path + name);
    auto host = value_of(getenv, "KUBERNETES_SERVICE_HOST");
    auto port = value_of(getenv, "KUBERNETES_SERVICE_PORT");
    auto client = in_cluster_config(host.c_str(), port.c_str(), files.real(host_path));
    if (!client) return std::move(client).error();
    if (base::trim(client->ca_pem).empty())
      return Error{Errc::invalid_input,
                   cat("in-cluster configuration: ", place.path, "/ca.crt is empty")};
    auto protocol = value_of(getenv, "KUBERNETES_SERVICE_PROTOCOL");
    if (auto lower = base::to_lower(protocol); lower == "http") {
      client->tls = false;
      client->server.replace(0, std::string_view("https").size(), "http");
    } else if (!lower.empty() && lower != "https") {
      return Error{Errc::invalid_input,
                   cat("in-cluster configuration: KUBERNETES_SERVICE_PROTOCOL is neither http nor "
                       "https: ",
                       base::quote(protocol))};
    }
    Credential out;
    out.client = *std::move(client);
    auto plugin = inline_kubeconfig(out.client);
    if (!plugin) return std::move(plugin).error();
    out.plugin_kubeconfig = *std::move(plugin);
    if (auto status = identify(out); !status) return std::move(status).error();
    return out;
  }

  static base::Status identify(Credential& credential) {
    const auto& client = credential.client;
    if (!client.cert_pem.empty()) {
      auto identity = certificate_identity(client.cert_pem, client.key_pem);
      if (!identity) return std::move(identity).error();
      credential.expires = identity->expires;
      credential.node_name = std::move(identity->node_name);
    }
    if (!client.token.empty()) {
      auto identity = token_identity(client.token);
      keep_earlier(credential.expires, identity.expires);
      if (!credential.node_name) credential.node_name = std::move(identity.node_name);
    }
    return base::success();
  }

  CredentialPlace place;
  const Environment getenv;
  std::string host_path;  ///< `place.path` without the root
  bool on_host = false;   ///< the files are the host's, by its names

  Files files{""};
  std::shared_ptr<const Credential> last;
  std::uint64_t generation = 0;
  bool again = false;
  bool has_exec = false;
  std::optional<Clock::time_point> exec_expires;  ///< less the margin
};

CredentialSource::CredentialSource(CredentialPlace place, Environment getenv)
    : impl_(std::make_unique<Impl>(std::move(place), std::move(getenv))) {}

CredentialSource::~CredentialSource() = default;

base::Result<std::shared_ptr<const Credential>> CredentialSource::current(base::Deadline deadline) {
  if (!impl_->stale()) return impl_->last;
  return impl_->read(deadline);
}

void CredentialSource::rejected(std::uint64_t generation) {
  if (generation != impl_->generation) return;
  impl_->again = true;
  if (impl_->has_exec) forget_exec_credentials();
}

}  // namespace kube
