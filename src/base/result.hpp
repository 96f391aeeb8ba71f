// Errors as values: Result<T> holds either a value or an Error. Nothing in the
// libraries below the programs logs or throws for an expected failure; the
// program shows the error once.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace base {

/// What kind of failure this is; programs map it to exit and CNI codes.
enum class Errc {
  invalid_input,  ///< bytes from outside that do not parse or validate
  not_found,      ///< the thing asked for does not exist
  unavailable,    ///< a peer cannot be reached or answers "later"; worth retrying
  unauthorized,   ///< the peer refuses our credential
  timeout,        ///< the deadline passed
  unsupported,    ///< the kernel or the peer lacks a feature
  mismatch,       ///< what was read back differs from what was written
  refused,        ///< we decline for safety (for example the host's own namespace)
  io,             ///< a system call failed; `sys` holds errno
};

/// True when the same call may succeed later without anybody changing anything.
constexpr bool retryable(Errc code) {
  return code == Errc::not_found || code == Errc::unavailable || code == Errc::unauthorized ||
         code == Errc::timeout;
}

/// A failure with its context, innermost cause last: "apply rules: nat: ...".
struct Error {
  Errc code = Errc::io;
  std::string message;
  int sys = 0;  ///< errno, 0 when no system call was involved

  /// The same error seen from one level up: "what: message".
  [[nodiscard]] Error wrap(std::string_view what) const& {
    Error copy = *this;
    copy.message.insert(0, ": ").insert(0, what);
    return copy;
  }
  [[nodiscard]] Error wrap(std::string_view what) && {
    message.insert(0, ": ").insert(0, what);
    return std::move(*this);
  }
};

/// An Errc::io error from errno: "what: strerror".
Error system_error(std::string_view what, int errno_value);

struct Unit {};

/// A value or an Error. Dropping one is a compiler warning, and so an error here.
template <typename T = Unit>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
  [[nodiscard]] Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<Unit>;
inline Status success() { return Unit{}; }

}  // namespace base
