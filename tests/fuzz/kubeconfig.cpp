// Property: a kubeconfig that is accepted names a server and, if it has a
// credential plugin, a command; nothing is taken from files that are not there.
#include "kube/kubeconfig.hpp"

#include <algorithm>

#include "fuzz/check.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed =
      kube::parse_kubeconfig(fuzz::text_of(data, size), "/etc/cni/kubeconfig",
                             [](const std::string& path) -> base::Result<std::string> {
                               fuzz::require(path.starts_with('/'), "files are asked for by path");
                               return base::Error{base::Errc::not_found, path + ": not found"};
                             });
  if (!parsed) {
    fuzz::require(!parsed.error().message.empty(), "an error has a message");
    return 0;
  }
  const auto& client = parsed->client;
  fuzz::require(!client.host.empty() && client.port != 0, "there is a server");
  fuzz::require(client.base_path.empty() ||
                    (client.base_path.front() == '/' && client.base_path.back() != '/'),
                "the base path is \"\" or \"/prefix\"");
  fuzz::require(client.cert_pem.empty() == client.key_pem.empty(),
                "certificate and key come together");
  fuzz::require(std::all_of(client.token.begin(), client.token.end(),
                            [](char c) { return c > ' ' && c <= '~'; }),
                "a token fits into a header");
  if (parsed->exec) {
    fuzz::require(client.token.empty(), "a token wins over a plugin");
    fuzz::require(!parsed->exec->command.empty(), "a plugin has a command");
  }
  return 0;
}
