// The kernel's side of legacy xtables: getsockopt and setsockopt calls of
// <linux/netfilter_ipv4/ip_tables.h> and its IPv6 twin. Works on the network
// namespace in which the socket was opened.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "netfilter/xtables_rule.hpp"
#include "netfilter/xtables_table.hpp"
#include "redirect/types.hpp"

namespace netfilter {

/// Tables that already exist in the calling thread's namespace; asking creates
/// none and loads no module. No xtables in the kernel: none.
base::Result<std::vector<std::string>> existing_xtables(redirect::Family family);

class XtSocket {
 public:
  /// Errc::unsupported when the kernel does not have the IP family.
  static base::Result<XtSocket> open(redirect::Family family);

  /// Reads a table, which creates it in this namespace if need be (and loads its
  /// module). Errc::unsupported: the kernel has no such table;
  /// Errc::unavailable: it changed meanwhile, read again.
  base::Result<XtBlob> read(std::string_view table) const;

  /// Swaps the table that read() gave as `old` for `image`, at once, and carries
  /// the counters over. Errc::unavailable: it changed meanwhile, read again.
  base::Status replace(std::string_view table, const XtBlob& old, const XtImage& image) const;

  /// Success when the kernel has it; Errc::unsupported names what is missing.
  base::Status check(const XtExtensionId& extension) const;

 private:
  XtSocket(redirect::Family family, base::UniqueFd fd) : family_(family), fd_(std::move(fd)) {}
  [[nodiscard]] int level() const;

  redirect::Family family_;
  base::UniqueFd fd_;
};

}  // namespace netfilter
