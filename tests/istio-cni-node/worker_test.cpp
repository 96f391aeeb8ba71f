#include "istio-cni-node/worker.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <thread>
#include <vector>

namespace istio_cni_node {
namespace {

TEST(Worker, JobsRunInOrderElsewhereAndResultsComeBack) {
  boost::asio::io_context io;
  auto work = boost::asio::make_work_guard(io);
  const auto loop = std::this_thread::get_id();
  std::vector<int> order;
  {
    Worker worker(io);
    for (int i = 0; i < 3; ++i) {
      worker.run([&, i]() -> Worker::Continuation {
        EXPECT_NE(std::this_thread::get_id(), loop);
        return [&, i] {
          EXPECT_EQ(std::this_thread::get_id(), loop);
          order.push_back(i);
          if (i == 2) io.stop();
        };
      });
    }
    worker.run([]() -> Worker::Continuation { return nullptr; });
    io.run();
  }
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(Worker, AfterItsEndNothingComesBack) {
  boost::asio::io_context io;
  std::atomic<bool> began = false;
  bool ran = false;
  {
    Worker worker(io);
    worker.run([&]() -> Worker::Continuation {
      began = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return [&] { ran = true; };
    });
    while (!began) std::this_thread::yield();
  }
  io.run_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace istio_cni_node
