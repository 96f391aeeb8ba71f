#include "netfilter/xtables_socket.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
// after <netinet/in.h>: both define struct in_addr
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/file.hpp"
#include "base/strings.hpp"

namespace netfilter {
namespace {

using base::Errc;
using base::Error;
using redirect::Family;

// One set of structures serves both families.
static_assert(sizeof(ipt_getinfo) == sizeof(ip6t_getinfo));
static_assert(sizeof(ipt_get_entries) == sizeof(ip6t_get_entries));
static_assert(sizeof(ipt_replace) == sizeof(ip6t_replace));
static_assert(offsetof(ipt_replace, counters) == offsetof(ip6t_replace, counters));
static_assert(int{IPT_SO_SET_REPLACE} == int{IP6T_SO_SET_REPLACE});
static_assert(int{IPT_SO_SET_ADD_COUNTERS} == int{IP6T_SO_SET_ADD_COUNTERS});
static_assert(int{IPT_SO_GET_INFO} == int{IP6T_SO_GET_INFO});
static_assert(int{IPT_SO_GET_ENTRIES} == int{IP6T_SO_GET_ENTRIES});

/// Larger tables are refused rather than read: nothing in a pod comes near.
constexpr std::size_t max_table_bytes = std::size_t{256} << 20;

std::string_view prefix(Family family) { return family == Family::v4 ? "ip" : "ip6"; }

Error call_error(std::string_view what, int sys) {
  Error error = base::system_error(what, sys);
  if (sys == EPERM || sys == EACCES) {
    error.message +=
        " (CAP_NET_ADMIN is needed in the user namespace that owns the network namespace)";
  } else if (sys == EAGAIN) {
    error.code = Errc::unavailable;
  } else if (sys == ENOPROTOOPT) {
    error.code = Errc::unsupported;
  }
  return error;
}

template <std::size_t N>
base::Status copy_name(char (&to)[N], std::string_view name) {
  if (name.size() >= N) {
    return Error{Errc::invalid_input, base::cat("name ", base::quote(name), " is too long")};
  }
  std::memcpy(to, name.data(), name.size());
  return base::success();
}

}  // namespace

base::Result<std::vector<std::string>> existing_xtables(Family family) {
  auto text = base::read_file(base::cat("/proc/thread-self/net/", prefix(family), "_tables_names"));
  if (!text) {
    if (text.error().code == Errc::not_found) return std::vector<std::string>{};
    return std::move(text).error();
  }
  std::vector<std::string> out;
  for (std::string_view name : base::split_nonempty(*text, '\n')) out.emplace_back(name);
  return out;
}

base::Result<XtSocket> XtSocket::open(Family family) {
  // Any inet socket reaches the x_tables options; a datagram one, unlike the raw
  // one of iptables, does not need CAP_NET_RAW as well.
  base::UniqueFd fd(
      ::socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!fd.valid()) {
    Error error = call_error(base::cat("open ", prefix(family), "_tables socket"), errno);
    if (error.sys == EAFNOSUPPORT) error.code = Errc::unsupported;
    return error;
  }
  return XtSocket(family, std::move(fd));
}

int XtSocket::level() const { return family_ == Family::v4 ? IPPROTO_IP : IPPROTO_IPV6; }

base::Result<XtBlob> XtSocket::read(std::string_view table) const {
  ipt_getinfo info{};
  if (auto ok = copy_name(info.name, table); !ok) return std::move(ok).error();
  socklen_t length = sizeof info;
  if (::getsockopt(fd_.get(), level(), IPT_SO_GET_INFO, &info, &length) != 0) {
    const int sys = errno;
    if (sys == ENOPROTOOPT) {
      return Error{Errc::unsupported,
                   base::cat("kernel has no ", prefix(family_), "_tables (module ", prefix(family_),
                             "_tables is not loaded), so no table ", table),
                   sys};
    }
    if (sys == ENOENT) {
      return Error{Errc::unsupported,
                   base::cat("kernel has no ", prefix(family_), "_tables table ", table,
                             " (module ", prefix(family_), "table_", table, ")"),
                   sys};
    }
    return call_error(base::cat("read information on table ", table), sys);
  }
  if (info.size > max_table_bytes) {
    return Error{Errc::invalid_input, base::cat("table of ", info.size, " bytes is too large")};
  }

  ipt_get_entries request;  // no {}: it ends in a flexible array
  std::memset(&request, 0, sizeof request);
  std::memcpy(request.name, info.name, sizeof request.name);
  request.size = info.size;
  constexpr std::size_t head = offsetof(ipt_get_entries, entrytable);
  static_assert(head == sizeof request);
  Bytes buffer(head + info.size);
  store(buffer, 0, request);
  length = static_cast<socklen_t>(buffer.size());
  if (::getsockopt(fd_.get(), level(), IPT_SO_GET_ENTRIES, buffer.data(), &length) != 0) {
    return call_error(base::cat("read table ", table), errno);
  }

  XtBlob blob;
  blob.valid_hooks = info.valid_hooks;
  std::memcpy(blob.hook_entry.data(), info.hook_entry, sizeof info.hook_entry);
  std::memcpy(blob.underflow.data(), info.underflow, sizeof info.underflow);
  blob.num_entries = info.num_entries;
  blob.entries.assign(buffer.begin() + static_cast<std::ptrdiff_t>(head), buffer.end());
  return blob;
}

base::Status XtSocket::replace(std::string_view table, const XtBlob& old,
                               const XtImage& image) const {
  const XtBlob& blob = image.blob;
  std::vector<xt_counters> last(old.num_entries);  // the kernel fills it as it swaps
  ipt_replace request;                             // no {}: it ends in a flexible array
  std::memset(&request, 0, sizeof request);
  if (auto ok = copy_name(request.name, table); !ok) return ok;
  request.valid_hooks = blob.valid_hooks;
  request.num_entries = blob.num_entries;
  request.size = static_cast<unsigned>(blob.entries.size());
  std::memcpy(request.hook_entry, blob.hook_entry.data(), sizeof request.hook_entry);
  std::memcpy(request.underflow, blob.underflow.data(), sizeof request.underflow);
  request.num_counters = old.num_entries;
  request.counters = last.data();
  static_assert(offsetof(ipt_replace, entries) == sizeof request);
  Bytes buffer(sizeof request);
  store(buffer, 0, request);
  buffer.insert(buffer.end(), blob.entries.begin(), blob.entries.end());
  if (::setsockopt(fd_.get(), level(), IPT_SO_SET_REPLACE, buffer.data(),
                   static_cast<socklen_t>(buffer.size())) != 0) {
    return call_error(base::cat("replace table ", table), errno);
  }

  xt_counters_info counters;  // no {}: it ends in a flexible array
  std::memset(&counters, 0, sizeof counters);
  if (auto ok = copy_name(counters.name, table); !ok) return ok;
  counters.num_counters = blob.num_entries;
  static_assert(offsetof(xt_counters_info, counters) == sizeof counters);
  buffer.assign(sizeof counters + blob.num_entries * sizeof(xt_counters), 0);
  store(buffer, 0, counters);
  bool any = false;
  for (std::size_t i = 0; i < image.origins.size(); ++i) {
    const auto origin = image.origins[i];
    if (!origin || *origin >= last.size()) continue;
    any = any || last[*origin].pcnt != 0;
    store(buffer, sizeof counters + i * sizeof(xt_counters), last[*origin]);
  }
  // The rules are in force by now. If another writer was quicker the counters
  // have nowhere to go, and statistics are no reason to fail.
  if (any) {
    static_cast<void>(::setsockopt(fd_.get(), level(), IPT_SO_SET_ADD_COUNTERS, buffer.data(),
                                   static_cast<socklen_t>(buffer.size())));
  }
  return base::success();
}

base::Status XtSocket::check(const XtExtensionId& extension) const {
  xt_get_revision request{};
  if (auto ok = copy_name(request.name, extension.name); !ok) return ok;
  request.revision = extension.revision;
  const int match = family_ == Family::v4 ? IPT_SO_GET_REVISION_MATCH : IP6T_SO_GET_REVISION_MATCH;
  const int target =
      family_ == Family::v4 ? IPT_SO_GET_REVISION_TARGET : IP6T_SO_GET_REVISION_TARGET;
  socklen_t length = sizeof request;
  if (::getsockopt(fd_.get(), level(), extension.target ? target : match, &request, &length) == 0) {
    return base::success();
  }
  const int sys = errno;
  const std::string_view kind = extension.target ? "target " : "match ";
  if (sys == ENOPROTOOPT) {
    return Error{Errc::unsupported,
                 base::cat("kernel has no ", prefix(family_), "_tables (module ", prefix(family_),
                           "_tables is not loaded)"),
                 sys};
  }
  if (sys == ENOENT || sys == EPROTONOSUPPORT) {
    return Error{Errc::unsupported,
                 base::cat("kernel lacks the xtables ", kind, extension.name, " revision ",
                           extension.revision, " (module ", extension.module, ")"),
                 sys};
  }
  return call_error(base::cat("look up the xtables ", kind, extension.name), sys);
}

}  // namespace netfilter
