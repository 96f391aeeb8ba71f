// Netlink messages as bytes: building and bounds-checked reading. Layout from
// <linux/netlink.h>; everything is padded to 4 bytes (NLMSG_ALIGN, NLA_ALIGN).
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace netlink {

using Bytes = std::span<const std::uint8_t>;

template <typename T>
  requires std::is_trivially_copyable_v<T>
Bytes as_bytes(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

/// Appends messages to one buffer. A message lasts from begin() to the next
/// begin() or to bytes(); its length is kept current, so there is no end().
class MessageBuilder {
 public:
  /// Keeps the nested attribute open while it lives. The builder must outlive it.
  class Nest {
   public:
    Nest(MessageBuilder& builder, std::size_t at) : builder_(&builder), at_(at) {}
    Nest(Nest&& other) noexcept
        : builder_(std::exchange(other.builder_, nullptr)), at_(other.at_) {}
    Nest& operator=(Nest&&) = delete;
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;
    ~Nest() { close(); }
    void close();

   private:
    MessageBuilder* builder_;
    std::size_t at_;
  };

  void begin(std::uint16_t type, std::uint16_t flags, std::uint32_t seq = 0);
  /// The family header that follows nlmsghdr (nfgenmsg, rtmsg, ...).
  template <typename T>
  void header(const T& value) {
    append(as_bytes(value));
  }

  void put(std::uint16_t type, Bytes payload);
  void put_flag(std::uint16_t type) { put(type, {}); }
  void put_u8(std::uint16_t type, std::uint8_t value) { put(type, as_bytes(value)); }
  void put_u16(std::uint16_t type, std::uint16_t value) { put(type, as_bytes(value)); }
  void put_u32(std::uint16_t type, std::uint32_t value) { put(type, as_bytes(value)); }
  void put_be16(std::uint16_t type, std::uint16_t value);
  void put_be32(std::uint16_t type, std::uint32_t value);
  void put_be64(std::uint16_t type, std::uint64_t value);
  /// With the terminating NUL, as the kernel's NLA_STRING users send it.
  void put_string(std::uint16_t type, std::string_view text);
  /// Sets NLA_F_NESTED.
  [[nodiscard]] Nest nest(std::uint16_t type);

  /// Bytes since begin(): where the next attribute will start. Extended acks
  /// report offsets of this kind.
  [[nodiscard]] std::size_t offset() const { return data_.size() - start_; }
  [[nodiscard]] Bytes bytes() const { return data_; }
  /// True when some attribute did not fit its 16-bit length; do not send.
  [[nodiscard]] bool overflowed() const { return overflowed_; }

 private:
  /// `size` zero bytes and their padding, at the end.
  std::uint8_t* grow(std::size_t size);
  void append(Bytes bytes);
  /// A new attribute with a payload of zeros; null when it does not fit.
  std::uint8_t* attribute(std::uint16_t type, std::size_t size);

  std::vector<std::uint8_t> data_;
  std::size_t start_ = 0;
  bool overflowed_ = false;
};

/// One attribute; the payload points into the buffer it was parsed from.
struct Attribute {
  std::uint16_t type = 0;  ///< without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  Bytes payload;

  // Values of the wrong size are nullopt.
  [[nodiscard]] std::optional<std::uint8_t> u8() const;
  [[nodiscard]] std::optional<std::uint16_t> u16() const;
  [[nodiscard]] std::optional<std::uint32_t> u32() const;
  [[nodiscard]] std::optional<std::uint16_t> be16() const;
  [[nodiscard]] std::optional<std::uint32_t> be32() const;
  [[nodiscard]] std::optional<std::uint64_t> be64() const;
  /// Up to the first NUL or the end.
  [[nodiscard]] std::string_view string() const;
};

/// A parsed sequence of attributes. Views the caller's buffer.
class Attributes {
 public:
  /// Errc::invalid_input when a length does not fit.
  static base::Result<Attributes> parse(Bytes bytes);

  [[nodiscard]] auto begin() const { return list_.begin(); }
  [[nodiscard]] auto end() const { return list_.end(); }
  [[nodiscard]] std::size_t size() const { return list_.size(); }
  /// The last one of this type (as the kernel's nla_parse keeps it), or null.
  [[nodiscard]] const Attribute* find(std::uint16_t type) const;

  // Shorthands; nullopt when absent or of the wrong size.
  [[nodiscard]] std::optional<std::uint32_t> u32(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint32_t> be32(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::string_view> string(std::uint16_t type) const;
  /// The attributes inside `type`; absent gives none.
  [[nodiscard]] base::Result<Attributes> nested(std::uint16_t type) const;

 private:
  std::vector<Attribute> list_;
};

/// One received message; the payload points into the datagram.
struct Message {
  nlmsghdr header{};
  Bytes payload;
};

/// The messages of a datagram. Errc::invalid_input when a length does not fit.
base::Result<std::vector<Message>> split_messages(Bytes datagram);

/// The attributes behind a family header of `header_size` bytes.
base::Result<Attributes> attributes_after(Bytes payload, std::size_t header_size);

/// Copies a family header out of a payload; nullopt when it is too short.
template <typename T>
  requires std::is_trivially_copyable_v<T>
std::optional<T> header_of(Bytes payload) {
  if (payload.size() < sizeof(T)) return std::nullopt;
  T value;
  __builtin_memcpy(&value, payload.data(), sizeof value);
  return value;
}

/// What an NLMSG_ERROR says. `error` 0: a plain acknowledgement.
struct Ack {
  std::uint32_t seq = 0;
  int error = 0;         ///< positive errno
  std::string text;      ///< from NLMSGERR_ATTR_MSG, may be empty
  std::size_t offset{};  ///< from NLMSGERR_ATTR_OFFS: bad attribute in the request, 0: not told
};

base::Result<Ack> parse_ack(const Message& message);

}  // namespace netlink
