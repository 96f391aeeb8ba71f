#include "config/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <map>
#include <optional>
#include <sstream>

#include "base/strings.hpp"

namespace config {
namespace {

using base::cat;

constexpr std::size_t max_depth = 20;
/// Of all nodes, those of resolved aliases included: a file of 1 MiB with room to spare.
constexpr std::size_t max_weight = std::size_t{8} << 20;
constexpr std::size_t node_weight = 32;

/// Leaves yaml-cpp's parser; never leaves this file.
struct Refused {
  YamlMistake mistake;
};

std::size_t weight(const YamlNode& node) {
  auto sum = node_weight + node.text.size();
  for (const auto& item : node.items) sum += weight(item);
  for (const auto& [key, value] : node.fields) sum += weight(key) + weight(value);
  return sum;
}

Mark mark_of(const YAML::Mark& mark) {
  return mark.is_null() ? Mark{} : Mark{mark.line + 1, mark.column + 1};
}

class Builder : public YAML::EventHandler {
 public:
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0)
      refuse(mark_of(mark), "a second document begins here (---); a file holds one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(mark, "?", anchor, {}, YamlNode::Kind::null);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    leaf(mark, tag, anchor, value, YamlNode::Kind::scalar);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(mark_of(mark), "an alias inside of what it names");
    charge(mark_of(mark), weight(found->second));
    auto node = found->second;
    node.mark = mark_of(mark);
    add(std::move(node), 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YamlNode node;
    std::size_t anchor;
    std::optional<YamlNode> key;
  };

  [[noreturn]] static void refuse(Mark mark, std::string message) {
    throw Refused{{mark, std::move(message)}};
  }

  void charge(Mark mark, std::size_t amount) {
    weight_ += amount;
    if (weight_ > max_weight) refuse(mark, "too many values, or too many aliases of large ones");
  }

  static void check_tag(Mark mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!")
      refuse(mark, cat("the tag ", base::quote(tag), " is not supported; leave it out"));
  }

  void begin(const YAML::Mark& at, const std::string& tag, std::size_t anchor,
             YamlNode::Kind kind) {
    const auto mark = mark_of(at);
    check_tag(mark, tag);
    if (open_.size() >= max_depth) refuse(mark, cat("nested deeper than ", max_depth, " levels"));
    charge(mark, node_weight);
    open_.push_back({YamlNode{kind, mark, {}, false, {}, {}}, anchor, std::nullopt});
  }

  void end() {
    auto done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  void leaf(const YAML::Mark& at, const std::string& tag, std::size_t anchor,
            const std::string& text, YamlNode::Kind kind) {
    const auto mark = mark_of(at);
    check_tag(mark, tag);
    charge(mark, node_weight + text.size());
    add(YamlNode{kind, mark, text, tag == "?", {}, {}}, anchor);
  }

  void add(YamlNode node, std::size_t anchor) {
    if (anchor != 0) {
      charge(node.mark, weight(node));
      anchors_[anchor] = node;
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    auto& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.key) {
      parent.node.fields.push_back({*std::move(parent.key), std::move(node)});
      parent.key.reset();
    } else {
      if (node.kind != YamlNode::Kind::scalar)
        refuse(node.mark, "a key is expected here, and it must be plain text");
      if (node.text == "<<")
        refuse(node.mark, "merge keys (<<) are not supported; write the keys out");
      parent.key = std::move(node);
    }
  }

  YamlNode root_;
  std::vector<Open> open_;
  std::map<std::size_t, YamlNode> anchors_;
  std::size_t weight_ = 0;
  int documents_ = 0;
};

/// yaml-cpp takes some control characters for the end of the file, and others
/// are nothing that a person would write.
std::optional<YamlMistake> control_character(std::string_view text) {
  Mark mark{1, 1};
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
      return YamlMistake{mark, "a control character; is this a text file in UTF-8?"};
    if (c == '\n') {
      ++mark.line;
      mark.column = 1;
    } else if ((c & 0xc0) != 0x80) {
      ++mark.column;
    }
  }
  return std::nullopt;
}

}  // namespace

std::variant<YamlNode, YamlMistake> parse_yaml(std::string_view text) {
  if (auto mistake = control_character(text)) return *std::move(mistake);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Refused& refused) {
    return refused.mistake;
  } catch (const YAML::Exception& error) {
    return YamlMistake{mark_of(error.mark), cat("not valid YAML: ", error.msg)};
  } catch (const std::exception& error) {
    return YamlMistake{{}, cat("cannot be read as YAML: ", error.what())};
  }
}

}  // namespace config
