#include "kube/tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "base/strings.hpp"

namespace kube {
namespace {

using base::cat;

/// What a node costs besides its text, about a third of its size in memory.
constexpr std::size_t node_weight = 32;

struct Refused {
  std::string reason;
};

std::size_t weight(const Tree& tree) {
  std::size_t sum = node_weight + tree.scalar.size();
  for (const auto& item : tree.items) sum += weight(item);
  for (const auto& [key, value] : tree.fields) sum += key.size() + weight(value);
  return sum;
}

/// Builds the tree from either parser's events. Throws Refused.
class Builder {
 public:
  void begin(Tree::Kind kind, std::size_t anchor) {
    if (open_.size() >= max_tree_depth)
      throw Refused{cat("nested deeper than ", max_tree_depth, " levels")};
    charge(node_weight);
    open_.push_back({Tree{kind, {}, {}, {}}, anchor, std::nullopt});
  }
  void end() {
    auto done = std::move(open_.back());
    open_.pop_back();
    if (done.key) throw Refused{"a key without a value"};
    add(std::move(done.tree), done.anchor);
  }
  void scalar(Tree::Kind kind, std::string text, std::size_t anchor) {
    charge(node_weight + text.size());
    add(Tree{kind, std::move(text), {}, {}}, anchor);
  }
  void alias(std::size_t anchor) {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{"an alias inside of what it names"};
    charge(weight(found->second));
    add(found->second, 0);
  }
  void key(std::string text) {
    charge(text.size());
    open_.back().key = std::move(text);
  }
  Tree take() { return std::move(root_); }

 private:
  struct Open {
    Tree tree;
    std::size_t anchor;
    std::optional<std::string> key;
  };

  void charge(std::size_t amount) {
    weight_ += amount;
    if (weight_ > max_tree_weight) throw Refused{"has too many nodes or aliases"};
  }

  void add(Tree tree, std::size_t anchor) {
    if (anchor != 0) {
      charge(weight(tree));
      anchors_[anchor] = tree;
    }
    if (open_.empty()) {
      root_ = std::move(tree);
      return;
    }
    auto& parent = open_.back();
    if (parent.tree.kind == Tree::Kind::list) {
      parent.tree.items.push_back(std::move(tree));
    } else if (parent.key) {
      parent.tree.fields.push_back({*std::exchange(parent.key, std::nullopt), std::move(tree)});
    } else {
      if (tree.kind == Tree::Kind::list || tree.kind == Tree::Kind::map)
        throw Refused{"a key that is not a scalar"};
      if (tree.scalar == "<<") throw Refused{"YAML merge keys (<<) are not supported"};
      parent.key = std::move(tree.scalar);
    }
  }

  Tree root_;
  std::vector<Open> open_;
  std::map<std::size_t, Tree> anchors_;
  std::size_t weight_ = 0;
};

class YamlEvents : public YAML::EventHandler {
 public:
  explicit YamlEvents(Builder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    at(mark, [&] { builder_.scalar(Tree::Kind::null, {}, anchor); });
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    at(mark, [&] { builder_.alias(anchor); });
  }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    at(mark, [&] { builder_.scalar(Tree::Kind::text, value, anchor); });
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    at(mark, [&] { builder_.begin(Tree::Kind::list, anchor); });
  }
  void OnSequenceEnd() override {
    at(last_, [&] { builder_.end(); });
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    at(mark, [&] { builder_.begin(Tree::Kind::map, anchor); });
  }
  void OnMapEnd() override {
    at(last_, [&] { builder_.end(); });
  }

 private:
  template <typename Step>
  void at(const YAML::Mark& mark, Step step) {
    last_ = mark;
    try {
      step();
    } catch (Refused& refused) {
      refused.reason += cat(" (line ", mark.line + 1, ", column ", mark.column + 1, ")");
      throw;
    }
  }

  Builder& builder_;
  YAML::Mark last_;
};

class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonEvents(Builder& builder, std::string_view text) : builder_(builder), text_(text) {}

  bool null() override { return put(Tree::Kind::null, {}); }
  bool boolean(bool value) override { return put(Tree::Kind::boolean, value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return put(Tree::Kind::number, cat(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return put(Tree::Kind::number, cat(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return put(Tree::Kind::number, text);
  }
  bool string(string_t& value) override { return put(Tree::Kind::text, std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override {
    builder_.begin(Tree::Kind::map, 0);
    return true;
  }
  bool key(string_t& value) override {
    builder_.key(std::move(value));
    return true;
  }
  bool end_object() override {
    builder_.end();
    return true;
  }
  bool start_array(std::size_t) override {
    builder_.begin(Tree::Kind::list, 0);
    return true;
  }
  bool end_array() override {
    builder_.end();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    auto before = text_.substr(0, position > 0 ? position - 1 : 0);
    auto line = 1 + std::count(before.begin(), before.end(), '\n');
    auto newline = before.rfind('\n');
    auto column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
    throw Refused{cat("not valid JSON (line ", line, ", column ", column, ")")};
  }

 private:
  bool put(Tree::Kind kind, std::string text) {
    builder_.scalar(kind, std::move(text), 0);
    return true;
  }

  Builder& builder_;
  std::string_view text_;
};

}  // namespace

const Tree* Tree::find(std::string_view key) const {
  for (auto field = fields.rbegin(); field != fields.rend(); ++field)
    if (field->key == key) return &field->value;
  return nullptr;
}

base::Result<Tree> parse_tree(std::string_view text) {
  auto bad = [](std::string message) {
    return base::Error{base::Errc::invalid_input, std::move(message)};
  };
  try {
    Builder builder;
    auto trimmed = base::trim(text);
    if (trimmed.empty()) return bad("is empty");
    if (trimmed.front() == '{') {
      JsonEvents events(builder, text);
      nlohmann::json::sax_parse(text.begin(), text.end(), &events);
    } else {
      std::istringstream stream{std::string(text)};
      YAML::Parser parser(stream);
      YamlEvents events(builder);
      parser.HandleNextDocument(events);
    }
    return builder.take();
  } catch (const Refused& refused) {
    return bad(refused.reason);
  } catch (const YAML::Exception& error) {
    return bad(cat("not valid YAML: ", error.msg, " (line ", error.mark.line + 1, ", column ",
                   error.mark.column + 1, ")"));
  } catch (const std::exception& error) {
    return bad(cat("cannot be read: ", error.what()));
  }
}

}  // namespace kube
