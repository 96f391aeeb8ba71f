// What the plugin and the agent say to each other over agent.sock: one JSON
// object a message, SOCK_SEQPACKET. Pure.
//
//   plugin -> agent  {"lookup":{"namespace":..,"name":..,"uid":..}}
//   agent -> plugin  {"pod":{..as of the API..},"logLevel":"info"}
//                    {"error":{"code":"not_found","message":..},"logLevel":..}
//   plugin -> agent  {"outcome":{..}}      no answer
//
// and the questions of istio-cnictl: status.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "agent/status.hpp"
#include "base/result.hpp"
#include "pod/pod.hpp"

namespace agent {

inline constexpr std::string_view socket_name = "agent.sock";  ///< in the run dir
/// A request or outcome is small; an answer holds a projected pod.
inline constexpr std::size_t max_request = std::size_t{16} << 10;
inline constexpr std::size_t max_answer = std::size_t{160} << 10;
inline constexpr std::size_t max_message = std::size_t{1} << 10;  ///< of an error, bytes

struct Lookup {
  std::string name_space;
  std::string name;
  std::string uid;  ///< "" when the runtime did not say

  bool operator==(const Lookup&) const = default;
};

/// One finished command of the plugin.
struct Outcome {
  std::string command;   ///< ADD, CHECK, DEL
  std::string decision;  ///< "redirect", "failed", or a skip reason
  std::string result;    ///< "success" or "error"
  int error_code = 0;    ///< CNI code when `result` is "error"
  std::string message;   ///< of the error, one line, at most max_message
  std::string backend;   ///< "nftables", "iptables", or ""
  std::string name_space;
  std::string name;
  std::string uid;
  std::string container_id;
  std::string netns;   ///< path, as the runtime gave it
  std::string lookup;  ///< who answered: "agent", "api", or "" (no lookup)
  std::chrono::microseconds total{0};
  std::optional<std::chrono::microseconds> lookup_time;
  std::optional<std::chrono::microseconds> rules_time;
  std::optional<std::chrono::microseconds> verify_time;

  bool operator==(const Outcome&) const = default;
};

struct Answer {
  std::variant<pod::Pod, base::Error> pod;
  std::string log_level;  ///< "" leaves the plugin's own
};

using Message = std::variant<Lookup, Outcome, StatusQuery, PodsQuery>;

/// Errc::invalid_input for what is no such message: longer than max_request, not
/// one of the four, a lookup without namespace and name, an outcome without
/// command and result, a wrong type. Other keys may be absent; unknown ones are
/// ignored: plugin and agent of neighbouring versions talk to each other.
base::Result<Message> parse_message(std::string_view text);
/// Bytes that are not UTF-8 are replaced, here and below.
std::string to_json(const Lookup& lookup);
/// Makes one line of `message` and cuts it. With hostile names it may still be
/// longer than max_request; then it is not to be sent.
std::string to_json(const Outcome& outcome);

/// Errc::invalid_input for what is no answer: longer than max_answer, without
/// pod and error or with both, a wrong type. An unknown error code reads as io.
base::Result<Answer> parse_answer(std::string_view text);
/// An answer that would be longer than max_answer becomes an error saying so; an
/// error's message is cut at max_message. Of an error, code and message are sent.
std::string to_json(const Answer& answer);

}  // namespace agent
