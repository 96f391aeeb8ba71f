#include "kube/credentials.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "base/strings.hpp"
#include "kube/exec.hpp"
#include "kube/identity.hpp"
#include "kube/kubeconfig.hpp"
#include "support/certificates.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

namespace fs = std::filesystem;
using base::cat;
using base::Errc;
using kube::CredentialPlace;
using kube::CredentialSource;
using std::chrono::system_clock;
using test_support::base64_encode;
using test_support::KeyPair;
using test_support::soon;
using test_support::TempDir;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Kind = CredentialPlace::Kind;
using Json = nlohmann::json;

std::function<std::optional<std::string>(const std::string&)> environment(
    std::map<std::string, std::string> values = {}) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

/// A self-signed client certificate that ends `lifetime` seconds from now.
KeyPair certificate(const std::string& common_name, const std::vector<std::string>& organizations,
                    long lifetime) {
  auto* key = EVP_EC_gen("P-256");
  auto* made = X509_new();
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
  X509_gmtime_adj(X509_getm_notBefore(made), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made), lifetime);
  X509_set_pubkey(made, key);
  auto add = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0);
  };
  for (const auto& name : organizations) add("O", name);
  if (!common_name.empty()) add("CN", common_name);
  X509_set_issuer_name(made, X509_get_subject_name(made));
  X509_sign(made, key, EVP_sha256());
  auto text_of = [](BIO* bio) {
    char* data = nullptr;
    auto size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
  };
  auto* cert_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(cert_bio, made);
  auto* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  KeyPair out{text_of(cert_bio), text_of(key_bio)};
  X509_free(made);
  EVP_PKEY_free(key);
  return out;
}

KeyPair node_certificate(const std::string& name = "node-1", long lifetime = 86400) {
  return certificate("system:node:" + name, {"system:nodes"}, lifetime);
}

std::string jwt(const std::string& claims) {
  auto part = [](const std::string& text) {
    auto out = base64_encode(text);
    while (out.ends_with('=')) out.pop_back();
    for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
    return out;
  };
  return cat(part(R"({"alg":"RS256"})"), '.', part(claims), ".c2lnbmF0dXJl");
}

long seconds_left(const std::optional<system_clock::time_point>& at) {
  if (!at) return -1;
  return std::chrono::duration_cast<std::chrono::seconds>(*at - system_clock::now()).count();
}

std::string kubeconfig(const std::string& cluster, const std::string& user) {
  return cat(
      "apiVersion: v1\nkind: Config\ncurrent-context: ctx\n"
      "contexts:\n- name: other\n  context: {cluster: x, user: y}\n"
      "- name: ctx\n  context: {cluster: default, user: me}\n"
      "clusters:\n- name: x\n  cluster: {server: 'https://wrong'}\n- name: default\n  cluster: {",
      cluster, "}\nusers:\n- name: y\n  user: {token: wrong}\n- name: me\n  user: {", user, "}\n");
}

/// Old enough for its mtime to tell every later change.
void age(const std::string& path) {
  timespec times[2] = {{1700000000, 5}, {1700000000, 5}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0) << path;
}

/// Below a folder that stands for the host's root.
class Host : public testing::Test {
 protected:
  std::string put(const std::string& path, const std::string& content) const {
    fs::create_directories(fs::path(dir.path() + path).parent_path());
    return dir.write(path.substr(1), content);
  }
  void link(const std::string& target, const std::string& path) const {
    fs::create_directories(fs::path(dir.path() + path).parent_path());
    fs::create_symlink(target, dir.path() + path + ".new");
    fs::rename(dir.path() + path + ".new", dir.path() + path);
  }
  /// As a program does that replaces a file under its name.
  void replace(const std::string& path, const std::string& content) const {
    put(path + ".new", content);
    fs::rename(dir.path() + path + ".new", dir.path() + path);
  }
  [[nodiscard]] CredentialPlace place(const std::string& path, Kind kind = Kind::kubeconfig) const {
    return {kind, dir.path() + path, "test", dir.path()};
  }

  TempDir dir;
};

std::shared_ptr<const kube::Credential> good(CredentialSource& source) {
  auto result = source.current(soon());
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return std::make_shared<kube::Credential>();
  }
  return *result;
}

base::Error bad(CredentialSource& source) {
  auto result = source.current(soon());
  if (result) {
    ADD_FAILURE() << "no error";
    return {};
  }
  return result.error();
}

// ---- find_credential

using Find = Host;

TEST_F(Find, TheFirstThatExists) {
  const auto in_pod = environment({{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}});
  auto found = kube::find_credential("", dir.path(), in_pod);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->kind, Kind::in_cluster);
  EXPECT_EQ(found->what, "service account");
  EXPECT_EQ(found->path, "/var/run/secrets/kubernetes.io/serviceaccount");

  fs::create_directories(dir.path("var/run/secrets/kubernetes.io/serviceaccount"));
  found = kube::find_credential("", dir.path(), in_pod);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->path, dir.path("var/run/secrets/kubernetes.io/serviceaccount"));

  // From the last to the first: each one wins over those before.
  const std::pair<const char*, const char*> order[] = {
      {"/var/lib/kubelet/kubeconfig", "kubelet"},
      {"/var/snap/microk8s/current/credentials/kubelet.config", "kubelet (MicroK8s)"},
      {"/var/lib/rancher/rke2/agent/kubelet.kubeconfig", "kubelet (RKE2)"},
      {"/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "kubelet (k3s)"},
      {"/etc/kubernetes/kubelet.conf", "kubelet (kubeadm)"},
      {"/etc/istio-cni-node/kubeconfig", "own kubeconfig"}};
  for (const auto& [path, what] : order) {
    put(path, "");
    for (const auto& root : {dir.path(), dir.path() + "/"}) {
      found = kube::find_credential("", root, in_pod);
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(found->kind, Kind::kubeconfig);
      EXPECT_EQ(found->path, dir.path() + path);
      EXPECT_EQ(found->what, what);
      EXPECT_EQ(found->root, dir.path());
    }
  }
}

TEST_F(Find, AFolderInItsPlaceIsNoKubeconfig) {
  fs::create_directories(dir.path("etc/kubernetes/kubelet.conf"));
  put("/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "");
  auto found = kube::find_credential("", dir.path(), environment());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->what, "kubelet (k3s)");
}

TEST_F(Find, MicroK8sThroughItsLinks) {
  put("/var/snap/microk8s/6364/credentials/kubelet.config", "");
  link("/var/snap/microk8s/6364", "/var/snap/microk8s/current");
  auto found = kube::find_credential("", dir.path(), environment());
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->what, "kubelet (MicroK8s)");
}

TEST_F(Find, NothingListsWhatWasLookedFor) {
  for (const auto& env : {environment(), environment({{"KUBERNETES_SERVICE_HOST", ""}})}) {
    auto found = kube::find_credential("", dir.path(), env);
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.error().code, Errc::not_found);
    for (const char* part :
         {"/etc/istio-cni-node/kubeconfig", "/etc/kubernetes/kubelet.conf",
          "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
          "/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
          "/var/snap/microk8s/current/credentials/kubelet.config", "/var/lib/kubelet/kubeconfig",
          "KUBERNETES_SERVICE_HOST is not set", "put a kubeconfig at"})
      EXPECT_THAT(found.error().message, HasSubstr(part));
  }
}

TEST_F(Find, AConfiguredPathAlone) {
  put("/etc/kubernetes/kubelet.conf", "");
  auto missing = kube::find_credential("/opt/my.conf", dir.path(), environment());
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_THAT(missing.error().message,
              AllOf(HasSubstr(dir.path() + "/opt/my.conf"), Not(HasSubstr("kubelet.conf"))));
  put("/opt/my.conf", "");
  auto found = kube::find_credential("/opt/my.conf", dir.path(), environment());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->path, dir.path() + "/opt/my.conf");
  EXPECT_EQ(found->what, "configured");
  // Not below the root, but in our own container.
  auto own = kube::find_credential(dir.path() + "/opt/my.conf", dir.path(), environment());
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own->path, dir.path() + "/opt/my.conf");
  auto relative = kube::find_credential("my.conf", dir.path(), environment());
  ASSERT_FALSE(relative.ok());
  EXPECT_EQ(relative.error().code, Errc::invalid_input);
}

// ---- what a credential says about itself

TEST(Identity, Tokens) {
  const struct {
    std::string token;
    long expires;  // -1: does not say
    std::string node;
  } cases[] = {
      {"", -1, ""},
      {"opaque", -1, ""},
      {"a.b", -1, ""},
      {"a.b.c", -1, ""},
      {"a.b.c.d", -1, ""},
      {"..", -1, ""},
      {jwt("{}"), -1, ""},
      {jwt("[]"), -1, ""},
      {jwt("null"), -1, ""},
      {jwt("{\"exp\":"), -1, ""},
      {jwt(R"({"exp":1800000000})"), 1800000000, ""},
      {jwt(R"({"exp":1800000000.75})"), 1800000000, ""},
      {jwt(R"({"exp":"1800000000"})"), -1, ""},
      {jwt(R"({"exp":-5})"), 0, ""},
      {jwt(R"({"exp":1e30})"), 9223372036, ""},
      {jwt(R"({"exp":1e999})"), -1, ""},  // no JSON number
      {jwt(R"({"exp":18446744073709551615})"), 9223372036, ""},
      {jwt(R"({"sub":"system:node:worker-7.example"})"), -1, "worker-7.example"},
      {jwt(R"({"sub":"system:node:"})"), -1, ""},
      {jwt(R"({"sub":"system:node:a/b"})"), -1, ""},
      {jwt(R"({"sub":"system:node:a%0a"})"), -1, ""},
      {jwt(R"({"sub":7})"), -1, ""},
      {jwt(R"({"sub":"system:serviceaccount:istio-system:cni"})"), -1, ""},
      {jwt(R"({"exp":1800000000,"sub":"system:serviceaccount:n:s",
              "kubernetes.io":{"namespace":"n","node":{"name":"node-3","uid":"u"}}})"),
       1800000000, "node-3"},
      {jwt(R"({"kubernetes.io":{"node":"node-3"}})"), -1, ""},
      {jwt(R"({"kubernetes.io":["node"]})"), -1, ""},
      {jwt(R"({"kubernetes.io":{"node":{"name":["x"]}}})"), -1, ""},
      // ">>>?" puts "-" and "_" into base64url
      {jwt(R"({"x":">>>???~~~","exp":1800000000})"), 1800000000, ""},
  };
  for (const auto& c : cases) {
    auto identity = kube::token_identity(c.token);
    EXPECT_EQ(identity.expires ? system_clock::to_time_t(*identity.expires) : -1, c.expires)
        << c.token;
    EXPECT_EQ(identity.node_name.value_or(""), c.node) << c.token;
  }
  // The standard alphabet is not a token's.
  EXPECT_FALSE(kube::token_identity("a.eyJ4IjoiPj4+Pz8/fn5+IiwiZXhwIjoxODAwMDAwMDAwfQ.c")
                   .expires.has_value());
}

TEST(Identity, Certificates) {
  const struct {
    std::string common_name;
    std::vector<std::string> organizations;
    std::string node;
  } cases[] = {
      {"system:node:node-1", {"system:nodes"}, "node-1"},
      {"system:node:node-1", {"ACME", "system:nodes"}, "node-1"},
      {"system:node:ip-10-0-0-1.eu-west-1.compute.internal",
       {"system:nodes"},
       "ip-10-0-0-1.eu-west-1.compute.internal"},
      {"system:node:node-1", {}, ""},
      {"system:node:node-1", {"system:masters"}, ""},
      {"node-1", {"system:nodes"}, ""},
      {"system:node:", {"system:nodes"}, ""},
      {"system:node:A b", {"system:nodes"}, ""},
      {"", {"system:nodes"}, ""},
  };
  for (const auto& c : cases) {
    auto pair = certificate(c.common_name, c.organizations, 5000);
    auto identity = kube::certificate_identity(pair.cert_pem, pair.key_pem);
    ASSERT_TRUE(identity.ok()) << identity.error().message;
    EXPECT_EQ(identity->node_name.value_or(""), c.node) << c.common_name;
    EXPECT_NEAR(static_cast<double>(seconds_left(identity->expires)), 5000, 60);
  }
  auto forever = certificate("x", {}, 86400L * 365 * 1000);
  auto identity = kube::certificate_identity(forever.cert_pem, forever.key_pem);
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(system_clock::to_time_t(*identity->expires), 9223372036);
}

TEST(Identity, TheLeafIsTheFirstAndTheKeyMayStandBeforeIt) {
  auto leaf = node_certificate("leaf", 1000);
  auto other = node_certificate("issuer", 9000);
  auto both = leaf.key_pem + leaf.cert_pem + other.cert_pem;
  auto identity = kube::certificate_identity(both, both);
  ASSERT_TRUE(identity.ok()) << identity.error().message;
  EXPECT_EQ(identity->node_name, "leaf");
  EXPECT_LT(seconds_left(identity->expires), 1001);

  auto mixed = kube::certificate_identity(leaf.cert_pem, other.key_pem);
  ASSERT_FALSE(mixed.ok());
  EXPECT_THAT(mixed.error().message, HasSubstr("do not belong together"));
  EXPECT_FALSE(kube::certificate_identity("", leaf.key_pem).ok());
  EXPECT_FALSE(kube::certificate_identity(leaf.cert_pem, "rubbish").ok());
  auto cut = leaf.cert_pem.substr(0, leaf.cert_pem.size() / 2);
  EXPECT_FALSE(kube::certificate_identity(cut, leaf.key_pem).ok());
}

// ---- CredentialSource

using Source = Host;

/// A kubeadm node: relative and absolute names, the kubelet's rotated file with
/// certificate and key in one, behind an absolute link.
class Kubeadm : public Host {
 protected:
  Kubeadm() {
    put("/etc/kubernetes/kubelet.conf",
        kubeconfig(cat("server: 'https://10.1.2.3:6443', certificate-authority-data: ",
                       base64_encode(authority.cert_pem())),
                   "client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem, "
                   "client-key: /var/lib/kubelet/pki/kubelet-client-current.pem"));
    rotate("2024-01-01", first);
  }
  void rotate(const std::string& day, const KeyPair& pair) {
    auto name = cat("/var/lib/kubelet/pki/kubelet-client-", day, ".pem");
    put(name, pair.cert_pem + pair.key_pem);
    link(name, "/var/lib/kubelet/pki/kubelet-client-current.pem");
  }

  test_support::Authority authority{"cluster"};
  KeyPair first = node_certificate("node-1", 7200);
};

TEST_F(Kubeadm, RotationByLink) {
  CredentialSource source(place("/etc/kubernetes/kubelet.conf"), environment());
  auto one = good(source);
  EXPECT_EQ(one->generation, 1U);
  EXPECT_EQ(one->place.path, dir.path() + "/etc/kubernetes/kubelet.conf");
  EXPECT_EQ(one->client.source, "kubeconfig /etc/kubernetes/kubelet.conf");
  EXPECT_EQ(one->client.host, "10.1.2.3");
  EXPECT_EQ(one->client.ca_pem, authority.cert_pem());
  EXPECT_EQ(one->client.cert_pem, first.cert_pem + first.key_pem);
  EXPECT_EQ(one->node_name, "node-1");
  EXPECT_NEAR(static_cast<double>(seconds_left(one->expires)), 7200, 60);
  EXPECT_EQ(good(source), one);

  auto second = node_certificate("node-1", 9000);
  rotate("2024-06-01", second);
  auto two = good(source);
  EXPECT_EQ(two->generation, 2U);
  EXPECT_EQ(two->client.cert_pem, second.cert_pem + second.key_pem);
  EXPECT_NEAR(static_cast<double>(seconds_left(two->expires)), 9000, 60);
  // What the plugin has names the link, and so needs no change.
  EXPECT_EQ(two->plugin_kubeconfig, one->plugin_kubeconfig);
  EXPECT_EQ(one->client.cert_pem, first.cert_pem + first.key_pem) << "the old one is immutable";
}

TEST_F(Kubeadm, EqualContentIsNoChange) {
  CredentialSource source(place("/etc/kubernetes/kubelet.conf"), environment());
  auto one = good(source);
  rotate("2024-01-02", first);  // another inode
  EXPECT_EQ(good(source), one);
  age(dir.path() + "/etc/kubernetes/kubelet.conf");
  EXPECT_EQ(good(source), one);
  EXPECT_EQ(good(source)->generation, 1U);
}

TEST_F(Kubeadm, AHalfDoneRotationIsAnErrorAndEnds) {
  CredentialSource source(place("/etc/kubernetes/kubelet.conf"), environment());
  auto one = good(source);
  const std::string current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
  auto second = node_certificate("node-1", 9000);

  fs::remove(dir.path() + current);
  auto gone = bad(source);
  EXPECT_EQ(gone.code, Errc::not_found);
  EXPECT_THAT(gone.message, HasSubstr("client-certificate"));
  put(current, "");
  EXPECT_THAT(bad(source).message, HasSubstr("is empty"));
  replace(current, second.cert_pem + first.key_pem);
  EXPECT_THAT(bad(source).message, HasSubstr("do not belong together"));
  replace(current, second.cert_pem);
  EXPECT_THAT(bad(source).message, HasSubstr("client key"));
  replace(current, "-----BEGIN CERTIFICATE-----\nMII");
  EXPECT_THAT(bad(source).message, HasSubstr("no PEM certificate"));
  replace(current, first.cert_pem + first.key_pem);
  EXPECT_EQ(good(source), one) << "as before it broke";
  replace(current, second.cert_pem + second.key_pem);
  EXPECT_EQ(good(source)->generation, 2U);

  put("/etc/kubernetes/kubelet.conf", "kind: Config\ncurrent-con");
  EXPECT_EQ(bad(source).code, Errc::invalid_input);
  fs::remove(dir.path("etc/kubernetes/kubelet.conf"));
  EXPECT_THAT(bad(source).message, HasSubstr(dir.path() + "/etc/kubernetes/kubelet.conf"));
  // A link in a circle ends, too.
  link("/etc/kubernetes/kubelet.conf", "/etc/kubernetes/kubelet.conf");
  bad(source);
}

TEST_F(Kubeadm, AChangeInPlaceIsSeenEvenWithinOneTick) {
  CredentialSource source(place("/etc/kubernetes/kubelet.conf"), environment());
  for (std::uint64_t i = 1; i <= 10; ++i) {
    // The same size, the same inode, and often the same mtime.
    put("/etc/kubernetes/kubelet.conf",
        kubeconfig("server: 'https://10.1.2.3'", cat("token: t", 100 + i)));
    auto credential = good(source);
    EXPECT_EQ(credential->client.token, cat('t', 100 + i));
    EXPECT_EQ(credential->generation, i);
  }
}

TEST_F(Source, RenameOverAFile) {
  auto path = put("/k", kubeconfig("server: 'https://a'", "token: one"));
  age(path);
  CredentialSource source(place("/k"), environment());
  EXPECT_EQ(good(source)->client.token, "one");
  replace("/k", kubeconfig("server: 'https://a'", "token: two"));
  age(path);  // the same mtime and size as before: the inode tells
  auto two = good(source);
  EXPECT_EQ(two->client.token, "two");
  EXPECT_EQ(two->generation, 2U);
  EXPECT_FALSE(two->expires.has_value());
  EXPECT_FALSE(two->node_name.has_value());
}

TEST_F(Source, AnOptionalFileThatAppearsAndGoes) {
  put("/k", kubeconfig("server: 'https://a'", "token: inline, tokenFile: token"));
  age(dir.path("k"));
  CredentialSource source(place("/k"), environment());
  EXPECT_EQ(good(source)->client.token, "inline");
  put("/token", "from-file\n");
  age(dir.path("token"));
  EXPECT_EQ(good(source)->client.token, "from-file");
  replace("/token", "rotated-1\n");
  EXPECT_EQ(good(source)->client.token, "rotated-1");
  fs::remove(dir.path("token"));
  auto last = good(source);
  EXPECT_EQ(last->client.token, "inline");
  EXPECT_EQ(last->generation, 4U);
}

TEST_F(Source, TheEarliestEndCounts) {
  auto pair = node_certificate("node-1", 5000);
  const auto now = system_clock::to_time_t(system_clock::now());
  for (auto [token_life, expected] : {std::pair<long, long>{600, 600}, {9000, 5000}}) {
    put("/k", kubeconfig(
                  "server: 'https://a'",
                  cat("client-certificate-data: ", base64_encode(pair.cert_pem),
                      ", client-key-data: ", base64_encode(pair.key_pem), ", token: ",
                      jwt(cat(R"({"sub":"system:node:of-token","exp":)", now + token_life, "}")))));
    CredentialSource source(place("/k"), environment());
    auto credential = good(source);
    EXPECT_NEAR(static_cast<double>(seconds_left(credential->expires)),
                static_cast<double>(expected), 60);
    EXPECT_EQ(credential->node_name, "node-1");
  }
}

TEST_F(Source, AnExpiredCertificateIsStillReported) {
  auto pair = node_certificate("node-1", -60);
  put("/k", kubeconfig("server: 'https://a'",
                       cat("client-certificate-data: ", base64_encode(pair.cert_pem),
                           ", client-key-data: ", base64_encode(pair.key_pem))));
  CredentialSource source(place("/k"), environment());
  EXPECT_LT(seconds_left(good(source)->expires), -30);
}

// ---- the pod's own service account

class ServiceAccount : public Host {
 protected:
  static constexpr const char* folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  ServiceAccount() {
    swap("1", jwt(R"({"exp":1800000000,"kubernetes.io":{"node":{"name":"n1"}}})"));
    for (const char* name : {"token", "ca.crt", "namespace"})
      link(cat("..data/", name), cat(folder, '/', name));
  }
  void swap(const std::string& name, const std::string& token, const std::string& ca = "CA") {
    auto data = cat(folder, "/..", name);
    put(data + "/token", token);
    put(data + "/ca.crt", ca);
    put(data + "/namespace", "istio-system");
    link(".." + name, cat(folder, "/..data"));
  }
  std::map<std::string, std::string> variables{{"KUBERNETES_SERVICE_HOST", "fd00::1"},
                                               {"KUBERNETES_SERVICE_PORT", "443"}};
};

TEST_F(ServiceAccount, RotationOfTheDataLink) {
  auto found = kube::find_credential("", dir.path(), environment(variables));
  ASSERT_TRUE(found.ok());
  CredentialSource source(*found, environment(variables));
  auto one = good(source);
  EXPECT_EQ(one->client.server, "https://[fd00::1]:443");
  EXPECT_EQ(one->client.host, "fd00::1");
  EXPECT_TRUE(one->client.tls);
  EXPECT_EQ(one->node_name, "n1");
  EXPECT_EQ(system_clock::to_time_t(*one->expires), 1800000000);
  EXPECT_EQ(good(source), one);

  swap("2", "second-token", "CA2");
  auto two = good(source);
  EXPECT_EQ(two->client.token, "second-token");
  EXPECT_EQ(two->client.ca_pem, "CA2");
  EXPECT_EQ(two->generation, 2U);
  // The plugin cannot read our files, so it gets the new token written.
  auto plugin = Json::parse(two->plugin_kubeconfig);
  EXPECT_EQ(plugin["users"][0]["user"]["token"], "second-token");
  EXPECT_EQ(plugin["clusters"][0]["cluster"]["certificate-authority-data"], base64_encode("CA2"));

  swap("3", "", "CA2");
  EXPECT_THAT(bad(source).message, HasSubstr("token is empty"));
  swap("4", "second-token", " \n");
  EXPECT_THAT(bad(source).message, HasSubstr("ca.crt is empty"));
  swap("5", "second-token", "CA2");
  EXPECT_EQ(good(source), two);
}

TEST_F(ServiceAccount, Protocol) {
  const struct {
    const char* value;
    bool good;
    bool tls;
  } cases[] = {{"", true, true},
               {"https", true, true},
               {"HTTPS", true, true},
               {"http", true, false},
               {"ftp", false, false}};
  for (const auto& c : cases) {
    variables["KUBERNETES_SERVICE_PROTOCOL"] = c.value;
    CredentialSource source(place(folder, Kind::in_cluster), environment(variables));
    auto result = source.current(soon());
    ASSERT_EQ(result.ok(), c.good) << c.value;
    if (!result) {
      EXPECT_THAT(result.error().message, HasSubstr("KUBERNETES_SERVICE_PROTOCOL"));
      continue;
    }
    EXPECT_EQ((*result)->client.tls, c.tls);
    EXPECT_EQ((*result)->client.server, cat(c.tls ? "https" : "http", "://[fd00::1]:443"));
    auto parsed = kube::parse_kubeconfig((*result)->plugin_kubeconfig, "/run/p",
                                         [](const std::string&) -> base::Result<std::string> {
                                           return base::Error{Errc::not_found, "no file"};
                                         });
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(parsed->client.tls, c.tls);
  }
}

TEST_F(ServiceAccount, WithoutAPort) {
  variables.erase("KUBERNETES_SERVICE_PORT");
  CredentialSource source(place(folder, Kind::in_cluster), environment(variables));
  EXPECT_EQ(bad(source).code, Errc::not_found);
}

// ---- credential plugins

class Exec : public Host {
 protected:
  Exec() { kube::forget_exec_credentials(); }
  ~Exec() override { kube::forget_exec_credentials(); }

  /// A plugin that answers "token-N" with N counting its runs.
  void plugin(const std::string& expires, const std::string& token = "token-$n") {
    auto script =
        put("/plugin", cat("#!/bin/sh\nn=$(($(cat ", dir.path("runs"),
                           " 2>/dev/null || echo 0) + 1))\necho $n > ", dir.path("runs"),
                           "\ncat <<END\n{\"kind\":\"ExecCredential\",\"apiVersion\":"
                           "\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"",
                           token, "\"", expires.empty() ? "" : ",", expires, "}}\nEND\n"));
    ASSERT_EQ(::chmod(script.c_str(), 0755), 0);
    put("/k", kubeconfig("server: 'https://a'",
                         "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, "
                         "args: ['5', --x], env: [{name: A, value: b}], provideClusterInfo: false, "
                         "interactiveMode: Never}"));
    age(dir.path("k"));
  }
  static std::string expiring(std::chrono::seconds left) {
    auto at = system_clock::to_time_t(system_clock::now() + left);
    char text[64];
    std::tm parts{};
    ::gmtime_r(&at, &parts);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return cat("\"expirationTimestamp\":\"", text, '"');
  }
  [[nodiscard]] std::string runs() const {
    auto text = base::read_file(dir.path("runs"));
    return text ? std::string(base::trim(*text)) : "0";
  }
  /// The plugin is for us, not for a host elsewhere: no root.
  [[nodiscard]] CredentialPlace here() const {
    return {Kind::kubeconfig, dir.path("k"), "test", ""};
  }
};

TEST_F(Exec, RunsOnceWhileItsAnswerIsGood) {
  plugin(expiring(std::chrono::hours(1)));
  CredentialSource source(here(), environment());
  auto one = good(source);
  EXPECT_EQ(one->client.token, "token-1");
  EXPECT_NEAR(static_cast<double>(seconds_left(one->expires)), 3600, 60);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(good(source), one);
  EXPECT_EQ(runs(), "1");
}

TEST_F(Exec, RunsAgainBeforeItsAnswerExpires) {
  plugin(expiring(std::chrono::seconds(9)));  // within the margin
  CredentialSource source(here(), environment());
  EXPECT_EQ(good(source)->client.token, "token-1");
  auto two = good(source);
  EXPECT_EQ(two->client.token, "token-2");
  EXPECT_EQ(two->generation, 2U);
  plugin(expiring(std::chrono::hours(-1)));
  EXPECT_EQ(good(source)->client.token, "token-3");
  EXPECT_LT(seconds_left(good(source)->expires), 0);
}

TEST_F(Exec, ARejectedAnswerIsForgotten) {
  plugin("");
  CredentialSource source(here(), environment());
  auto one = good(source);
  EXPECT_FALSE(one->expires.has_value());
  source.rejected(one->generation);
  auto two = good(source);
  EXPECT_EQ(two->client.token, "token-2");
  EXPECT_EQ(two->generation, 2U);
  source.rejected(one->generation);  // old news
  EXPECT_EQ(good(source), two);
  EXPECT_EQ(runs(), "2");
}

TEST_F(Exec, RejectedButStillTheSame) {
  plugin("", "constant");
  CredentialSource source(here(), environment());
  auto one = good(source);
  source.rejected(1);
  EXPECT_EQ(good(source), one);
  EXPECT_EQ(runs(), "2");
}

TEST_F(Exec, FailureAndRecovery) {
  plugin("");
  auto script = put("/plugin", "#!/bin/sh\necho no login >&2\nexit 3\n");
  ASSERT_EQ(::chmod(script.c_str(), 0755), 0);
  CredentialSource source(here(), environment());
  EXPECT_THAT(bad(source).message, AllOf(HasSubstr("no login"), HasSubstr(dir.path("k"))));
  plugin("");
  EXPECT_EQ(good(source)->client.token, "token-1");
}

TEST_F(Exec, IsCarriedOverToThePlugin) {
  plugin("");
  CredentialSource source(here(), environment());
  auto credential = good(source);
  auto user = Json::parse(credential->plugin_kubeconfig)["users"][0]["user"];
  EXPECT_EQ(user, Json::parse(cat(R"({"exec":{"apiVersion":"client.authentication.k8s.io/v1",
      "command":")",
                                  dir.path("./plugin"), R"(","args":["5","--x"],
      "env":[{"name":"A","value":"b"}],"provideClusterInfo":false,"interactiveMode":"Never"}})")));
  EXPECT_THAT(credential->plugin_kubeconfig, Not(HasSubstr("token-1")));
  auto path = dir.write("plugin-kubeconfig", credential->plugin_kubeconfig, 0600);
  kube::forget_exec_credentials();
  auto loaded = kube::load_kubeconfig(path, soon());
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->token, "token-2");
}

// ---- what the plugin gets

/// Reading it on the host gives what we have.
void expect_round_trip(const kube::Credential& credential, const std::string& root,
                       bool without_files = false) {
  auto parsed = kube::parse_kubeconfig(credential.plugin_kubeconfig, "/run/istio-cni/kubeconfig",
                                       [&](const std::string& path) -> base::Result<std::string> {
                                         if (without_files)
                                           return base::Error{Errc::not_found, path};
                                         return base::read_file(root + path);
                                       });
  ASSERT_TRUE(parsed.ok()) << parsed.error().message << "\n" << credential.plugin_kubeconfig;
  const auto& a = parsed->client;
  const auto& b = credential.client;
  EXPECT_EQ(a.server, b.server);
  EXPECT_EQ(a.host, b.host);
  EXPECT_EQ(a.port, b.port);
  EXPECT_EQ(a.base_path, b.base_path);
  EXPECT_EQ(a.tls, b.tls);
  EXPECT_EQ(a.insecure, b.insecure);
  EXPECT_EQ(a.tls_server_name, b.tls_server_name);
  EXPECT_EQ(a.ca_pem, b.ca_pem);
  EXPECT_EQ(a.cert_pem, b.cert_pem);
  EXPECT_EQ(a.key_pem, b.key_pem);
  EXPECT_EQ(a.token, b.token);
}

TEST_F(Source, PluginKubeconfigNamesTheHostsFiles) {
  auto pair = node_certificate();
  put("/etc/k8s/ca.crt", "CA");
  put("/etc/k8s/pki/node.crt", pair.cert_pem);
  put("/etc/k8s/pki/node.key", pair.key_pem);
  put("/etc/k8s/token", "tok");
  put("/etc/k8s/kubelet.conf",
      kubeconfig("server: 'https://api.example:6443/base/', tls-server-name: kubernetes, "
                 "certificate-authority: /etc/k8s/ca.crt",
                 "client-certificate: pki/node.crt, client-key: pki/node.key, tokenFile: token"));
  CredentialSource source(place("/etc/k8s/kubelet.conf"), environment());
  auto credential = good(source);
  auto json = Json::parse(credential->plugin_kubeconfig);
  EXPECT_EQ(json, Json::parse(R"({
    "apiVersion": "v1", "kind": "Config", "current-context": "istio-cni-context",
    "clusters": [{"name": "local", "cluster": {"server": "https://api.example:6443/base/",
      "tls-server-name": "kubernetes", "certificate-authority": "/etc/k8s/ca.crt"}}],
    "users": [{"name": "istio-cni", "user": {"client-certificate": "/etc/k8s/pki/node.crt",
      "client-key": "/etc/k8s/pki/node.key", "tokenFile": "/etc/k8s/token"}}],
    "contexts": [{"name": "istio-cni-context",
      "context": {"cluster": "local", "user": "istio-cni"}}]})"));
  EXPECT_EQ(credential->plugin_kubeconfig.front(), '{') << "read as JSON, not as YAML";
  EXPECT_THAT(credential->plugin_kubeconfig, Not(HasSubstr(dir.path())));
  expect_round_trip(*credential, dir.path());
}

TEST_F(Source, PluginKubeconfigOnTheHostItself) {
  put("/ca.crt", "CA");
  auto path =
      put("/k", kubeconfig("server: 'https://a', certificate-authority: ca.crt", "token: t"));
  CredentialSource source({Kind::kubeconfig, path, "configured"}, environment());
  auto credential = good(source);
  EXPECT_EQ(
      Json::parse(credential->plugin_kubeconfig)["clusters"][0]["cluster"]["certificate-authority"],
      dir.path("ca.crt"));
  expect_round_trip(*credential, "");
}

TEST_F(Source, PluginKubeconfigKeepsDataInline) {
  auto pair = node_certificate();
  put("/k", kubeconfig(cat("server: 'http://127.0.0.1:8001', certificate-authority-data: ",
                           base64_encode("CA"), ", certificate-authority: /nowhere"),
                       cat("client-certificate-data: ", base64_encode(pair.cert_pem),
                           ", client-key-data: ", base64_encode(pair.key_pem), ", token: tok")));
  CredentialSource source(place("/k"), environment());
  expect_round_trip(*good(source), "", true);
  put("/k", kubeconfig("server: 'https://a', insecure-skip-tls-verify: true", ""));
  auto anonymous = good(source);
  EXPECT_TRUE(anonymous->client.insecure);
  expect_round_trip(*anonymous, "", true);
}

TEST_F(Source, PluginKubeconfigOfFilesThatOnlyOurContainerHas) {
  auto pair = node_certificate();
  put("/secret/ca.crt", "CA");
  put("/secret/tls.crt", pair.cert_pem);
  put("/secret/tls.key", pair.key_pem);
  put("/secret/token", "tok\n");
  auto path = put("/secret/k", kubeconfig("server: 'https://a', certificate-authority: ca.crt",
                                          "client-certificate: tls.crt, client-key: tls.key, "
                                          "tokenFile: token"));
  // The host's root is elsewhere.
  TempDir host;
  CredentialSource source({Kind::kubeconfig, path, "configured", host.path()}, environment());
  auto credential = good(source);
  expect_round_trip(*credential, "", true);
  EXPECT_THAT(credential->plugin_kubeconfig, Not(HasSubstr("tokenFile")));
  // A rotation in our container has to reach the plugin.
  replace("/secret/token", "tok2");
  auto rotated = good(source);
  EXPECT_EQ(rotated->generation, 2U);
  expect_round_trip(*rotated, "", true);
}

TEST_F(Source, PluginKubeconfigOfAServiceAccountsFiles) {
  put("/var/run/secrets/x/token", "tok");
  put("/k", kubeconfig("server: 'https://a'", "tokenFile: /var/run/secrets/x/token"));
  CredentialSource source(place("/k"), environment());
  auto credential = good(source);
  EXPECT_EQ(Json::parse(credential->plugin_kubeconfig)["users"][0]["user"],
            Json::parse(R"({"token":"tok"})"));
}

TEST_F(Source, JsonKubeconfigsAreReadAsWell) {
  put("/k", R"({"kind":"Config","current-context":"c","contexts":[{"name":"c","context":
      {"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{"server":"https://a"}}],
      "users":[{"name":"u","user":{"token":"t","exec":{"apiVersion":
      "client.authentication.k8s.io/v1","command":"aws","args":null,"provideClusterInfo":false,
      "x":3}}}]})");
  CredentialSource source(place("/k"), environment());
  auto credential = good(source);
  auto user = Json::parse(credential->plugin_kubeconfig)["users"][0]["user"];
  EXPECT_EQ(user["token"], "t");
  EXPECT_EQ(user["exec"]["command"], "aws") << "looked up in PATH, so left alone";
  EXPECT_EQ(user["exec"]["provideClusterInfo"], false);
  EXPECT_EQ(user["exec"]["x"], 3);
  EXPECT_EQ(good(source), credential);
}

TEST_F(Source, BytesThatJsonCannotHoldAreAnError) {
  put("/k", kubeconfig("server: 'https://a', tls-server-name: \"\xff\xfe\"", "token: t"));
  CredentialSource source(place("/k"), environment());
  EXPECT_EQ(bad(source).code, Errc::invalid_input);
}

}  // namespace
