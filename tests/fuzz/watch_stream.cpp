// Properties: where the bytes are cut makes no difference; of a list that a
// document parser accepts, the items are that parser's items; every item of a
// stream that is JSON is an object, and its parts are found as that parser finds
// them. Input: one byte for the size of the pieces, then the answer's body.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fuzz/check.hpp"
#include "kube/json_splitter.hpp"
#include "pod/parse.hpp"

namespace {

using Json = nlohmann::json;
using kube::JsonSplitter;

constexpr std::size_t max_item = 4096;

struct Outcome {
  std::vector<std::string> items;
  bool fed = true;
  bool finished = false;
  kube::ListHead head;
};

Outcome split(JsonSplitter::Mode mode, std::string_view text, std::size_t piece) {
  Outcome outcome;
  JsonSplitter splitter(
      mode, [&](std::string_view item) { outcome.items.emplace_back(item); }, max_item);
  while (!text.empty() && outcome.fed) {
    // On the heap, so that a look beyond the end is seen.
    const std::vector<char> part(
        text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(piece, text.size())));
    const auto fed = splitter.feed({part.data(), part.size()});
    fuzz::require(fed || fed.error().code == base::Errc::invalid_input,
                  "an error is invalid_input");
    outcome.fed = fed.ok();
    text.remove_prefix(part.size());
  }
  fuzz::require(splitter.peak() <= max_item, "memory is bounded");
  outcome.finished = splitter.finish().ok();
  fuzz::require(outcome.fed || !outcome.finished, "an error is not forgotten");
  outcome.head = splitter.head();
  return outcome;
}

void check_list(std::string_view text, const Outcome& outcome) {
  // A parser sees through escapes in keys and takes the last of equal keys.
  if (text.find("\\u") != std::string_view::npos) return;
  std::size_t keys = 0;
  for (auto at = text.find("\"items\""); at != std::string_view::npos;
       at = text.find("\"items\"", at + 1))
    ++keys;
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object() || keys != 1 || !outcome.finished) return;
  const auto items = json.find("items");
  if (items == json.end() || !items->is_array()) return;
  fuzz::require(items->size() == outcome.items.size(), "as many items");
  for (std::size_t i = 0; i < items->size(); ++i)
    fuzz::require(Json::parse(outcome.items[i], nullptr, false) == (*items)[i], "the same item");
}

void check_event(const std::string& item) {
  const auto event = kube::parse_watch_event(item);
  const auto json = Json::parse(item, nullptr, false);
  (void)kube::resource_version_of(item);
  (void)kube::parse_status(item);
  if (event) {
    (void)pod::parse_pod(event->object);
    (void)kube::resource_version_of(event->object);
  }
  if (json.is_discarded()) return;
  fuzz::require(json.is_object(), "an item is an object");
  if (!event || item.find('\\') != std::string::npos) return;
  const auto parsed = Json::parse(event->object, nullptr, false);
  fuzz::require(parsed.is_object(), "the object is one");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto piece = static_cast<std::size_t>(data[0] % 64) + 1;
  const auto text = fuzz::text_of(data + 1, size - 1);
  for (auto mode : {JsonSplitter::Mode::list, JsonSplitter::Mode::stream}) {
    const auto whole = split(mode, text, text.size() + 1);
    const auto pieces = split(mode, text, piece);
    fuzz::require(whole.items == pieces.items && whole.fed == pieces.fed &&
                      whole.finished == pieces.finished &&
                      whole.head.continue_token == pieces.head.continue_token &&
                      whole.head.resource_version == pieces.head.resource_version &&
                      whole.head.message == pieces.head.message,
                  "pieces make no difference");
    if (mode == JsonSplitter::Mode::list) {
      check_list(text, whole);
    } else {
      for (const auto& item : whole.items) check_event(item);
    }
  }
  return 0;
}
