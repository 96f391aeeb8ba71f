// What is to be done about one broken pod now. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "repair/match.hpp"
#include "repair/state.hpp"

namespace repair {

/// Why nothing is done although something should be. The names (to_string) are
/// the values of a metric's label.
enum class Hold : std::uint8_t {
  node_not_ready,     ///< a new pod would break the same way
  owner_budget,       ///< too many pods of one owner
  node_budget,        ///< too many pods of this node
  disruption_budget,  ///< the eviction API said no
  not_restarted,      ///< in place does not help: its containers are not started again
  static_pod,         ///< the kubelet made it of a file: the API cannot replace it
};
std::string_view to_string(Hold hold);

struct Action {
  enum class Kind : std::uint8_t {
    none,         ///< nothing is to be done, or it has been done
    hold,         ///< `hold` and `text` say why; at `until` ask again
    del,          ///< delete the pod
    evict,        ///< delete it through the eviction API
    label,        ///< set the label
    label_there,  ///< the label is there already
    in_place,     ///< put the rules into its namespace
  };
  Kind kind = Kind::none;
  Hold hold = Hold::node_not_ready;
  std::string text;
  std::optional<Time> until;  ///< nothing: an event will change it
};

/// Whether this node's plugin is installed, as far as is known.
enum class Node : std::uint8_t { unknown, ready, not_ready };

struct Situation {
  const pod::Pod& pod;
  const Broken& broken;
  const config::Repair& repair;
  const Record* record = nullptr;  ///< what was done before; null: nothing
  Node node = Node::unknown;
  std::string_view node_reason;  ///< why it is not ready
  const Verdict& budget;         ///< of this pod's owner
  Time now{};
};

/// In this order: a deletion or a label that was done is not done again (unless
/// a deleted pod is still whole after deletion_patience); a repair in place
/// neither, until the container failed again after it (broken_again). Then by
/// mode:
///   del                 deletes, or evicts
///   label               labels, unless the key is there
///   repair              in place; held for a pod that will not be restarted
///   repair_then_delete  in place first; deletes what broke again after that, or
///                       will not be restarted
/// Deletions wait for a node that is ready (`unknown`: without a word) and for
/// the budget.
Action plan(const Situation& situation);

/// The container was started after the repair that `record` tells of, and
/// failed: its restart count is higher, and this termination is a later one.
bool broken_again(const Record& record, const Broken& broken);

inline constexpr std::chrono::minutes deletion_patience{5};

/// Whose budget a pod counts against: its controller's uid, else its own.
std::string owner_key(const pod::Pod& pod);
/// "ReplicaSet/web-7d9f", or "" without a controller.
std::string owner_text(const pod::Pod& pod);

}  // namespace repair
