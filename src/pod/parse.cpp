#include "pod/parse.hpp"

#include <iterator>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/strings.hpp"

namespace pod {
namespace {

using Json = nlohmann::json;

/// Where in a Pod a value stands; it fixes the type the value must have.
enum class At {
  skip,
  root,
  metadata,
  string_map,
  spec,
  containers,
  container,
  args,
  env,
  env_entry,
  security,
  text,
  number,
};

enum class Type { any, object, array, text, number };

Type type_of(At at) {
  switch (at) {
    case At::skip:
      return Type::any;
    case At::containers:
    case At::args:
    case At::env:
      return Type::array;
    case At::text:
      return Type::text;
    case At::number:
      return Type::number;
    default:
      return Type::object;
  }
}

class Handler : public nlohmann::json_sax<Json> {
 public:
  bool null() override {
    auto at = child();
    step();
    // An absent list, map or string; but there is no absent element or document.
    if (at == At::root || at == At::container || at == At::env_entry) return wrong_type(at, "null");
    return true;
  }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t value) override { return integer(value < 0, 0); }
  bool number_unsigned(number_unsigned_t value) override { return integer(false, value); }
  bool number_float(number_float_t, const string_t&) override { return other("a number"); }
  bool binary(binary_t&) override { return other("binary data"); }

  bool string(string_t& value) override {
    auto at = child();
    step();
    if (at == At::text) {
      *text_ = std::move(value);
      return true;
    }
    return at == At::skip || wrong_type(at, "a string");
  }

  bool start_object(std::size_t) override { return open(Type::object, "an object"); }
  bool start_array(std::size_t) override { return open(Type::array, "a list"); }

  bool key(string_t& value) override {
    stack_.back().key = std::move(value);
    return true;
  }

  bool end_object() override {
    if (stack_.back().at == At::env_entry) container_->env[env_name_] = std::move(env_value_);
    return close();
  }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The exception's text begins with an identifier in brackets.
    std::string_view reason = error.what();
    if (auto end = reason.find("] "); end != std::string_view::npos) reason.remove_prefix(end + 2);
    return fail(base::cat("not valid JSON at byte ", position, ": ", base::quote(reason, 200)));
  }

  base::Result<Pod> take() {
    if (!failure_.empty()) return base::Error{base::Errc::invalid_input, "pod: " + failure_};
    if (kind_ == "Status")
      return base::Error{
          base::Errc::invalid_input,
          base::cat("pod: the answer is a Status object: ", base::quote(message_, 500))};
    if (!kind_.empty() && kind_ != "Pod")
      return base::Error{base::Errc::invalid_input,
                         base::cat("pod: kind is ", base::quote(kind_), ", expected \"Pod\"")};
    for (auto& container : init_) container.init = true;
    pod_.containers = std::move(init_);
    pod_.containers.insert(pod_.containers.end(), std::make_move_iterator(main_.begin()),
                           std::make_move_iterator(main_.end()));
    return std::move(pod_);
  }

 private:
  struct Frame {
    At at;
    bool array;
    std::string key;
    std::size_t index = 0;
  };

  /// Where the value that begins now stands. Forgets what an earlier value of
  /// the same key left behind, so that the last one counts.
  At child() {
    if (stack_.empty()) return At::root;
    const auto& parent = stack_.back();
    const auto& key = parent.key;
    switch (parent.at) {
      case At::root:
        if (key == "kind") return text(kind_);
        if (key == "message") {
          // Free text of a Status; a Pod has no such field.
          return text(message_);
        }
        if (key == "metadata") {
          pod_ = Pod{};
          return At::metadata;
        }
        if (key == "spec") {
          init_.clear();
          main_.clear();
          return At::spec;
        }
        return At::skip;
      case At::metadata:
        if (key == "name") return text(pod_.name);
        if (key == "namespace") return text(pod_.name_space);
        if (key == "uid") return text(pod_.uid);
        if (key == "resourceVersion") return text(pod_.resource_version);
        if (key == "labels") return strings(pod_.labels);
        if (key == "annotations") return strings(pod_.annotations);
        return At::skip;
      case At::string_map:
        return text((*map_)[key]);
      case At::spec:
        if (key == "initContainers") return list(init_);
        if (key == "containers") return list(main_);
        return At::skip;
      case At::containers:
        container_ = &list_->emplace_back();
        return At::container;
      case At::container:
        if (key == "name") return text(container_->name);
        if (key == "args") {
          container_->args.clear();
          return At::args;
        }
        if (key == "env") {
          container_->env.clear();
          return At::env;
        }
        if (key == "securityContext") {
          container_->run_as_user.reset();
          container_->run_as_group.reset();
          return At::security;
        }
        return At::skip;
      case At::args:
        return text(container_->args.emplace_back());
      case At::env:
        env_name_.clear();
        env_value_.clear();
        return At::env_entry;
      case At::env_entry:
        if (key == "name") return text(env_name_);
        if (key == "value") return text(env_value_);
        return At::skip;
      case At::security:
        if (key == "runAsUser") return number(container_->run_as_user);
        if (key == "runAsGroup") return number(container_->run_as_group);
        return At::skip;
      case At::skip:
      case At::text:
      case At::number:
        break;
    }
    return At::skip;
  }

  At text(std::string& target) {
    target.clear();
    text_ = &target;
    return At::text;
  }
  At number(std::optional<std::uint32_t>& target) {
    target.reset();
    number_ = &target;
    return At::number;
  }
  At strings(std::map<std::string, std::string>& target) {
    target.clear();
    map_ = &target;
    return At::string_map;
  }
  At list(std::vector<Container>& target) {
    target.clear();
    list_ = &target;
    return At::containers;
  }

  /// Counts a finished child of a list; called before its errors are worded, so
  /// `where` looks one back.
  void step() {
    if (!stack_.empty() && stack_.back().array) ++stack_.back().index;
  }

  bool open(Type type, std::string_view name) {
    auto at = child();
    step();
    if (type_of(at) != type && at != At::skip) return wrong_type(at, name);
    if (stack_.size() >= static_cast<std::size_t>(base::max_json_depth))
      return fail(base::cat("nested deeper than ", base::max_json_depth, " levels"));
    stack_.push_back({at, type == Type::array, {}});
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  bool integer(bool negative, std::uint64_t value) {
    auto at = child();
    step();
    if (at == At::skip) return true;
    if (at != At::number) return wrong_type(at, "a number");
    if (negative || value > UINT32_MAX)
      return fail(where() + ": not an integer from 0 to 4294967295");
    *number_ = static_cast<std::uint32_t>(value);
    return true;
  }

  bool other(std::string_view name) {
    auto at = child();
    step();
    return at == At::skip || wrong_type(at, name);
  }

  bool wrong_type(At at, std::string_view got) {
    std::string_view wanted = "an object";
    switch (type_of(at)) {
      case Type::array:
        wanted = "a list";
        break;
      case Type::text:
        wanted = "a string";
        break;
      case Type::number:
        wanted = "an integer from 0 to 4294967295";
        break;
      default:
        break;
    }
    return fail(base::cat(where(), ": expected ", wanted, ", found ", got));
  }

  std::string where() const {
    if (stack_.empty()) return "document";
    std::string out;
    for (const auto& frame : stack_) {
      if (frame.array) {
        out += base::cat('[', frame.index - 1, ']');
      } else {
        if (!out.empty()) out += '.';
        auto quoted = base::quote(frame.key);
        out += quoted.substr(1, quoted.size() - 2);
      }
    }
    return out;
  }

  bool fail(std::string message) {
    failure_ = std::move(message);
    return false;
  }

  Pod pod_;
  std::vector<Container> init_;
  std::vector<Container> main_;
  std::string kind_;
  std::string message_;
  std::string env_name_;
  std::string env_value_;
  std::vector<Frame> stack_;
  // What the innermost value of each kind writes to; none outlives its value.
  std::string* text_ = nullptr;
  std::optional<std::uint32_t>* number_ = nullptr;
  std::map<std::string, std::string>* map_ = nullptr;
  std::vector<Container>* list_ = nullptr;
  Container* container_ = nullptr;
  std::string failure_;
};

}  // namespace

base::Result<Pod> parse_pod(std::string_view json) {
  try {
    Handler handler;
    Json::sax_parse(json.begin(), json.end(), &handler);
    return handler.take();
  } catch (const std::exception& error) {
    return base::Error{base::Errc::invalid_input, base::cat("pod: ", error.what())};
  }
}

}  // namespace pod
