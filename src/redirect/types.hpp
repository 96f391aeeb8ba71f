// Values that a rule is made of. Each is parsed once, at the boundary; nothing
// behind it handles a port, an address or an interface as a string.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace redirect {

enum class Family : std::uint8_t { v4, v6 };

/// TCP or UDP port, host byte order, 0 to 65535.
struct Port {
  std::uint16_t value = 0;
  static base::Result<Port> parse(std::string_view text);
  auto operator<=>(const Port&) const = default;
};

/// IPv4 or IPv6 address, network byte order; the first 4 bytes for IPv4.
struct Ip {
  Family family = Family::v4;
  std::array<std::uint8_t, 16> bytes{};
  static base::Result<Ip> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_loopback() const;
  auto operator<=>(const Ip&) const = default;
};

/// Address and prefix length, host bits kept as the user wrote them.
struct Cidr {
  Ip address;
  std::uint8_t bits = 0;
  /// Strictly ADDRESS/BITS: no blanks, no bare address, no zone.
  static base::Result<Cidr> parse(std::string_view text);
  /// The whole of one address: /32 or /128.
  static Cidr host(const Ip& ip);
  [[nodiscard]] std::string to_string() const;
  /// The same prefix with the host bits cleared, as the kernel keeps it.
  [[nodiscard]] Cidr masked() const;
  /// The network mask in network byte order.
  [[nodiscard]] std::array<std::uint8_t, 16> mask() const;
  auto operator<=>(const Cidr&) const = default;
};

/// Interface name as in <linux/if.h>: 1 to 15 bytes (IFNAMSIZ - 1).
struct IfName {
  std::string name;
  /// A letter, then letters, digits, '_', '.', '-'.
  static base::Result<IfName> parse(std::string_view text);
  auto operator<=>(const IfName&) const = default;
};

/// A user or group: numeric, or a name that the edge resolves before it
/// programs a kernel (`id` empty until then).
struct Owner {
  std::string text;
  std::optional<std::uint32_t> id;
  static base::Result<Owner> parse(std::string_view text);
  static Owner numeric(std::uint32_t id);
  auto operator<=>(const Owner&) const = default;
};

/// Packet mark (fwmark), compared and set with the full mask.
struct Mark {
  std::uint32_t value = 0;
  static base::Result<Mark> parse(std::string_view text);
  auto operator<=>(const Mark&) const = default;
};

}  // namespace redirect
