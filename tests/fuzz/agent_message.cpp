// Properties: what is taken as a message or an answer is within its bound, prints
// within it, and is read back the same; a pod in it is read back the same from
// what we print, and its projection makes no difference to the decision.
#include "agent/protocol.hpp"
#include "fuzz/check.hpp"
#include "pod/parse.hpp"
#include "pod/serialize.hpp"
#include "redirect/decide.hpp"
#include "redirect/project.hpp"

namespace {

/// "" and the reason, or what went wrong: all of a decision but its parameters.
std::string describe(const pod::Pod& pod) {
  const auto decision = redirect::decide(pod, {});
  if (!decision) return decision.error().message;
  if (const auto* skip = std::get_if<redirect::Skip>(&*decision))
    return std::string(to_string(skip->reason)) + ": " + skip->detail;
  return {};
}

void check_pod(const pod::Pod& pod) {
  const auto again = pod::parse_pod(pod::to_json(pod));
  fuzz::require(again && *again == pod, "a pod is read back the same");
  const auto projected = redirect::project(pod, {});
  fuzz::require(describe(projected) == describe(pod), "a projection decides the same");
  fuzz::require(redirect::project(projected, {}) == projected, "a projection is final");
}

void check_message(std::string_view text) {
  const auto message = agent::parse_message(text);
  if (!message) {
    fuzz::require(message.error().code == base::Errc::invalid_input, "an error is invalid_input");
    return;
  }
  fuzz::require(text.size() <= agent::max_request, "a message is bounded");
  const auto printed = std::visit([](const auto& value) { return to_json(value); }, *message);
  // control characters take six bytes each
  fuzz::require(printed.size() <= 6 * agent::max_request, "what we print is bounded");
  if (printed.size() > agent::max_request) return;
  const auto again = agent::parse_message(printed);
  fuzz::require(again && *again == *message, "a message is read back the same");
}

void check_answer(std::string_view text) {
  const auto answer = agent::parse_answer(text);
  if (!answer) {
    fuzz::require(answer.error().code == base::Errc::invalid_input, "an error is invalid_input");
    return;
  }
  const auto printed = to_json(*answer);
  fuzz::require(printed.size() <= agent::max_answer, "an answer is bounded");
  const auto again = agent::parse_answer(printed);
  fuzz::require(again.ok(), "an answer is an answer");
  if (const auto* error = std::get_if<base::Error>(&answer->pod)) {
    const auto* other = std::get_if<base::Error>(&again->pod);
    fuzz::require(
        other != nullptr && other->code == error->code && other->message == error->message,
        "an error is read back the same");
    return;
  }
  const auto& pod = std::get<pod::Pod>(answer->pod);
  check_pod(pod);
  if (const auto* other = std::get_if<pod::Pod>(&again->pod))
    fuzz::require(*other == pod, "a pod is read back the same");
  else
    fuzz::require(pod::to_json(pod).size() > agent::max_answer / 2,
                  "only a large pod is too large");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text_of(data, size);
  check_message(text);
  check_answer(text);
  // any bytes as names and as an error; a control character takes six
  const std::string bytes(text.substr(0, 800));
  fuzz::require(agent::parse_message(to_json(agent::Lookup{"n" + bytes, "p" + bytes, bytes})).ok(),
                "every lookup can be read");
  agent::Outcome outcome;
  outcome.command = outcome.result = "x";
  outcome.message = text;
  fuzz::require(agent::parse_message(to_json(outcome)).ok(), "every error can be told");
  fuzz::require(agent::parse_answer(
                    to_json(agent::Answer{base::Error{base::Errc::io, std::string(text)}, bytes}))
                    .ok(),
                "every error can be answered");
  return 0;
}
