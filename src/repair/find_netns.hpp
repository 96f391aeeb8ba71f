// The network namespace of a pod, found by what is known of it. Blocks; for a
// worker thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "netns/addresses.hpp"
#include "pod/pod.hpp"
#include "redirect/types.hpp"

namespace repair {

/// Where to look. All but `proc` are paths of the host, below `host_root`.
struct Places {
  std::string host_root;
  std::string results = "/var/lib/cni/results";  ///< libcni's cache
  std::vector<std::string> mounts = {"/run/netns", "/var/run/netns", "/run/docker/netns",
                                     "/var/run/docker/netns"};
  std::string proc = "/proc";  ///< of the host's process ids
};

/// On this host, or, where the agent is in a container, below its mount of the
/// host's root, with the host's /proc there (etc/kubernetes mounts it).
Places places_below(const std::string& host_root);

struct FoundNetns {
  base::UniqueFd fd;
  std::string path;  ///< that led there
  std::string by;    ///< "plugin", "results", "mounts" or "proc"
};

/// Candidates in order of how sure they are: `hint` (what the plugin was given
/// at ADD; "" for none), the namespaces that the result cache names for this
/// pod, mounted ones, those of processes. Each namespace is entered once,
/// whatever number of paths lead to it, and the host's never. The one whose
/// addresses fit is the pod's (belongs_to).
///
/// Errors: Errc::invalid_input when the pod has no usable address;
/// Errc::refused for a hostNetwork pod; Errc::not_found when no namespace fits,
/// saying where it was looked for; Errc::refused when two of the same kind fit:
/// rules in a stranger's namespace would be worse than none.
base::Result<FoundNetns> find_netns(const pod::Pod& pod, const std::string& hint,
                                    const Places& places);

/// At least one of the pod's addresses is there, and of each family that has an
/// address there (other than loopback and link-local) all of them are.
bool belongs_to(const std::vector<redirect::Ip>& pod, const netns::LocalAddresses& found);

// results_cache.cpp

/// What a file of libcni's cache says; the keys differ between its versions.
struct CachedResult {
  std::string netns;    ///< "" in files of older versions
  std::string pod_uid;  ///< of the CNI arguments, each "" when not there
  std::string pod_namespace;
  std::string pod_name;
  std::vector<redirect::Ip> ips;  ///< of the result
};

/// Errc::invalid_input names `name`.
base::Result<CachedResult> parse_cached_result(std::string_view json, std::string_view name);

/// Does it speak of this pod? By uid when it has one, else by namespace and
/// name, else by address.
bool speaks_of(const CachedResult& result, const pod::Pod& pod,
               const std::vector<redirect::Ip>& ips);

/// The namespace paths that the cache's files have for this pod, newest first.
/// What cannot be read or parsed is passed over.
std::vector<std::string> cached_netns_paths(const std::string& folder, const pod::Pod& pod,
                                            const std::vector<redirect::Ip>& ips);

}  // namespace repair
