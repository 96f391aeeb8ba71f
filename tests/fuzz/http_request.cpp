// Properties: what a client sends gives the same requests in whatever pieces it
// comes; they keep to the limits; a refusal is an error status and is final.
#include <algorithm>

#include "fuzz/check.hpp"
#include "istio-cni-node/http_message.hpp"

namespace {

using istio_cni_node::http_head;
using istio_cni_node::HttpInput;
using istio_cni_node::HttpLimits;

struct Seen {
  std::string requests;
  bool refused = false;

  bool operator==(const Seen&) const = default;
};

void note(Seen& seen, const HttpInput::Received& got, const HttpLimits& limits) {
  const auto& request = got.request;
  fuzz::require(request.method == "GET" || (request.method == "POST" && limits.body > 0),
                "no other method comes through");
  fuzz::require(
      request.path.starts_with('/') && request.path.size() <= istio_cni_node::max_http_target,
      "a path is a path, and bounded");
  fuzz::require(request.body.size() <= limits.body, "the body is bounded");
  seen.requests.append(request.method).append(" ").append(request.path).append(" ");
  seen.requests.append(request.body).append(got.head ? " head" : "");
  seen.requests.append(got.keep_alive ? "\n" : " close\n");
}

Seen read(std::string_view bytes, const HttpLimits& limits, std::size_t step) {
  HttpInput input(limits);
  Seen seen;
  int go_ons = 0;
  for (;;) {
    switch (input.next()) {
      case HttpInput::Next::more: {
        fuzz::require(input.room() > 0, "there is room for what is missing");
        if (bytes.empty()) return seen;
        const auto piece = bytes.substr(0, std::min(step, input.room()));
        input.append(piece);
        bytes.remove_prefix(piece.size());
        break;
      }
      case HttpInput::Next::go_on:
        fuzz::require(++go_ons == 1, "the client is told to go on once a request");
        break;
      case HttpInput::Next::request: {
        go_ons = 0;
        const auto got = input.take();
        note(seen, got, limits);
        if (!got.keep_alive) return seen;
        break;
      }
      case HttpInput::Next::refused: {
        seen.refused = true;
        const auto& answer = input.refusal();
        fuzz::require(answer.status >= 400 && answer.status < 600 && !answer.body.empty(),
                      "a refusal is an error with a reason");
        const auto head = http_head(answer, {}, {});
        fuzz::require(head.find("\r\n\r\n") == head.size() - 4, "an answer's head is one head");
        input.append("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        fuzz::require(input.next() == HttpInput::Next::refused, "a refusal is final");
        return seen;
      }
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  HttpLimits limits;
  limits.header = 512;
  limits.body = (data[0] & 1) != 0 ? 300 : 0;
  const auto bytes = fuzz::text_of(data + 1, size - 1);
  const auto whole = read(bytes, limits, bytes.size() + 1);
  for (const std::size_t step : {1U, 7U, 100U}) {
    const auto pieces = read(bytes, limits, step);
    // bytes that can only be refused may wait for more before they are
    fuzz::require(pieces.requests == whole.requests, "pieces give the same requests");
  }
  return 0;
}
