#include "istio-cni-node/worker.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace istio_cni_node {

struct Worker::Impl {
  explicit Impl(boost::asio::io_context& context) : io(context), thread([this] { loop(); }) {}

  void loop() {
    for (;;) {
      std::function<Continuation()> job;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [this] { return stopping || !jobs.empty(); });
        if (stopping) return;
        job = std::move(jobs.front());
        jobs.pop_front();
      }
      auto continuation = job();
      if (!continuation) continue;
      boost::asio::post(io, [alive = std::weak_ptr<bool>(alive), run = std::move(continuation)] {
        if (!alive.expired()) run();
      });
    }
  }

  boost::asio::io_context& io;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<Continuation()>> jobs;
  bool stopping = false;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  std::thread thread;  // last: it uses all of the above
};

Worker::Worker(boost::asio::io_context& io) : impl_(std::make_unique<Impl>(io)) {}

Worker::~Worker() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
}

void Worker::run(std::function<Continuation()> job) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->jobs.push_back(std::move(job));
  }
  impl_->wake.notify_one();
}

}  // namespace istio_cni_node
