// Property: what parse_args reads, written again as CNI_ARGS, reads the same.
#include "base/strings.hpp"
#include "cni/args.hpp"
#include "fuzz/check.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto args = cni::parse_args(fuzz::text_of(data, size));
  if (!args) {
    fuzz::require(!args.error().message.empty(), "an error has a message");
    return 0;
  }
  const auto again = cni::parse_args(base::cat(
      "K8S_POD_NAME=", args->pod_name, ";K8S_POD_NAMESPACE=", args->pod_namespace,
      ";K8S_POD_INFRA_CONTAINER_ID=", args->infra_container_id, ";K8S_POD_UID=", args->pod_uid));
  fuzz::require(again.ok(), "written again, it parses");
  fuzz::require(again->pod_name == args->pod_name && again->pod_namespace == args->pod_namespace &&
                    again->infra_container_id == args->infra_container_id &&
                    again->pod_uid == args->pod_uid,
                "written again, it says the same");
  return 0;
}
