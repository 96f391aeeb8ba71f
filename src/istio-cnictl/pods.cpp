// istio-cnictl pods: this node's mesh pods.
#include <algorithm>

#include "base/strings.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/pod_list.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

int exit_code(const std::vector<PodRow>& rows) {
  const auto any = [&](Condition condition) {
    return std::any_of(rows.begin(), rows.end(),
                       [&](const PodRow& row) { return condition_of(row) == condition; });
  };
  if (any(Condition::bad)) return exit_bad;
  return any(Condition::unknown) ? exit_unknown : exit_good;
}

}  // namespace

int pods_command(Context& context) {
  const auto& options = context.options;
  auto list = list_pods(context.node);
  if (!list) {
    context.err.append(cat("istio-cnictl: ", list.error().message, '\n'));
    return exit_unknown;
  }
  if (!options.all) std::erase_if(list->rows, [](const PodRow& row) { return !row.entry.in_mesh; });
  if (options.verify)
    for (auto& row : list->rows)
      if (row.entry.in_mesh) row.rules = verify(context.node, row);
  if (list->no_agent)
    context.err.append(
        cat("istio-cnictl: ", list->no_agent->message,
            "\nistio-cnictl: these are the API server's pods. Decisions at ADD are the journal's; "
            "where it has none, (now) is what would be decided now. What repair waits for is not "
            "known.\n"));
  if (options.format == Format::json) {
    context.out = dump(json_of(*list));
  } else if (list->rows.empty()) {
    context.err.append(options.all ? "no pods on this node\n"
                                   : "no mesh pods on this node (--all shows the others)\n");
  } else {
    context.out = text_of(list->rows, options.verify, context.style);
  }
  return exit_code(list->rows);
}

}  // namespace istio_cnictl
