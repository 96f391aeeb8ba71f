// The second thread: work that blocks, or that enters another namespace
// (setns(2) is per thread).
#pragma once

#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace istio_cni_node {

class Worker {
 public:
  /// `io` is the event loop that results come back to.
  explicit Worker(boost::asio::io_context& io);
  /// Waits for the running job; those not begun are dropped, as are results.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// `job` runs on the worker, one after the other in order; what it returns
  /// runs on the event loop.
  using Continuation = std::function<void()>;
  void run(std::function<Continuation()> job);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace istio_cni_node
