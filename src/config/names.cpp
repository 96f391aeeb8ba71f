// What Kubernetes calls a name, a label and a selector.
#include <algorithm>
#include <array>

#include "base/strings.hpp"
#include "config/config.hpp"
#include "config/values.hpp"

namespace config {
namespace {

using base::cat;
using base::quote;
using base::Status;

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool alnum(char c) { return lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

/// RFC 1123: lower case letters, digits and '-' inside.
bool dns_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && lower_alnum(text.front()) &&
         lower_alnum(text.back()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return lower_alnum(c) || c == '-'; });
}

/// As Kubernetes has it: the labels of a subdomain may be longer than 63.
bool dns_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  const auto labels = base::split(text, '.');
  return std::all_of(labels.begin(), labels.end(), [](std::string_view label) {
    return !label.empty() && lower_alnum(label.front()) && lower_alnum(label.back()) &&
           std::all_of(label.begin(), label.end(),
                       [](char c) { return lower_alnum(c) || c == '-'; });
  });
}

/// At most 63 of letters, digits, '-', '_', '.', the ends being alphanumeric.
bool label_word(std::string_view text) {
  return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool qualified_name(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return label_word(text);
  return dns_subdomain(text.substr(0, slash)) && label_word(text.substr(slash + 1));
}

bool label_value(std::string_view text) { return text.empty() || label_word(text); }

/// Reads a label selector from the left.
class SelectorReader {
 public:
  explicit SelectorReader(std::string_view text) : rest_(text) {}

  Status read() {
    skip();
    if (rest_.empty()) return base::success();
    for (;;) {
      if (auto status = requirement(); !status) return status;
      skip();
      if (rest_.empty()) return base::success();
      if (!take(',')) return invalid(cat("expects \",\" before ", quote(rest_)));
    }
  }

 private:
  void skip() { rest_ = rest_.substr(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }
  bool take(char c) {
    skip();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view word() {
    skip();
    const auto end = std::min(rest_.find_first_of(" \t,=!()<>"), rest_.size());
    const auto found = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return found;
  }
  static Status value(std::string_view text) {
    if (label_value(text)) return base::success();
    return invalid(cat(quote(text), " is not a label's value"));
  }

  Status requirement() {
    const bool negated = take('!');
    const auto key = word();
    if (!qualified_name(key)) return invalid(cat(quote(key), " is not a label's key"));
    skip();
    if (negated || rest_.empty() || rest_.starts_with(',')) return base::success();
    if (take('=')) {
      take('=');
      return value(word());
    }
    if (take('!')) {
      if (!take('=')) return invalid(cat("expects \"!=\" after ", quote(key)));
      return value(word());
    }
    if (take('<') || take('>')) {
      if (base::parse_unsigned(word(), INT64_MAX)) return base::success();
      return invalid(cat("expects a number after ", quote(key)));
    }
    const auto operation = word();
    if (operation != "in" && operation != "notin")
      return invalid(cat("expects =, !=, in or notin after ", quote(key)));
    if (!take('(')) return invalid(cat("expects \"(\" after ", operation));
    for (;;) {
      if (auto status = value(word()); !status) return status;
      if (take(')')) return base::success();
      if (!take(',')) return invalid(cat("expects \",\" or \")\" in the list of ", quote(key)));
    }
  }

  std::string_view rest_;
};

/// Splits at commas that no backslash precedes.
std::vector<std::string_view> split_terms(std::string_view text) {
  std::vector<std::string_view> terms;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ',') {
      terms.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  terms.push_back(text.substr(start));
  return terms;
}

}  // namespace

Status check_file_name(std::string_view text, const std::vector<std::string_view>& endings) {
  if (auto status = check_text(text); !status) return status;
  if (text.find('/') != std::string_view::npos)
    return invalid(
        cat(quote(text),
            " has a \"/\"; give the file's name without its folder (install.cni_conf_dir)"));
  const bool ends = std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) {
    return text.ends_with(ending) && text.size() > ending.size();
  });
  if (!ends || text.starts_with('.') || text.size() > 200)
    return invalid(cat(quote(text), " is not a name for a network configuration; it must end in ",
                       alternatives({endings.begin(), endings.end()}),
                       ", must not begin with \".\" and be at most 200 bytes long"));
  return base::success();
}

Status check_namespace(std::string_view text) {
  if (dns_label(text)) return base::success();
  return invalid(
      cat(quote(text), " is not a namespace's name (lower case letters, digits and \"-\" inside)"));
}

Status check_node_name(std::string_view text) {
  if (dns_subdomain(text)) return base::success();
  return invalid(cat(quote(text),
                     " is not a node's name (lower case letters, digits, \"-\" and \".\" inside)"));
}

Status check_container_name(std::string_view text) {
  if (dns_label(text)) return base::success();
  return invalid(
      cat(quote(text), " is not a container's name (lower case letters, digits and \"-\" inside)"));
}

Status check_qualified_name(std::string_view text) {
  if (qualified_name(text)) return base::success();
  return invalid(cat(quote(text),
                     " is not a key: NAME or PREFIX/NAME, PREFIX a DNS name, NAME at most 63 "
                     "letters, digits, \"-\", \"_\" and \".\" inside"));
}

Status check_label_value(std::string_view text) {
  if (label_value(text)) return base::success();
  return invalid(cat(quote(text),
                     " is not a label's value: at most 63 letters, digits, \"-\", \"_\" and \".\" "
                     "inside"));
}

Status check_label_selector(std::string_view text) {
  if (auto status = check_text(text); !status) return status;
  auto status = SelectorReader(text).read();
  if (!status) return std::move(status).error().wrap(cat(quote(text), " is not a label selector"));
  return status;
}

Status check_field_selector(std::string_view text) {
  // those of a pod in the API server
  static const std::vector<std::string> fields = {
      "metadata.name",           "metadata.namespace", "spec.nodeName", "spec.restartPolicy",
      "spec.serviceAccountName", "status.phase",       "status.podIP"};
  if (auto status = check_text(text); !status) return status;
  if (text.empty()) return base::success();
  for (const auto term : split_terms(text)) {
    const auto equals = term.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return invalid(cat(quote(term), " is not FIELD=VALUE or FIELD!=VALUE"));
    auto field = term.substr(0, equals);
    if (field.ends_with('!')) field.remove_suffix(1);
    if (std::find(fields.begin(), fields.end(), field) != fields.end()) continue;
    const auto meant = nearest(field, fields);
    return invalid(cat(quote(field), " is not a field that pods are selected by",
                       meant.empty() ? cat("; allowed: ", alternatives(fields))
                                     : cat("; did you mean ", meant, "?")));
  }
  return base::success();
}

std::string_view to_string(InstallMode mode) {
  switch (mode) {
    case InstallMode::chained:
      return "chained";
    case InstallMode::owned:
      return "owned";
    case InstallMode::standalone:
      return "standalone";
  }
  return "";
}

std::string_view to_string(RepairMode mode) {
  switch (mode) {
    case RepairMode::off:
      return "off";
    case RepairMode::del:
      return "delete";
    case RepairMode::repair:
      return "repair";
    case RepairMode::repair_then_delete:
      return "repair-then-delete";
    case RepairMode::label:
      return "label";
  }
  return "";
}

}  // namespace config
