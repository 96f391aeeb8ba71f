// Which pods are broken: those whose validation container found no redirection.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "config/config.hpp"
#include "pod/pod.hpp"
#include "repair/selector.hpp"

namespace repair {

/// What makes a pod a broken one, from the configuration.
struct Criteria {
  std::string sidecar_annotation;  ///< its key must be there; "": any pod
  std::string container;           ///< of the init container; "": any
  std::string message;             ///< of the termination, blanks around it aside; "": any
  int exit_code = 126;             ///< 0: any but 0
  LabelSelector labels;
  FieldSelector fields;
};

/// Errc::invalid_input names the selector and what is wrong with it.
base::Result<Criteria> make_criteria(const config::Repair& repair);

/// Why a pod is broken.
struct Broken {
  std::string container;
  pod::Termination termination;    ///< the one that says so
  bool current = false;            ///< it is the container's present state, not its last
  std::int32_t restart_count = 0;  ///< of the container
  /// The kubelet starts the container again. False for restartPolicy Never and
  /// for pods that have failed as a whole: only a new pod can help there.
  bool will_restart = true;

  /// "container istio-validation exited with code 126 (Error): no redirection".
  /// One line, whatever the message of the container.
  [[nodiscard]] std::string cause() const;
  bool operator==(const Broken&) const = default;
};

/// A container counts when it is an init container of that name which has not
/// completed (exit code 0 or reason Completed, now or before), and which
/// terminated with that code and message: now, or before its last restart. The
/// present state is enough, whether or not the container will be restarted: a
/// deletion or a label comes one restart sooner, and rules put in place before
/// the restart let that restart succeed.
///
/// Never broken: pods that are being deleted, that use the host's network (no
/// rules were ever due), or that have succeeded.
std::optional<Broken> find_broken(const pod::Pod& pod, const Criteria& criteria);

}  // namespace repair
