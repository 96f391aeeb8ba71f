// Property: a configuration that parses prints a result that is JSON of the
// configuration's version, or a failure; every failure prints as JSON.
#include "cni/netconf.hpp"

#include "base/json.hpp"
#include "fuzz/check.hpp"

namespace {

void check_failure(const cni::Failure& failure, std::string_view version) {
  fuzz::require(!failure.message.empty(), "a failure has a message");
  const auto json = base::parse_json(cni::failure_json(failure, version), "failure");
  fuzz::require(json && json->is_object(), "a failure prints as a JSON object");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = cni::parse_netconf(fuzz::text_of(data, size));
  if (const auto* failure = std::get_if<cni::Failure>(&parsed)) {
    check_failure(*failure, "");
    return 0;
  }
  const auto& conf = std::get<cni::Netconf>(parsed);
  fuzz::require(!conf.name.empty() && !conf.run_dir.empty() && !conf.kubeconfig.empty(),
                "name, run directory and kubeconfig are set");
  fuzz::require(conf.timeout.count() >= 0 && conf.timeout.count() <= 600'000,
                "the timeout is at most 600 seconds");
  const auto result = cni::result_json(conf);
  if (const auto* failure = std::get_if<cni::Failure>(&result)) {
    check_failure(*failure, conf.version.text());
    return 0;
  }
  const auto json = base::parse_json(std::get<std::string>(result), "result");
  fuzz::require(json && json->is_object(), "the result is a JSON object");
  fuzz::require(json->at("cniVersion") == conf.version.text(),
                "the result has the configuration's version");
  return 0;
}
