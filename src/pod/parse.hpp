// A v1 Pod from its JSON, read in one pass without building a document: the
// pods of large clusters carry far more than the few fields wanted here.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "pod/pod.hpp"

namespace pod {

/// Reads one Pod object. Every failure is Errc::invalid_input and names the
/// field; a Status object in its place fails with the message it carries.
/// `kind` may be absent (items of a list have none). Of duplicated keys the
/// last one counts. null stands for "absent" wherever the API would take it so.
/// Nesting deeper than 100 levels is refused. Nothing is required to be present.
/// A field of the wrong type is an error wherever it stands, also in `status`:
/// the API server never sends one, so this is no pod to decide on. Of owner
/// references that all say controller: true the first one counts.
base::Result<Pod> parse_pod(std::string_view json);

}  // namespace pod
