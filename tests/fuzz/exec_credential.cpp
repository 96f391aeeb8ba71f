// Property: a credential that is accepted has a token or a certificate with its
// key, and an expiry that the clock can hold.
#include "fuzz/check.hpp"
#include "kube/exec.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto credential =
      kube::parse_exec_credential(fuzz::text_of(data, size), "client.authentication.k8s.io/v1");
  if (!credential) {
    fuzz::require(
        credential.error().code == base::Errc::invalid_input && !credential.error().message.empty(),
        "an error is invalid_input and has a message");
    return 0;
  }
  fuzz::require(!credential->token.empty() || !credential->cert_pem.empty(),
                "there is something to log in with");
  fuzz::require(credential->cert_pem.empty() == credential->key_pem.empty(),
                "certificate and key come together");
  return 0;
}
