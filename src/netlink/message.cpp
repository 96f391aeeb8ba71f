#include "netlink/message.hpp"

#include <endian.h>

#include <algorithm>
#include <cstring>

namespace netlink {

namespace {

constexpr std::size_t align(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

base::Error malformed(std::string_view what) {
  return {base::Errc::invalid_input, std::string("malformed netlink message: ").append(what)};
}

template <typename T>
std::optional<T> exact(Bytes payload) {
  if (payload.size() != sizeof(T)) return std::nullopt;
  return header_of<T>(payload);
}

}  // namespace

void MessageBuilder::begin(std::uint16_t type, std::uint16_t flags, std::uint32_t seq) {
  start_ = data_.size();
  nlmsghdr message{};
  message.nlmsg_len = sizeof message;
  message.nlmsg_type = type;
  message.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  message.nlmsg_seq = seq;
  append(as_bytes(message));
}

std::uint8_t* MessageBuilder::grow(std::size_t size) {
  const std::size_t at = data_.size();
  data_.resize(at + align(size));
  const auto length = static_cast<std::uint32_t>(data_.size() - start_);
  std::memcpy(data_.data() + start_, &length, sizeof length);
  return data_.data() + at;
}

void MessageBuilder::append(Bytes bytes) {
  std::copy(bytes.begin(), bytes.end(), grow(bytes.size()));
}

std::uint8_t* MessageBuilder::attribute(std::uint16_t type, std::size_t size) {
  const std::size_t length = sizeof(nlattr) + size;
  if (length > UINT16_MAX) {
    overflowed_ = true;
    return nullptr;
  }
  const nlattr header{static_cast<std::uint16_t>(length), type};
  std::uint8_t* at = grow(length);
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

void MessageBuilder::put(std::uint16_t type, Bytes payload) {
  if (auto* at = attribute(type, payload.size())) std::copy(payload.begin(), payload.end(), at);
}

void MessageBuilder::put_be16(std::uint16_t type, std::uint16_t value) {
  put_u16(type, htobe16(value));
}

void MessageBuilder::put_be32(std::uint16_t type, std::uint32_t value) {
  put_u32(type, htobe32(value));
}

void MessageBuilder::put_be64(std::uint16_t type, std::uint64_t value) {
  const std::uint64_t wire = htobe64(value);
  put(type, as_bytes(wire));
}

void MessageBuilder::put_string(std::uint16_t type, std::string_view text) {
  // the NUL is there: new bytes are 0
  if (auto* at = attribute(type, text.size() + 1)) std::copy(text.begin(), text.end(), at);
}

MessageBuilder::Nest MessageBuilder::nest(std::uint16_t type) {
  const std::size_t at = data_.size();
  put(static_cast<std::uint16_t>(type | NLA_F_NESTED), {});
  return {*this, at};
}

void MessageBuilder::Nest::close() {
  if (builder_ == nullptr) return;
  const std::size_t length = builder_->data_.size() - at_;
  if (length > UINT16_MAX) builder_->overflowed_ = true;
  const auto wire = static_cast<std::uint16_t>(length);
  std::memcpy(builder_->data_.data() + at_, &wire, sizeof wire);
  builder_ = nullptr;
}

std::optional<std::uint8_t> Attribute::u8() const { return exact<std::uint8_t>(payload); }
std::optional<std::uint16_t> Attribute::u16() const { return exact<std::uint16_t>(payload); }
std::optional<std::uint32_t> Attribute::u32() const { return exact<std::uint32_t>(payload); }

std::optional<std::uint16_t> Attribute::be16() const {
  const auto value = u16();
  if (!value) return std::nullopt;
  return be16toh(*value);
}

std::optional<std::uint32_t> Attribute::be32() const {
  const auto value = u32();
  if (!value) return std::nullopt;
  return be32toh(*value);
}

std::optional<std::uint64_t> Attribute::be64() const {
  const auto value = exact<std::uint64_t>(payload);
  if (!value) return std::nullopt;
  return be64toh(*value);
}

std::string_view Attribute::string() const {
  const auto end = std::find(payload.begin(), payload.end(), std::uint8_t{0});
  return {reinterpret_cast<const char*>(payload.data()),
          static_cast<std::size_t>(end - payload.begin())};
}

base::Result<Attributes> Attributes::parse(Bytes bytes) {
  Attributes result;
  if (!bytes.empty()) result.list_.reserve(8);  // holds most; growing there costs more
  while (!bytes.empty()) {
    const auto header = header_of<nlattr>(bytes);
    // Bytes after the last attribute that cannot hold one are padding.
    if (!header) break;
    if (header->nla_len < sizeof(nlattr) || header->nla_len > bytes.size()) {
      return malformed("attribute length does not fit");
    }
    result.list_.push_back({static_cast<std::uint16_t>(header->nla_type & NLA_TYPE_MASK),
                            bytes.subspan(sizeof(nlattr), header->nla_len - sizeof(nlattr))});
    bytes = bytes.subspan(std::min(bytes.size(), align(header->nla_len)));
  }
  return result;
}

const Attribute* Attributes::find(std::uint16_t type) const {
  const auto it = std::find_if(list_.rbegin(), list_.rend(),
                               [type](const Attribute& a) { return a.type == type; });
  return it == list_.rend() ? nullptr : &*it;
}

std::optional<std::uint32_t> Attributes::u32(std::uint16_t type) const {
  const Attribute* found = find(type);
  return found == nullptr ? std::nullopt : found->u32();
}

std::optional<std::uint32_t> Attributes::be32(std::uint16_t type) const {
  const Attribute* found = find(type);
  return found == nullptr ? std::nullopt : found->be32();
}

std::optional<std::string_view> Attributes::string(std::uint16_t type) const {
  const Attribute* found = find(type);
  if (found == nullptr) return std::nullopt;
  return found->string();
}

base::Result<Attributes> Attributes::nested(std::uint16_t type) const {
  const Attribute* found = find(type);
  return parse(found == nullptr ? Bytes{} : found->payload);
}

base::Result<std::vector<Message>> split_messages(Bytes datagram) {
  std::vector<Message> messages;
  while (!datagram.empty()) {
    const auto header = header_of<nlmsghdr>(datagram);
    if (!header) return malformed("header is cut off");
    if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > datagram.size()) {
      return malformed("length does not fit");
    }
    messages.push_back(
        {*header, datagram.subspan(sizeof(nlmsghdr), header->nlmsg_len - sizeof(nlmsghdr))});
    datagram = datagram.subspan(std::min(datagram.size(), align(header->nlmsg_len)));
  }
  return messages;
}

base::Result<Attributes> attributes_after(Bytes payload, std::size_t header_size) {
  if (payload.size() < header_size) return malformed("family header is cut off");
  return Attributes::parse(payload.subspan(std::min(payload.size(), align(header_size))));
}

base::Result<Ack> parse_ack(const Message& message) {
  const auto body = header_of<nlmsgerr>(message.payload);
  if (!body) return malformed("error body is cut off");
  if (body->error > 0 || body->error < -4095) return malformed("error code out of range");
  Ack ack{.seq = message.header.nlmsg_seq, .error = -body->error, .text = {}, .offset = 0};
  if ((message.header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return ack;
  std::size_t skip = sizeof(nlmsgerr);
  // An error that is not capped repeats the request's payload first.
  if ((message.header.nlmsg_flags & NLM_F_CAPPED) == 0 && ack.error != 0) {
    if (body->msg.nlmsg_len < sizeof(nlmsghdr)) return malformed("echoed request too short");
    skip += align(body->msg.nlmsg_len - sizeof(nlmsghdr));
  }
  const auto attributes = attributes_after(message.payload, skip);
  if (!attributes) return attributes.error();
  ack.text = attributes->string(NLMSGERR_ATTR_MSG).value_or("");
  ack.offset = attributes->u32(NLMSGERR_ATTR_OFFS).value_or(0);
  return ack;
}

}  // namespace netlink
