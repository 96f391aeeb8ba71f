#include "kube/plugin_kubeconfig.hpp"

#include <openssl/evp.h>

#include <nlohmann/json.hpp>

#include "base/strings.hpp"
#include "kube/tree.hpp"

namespace kube {
namespace {

using base::cat;
using Json = nlohmann::ordered_json;
using Kind = Tree::Kind;

std::string base64(const std::string& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  auto size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                              reinterpret_cast<const unsigned char*>(bytes.data()),
                              static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

Json cluster_base(const ClientConfig& client) {
  Json cluster{{"server", client.server}};
  if (!client.tls_server_name.empty()) cluster["tls-server-name"] = client.tls_server_name;
  if (client.insecure) cluster["insecure-skip-tls-verify"] = true;
  return cluster;
}

std::string document(Json cluster, Json user) {
  Json config{
      {"apiVersion", "v1"},
      {"kind", "Config"},
      {"clusters", Json::array({{{"name", "local"}, {"cluster", std::move(cluster)}}})},
      {"users", Json::array({{{"name", "istio-cni"}, {"user", std::move(user)}}})},
      {"contexts", Json::array({{{"name", "istio-cni-context"},
                                 {"context", {{"cluster", "local"}, {"user", "istio-cni"}}}}})},
      {"current-context", "istio-cni-context"}};
  return config.dump() + "\n";
}

/// Fields of one mapping of the source; everything is absent without one.
class Source {
 public:
  explicit Source(const Tree* tree) : tree_(tree) {}

  [[nodiscard]] const Tree* find(std::string_view key) const {
    const auto* found = tree_ != nullptr ? tree_->find(key) : nullptr;
    return found != nullptr && found->kind != Kind::null ? found : nullptr;
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    const auto* found = find(key);
    return found != nullptr && found->kind == Kind::text ? found->scalar : std::string();
  }
  /// `inner` of the entry of the list `key` that is called `name`.
  [[nodiscard]] Source named(std::string_view key, const std::string& name,
                             std::string_view inner) const {
    const auto* list = find(key);
    if (list == nullptr) return Source(nullptr);
    for (const auto& item : list->items) {
      Source entry(&item);
      if (entry.text("name") == name) return Source(entry.find(inner));
    }
    return Source(nullptr);
  }

 private:
  const Tree* tree_;
};

/// YAML does not tell a string from a number or a boolean here; the fields that
/// are no strings are known by name.
Json json_of(const Tree& tree, std::string_view key) {
  switch (tree.kind) {
    case Kind::null:
      return nullptr;
    case Kind::boolean:
      return tree.scalar == "true";
    case Kind::number:
      return Json::parse(tree.scalar);
    case Kind::text: {
      auto lower = base::to_lower(tree.scalar);
      if (key == "provideClusterInfo") return lower == "true" || lower == "yes" || lower == "on";
      return tree.scalar;
    }
    case Kind::list: {
      auto out = Json::array();
      for (const auto& item : tree.items) out.push_back(json_of(item, ""));
      return out;
    }
    case Kind::map: {
      auto out = Json::object();
      for (const auto& field : tree.fields) out[field.key] = json_of(field.value, field.key);
      return out;
    }
  }
  return nullptr;
}

class Writer {
 public:
  Writer(const std::string& path, bool on_host)
      : folder_(path.substr(0, path.rfind('/'))), on_host_(on_host) {}

  [[nodiscard]] std::string absolute(const std::string& file) const {
    return file.starts_with('/') ? file : cat(folder_, '/', file);
  }

  /// True when the plugin, on the host, can read the file itself.
  [[nodiscard]] bool shared(const std::string& file) const {
    if (!on_host_) return false;
    auto path = absolute(file);
    return !path.starts_with("/var/run/secrets/") && !path.starts_with("/run/secrets/");
  }

  /// As the kubeconfig reader has it: data wins over the file.
  void material(const Source& from, const std::string& key, const std::string& pem,
                Json& to) const {
    auto file = from.text(key);
    if (from.text(key + "-data").empty() && !file.empty() && shared(file))
      to[key] = absolute(file);
    else if (!pem.empty())
      to[key + "-data"] = base64(pem);
  }

 private:
  std::string folder_;
  bool on_host_;
};

}  // namespace

base::Result<std::string> inline_kubeconfig(const ClientConfig& client) {
  try {
    auto cluster = cluster_base(client);
    if (!client.ca_pem.empty()) cluster["certificate-authority-data"] = base64(client.ca_pem);
    auto user = Json::object();
    if (!client.cert_pem.empty()) {
      user["client-certificate-data"] = base64(client.cert_pem);
      user["client-key-data"] = base64(client.key_pem);
    }
    if (!client.token.empty()) user["token"] = client.token;
    return document(std::move(cluster), std::move(user));
  } catch (const std::exception& error) {
    return base::Error{base::Errc::invalid_input, cat(client.source, ": ", error.what())};
  }
}

base::Result<std::string> derived_kubeconfig(std::string_view text, const std::string& path,
                                             const ClientConfig& client, bool on_host) {
  try {
    auto tree = parse_tree(text);
    if (!tree) return std::move(tree).error().wrap(client.source);
    Source root(&*tree);
    auto context = root.named("contexts", root.text("current-context"), "context");
    auto from_cluster = root.named("clusters", context.text("cluster"), "cluster");
    auto from_user = root.named("users", context.text("user"), "user");

    Writer writer(path, on_host);
    auto cluster = cluster_base(client);
    writer.material(from_cluster, "certificate-authority", client.ca_pem, cluster);
    auto user = Json::object();
    writer.material(from_user, "client-certificate", client.cert_pem, user);
    writer.material(from_user, "client-key", client.key_pem, user);
    auto token_file = from_user.text("tokenFile");
    if (!token_file.empty() && writer.shared(token_file)) {
      user["tokenFile"] = writer.absolute(token_file);
      if (auto token = from_user.text("token"); !token.empty()) user["token"] = token;
    } else if (!client.token.empty()) {
      user["token"] = client.token;
    }
    if (const auto* exec = from_user.find("exec")) {
      auto section = json_of(*exec, "exec");
      auto command = Source(exec).text("command");
      if (command.find('/') != std::string::npos) section["command"] = writer.absolute(command);
      user["exec"] = std::move(section);
    }
    return document(std::move(cluster), std::move(user));
  } catch (const std::exception& error) {
    return base::Error{base::Errc::invalid_input, cat(client.source, ": ", error.what())};
  }
}

}  // namespace kube
