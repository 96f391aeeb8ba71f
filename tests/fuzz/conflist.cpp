// Properties: an edit gives a file that a runtime can load, with our entry last
// and once; undoing it gives every byte back; a list of our own can be loaded.
// The first line of the input is the file name.
#include "cni/conflist.hpp"

#include "fuzz/check.hpp"

namespace {

constexpr std::string_view printable =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.\"\\ ";

cni::PluginEntry sample_entry() {
  cni::PluginEntry entry;
  entry.exclude_namespaces = {"kube-system", "istio-system"};
  entry.agent_namespace = "istio-system";
  entry.timeout = std::chrono::milliseconds(1500);
  return entry;
}

void check_loadable(std::string_view text, bool ours_is_last) {
  const auto network = cni::inspect("x.conflist", text);
  fuzz::require(network.ok(), "a runtime can load the list");
  if (!ours_is_last) return;
  const auto& types = network->plugin_types;
  fuzz::require(network->our_position() + 1 == static_cast<int>(types.size()),
                "our entry is there once and last");
}

void check_edits(std::string_view text, const cni::PluginEntry& entry) {
  const auto without = cni::without_entry(text);
  const auto with = cni::with_entry(text, entry);
  for (const auto* edited : {&without, &with})
    fuzz::require(edited->ok() || edited->error().code == base::Errc::invalid_input,
                  "the text of an edit holds what it should");
  if (!with) return;
  check_loadable(*with, true);
  const auto again = cni::with_entry(*with, entry);
  fuzz::require(again && *again == *with, "a second edit changes nothing");
  if (!without) return;
  const auto undone = cni::without_entry(*with);
  fuzz::require(undone && *undone == *without, "undoing gives every byte back");
  check_loadable(*without, false);
  const auto redone = cni::with_entry(*without, entry);
  fuzz::require(redone.ok(), "what was undone can be done again");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  const auto name = input.substr(0, line);
  const auto text = input.substr(line + 1);
  const auto entry = sample_entry();

  const auto network = cni::inspect(name, text);
  fuzz::require(network || !network.error().message.empty(), "an error has a message");
  check_edits(text, entry);

  const auto derived = cni::derived_list(name, text, entry);
  fuzz::require(network.ok() || !derived.ok(), "no list is made from what cannot be loaded");
  if (!derived) return 0;
  check_loadable(*derived, true);
  const auto edited = cni::with_entry(*derived, entry);
  fuzz::require(edited && *edited == *derived, "a list of our own needs no edit");
  const auto own = cni::inspect("x.conflist", *derived);
  // JSON cannot hold every file name
  const bool plain = name.find_first_not_of(printable) == std::string_view::npos;
  fuzz::require(!plain || own->derived_from == name, "the list says what it was made from");
  return 0;
}
