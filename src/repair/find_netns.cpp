#include "repair/find_netns.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "base/rooted.hpp"
#include "base/strings.hpp"
#include "netns/netns.hpp"

namespace repair {
namespace {

namespace fs = std::filesystem;
using base::cat;
using base::Errc;
using base::Error;
using netns::NsId;
using redirect::Family;
using redirect::Ip;

std::optional<NsId> id_at(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return NsId{status.st_dev, status.st_ino};
}

bool is_local_only(const Ip& ip) {
  if (ip.is_loopback()) return true;
  return ip.family == Family::v4 ? ip.bytes[0] == 169 && ip.bytes[1] == 254
                                 : ip.bytes[0] == 0xfe && (ip.bytes[1] & 0xc0U) == 0x80U;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Search {
 public:
  Search(std::vector<Ip> ips, const std::string& proc) : ips_(std::move(ips)) {
    // never to be entered
    if (auto own = netns::own_ns()) entered_.insert(*own);
    if (auto host = netns::host_ns()) entered_.insert(*host);
    if (auto host = id_at(proc + "/1/ns/net")) entered_.insert(*host);
  }

  /// Enters what `path` shows, unless it was entered before; keeps it if it fits.
  void look_at(const std::string& path, std::string_view by) {
    // by stat first: of many processes with few namespaces none is opened twice
    const auto shown = id_at(path);
    if (!shown || entered_.contains(*shown)) return;
    auto fd = netns::open_netns(path);
    if (!fd) return;
    auto id = netns::ns_id(fd->get());
    if (!id || !entered_.insert(*id).second) return;
    ++count_;
    bool fits = false;
    auto status = netns::run_in_netns(fd->get(), [&]() -> base::Status {
      auto addresses = netns::local_addresses();
      if (!addresses) return std::move(addresses).error();
      fits = belongs_to(ips_, *addresses);
      return base::success();
    });
    if (!status) {
      if (last_error_.empty()) last_error_ = cat(path, ": ", status.error().message);
      return;
    }
    if (fits) matches_.push_back({*std::move(fd), path, std::string(by)});
  }

  /// The one that fits so far; nothing: none does.
  base::Result<std::optional<FoundNetns>> match() {
    if (matches_.size() > 1)
      return Error{Errc::refused, cat("two network namespaces have the pod's address: ",
                                      matches_[0].path, " and ", matches_[1].path)};
    if (matches_.empty()) return std::optional<FoundNetns>();
    return std::optional<FoundNetns>(std::move(matches_.front()));
  }

  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

 private:
  std::vector<Ip> ips_;
  std::set<NsId> entered_;
  std::vector<FoundNetns> matches_;
  std::size_t count_ = 0;
  std::string last_error_;
};

}  // namespace

bool belongs_to(const std::vector<Ip>& pod, const netns::LocalAddresses& found) {
  bool any = false;
  for (const auto& ip : pod) {
    const bool there = std::any_of(found.begin(), found.end(),
                                   [&](const netns::LocalAddress& one) { return one.ip == ip; });
    const bool enabled =
        std::any_of(found.begin(), found.end(), [&](const netns::LocalAddress& one) {
          return one.ip.family == ip.family && !is_local_only(one.ip);
        });
    if (!there && enabled) return false;
    any = any || there;
  }
  return any;
}

base::Result<FoundNetns> find_netns(const pod::Pod& pod, const std::string& hint,
                                    const Places& places) {
  if (pod.host_network)
    return Error{Errc::refused, "the pod uses the host's network; nothing was changed"};
  std::vector<Ip> ips;
  for (const auto& text : pod.ips)
    if (auto ip = Ip::parse(text); ip && !is_local_only(*ip)) ips.push_back(*ip);
  if (ips.empty())
    return Error{Errc::invalid_input, "the pod's status has no IP address to find it by"};

  auto below = [&](const std::string& path) { return base::resolve_below(places.host_root, path); };
  Search search(ips, places.proc);

  if (!hint.empty()) search.look_at(below(hint), "plugin");
  auto found = search.match();
  if (found && !*found) {
    for (const auto& path : cached_netns_paths(below(places.results), pod, ips)) {
      search.look_at(below(path), "results");
      // the newest that fits: an older one may be left of an earlier sandbox
      found = search.match();
      if (!found || *found) break;
    }
  }
  if (found && !*found) {
    for (const auto& folder : places.mounts)
      for (const auto& name : names_in(below(folder)))
        search.look_at(below(cat(folder, '/', name)), "mounts");
    found = search.match();
  }
  if (found && !*found) {
    for (const auto& name : names_in(places.proc))
      if (base::parse_unsigned(name))
        search.look_at(cat(places.proc, '/', name, "/ns/net"), "proc");
    found = search.match();
  }
  if (!found) return std::move(found).error();
  if (*found) return std::move(**found);
  return Error{Errc::not_found,
               cat("no network namespace of this node has the address ", base::join(pod.ips, ", "),
                   " (looked into ", search.count(), ", of what the plugin reported, ",
                   places.results, ", mounted ones and ", places.proc, ')',
                   search.last_error().empty() ? "" : "; ", search.last_error())};
}

Places places_below(const std::string& host_root) {
  Places places;
  places.host_root = host_root;
  if (!host_root.empty()) places.proc = base::resolve_below(host_root, "/proc");
  return places;
}

}  // namespace repair
