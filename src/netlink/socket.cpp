#include "netlink/socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/strings.hpp"

namespace netlink {

namespace {

// Dumps come in datagrams of at most 32 KiB (netlink_dump() in af_netlink.c).
constexpr std::size_t buffer_size = std::size_t{64} * 1024;
constexpr int dump_attempts = 10;

void set_option(int fd, int level, int option, int value) {
  // All of these only improve errors or capacity; old kernels lack some.
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

base::Error to_error(const Ack& ack) {
  base::Error error = base::system_error("netlink", ack.error);
  error.message = std::strerror(ack.error);
  if (!ack.text.empty()) error.message = base::cat(ack.text, " (", error.message, ")");
  if (ack.error == EPERM) error.message += "; CAP_NET_ADMIN is needed in this network namespace";
  return error;
}

base::Result<Socket> Socket::make(int protocol) {
  base::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return base::system_error("open netlink socket", errno);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::system_error("bind netlink socket", errno);
  }
  set_option(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set_option(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, 1);
  return Socket(std::move(fd));
}

base::Status Socket::send(Bytes bytes) {
  // The kernel refuses a datagram that does not fit the send buffer.
  constexpr std::size_t common = std::size_t{64} * 1024;
  if (bytes.size() > common) {
    const auto size = static_cast<int>(bytes.size() + common);
    set_option(fd_.get(), SOL_SOCKET, SO_SNDBUF, size);
    set_option(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, size);
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  while (::sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                  reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
    if (errno != EINTR) return base::system_error("send netlink message", errno);
  }
  return base::success();
}

base::Result<bool> Socket::wait(const base::Deadline& deadline) {
  pollfd waiting{fd_.get(), POLLIN, 0};
  const int ready = ::poll(&waiting, 1, deadline.poll_timeout());
  if (ready < 0 && errno != EINTR) return base::system_error("wait for netlink answer", errno);
  return ready != 0;
}

base::Result<Bytes> Socket::receive(const base::Deadline& deadline) {
  // not zeroed: most answers touch one page of it
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::uint8_t[]>(buffer_size);
  while (true) {
    sockaddr_nl sender{};
    iovec vector{buffer_.get(), buffer_size};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    const ssize_t size = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return base::system_error("receive netlink answer", errno);
      // rare: the kernel has mostly answered within the request's system call
      const auto ready = wait(deadline);
      if (!ready) return ready.error();
      if (!*ready) return Bytes{};
      continue;
    }
    if (sender.nl_pid != 0) continue;  // another process, not the kernel
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      return base::Error{base::Errc::io, "netlink answer exceeds the receive buffer"};
    }
    return Bytes(buffer_.get(), static_cast<std::size_t>(size));
  }
}

base::Result<std::vector<Reply>> Socket::exchange(Bytes request, std::uint32_t seq, bool dump,
                                                  bool& again) {
  again = false;
  if (auto sent = send(request); !sent) return sent.error();
  const auto deadline = base::Deadline::after(answer_timeout);
  std::vector<Reply> replies;
  while (true) {
    const auto datagram = receive(deadline);
    if (!datagram) return datagram.error();
    if (datagram->empty()) return base::Error{base::Errc::timeout, "no netlink answer in 5 s"};
    const auto messages = split_messages(*datagram);
    if (!messages) return messages.error();
    for (const Message& message : *messages) {
      if (message.header.nlmsg_seq != seq) continue;  // left over from an earlier request
      if ((message.header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) again = true;
      if (message.header.nlmsg_type == NLMSG_ERROR) {
        const auto ack = parse_ack(message);
        if (!ack) return ack.error();
        if (ack->error == EAGAIN && dump) {
          again = true;
          return replies;
        }
        if (ack->error != 0) return to_error(*ack);
        if (!dump) return replies;
        continue;
      }
      if (message.header.nlmsg_type == NLMSG_DONE) {
        const auto code = header_of<std::int32_t>(message.payload);
        if (code && *code == -EINTR) again = true;
        if (code && *code < 0 && *code >= -4095 && *code != -EINTR) {
          return to_error({seq, -*code, {}, 0});
        }
        return replies;
      }
      replies.push_back({message.header.nlmsg_type,
                         message.header.nlmsg_flags,
                         {message.payload.begin(), message.payload.end()}});
    }
  }
}

base::Result<std::vector<Reply>> Socket::talk(const MessageBuilder& message) {
  if (message.overflowed()) {
    return base::Error{base::Errc::invalid_input, "netlink attribute exceeds 64 KiB"};
  }
  std::vector<std::uint8_t> request(message.bytes().begin(), message.bytes().end());
  auto header = header_of<nlmsghdr>(message.bytes());
  if (!header) return base::Error{base::Errc::invalid_input, "empty netlink message"};
  // NLM_F_DUMP is two bits, each of which has another meaning in a NEW request.
  const bool dump = (header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  for (int attempt = 0; attempt < dump_attempts; ++attempt) {
    header->nlmsg_seq = ++seq_;
    std::memcpy(request.data(), &*header, sizeof *header);
    bool again = false;
    auto replies = exchange(request, seq_, dump, again);
    if (!replies || !again) return replies;
  }
  return base::Error{base::Errc::unavailable, "netlink dump keeps changing while it is read"};
}

base::Result<std::vector<Ack>> Socket::batch(Bytes messages) {
  if (auto sent = send(messages); !sent) return sent.error();
  // The kernel works within sendto(): what it has to say is queued already.
  const base::Deadline now{base::Deadline::Clock::now()};
  std::vector<Ack> acks;
  std::optional<base::Error> overrun;
  while (true) {
    const auto datagram = receive(now);
    if (!datagram) {
      // More refusals than the receive buffer holds: the first ones are in it.
      if (datagram.error().sys != ENOBUFS || overrun) return datagram.error();
      overrun = datagram.error();
      continue;
    }
    if (datagram->empty()) {
      const bool refused =
          std::any_of(acks.begin(), acks.end(), [](const Ack& ack) { return ack.error != 0; });
      if (overrun && !refused) return *overrun;
      return acks;
    }
    const auto answers = split_messages(*datagram);
    if (!answers) return answers.error();
    for (const Message& answer : *answers) {
      if (answer.header.nlmsg_type != NLMSG_ERROR) continue;
      auto ack = parse_ack(answer);
      if (!ack) return ack.error();
      acks.push_back(*std::move(ack));
    }
  }
}

}  // namespace netlink
