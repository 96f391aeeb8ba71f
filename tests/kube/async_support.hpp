// What the tests of the asynchronous client share.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/api.hpp"
#include "support/apiserver.hpp"
#include "support/patience.hpp"

namespace test_support {

inline kube::ClientConfig config_of(const ApiServer& server,
                                    const std::string& host = "127.0.0.1") {
  kube::ClientConfig config;
  config.source = "test";
  config.server = server.url();
  config.host = host;
  config.port = server.port();
  config.ca_pem = server.ca_pem();
  config.tls = server.url().starts_with("https");
  return config;
}

class FakeProvider : public kube::CredentialProvider {
 public:
  FakeProvider(boost::asio::io_context& io, const kube::ClientConfig& config) : io_(io) {
    set(config);
  }
  void get(Done done) override {
    ++gets;
    if (hang) {
      held.push_back(std::move(done));
      return;
    }
    auto result = error ? base::Result<std::shared_ptr<const kube::Credential>>(*error) : current;
    boost::asio::post(io_, [done = std::move(done), result] { done(result); });
  }
  void rejected(std::uint64_t which) override {
    rejections.push_back(which);
    if (next) set(*std::exchange(next, std::nullopt));
  }
  void set(const kube::ClientConfig& config) {
    auto credential = std::make_shared<kube::Credential>();
    credential->client = config;
    credential->generation = ++generation;
    current = std::shared_ptr<const kube::Credential>(std::move(credential));
  }

  base::Result<std::shared_ptr<const kube::Credential>> current{
      std::shared_ptr<const kube::Credential>()};
  std::uint64_t generation = 0;
  std::optional<kube::ClientConfig> next;  ///< what comes after a rejection
  std::optional<base::Error> error;
  bool hang = false;
  int gets = 0;
  std::vector<std::uint64_t> rejections;
  std::vector<Done> held;

 private:
  boost::asio::io_context& io_;
};

/// Runs the loop until `done`; false when that takes too long.
inline bool run_until(boost::asio::io_context& io, const std::function<bool()>& done,
                      std::chrono::milliseconds limit = test_support::slowness *
                                                        std::chrono::seconds(10)) {
  auto deadline = base::Deadline::after(limit);
  while (!done()) {
    if (deadline.passed()) return false;
    if (io.stopped()) io.restart();
    io.run_one_for(std::chrono::milliseconds(5));
  }
  return true;
}

inline void run_for(boost::asio::io_context& io, std::chrono::milliseconds span) {
  run_until(
      io, [] { return false; }, span);
}

}  // namespace test_support
