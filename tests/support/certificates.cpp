#include "support/certificates.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace test_support {
namespace {

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

void check(bool good) {
  if (!good) throw std::runtime_error("making a test certificate failed");
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  check(key != nullptr);
  return key;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem(X509* certificate) {
  Bio bio(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio.get());
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  auto* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  check(extension != nullptr);
  bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  check(added);
}

/// Everything but the extensions and the signature.
Certificate draft(const std::string& common_name, EVP_PKEY* key, long begin, long end) {
  Certificate certificate(X509_new());
  check(certificate != nullptr);
  X509_set_version(certificate.get(), 2);
  std::uint32_t serial = 0;
  check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begin);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), end);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  return certificate;
}

}  // namespace

struct Authority::Impl {
  Key key = make_key();
  Certificate certificate;
  std::string pem_text;

  [[nodiscard]] KeyPair issue(const std::string& common_name, const std::string& usage,
                              const std::string& names, bool expired) const {
    auto own = make_key();
    auto made = expired ? draft(common_name, own.get(), -7200, -3600)
                        : draft(common_name, own.get(), -3600, 86400L * 30);
    X509_set_issuer_name(made.get(), X509_get_subject_name(certificate.get()));
    extend(made.get(), certificate.get(), NID_basic_constraints, "critical,CA:FALSE");
    extend(made.get(), certificate.get(), NID_ext_key_usage, usage);
    if (!names.empty()) extend(made.get(), certificate.get(), NID_subject_alt_name, names);
    check(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
    return {pem(made.get()), pem(own.get())};
  }
};

Authority::Authority(const std::string& name) : impl_(std::make_unique<Impl>()) {
  impl_->certificate = draft(name, impl_->key.get(), -7200, 86400L * 30);
  auto* certificate = impl_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate, certificate, NID_key_usage, "critical,keyCertSign");
  extend(certificate, certificate, NID_subject_key_identifier, "hash");
  check(X509_sign(certificate, impl_->key.get(), EVP_sha256()) > 0);
  impl_->pem_text = pem(certificate);
}

Authority::~Authority() = default;

const std::string& Authority::cert_pem() const { return impl_->pem_text; }

KeyPair Authority::server(const std::vector<std::string>& names, bool expired) const {
  std::string joined;
  for (const auto& name : names) joined += (joined.empty() ? "" : ",") + name;
  return impl_->issue("test-apiserver", "serverAuth", joined, expired);
}

KeyPair Authority::client(const std::string& common_name) const {
  return impl_->issue(common_name, "clientAuth", "", false);
}

std::string base64_encode(const std::string& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  auto size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                              reinterpret_cast<const unsigned char*>(bytes.data()),
                              static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

}  // namespace test_support
