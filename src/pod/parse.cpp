#include "pod/parse.hpp"

#include <iterator>
#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "pod/places.hpp"

namespace pod {
namespace {

using Json = nlohmann::json;

class Handler : public nlohmann::json_sax<Json> {
 public:
  bool null() override {
    auto at = child();
    step();
    return !always_there(at) || wrong_type(at, "null");
  }
  bool boolean(bool value) override {
    auto at = child();
    step();
    if (at == At::flag) *flag_ = value;
    return at == At::skip || at == At::flag || wrong_type(at, "a boolean");
  }
  bool number_integer(number_integer_t value) override {
    return any_integer(value < 0 ? 0 : static_cast<std::uint64_t>(value), value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return any_integer(value, value > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(value));
  }
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
    switch (stack_.back().at) {
      case At::env_entry:
        container_->env[env_name_] = std::move(env_value_);
        break;
      case At::owner:
        if (controller_ && !pod_.owner) pod_.owner = std::move(owner_);
        break;
      case At::condition:
        if (condition_type_ == "PodScheduled" && condition_status_ == "True")
          pod_.scheduled_at = std::move(condition_time_);
        break;
      case At::address:
        if (!address_.empty()) pod_.ips.push_back(std::move(address_));
        break;
      default:
        break;
    }
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
    pod_.deleting = !deletion_time_.empty();
    if (pod_.ips.empty() && !pod_ip_.empty()) pod_.ips.push_back(std::move(pod_ip_));
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
          reset_metadata();
          return At::metadata;
        }
        if (key == "spec") {
          reset_spec();
          return At::spec;
        }
        if (key == "status") {
          reset_status();
          return At::status;
        }
        return At::skip;
      case At::metadata:
        if (key == "name") return text(pod_.name);
        if (key == "namespace") return text(pod_.name_space);
        if (key == "uid") return text(pod_.uid);
        if (key == "resourceVersion") return text(pod_.resource_version);
        if (key == "labels") return strings(pod_.labels);
        if (key == "annotations") return strings(pod_.annotations);
        if (key == "deletionTimestamp") return text(deletion_time_);
        if (key == "ownerReferences") {
          pod_.owner.reset();
          return At::owners;
        }
        return At::skip;
      case At::string_map:
        return text((*map_)[key]);
      case At::owners:
        owner_ = {};
        controller_ = false;
        return At::owner;
      case At::owner:
        if (key == "controller") return flag(controller_);
        if (key == "kind") return text(owner_.kind);
        if (key == "name") return text(owner_.name);
        if (key == "uid") return text(owner_.uid);
        return At::skip;
      case At::spec:
        if (key == "initContainers") return list(init_);
        if (key == "containers") return list(main_);
        if (key == "nodeName") return text(pod_.node_name);
        if (key == "restartPolicy") return text(pod_.restart_policy);
        if (key == "serviceAccountName") return text(pod_.service_account);
        if (key == "hostNetwork") return flag(pod_.host_network);
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
      default:
        return child_of_status(parent.at, key);
    }
  }

  /// child() for what is below `status`.
  At child_of_status(At parent, const std::string& key) {
    switch (parent) {
      case At::status:
        if (key == "phase") return text(pod_.phase);
        if (key == "podIP") return text(pod_ip_);
        if (key == "podIPs") {
          pod_.ips.clear();
          return At::addresses;
        }
        if (key == "conditions") {
          pod_.scheduled_at.clear();
          return At::conditions;
        }
        if (key == "initContainerStatuses") {
          pod_.init_statuses.clear();
          return At::init_statuses;
        }
        return At::skip;
      case At::conditions:
        condition_type_.clear();
        condition_status_.clear();
        condition_time_.clear();
        return At::condition;
      case At::condition:
        if (key == "type") return text(condition_type_);
        if (key == "status") return text(condition_status_);
        if (key == "lastTransitionTime") return text(condition_time_);
        return At::skip;
      case At::addresses:
        address_.clear();
        return At::address;
      case At::address:
        return key == "ip" ? text(address_) : At::skip;
      case At::init_statuses:
        init_status_ = &pod_.init_statuses.emplace_back();
        return At::init_status;
      case At::init_status:
        if (key == "name") return text(init_status_->name);
        if (key == "restartCount") return integer(init_status_->restart_count);
        if (key == "state") return state(init_status_->terminated);
        if (key == "lastState") return state(init_status_->last_terminated);
        return At::skip;
      case At::state:
        if (key != "terminated") return At::skip;
        termination_->reset();
        return At::termination;
      case At::termination:
        if (key == "exitCode") return integer((*termination_)->exit_code);
        if (key == "reason") return text((*termination_)->reason);
        if (key == "message") return text((*termination_)->message);
        if (key == "finishedAt") return text((*termination_)->finished_at);
        return At::skip;
      default:
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
  At integer(std::int32_t& target) {
    target = 0;
    integer_ = &target;
    return At::integer;
  }
  At flag(bool& target) {
    target = false;
    flag_ = &target;
    return At::flag;
  }
  At state(std::optional<Termination>& target) {
    target.reset();
    termination_ = &target;
    return At::state;
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

  void reset_metadata() {
    for (auto* value :
         {&pod_.name, &pod_.name_space, &pod_.uid, &pod_.resource_version, &deletion_time_})
      value->clear();
    pod_.labels.clear();
    pod_.annotations.clear();
    pod_.owner.reset();
  }
  void reset_spec() {
    init_.clear();
    main_.clear();
    for (auto* value : {&pod_.node_name, &pod_.restart_policy, &pod_.service_account})
      value->clear();
    pod_.host_network = false;
  }
  void reset_status() {
    for (auto* value : {&pod_.phase, &pod_.scheduled_at, &pod_ip_}) value->clear();
    pod_.ips.clear();
    pod_.init_statuses.clear();
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
    if (at == At::termination) termination_->emplace();
    stack_.push_back({at, type == Type::array, {}});
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  /// The same number twice; each is cut off at the bounds of its type.
  bool any_integer(std::uint64_t natural, std::int64_t value) {
    auto at = child();
    step();
    if (at == At::skip) return true;
    if (at == At::number) {
      if (value < 0 || natural > UINT32_MAX)
        return fail(base::cat(where(), ": not ", describe(Type::number)));
      *number_ = static_cast<std::uint32_t>(natural);
      return true;
    }
    if (at != At::integer) return wrong_type(at, "a number");
    if (value < INT32_MIN || value > INT32_MAX)
      return fail(base::cat(where(), ": not ", describe(Type::integer)));
    *integer_ = static_cast<std::int32_t>(value);
    return true;
  }

  bool other(std::string_view name) {
    auto at = child();
    step();
    return at == At::skip || wrong_type(at, name);
  }

  bool wrong_type(At at, std::string_view got) {
    return fail(base::cat(where(), ": expected ", describe(type_of(at)), ", found ", got));
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
  Owner owner_;
  bool controller_ = false;
  std::string deletion_time_;
  std::string pod_ip_;
  std::string condition_type_;
  std::string condition_status_;
  std::string condition_time_;
  std::string address_;
  std::vector<Frame> stack_;
  // What the innermost value of each kind writes to; none outlives its value.
  std::string* text_ = nullptr;
  std::optional<std::uint32_t>* number_ = nullptr;
  std::int32_t* integer_ = nullptr;
  bool* flag_ = nullptr;
  std::map<std::string, std::string>* map_ = nullptr;
  std::vector<Container>* list_ = nullptr;
  Container* container_ = nullptr;
  InitStatus* init_status_ = nullptr;
  std::optional<Termination>* termination_ = nullptr;
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
