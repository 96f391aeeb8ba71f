#pragma once

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

namespace icn_asio {

/// For `co_await operation(..., into(failed))`: a failure is stored there, not thrown.
/// `failed` must live until the operation ends.
inline auto into(boost::system::error_code& failed) {
  return boost::asio::redirect_error(boost::asio::use_awaitable, failed);
}

}  // namespace icn_asio
