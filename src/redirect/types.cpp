#include "redirect/types.hpp"

#include <arpa/inet.h>

#include <cstring>

#include "base/strings.hpp"

namespace redirect {

using base::cat;
using base::Errc;
using base::Error;
using base::quote;

base::Result<Port> Port::parse(std::string_view text) {
  auto value = base::parse_unsigned(text, 65535);
  if (!value) return Error{Errc::invalid_input, cat(quote(text), " is not a port (0 to 65535)")};
  return Port{static_cast<std::uint16_t>(*value)};
}

base::Result<Ip> Ip::parse(std::string_view text) {
  Ip ip;
  const std::string copy(text);
  const bool clean = copy.size() == std::strlen(copy.c_str());
  if (clean && inet_pton(AF_INET, copy.c_str(), ip.bytes.data()) == 1) return ip;
  ip.family = Family::v6;
  if (clean && inet_pton(AF_INET6, copy.c_str(), ip.bytes.data()) == 1) return ip;
  return Error{Errc::invalid_input, cat(quote(text), " is not an IP address")};
}

std::string Ip::to_string() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  inet_ntop(family == Family::v4 ? AF_INET : AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

bool Ip::is_loopback() const {
  if (family == Family::v4) return bytes[0] == 127;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return bytes == one;
}

base::Result<Cidr> Cidr::parse(std::string_view text) {
  const Error error{Errc::invalid_input,
                    cat(quote(text), " is not a prefix such as 10.0.0.0/8 or 2001:db8::/32")};
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return error;
  auto ip = Ip::parse(text.substr(0, slash));
  if (!ip) return error;
  auto length = text.substr(slash + 1);
  auto bits = base::parse_unsigned(length, ip->family == Family::v4 ? 32 : 128);
  if (!bits || (length.size() > 1 && length[0] == '0')) return error;
  return Cidr{*ip, static_cast<std::uint8_t>(*bits)};
}

Cidr Cidr::host(const Ip& ip) {
  return Cidr{ip, static_cast<std::uint8_t>(ip.family == Family::v4 ? 32 : 128)};
}

std::string Cidr::to_string() const { return cat(address.to_string(), '/', bits); }

std::array<std::uint8_t, 16> Cidr::mask() const {
  std::array<std::uint8_t, 16> mask{};
  for (unsigned bit = 0; bit < bits; ++bit)
    mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | (0x80U >> (bit % 8)));
  return mask;
}

Cidr Cidr::masked() const {
  Cidr out = *this;
  const auto bits_kept = mask();
  for (std::size_t i = 0; i < out.address.bytes.size(); ++i) out.address.bytes[i] &= bits_kept[i];
  return out;
}

base::Result<IfName> IfName::parse(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  bool good = !text.empty() && text.size() <= 15 && letter(text[0]);
  for (char c : text)
    good = good && (letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-');
  if (!good)
    return Error{Errc::invalid_input,
                 cat(quote(text),
                     " is not an interface name (1 to 15 characters: a letter, then letters, "
                     "digits, '_', '.', '-')")};
  return IfName{std::string(text)};
}

base::Result<Owner> Owner::parse(std::string_view text) {
  if (auto id = base::parse_unsigned(text, UINT32_MAX - 1))
    return Owner{std::string(text), static_cast<std::uint32_t>(*id)};
  // useradd(8): what a name may hold; digits alone were handled above
  bool good =
      !text.empty() && text.size() <= 32 && text[0] != '-' && !(text[0] >= '0' && text[0] <= '9');
  for (char c : text)
    good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || c == '-' || c == '$');
  if (!good) return Error{Errc::invalid_input, cat(quote(text), " is not a numeric id or a name")};
  return Owner{std::string(text), std::nullopt};
}

Owner Owner::numeric(std::uint32_t id) { return Owner{cat(id), id}; }

base::Result<Mark> Mark::parse(std::string_view text) {
  auto value = base::parse_unsigned(text, UINT32_MAX);
  if (!value) return Error{Errc::invalid_input, cat(quote(text), " is not a packet mark")};
  return Mark{static_cast<std::uint32_t>(*value)};
}

}  // namespace redirect
