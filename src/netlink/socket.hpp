// A netlink socket of the network namespace in which the calling thread is
// when make() runs (netlink(7)). It stays there: make a new one after setns.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/deadline.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "netlink/message.hpp"

namespace netlink {

/// A message of an answer, with its own bytes.
struct Reply {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::vector<std::uint8_t> payload;
};

/// The kernel answers within the system call; this only bounds a defect.
inline constexpr std::chrono::milliseconds answer_timeout{5000};

class Socket {
 public:
  /// `protocol`: NETLINK_ROUTE, NETLINK_NETFILTER...
  static base::Result<Socket> make(int protocol);

  /// Sends one message, made with NLM_F_ACK or NLM_F_DUMP (its sequence number
  /// is overwritten), and collects the answer. An interrupted dump
  /// (NLM_F_DUMP_INTR) is repeated; one that never settles is
  /// Errc::unavailable. An error answer carries errno and the kernel's text.
  base::Result<std::vector<Reply>> talk(const MessageBuilder& message);

  /// Sends an nfnetlink batch in one system call and returns the answers for
  /// the messages that failed or asked for an acknowledgement, in order.
  base::Result<std::vector<Ack>> batch(Bytes messages);

 private:
  explicit Socket(base::UniqueFd fd) : fd_(std::move(fd)) {}

  base::Status send(Bytes bytes);
  /// False: `deadline` has passed and there is nothing to receive.
  base::Result<bool> wait(const base::Deadline& deadline);
  /// One datagram from the kernel; empty: `deadline` has passed.
  base::Result<Bytes> receive(const base::Deadline& deadline);
  /// `again`: the dump was interrupted.
  base::Result<std::vector<Reply>> exchange(Bytes request, std::uint32_t seq, bool dump,
                                            bool& again);

  base::UniqueFd fd_;
  std::uint32_t seq_ = 0;
  std::unique_ptr<std::uint8_t[]> buffer_;
};

/// An error answer as an Error: EPERM says which capability is missing.
base::Error to_error(const Ack& ack);

}  // namespace netlink
