// Property: what parse_pod accepts is JSON, and it finds the name, namespace and
// annotations that a document parser finds; the decision takes any such pod.
#include <nlohmann/json.hpp>

#include "fuzz/check.hpp"
#include "pod/parse.hpp"
#include "redirect/decide.hpp"

namespace {

using Json = nlohmann::json;

const Json& member(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

std::string text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto pod = pod::parse_pod(input);
  if (!pod) {
    fuzz::require(pod.error().code == base::Errc::invalid_input && !pod.error().message.empty(),
                  "an error is invalid_input and has a message");
    return 0;
  }
  const auto json = Json::parse(input, nullptr, false);
  fuzz::require(json.is_object(), "a pod is a JSON object");
  const auto& metadata = member(json, "metadata");
  fuzz::require(pod->name == text(member(metadata, "name")), "the name is the same");
  fuzz::require(pod->name_space == text(member(metadata, "namespace")),
                "the namespace is the same");
  std::map<std::string, std::string> annotations;
  for (const auto& [key, value] : member(metadata, "annotations").items())
    annotations[key] = text(value);
  fuzz::require(pod->annotations == annotations, "the annotations are the same");

  const auto decision = redirect::decide(*pod, {});
  fuzz::require(decision || decision.error().code == base::Errc::invalid_input,
                "a decision fails by invalid_input only");
  return 0;
}
