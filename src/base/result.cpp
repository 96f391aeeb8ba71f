#include "base/result.hpp"

#include <cstring>

namespace base {

Error system_error(std::string_view what, int errno_value) {
  std::string message(what);
  message.append(": ").append(strerrordesc_np(errno_value) != nullptr ? strerrordesc_np(errno_value)
                                                                      : "unknown error");
  return Error{Errc::io, std::move(message), errno_value};
}

}  // namespace base
