#include "netlink/message.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

namespace netlink {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

std::vector<std::uint8_t> copy(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

TEST(MessageBuilder, LaysOutHeaderAttributesAndPadding) {
  MessageBuilder b;
  b.begin(0x0a07, NLM_F_ACK, 7);
  b.header(std::uint32_t{0x01});
  b.put_string(3, "ab");
  b.put_be16(4, 0x0102);
  EXPECT_THAT(copy(b.bytes()),
              ElementsAre(36, 0, 0, 0, 0x07, 0x0a, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0,  // nlmsghdr
                          1, 0, 0, 0,                                             // header
                          7, 0, 3, 0, 'a', 'b', 0, 0,                             // string, padded
                          6, 0, 4, 0, 1, 2, 0, 0));
  EXPECT_EQ(b.offset(), 36U);
}

TEST(MessageBuilder, SeveralMessagesAndNests) {
  MessageBuilder b;
  b.begin(1, 0, 1);
  {
    const auto outer = b.nest(9);
    b.put_u8(1, 0xff);
    {
      const auto inner = b.nest(2);
      b.put_be32(1, 0xdeadbeef);
    }
    b.put_be64(3, 0x0102030405060708);
  }
  b.begin(2, 0, 2);
  EXPECT_EQ(b.offset(), sizeof(nlmsghdr));
  b.put_flag(5);
  const auto messages = split_messages(b.bytes());
  ASSERT_TRUE(messages.ok());
  ASSERT_THAT(*messages, SizeIs(2));
  const auto top = Attributes::parse((*messages)[0].payload);
  ASSERT_TRUE(top.ok());
  const auto outer = top->nested(9);
  ASSERT_TRUE(outer.ok());
  EXPECT_EQ(outer->size(), 3U);
  EXPECT_EQ(outer->find(1)->u8(), 0xff);
  EXPECT_EQ(outer->find(3)->be64(), 0x0102030405060708U);
  EXPECT_EQ(outer->nested(2)->be32(1), 0xdeadbeefU);
  EXPECT_EQ((*messages)[1].header.nlmsg_seq, 2U);
  EXPECT_TRUE(Attributes::parse((*messages)[1].payload)->find(5)->payload.empty());
  EXPECT_FALSE(b.overflowed());
}

TEST(MessageBuilder, AMessageOfItsHeaderAloneIsOne) {
  MessageBuilder b;
  b.begin(1, 0);
  const auto messages = split_messages(b.bytes());
  ASSERT_TRUE(messages.ok());
  ASSERT_THAT(*messages, SizeIs(1));
  EXPECT_TRUE(messages->front().payload.empty());
}

TEST(MessageBuilder, TooLongAttributesAreNoticed) {
  const std::vector<std::uint8_t> half(40'000);
  MessageBuilder single;
  single.begin(1, 0);
  single.put(1, std::vector<std::uint8_t>(70'000));
  EXPECT_TRUE(single.overflowed());
  MessageBuilder nested;
  nested.begin(1, 0);
  {
    const auto nest = nested.nest(1);
    nested.put(1, half);
    nested.put(2, half);
  }
  EXPECT_TRUE(nested.overflowed());
}

TEST(Attributes, ValuesOfAnotherSizeAreNothing) {
  MessageBuilder b;
  b.begin(1, 0);
  b.put_u16(1, 5);
  b.put_u32(2, 6);
  b.put_u32(2, 8);
  const auto a = attributes_after(b.bytes(), sizeof(nlmsghdr));
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->u32(1), std::nullopt);
  EXPECT_EQ(a->find(1)->u16(), 5);
  EXPECT_EQ(a->u32(2), 8U) << "the last one counts";
  EXPECT_EQ(a->u32(3), std::nullopt);
  EXPECT_EQ(a->string(3), std::nullopt);
  EXPECT_EQ(a->nested(3)->size(), 0U);
}

TEST(Attributes, StringsNeedNoTerminator) {
  const std::vector<std::uint8_t> bytes{7, 0, 1, 0, 'a', 'b', 'c', 0};
  EXPECT_EQ(Attributes::parse(bytes)->string(1), "abc");
  const std::vector<std::uint8_t> inner_nul{8, 0, 1, 0, 'a', 0, 'c', 'd'};
  EXPECT_EQ(Attributes::parse(inner_nul)->string(1), "a");
  const std::vector<std::uint8_t> empty{4, 0, 1, 0};
  EXPECT_EQ(Attributes::parse(empty)->string(1), "");
}

TEST(Attributes, LastPaddingMayBeMissing) {
  const std::vector<std::uint8_t> bytes{5, 0, 1, 0, 9};
  EXPECT_EQ(Attributes::parse(bytes)->find(1)->u8(), 9);
}

TEST(Attributes, MalformedLengthsAreErrors) {
  for (const auto& bytes :
       std::vector<std::vector<std::uint8_t>>{{0, 0, 1, 0},     // shorter than its header
                                              {3, 0, 1, 0},     //
                                              {8, 0, 1, 0, 1},  // cut off
                                              {255, 255, 1, 0, 1, 2, 3, 4},  //
                                              {4, 0, 1, 0, 200, 0, 2, 0, 1, 1, 1,
                                               1}})  // the second one
  {
    const auto result = Attributes::parse(bytes);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, base::Errc::invalid_input);
  }
}

TEST(SplitMessages, EveryTruncationIsAnErrorOrShorter) {
  MessageBuilder b;
  b.begin(1, 0, 1);
  b.put_u32(1, 1);
  b.begin(2, 0, 2);
  b.put_string(1, "text");
  const auto all = copy(b.bytes());
  for (std::size_t size = 0; size < all.size(); ++size) {
    const std::vector<std::uint8_t> part(all.begin(),
                                         all.begin() + static_cast<std::ptrdiff_t>(size));
    const auto result = split_messages(part);
    const bool at_boundary = size == 0 || size == 24;
    EXPECT_EQ(result.ok(), at_boundary) << size;
  }
}

TEST(SplitMessages, LengthBelowTheHeader) {
  nlmsghdr header{};
  header.nlmsg_len = 15;
  EXPECT_FALSE(split_messages(as_bytes(header)).ok());
  header.nlmsg_len = 0;
  EXPECT_FALSE(split_messages(as_bytes(header)).ok());
  header.nlmsg_len = UINT32_MAX;
  EXPECT_FALSE(split_messages(as_bytes(header)).ok());
}

TEST(AttributesAfter, HeaderCutOff) {
  const std::vector<std::uint8_t> bytes{1, 2, 3};
  EXPECT_FALSE(attributes_after(bytes, 4).ok());
  EXPECT_TRUE(attributes_after(bytes, 3).ok());
}

/// An NLMSG_ERROR as the kernel sends it.
std::vector<std::uint8_t> error_message(int code, std::uint16_t flags, std::size_t echoed,
                                        bool tlvs) {
  MessageBuilder b;
  b.begin(NLMSG_ERROR, flags, 42);
  nlmsgerr body{};
  body.error = code;
  body.msg.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) + echoed);
  b.header(body);
  for (std::size_t i = 0; i < echoed; i += 4) b.header(std::uint32_t{0xffffffff});
  if (tlvs) {
    b.put_string(NLMSGERR_ATTR_MSG, "no such thing");
    b.put_u32(NLMSGERR_ATTR_OFFS, 24);
  }
  return copy(b.bytes());
}

base::Result<Ack> ack_of(const std::vector<std::uint8_t>& bytes) {
  const auto messages = split_messages(bytes);
  if (!messages) return messages.error();
  return parse_ack(messages->at(0));
}

TEST(ParseAck, CappedAndEchoedErrors) {
  const auto capped = ack_of(error_message(-ENOENT, NLM_F_CAPPED | NLM_F_ACK_TLVS, 0, true));
  ASSERT_TRUE(capped.ok());
  EXPECT_EQ(capped->seq, 42U);
  EXPECT_EQ(capped->error, ENOENT);
  EXPECT_EQ(capped->text, "no such thing");
  EXPECT_EQ(capped->offset, 24U);
  const auto echoed = ack_of(error_message(-EPERM, NLM_F_ACK_TLVS, 20, true));
  ASSERT_TRUE(echoed.ok());
  EXPECT_EQ(echoed->text, "no such thing");
  const auto plain = ack_of(error_message(-EPERM, 0, 20, false));
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->text, "");
  EXPECT_EQ(ack_of(error_message(0, NLM_F_CAPPED, 0, false))->error, 0);
}

TEST(ParseAck, Malformed) {
  const auto whole = error_message(-ENOENT, NLM_F_ACK_TLVS, 8, false);
  // The flag promises attributes behind an echo that is longer than the message.
  auto lying = whole;
  const std::uint32_t huge = 0xfffffff0;
  std::memcpy(lying.data() + sizeof(nlmsghdr) + sizeof(int), &huge, sizeof huge);
  EXPECT_FALSE(ack_of(lying).ok());
  const std::uint32_t small = 3;
  std::memcpy(lying.data() + sizeof(nlmsghdr) + sizeof(int), &small, sizeof small);
  EXPECT_FALSE(ack_of(lying).ok());
  EXPECT_FALSE(ack_of(error_message(5, NLM_F_CAPPED, 0, false)).ok());
  EXPECT_FALSE(ack_of(error_message(INT32_MIN, NLM_F_CAPPED, 0, false)).ok());
  MessageBuilder cut;
  cut.begin(NLMSG_ERROR, 0);
  cut.header(std::uint32_t{0});
  EXPECT_FALSE(ack_of(copy(cut.bytes())).ok());
}

}  // namespace
}  // namespace netlink
