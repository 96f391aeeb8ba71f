// Property: messages and attributes lie within the datagram; attributes that
// are read and built again read the same; acknowledgements hold an errno.
#include <algorithm>
#include <functional>

#include "fuzz/check.hpp"
#include "netlink/message.hpp"

namespace {

using netlink::Attributes;
using netlink::Bytes;

constexpr int max_depth = 8;

bool inside(Bytes part, Bytes whole) {
  return part.empty() || (!std::less<>{}(part.data(), whole.data()) &&
                          !std::less<>{}(whole.data() + whole.size(), part.data() + part.size()));
}

void check_built_again(const Attributes& attributes) {
  netlink::MessageBuilder builder;
  builder.begin(0, 0);
  for (const auto& attribute : attributes) builder.put(attribute.type, attribute.payload);
  fuzz::require(!builder.overflowed(), "what was read fits");
  const auto messages = netlink::split_messages(builder.bytes());
  fuzz::require(messages && messages->size() == 1, "one message is built");
  const auto again = Attributes::parse(messages->front().payload);
  fuzz::require(
      again && std::equal(attributes.begin(), attributes.end(), again->begin(), again->end(),
                          [](const auto& a, const auto& b) {
                            return a.type == b.type &&
                                   std::equal(a.payload.begin(), a.payload.end(), b.payload.begin(),
                                              b.payload.end());
                          }),
      "built again, the attributes are the same");
}

void check_attributes(Bytes bytes, int depth) {
  const auto attributes = Attributes::parse(bytes);
  if (!attributes) {
    fuzz::require(attributes.error().code == base::Errc::invalid_input,
                  "an error is invalid_input");
    return;
  }
  if (depth == 0) check_built_again(*attributes);
  for (const auto& attribute : *attributes) {
    fuzz::require(inside(attribute.payload, bytes), "an attribute lies inside");
    fuzz::require(attribute.string().size() <= attribute.payload.size(), "a string lies inside");
    fuzz::require(attribute.be64().has_value() == (attribute.payload.size() == 8),
                  "a number has its size");
    (void)attribute.u8();
    (void)attribute.be16();
    (void)attribute.be32();
    if (depth < max_depth) check_attributes(attribute.payload, depth + 1);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes datagram(data, size);
  const auto messages = netlink::split_messages(datagram);
  if (!messages) return 0;
  for (const auto& message : *messages) {
    fuzz::require(inside(message.payload, datagram), "a message lies inside");
    if (const auto ack = netlink::parse_ack(message))
      fuzz::require(ack->error >= 0 && ack->error <= 4095, "an acknowledgement holds an errno");
    // The family headers that we meet: none, nfgenmsg or genlmsghdr, ifaddrmsg, rtmsg, ifinfomsg.
    for (const std::size_t header : {0U, 4U, 8U, 12U, 16U})
      if (netlink::attributes_after(message.payload, header))
        check_attributes(message.payload.subspan(header), 0);
  }
  return 0;
}
