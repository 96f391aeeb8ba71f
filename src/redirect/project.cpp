#include "redirect/project.hpp"

#include <algorithm>

#include "redirect/decide.hpp"

namespace redirect {

pod::Pod project(pod::Pod pod, const std::vector<std::string>& keep_annotations) {
  std::erase_if(pod.annotations, [&](const auto& entry) {
    return !is_read_annotation(entry.first) &&
           std::find(keep_annotations.begin(), keep_annotations.end(), entry.first) ==
               keep_annotations.end();
  });
  for (auto& container : pod.containers) {
    pod::Container kept;
    kept.name = std::move(container.name);
    kept.init = container.init;
    if (kept.name == proxy_container) {
      if (proxy_type(container.args)) {
        container.args.resize(2);
        kept.args = {container.args.begin(), container.args.end()};  // without spare capacity
      }
      std::erase_if(container.env,
                    [](const auto& entry) { return !is_read_variable(entry.first); });
      kept.env = std::move(container.env);
      kept.run_as_user = container.run_as_user;
      kept.run_as_group = container.run_as_group;
    }
    container = std::move(kept);
  }
  return pod;
}

}  // namespace redirect
