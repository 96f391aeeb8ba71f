#include "kube/identity.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace kube {
namespace {

using base::Errc;
using base::Error;
using Clock = std::chrono::system_clock;

template <auto free_function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

/// Leaves no error behind for whoever uses OpenSSL next on this thread.
struct ErrorQueue {
  ErrorQueue() = default;
  ErrorQueue(const ErrorQueue&) = delete;
  ErrorQueue& operator=(const ErrorQueue&) = delete;
  ~ErrorQueue() { ERR_clear_error(); }
};

Bio reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// Without it OpenSSL asks at the terminal.
int no_password(char*, int, int, void*) { return -1; }

std::string text_of(const ASN1_STRING* string) {
  unsigned char* data = nullptr;
  auto size = ASN1_STRING_to_UTF8(&data, string);
  if (size < 0) return {};
  std::string out(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  OPENSSL_free(data);
  return out;
}

std::string common_name(const X509_NAME* subject) {
  auto at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

bool has_organization(const X509_NAME* subject, std::string_view wanted) {
  for (int at = -1;;) {
    at = X509_NAME_get_index_by_NID(subject, NID_organizationName, at);
    if (at < 0) return false;
    if (text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))) == wanted) return true;
  }
}

bool is_object_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

std::optional<std::string> node_of_user(std::string_view user) {
  constexpr std::string_view prefix = "system:node:";
  if (!user.starts_with(prefix) || !is_object_name(user.substr(prefix.size()))) return std::nullopt;
  return std::string(user.substr(prefix.size()));
}

/// The member `key` of `object`, or null.
const nlohmann::ordered_json* member(const nlohmann::ordered_json* object, const char* key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  auto found = object->find(key);
  return found == object->end() ? nullptr : &*found;
}

std::optional<std::string> base64url_decode(std::string_view text) {
  std::string standard(text);
  for (char& c : standard) {
    if (c == '+' || c == '/' || c == '\n') return std::nullopt;
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  return base::base64_decode(standard);
}

}  // namespace

Clock::time_point unix_time(double seconds) {
  constexpr auto last = std::chrono::floor<std::chrono::seconds>(Clock::duration::max()).count();
  // Written so that "not a number" becomes 0.
  if (!(seconds > 0)) seconds = 0;
  if (seconds >= static_cast<double>(last)) return Clock::from_time_t(last);
  return Clock::from_time_t(static_cast<std::time_t>(seconds));
}

base::Result<Identity> certificate_identity(const std::string& cert_pem,
                                            const std::string& key_pem) {
  ErrorQueue queue;
  Certificate certificate(PEM_read_bio_X509(reader(cert_pem).get(), nullptr, no_password, nullptr));
  if (!certificate)
    return Error{Errc::invalid_input, "no PEM certificate in the client certificate"};
  Key key(PEM_read_bio_PrivateKey(reader(key_pem).get(), nullptr, no_password, nullptr));
  if (!key)
    return Error{Errc::invalid_input, "no PEM private key without password in the client key"};
  if (X509_check_private_key(certificate.get(), key.get()) != 1)
    return Error{Errc::invalid_input, "client certificate and client key do not belong together"};

  Identity out;
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &parts) == 1)
    out.expires = unix_time(static_cast<double>(::timegm(&parts)));
  const auto* subject = X509_get_subject_name(certificate.get());
  if (has_organization(subject, "system:nodes")) out.node_name = node_of_user(common_name(subject));
  return out;
}

Identity token_identity(std::string_view token) {
  Identity out;
  auto parts = base::split(token, '.');
  if (parts.size() != 3) return out;
  auto payload = base64url_decode(parts[1]);
  if (!payload) return out;
  auto claims = base::parse_json(*payload, "token");
  if (!claims) return out;
  const auto* exp = member(&*claims, "exp");
  if (exp != nullptr && exp->is_number()) out.expires = unix_time(exp->get<double>());
  const auto* sub = member(&*claims, "sub");
  if (sub != nullptr && sub->is_string()) out.node_name = node_of_user(sub->get<std::string>());
  const auto* name = member(member(member(&*claims, "kubernetes.io"), "node"), "name");
  if (!out.node_name && name != nullptr && name->is_string()) {
    auto text = name->get<std::string>();
    if (is_object_name(text)) out.node_name = std::move(text);
  }
  return out;
}

std::string host_node_name() {
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "localhost";
  return base::to_lower(name);
}

}  // namespace kube
