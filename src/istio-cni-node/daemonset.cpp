#include "istio-cni-node/daemonset.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace istio_cni_node {
namespace {

using Json = nlohmann::ordered_json;
using Labels = std::map<std::string, std::string>;

const Json& at(const Json& json, std::initializer_list<const char*> path) {
  static const Json none;
  const Json* here = &json;
  for (const auto* key : path) {
    if (!here->is_object()) return none;
    auto next = here->find(key);
    if (next == here->end()) return none;
    here = &*next;
  }
  return *here;
}

std::string text(const Json& json) {
  return json.is_string() ? json.get<std::string>() : std::string();
}

std::optional<long> number(const std::string& text) {
  long value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool requirement_holds(const Json& requirement, const Labels& labels) {
  const auto label = labels.find(text(at(requirement, {"key"})));
  const bool present = label != labels.end();
  std::vector<std::string> values;
  for (const auto& value : at(requirement, {"values"})) values.push_back(text(value));
  const bool listed =
      present && std::find(values.begin(), values.end(), label->second) != values.end();
  const auto op = text(at(requirement, {"operator"}));
  if (op == "In") return listed;
  if (op == "NotIn") return !listed;
  if (op == "Exists") return present;
  if (op == "DoesNotExist") return !present;
  if ((op == "Gt" || op == "Lt") && present && values.size() == 1) {
    const auto have = number(label->second);
    const auto bound = number(values.front());
    return have && bound && (op == "Gt" ? *have > *bound : *have < *bound);
  }
  return false;
}

bool term_holds(const Json& term, const Labels& labels, const Labels& fields) {
  const auto& expressions = at(term, {"matchExpressions"});
  const auto& on_fields = at(term, {"matchFields"});
  // an empty term matches nothing (core/v1, NodeSelectorTerm)
  if (expressions.empty() && on_fields.empty()) return false;
  return std::all_of(expressions.begin(), expressions.end(),
                     [&](const Json& one) { return requirement_holds(one, labels); }) &&
         std::all_of(on_fields.begin(), on_fields.end(),
                     [&](const Json& one) { return requirement_holds(one, fields); });
}

}  // namespace

bool being_deleted(std::string_view daemonset) {
  const auto set = base::parse_json(daemonset, "DaemonSet");
  return set && !at(*set, {"metadata", "deletionTimestamp"}).is_null();
}

base::Result<bool> wants_node(std::string_view daemonset, std::string_view node) {
  auto set = base::parse_json(daemonset, "DaemonSet");
  if (!set) return std::move(set).error();
  auto host = base::parse_json(node, "node");
  if (!host) return std::move(host).error();
  if (!at(*set, {"metadata", "deletionTimestamp"}).is_null()) return false;

  Labels labels;
  for (const auto& [key, value] : at(*host, {"metadata", "labels"}).items())
    labels[key] = text(value);
  const Labels fields{{"metadata.name", text(at(*host, {"metadata", "name"}))}};
  for (const auto& [key, value] : at(*set, {"spec", "template", "spec", "nodeSelector"}).items()) {
    const auto label = labels.find(key);
    if (label == labels.end() || label->second != text(value)) return false;
  }
  const auto& terms =
      at(*set, {"spec", "template", "spec", "affinity", "nodeAffinity",
                "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"});
  if (!terms.is_array()) return true;
  return std::any_of(terms.begin(), terms.end(),
                     [&](const Json& term) { return term_holds(term, labels, fields); });
}

}  // namespace istio_cni_node
