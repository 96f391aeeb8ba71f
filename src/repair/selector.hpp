// Label and field selectors, evaluated here: the agent's watch is of all of this
// node's pods, so that the server is not asked twice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "pod/pod.hpp"

namespace repair {

/// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
class LabelSelector {
 public:
  /// Requirements joined by commas: "a=b", "a==b", "a!=b", "a in (b,c)",
  /// "a notin (b,c)", "a", "!a", "a>1", "a<1". "" selects everything. The error
  /// (Errc::invalid_input) quotes the requirement that is wrong.
  static base::Result<LabelSelector> parse(std::string_view text);
  /// As the API server does: "!=" and "notin" hold for a label that is absent.
  [[nodiscard]] bool matches(const std::map<std::string, std::string>& labels) const;

  enum class Operator : std::uint8_t { in, not_in, exists, not_exists, greater, less };
  struct Requirement {
    std::string key;
    Operator operation = Operator::exists;
    std::vector<std::string> values;
  };

 private:
  std::vector<Requirement> requirements_;
};

/// "key=value", "key==value", "key!=value", joined by commas; '\' takes the
/// special meaning from the next ',', '=' or '\' of a value.
class FieldSelector {
 public:
  /// Keys: metadata.name, metadata.namespace, spec.nodeName, spec.restartPolicy,
  /// spec.serviceAccountName, status.phase, status.podIP. Others are an error
  /// that names these.
  static base::Result<FieldSelector> parse(std::string_view text);
  [[nodiscard]] bool matches(const pod::Pod& pod) const;

 private:
  struct Requirement {
    std::string key;
    bool equal = true;
    std::string value;
  };
  std::vector<Requirement> requirements_;
};

}  // namespace repair
