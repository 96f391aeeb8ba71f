#include "kube/kubeconfig.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "kube/resolve.hpp"
#include "kube/tree.hpp"

namespace kube {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Kind = Tree::Kind;

/// Carries an Error through the reading below; never leaves this file.
struct Failure {
  Error error;
};

struct Url {
  bool tls = true;
  std::string host;
  std::uint16_t port = 0;
  std::string path;
};

/// An http or https URL without user, query and fragment.
std::optional<Url> parse_url(std::string_view text) {
  Url url;
  auto scheme = base::to_lower(text.substr(0, text.find("://")));
  if (text.find("://") == std::string_view::npos) return std::nullopt;
  if (scheme != "https" && scheme != "http") return std::nullopt;
  url.tls = scheme == "https";
  text.remove_prefix(scheme.size() + 3);
  for (char c : text)
    if (c <= ' ' || c > '~' || c == '?' || c == '#' || c == '@' || c == '\\') return std::nullopt;
  auto slash = text.find('/');
  auto authority = text.substr(0, slash);
  if (slash != std::string_view::npos) {
    url.path = std::string(text.substr(slash));
    while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  }
  std::string_view port;
  bool with_port = false;
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    url.host = std::string(authority.substr(1, end - 1));
    auto rest = authority.substr(end + 1);
    if (url.host.find(':') == std::string::npos || !is_ip_literal(url.host)) return std::nullopt;
    if (!rest.empty()) {
      if (rest.front() != ':') return std::nullopt;
      with_port = true;
      port = rest.substr(1);
    }
  } else {
    auto colon = authority.find(':');
    url.host = std::string(authority.substr(0, colon));
    if (colon != std::string_view::npos) {
      with_port = true;
      port = authority.substr(colon + 1);
    }
    bool plain = std::all_of(url.host.begin(), url.host.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '.' || c == '_';
    });
    if (!plain || url.host.empty() || url.host.size() > 253) return std::nullopt;
  }
  url.port = url.tls ? 443 : 80;
  if (with_port) {
    auto number = base::parse_unsigned(port, 65535);
    if (!number || *number == 0) return std::nullopt;
    url.port = static_cast<std::uint16_t>(*number);
  }
  return url;
}

std::string folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Reads fields of one mapping and words its errors. Throws Failure.
class Section {
 public:
  /// `tree` may be null for a section that is absent.
  Section(const std::string& file, std::string name, const Tree* tree)
      : file_(file), name_(std::move(name)), tree_(tree) {
    if (tree_ != nullptr && tree_->kind == Kind::null) tree_ = nullptr;
    if (tree_ != nullptr && tree_->kind != Kind::map) fail("", "not a mapping");
  }

  [[nodiscard]] bool present() const { return tree_ != nullptr; }

  [[nodiscard]] const Tree* find(std::string_view key) const {
    const auto* found = tree_ != nullptr ? tree_->find(key) : nullptr;
    return found != nullptr && found->kind != Kind::null ? found : nullptr;
  }

  [[nodiscard]] std::string text(std::string_view key) const {
    const auto* found = find(key);
    if (found == nullptr) return {};
    if (found->kind != Kind::text) fail(key, "not a string");
    return found->scalar;
  }

  [[nodiscard]] bool flag(std::string_view key) const {
    const auto* found = find(key);
    if (found == nullptr) return false;
    auto lower = base::to_lower(found->scalar);
    bool scalar = found->kind == Kind::text || found->kind == Kind::boolean;
    if (scalar && (lower == "true" || lower == "yes" || lower == "on")) return true;
    if (scalar && (lower == "false" || lower == "no" || lower == "off")) return false;
    fail(key, "neither true nor false");
  }

  [[nodiscard]] const std::vector<Tree>& list(std::string_view key) const {
    static const std::vector<Tree> none;
    const auto* found = find(key);
    if (found == nullptr) return none;
    if (found->kind != Kind::list) fail(key, "not a list");
    return found->items;
  }

  [[nodiscard]] Section section(std::string_view key) const {
    return {file_, path(key), find(key)};
  }
  /// The mapping `item` that stands at `index` of the list `key`.
  [[nodiscard]] Section item(std::string_view key, std::size_t index, const Tree& item) const {
    return {file_, cat(path(key), '[', index, ']'), &item};
  }

  /// `inner` of the entry of the list `key` whose name is `name`.
  [[nodiscard]] Section named(std::string_view key, const std::string& name, std::string_view inner,
                              std::string_view wanted_by) const {
    const Tree* chosen = nullptr;
    const auto& items = list(key);
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto entry = item(key, i, items[i]);
      if (!entry.present() || entry.text("name") != name) continue;
      if (chosen != nullptr) fail(key, cat("two entries are named ", base::quote(name)));
      chosen = &items[i];
    }
    if (chosen == nullptr)
      fail(key, cat("no entry is named ", base::quote(name), ", which ", wanted_by, " asks for"));
    auto label = base::quote(name);
    return Section(file_, cat(key, '[', std::string_view(label).substr(1, label.size() - 2), ']'),
                   chosen)
        .section(inner);
  }

  [[noreturn]] void fail(std::string_view key, std::string_view problem,
                         Errc code = Errc::invalid_input) const {
    throw Failure{Error{
        code, cat("kubeconfig ", file_, ": ", path(key), path(key).empty() ? "" : ": ", problem)}};
  }
  [[noreturn]] void fail(std::string_view key, Error error) const {
    throw Failure{std::move(error).wrap(cat("kubeconfig ", file_, ": ", path(key)))};
  }

 private:
  [[nodiscard]] std::string path(std::string_view key) const {
    if (key.empty() || name_.empty()) return cat(name_, key);
    return cat(name_, '.', key);
  }

  const std::string& file_;
  std::string name_;
  const Tree* tree_;
};

class Reader {
 public:
  Reader(const std::string& path, const ReadFile& read)
      : path_(path), folder_(folder_of(path)), read_(read) {}

  Kubeconfig parse(const Tree& tree) {
    Section root(path_, "", &tree);
    if (auto kind = root.text("kind"); !kind.empty() && kind != "Config")
      root.fail("kind", cat("expected \"Config\", found ", base::quote(kind)));
    auto current = root.text("current-context");
    if (current.empty()) root.fail("current-context", "not set");
    auto context = root.named("contexts", current, "context", "current-context");
    auto cluster_name = context.text("cluster");
    if (cluster_name.empty()) context.fail("cluster", "not set");
    auto cluster = root.named("clusters", cluster_name, "cluster", "the current context");

    Kubeconfig out;
    read_cluster(cluster, out.client);
    // A context without a user is anonymous.
    if (auto user_name = context.text("user"); !user_name.empty())
      read_user(root.named("users", user_name, "user", "the current context"), out);
    return out;
  }

 private:
  void read_cluster(const Section& cluster, ClientConfig& out) {
    out.source = cat("kubeconfig ", path_);
    out.server = cluster.text("server");
    if (out.server.empty()) cluster.fail("server", "not set");
    auto url = parse_url(out.server);
    if (!url) cluster.fail("server", cat("not an http(s) URL: ", base::quote(out.server)));
    out.tls = url->tls;
    out.host = std::move(url->host);
    out.port = url->port;
    out.base_path = std::move(url->path);
    if (!cluster.text("proxy-url").empty())
      cluster.fail("proxy-url", "proxies are not supported", Errc::unsupported);
    out.insecure = cluster.flag("insecure-skip-tls-verify");
    out.tls_server_name = cluster.text("tls-server-name");
    out.ca_pem = material(cluster, "certificate-authority");
    if (out.insecure && !out.ca_pem.empty())
      cluster.fail("insecure-skip-tls-verify",
                   "contradicts the certificate-authority that is given as well");
  }

  void read_user(const Section& user, Kubeconfig& out) {
    for (const char* key : {"username", "password"})
      if (!user.text(key).empty())
        user.fail(key, "basic authentication is not supported", Errc::unsupported);
    if (user.find("auth-provider") != nullptr)
      user.fail("auth-provider", "authentication providers are not supported; use exec",
                Errc::unsupported);
    out.client.cert_pem = material(user, "client-certificate");
    out.client.key_pem = material(user, "client-key");
    if (!out.client.cert_pem.empty() && out.client.key_pem.empty())
      user.fail("client-key", "not set, but there is a client-certificate");
    if (out.client.cert_pem.empty() && !out.client.key_pem.empty())
      user.fail("client-certificate", "not set, but there is a client-key");
    out.client.token = user.text("token");
    if (auto file = user.text("tokenFile"); !file.empty()) {
      auto content = read_(resolve_path(file));
      if (content && !base::trim(*content).empty())
        out.client.token = std::string(base::trim(*content));
      else if (!content && out.client.token.empty())
        user.fail("tokenFile", std::move(content).error());
      else if (out.client.token.empty())
        user.fail("tokenFile", cat(resolve_path(file), " is empty"));
    }
    if (has_control(out.client.token)) user.fail("token", "has blanks or control characters in it");
    auto exec = user.section("exec");
    if (exec.present()) {
      auto config = read_exec(exec);
      if (out.client.token.empty()) out.exec = std::move(config);
    }
  }

  ExecConfig read_exec(const Section& exec) {
    ExecConfig out;
    out.command = exec.text("command");
    if (out.command.empty()) exec.fail("command", "not set");
    if (out.command.find('/') != std::string::npos) out.command = resolve_path(out.command);
    check_nul(exec, "command", out.command);
    out.api_version = exec.text("apiVersion");
    if (out.api_version != "client.authentication.k8s.io/v1" &&
        out.api_version != "client.authentication.k8s.io/v1beta1")
      exec.fail("apiVersion", cat("expected client.authentication.k8s.io/v1 or v1beta1, found ",
                                  base::quote(out.api_version)));
    out.install_hint = exec.text("installHint");
    if (exec.flag("provideClusterInfo"))
      exec.fail("provideClusterInfo", "not supported", Errc::unsupported);
    if (auto mode = exec.text("interactiveMode"); mode == "Always")
      exec.fail("interactiveMode", "there is no terminal to ask at", Errc::unsupported);
    const auto& args = exec.list("args");
    for (std::size_t i = 0; i < args.size(); ++i) {
      if (args[i].kind != Kind::text) exec.fail(cat("args[", i, ']'), "not a string");
      check_nul(exec, "args", args[i].scalar);
      out.args.push_back(args[i].scalar);
    }
    const auto& env = exec.list("env");
    for (std::size_t i = 0; i < env.size(); ++i) {
      auto entry = exec.item("env", i, env[i]);
      auto name = entry.text("name");
      if (name.empty() || name.find('=') != std::string::npos)
        entry.fail("name", cat("not a variable's name: ", base::quote(name)));
      check_nul(entry, "name", name);
      auto value = entry.text("value");
      check_nul(entry, "value", value);
      out.env.emplace_back(std::move(name), std::move(value));
    }
    return out;
  }

  /// PEM text from `key`-data (base64) or else from the file that `key` names.
  std::string material(const Section& section, const std::string& key) {
    auto data_key = key + "-data";
    auto data = section.text(data_key);
    auto file = section.text(key);
    if (!data.empty()) {
      auto decoded = base::base64_decode(data);
      if (!decoded || decoded->empty()) section.fail(data_key, "not base64");
      return *std::move(decoded);
    }
    if (file.empty()) return {};
    auto content = read_(resolve_path(file));
    if (!content) section.fail(key, std::move(content).error());
    if (base::trim(*content).empty()) section.fail(key, cat(resolve_path(file), " is empty"));
    return *std::move(content);
  }

  [[nodiscard]] std::string resolve_path(const std::string& file) const {
    if (file.starts_with('/')) return file;
    return folder_ == "/" ? "/" + file : cat(folder_, '/', file);
  }

  static bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
      auto byte = static_cast<unsigned char>(c);
      return byte <= 0x20 || byte >= 0x7f;
    });
  }
  static void check_nul(const Section& section, std::string_view key, const std::string& text) {
    if (text.find('\0') != std::string::npos) section.fail(key, "has a zero byte in it");
  }

  const std::string& path_;
  std::string folder_;
  const ReadFile& read_;
};

}  // namespace

base::Result<Kubeconfig> parse_kubeconfig(std::string_view text, const std::string& path,
                                          const ReadFile& read) {
  try {
    if (text.size() > (std::size_t{1} << 20))
      return Error{Errc::invalid_input, cat("kubeconfig ", path, ": larger than 1 MiB")};
    auto tree = parse_tree(text);
    if (!tree) return std::move(tree).error().wrap(cat("kubeconfig ", path));
    return Reader(path, read).parse(*tree);
  } catch (Failure& failure) {
    return std::move(failure.error);
  } catch (const std::exception& error) {
    return Error{Errc::invalid_input, cat("kubeconfig ", path, ": ", error.what())};
  }
}

base::Result<ClientConfig> load_kubeconfig(const std::string& path, base::Deadline deadline) {
  auto text = base::read_file(path);
  if (!text) return std::move(text).error().wrap("kubeconfig");
  auto parsed =
      parse_kubeconfig(*text, path, [](const std::string& file) { return base::read_file(file); });
  if (!parsed) return std::move(parsed).error();
  auto client = std::move(parsed->client);
  if (parsed->exec) {
    auto credential = exec_credential(*parsed->exec, deadline);
    if (!credential) return std::move(credential).error().wrap(client.source);
    client.token = std::string(base::trim(credential->token));
    if (!credential->cert_pem.empty()) {
      client.cert_pem = std::move(credential->cert_pem);
      client.key_pem = std::move(credential->key_pem);
    }
  }
  return client;
}

base::Result<ClientConfig> in_cluster_config(const char* host, const char* port,
                                             const std::string& dir) {
  if (host == nullptr || *host == '\0' || port == nullptr || *port == '\0')
    return Error{Errc::not_found,
                 "in-cluster configuration: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
                 "are not both set"};
  std::string name = host;
  auto bracketed = name.find(':') != std::string::npos ? cat('[', name, ']') : name;
  ClientConfig out;
  out.source = cat("service account ", dir);
  out.server = cat("https://", bracketed, ':', port);
  auto url = parse_url(out.server);
  if (!url || !url->path.empty())
    return Error{Errc::invalid_input, cat("in-cluster configuration: KUBERNETES_SERVICE_HOST and "
                                          "KUBERNETES_SERVICE_PORT do not make a URL: ",
                                          base::quote(out.server))};
  out.host = std::move(url->host);
  out.port = url->port;
  auto token = base::read_file(dir + "/token");
  if (!token) return std::move(token).error().wrap("in-cluster configuration");
  out.token = std::string(base::trim(*token));
  if (out.token.empty())
    return Error{Errc::invalid_input, cat("in-cluster configuration: ", dir, "/token is empty")};
  auto ca = base::read_file(dir + "/ca.crt");
  if (!ca) return std::move(ca).error().wrap("in-cluster configuration");
  out.ca_pem = *std::move(ca);
  return out;
}

}  // namespace kube
