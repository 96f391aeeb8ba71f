#include "kube/pod_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "support/apiserver.hpp"
#include "support/patience.hpp"

namespace {

using base::Errc;
using base::Error;
using std::chrono::milliseconds;
using test_support::ApiServer;
using test_support::Fault;
using test_support::soon;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

pod::Pod pod_with(const std::string& uid) {
  pod::Pod pod;
  pod.name = "web";
  pod.name_space = "shop";
  pod.uid = uid;
  return pod;
}

/// A clock that only moves when somebody sleeps, and a scripted source.
class FindPod : public testing::Test {
 protected:
  FindPod() {
    hooks_.now = [this] { return now_; };
    hooks_.sleep = [this](milliseconds span) {
      sleeps_.push_back(span.count());
      now_ += span;
    };
    hooks_.random = [this] { return random_; };
  }

  base::Result<pod::Pod> find(const std::string& uid = "",
                              milliseconds span = std::chrono::seconds(60)) {
    auto fetch = [this](const kube::PodRef&, base::Deadline deadline) -> base::Result<pod::Pod> {
      ++attempts_;
      budgets_.push_back(deadline.left());
      if (script_.empty()) return Error{Errc::not_found, "script is empty"};
      auto next = script_.front();
      if (script_.size() > 1) script_.pop_front();
      return next;
    };
    return kube::find_pod(fetch, {"shop", "web", uid}, base::Deadline::after(span), {}, hooks_);
  }

  kube::RetryHooks hooks_;
  kube::RetryHooks::Clock::time_point now_{};
  std::deque<base::Result<pod::Pod>> script_;
  std::vector<milliseconds::rep> sleeps_;
  std::vector<milliseconds> budgets_;
  double random_ = 1;
  int attempts_ = 0;
};

TEST_F(FindPod, FirstTry) {
  script_ = {pod_with("u")};
  ASSERT_TRUE(find("u").ok());
  EXPECT_TRUE(sleeps_.empty());
}

TEST_F(FindPod, RetriesWhatMayPass) {
  script_ = {Error{Errc::not_found, "a"}, Error{Errc::unavailable, "b"},
             Error{Errc::unauthorized, "c"}, Error{Errc::timeout, "d"}, pod_with("u")};
  std::vector<std::string> seen;
  hooks_.failed = [&](int attempt, const Error& error) {
    seen.push_back(std::to_string(attempt) + error.message);
  };
  ASSERT_TRUE(find().ok());
  EXPECT_THAT(sleeps_, ElementsAre(50, 100, 200, 400));
  EXPECT_THAT(seen, ElementsAre("1a", "2b", "3c", "4d"));
}

TEST_F(FindPod, DoesNotRetryTheRest) {
  for (auto code : {Errc::invalid_input, Errc::refused, Errc::unsupported, Errc::io}) {
    script_ = {Error{code, "cause"}};
    attempts_ = 0;
    auto result = find();
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, code);
    EXPECT_EQ(attempts_, 1);
    EXPECT_THAT(result.error().message, HasSubstr("failed after 1 attempt in 0 ms: cause"));
  }
}

TEST_F(FindPod, WaitsForTheRightUid) {
  script_ = {pod_with("old"), pod_with("old"), pod_with("new")};
  auto result = find("new");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->uid, "new");
  EXPECT_EQ(attempts_, 3);
}

TEST_F(FindPod, GivesUpAtTheDeadline) {
  script_ = {pod_with("old")};
  auto result = find("new", std::chrono::seconds(30));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Errc::mismatch);
  EXPECT_THAT(result.error().message,
              AllOf(HasSubstr("pod shop/web: gave up after "), HasSubstr(" attempts in "),
                    HasSubstr("uid \"old\""), HasSubstr("\"new\"")));
  milliseconds total{0};
  for (auto span : sleeps_) {
    EXPECT_LE(span, 2000);
    total += milliseconds(span);
  }
  EXPECT_LE(total, std::chrono::seconds(30));
  EXPECT_GE(total, std::chrono::seconds(29));
}

TEST_F(FindPod, JitterHalvesAtMost) {
  random_ = 0;
  script_ = {Error{Errc::not_found, ""}, Error{Errc::not_found, ""}, pod_with("u")};
  ASSERT_TRUE(find().ok());
  EXPECT_THAT(sleeps_, ElementsAre(25, 50));
}

TEST_F(FindPod, OneAttemptIsBounded) {
  script_ = {pod_with("u")};
  ASSERT_TRUE(find("", std::chrono::seconds(60)).ok());
  EXPECT_LE(budgets_.at(0), std::chrono::seconds(10));
}

TEST_F(FindPod, PassedDeadlineStillTriesOnce) {
  script_ = {pod_with("u")};
  EXPECT_TRUE(find("", milliseconds(0)).ok());
}

class GetPod : public testing::Test {
 protected:
  kube::Client connect() {
    kube::ClientConfig config;
    config.source = "test";
    config.server = server_.url();
    config.host = "127.0.0.1";
    config.port = server_.port();
    config.ca_pem = server_.ca_pem();
    auto client = kube::Client::make(config);
    if (!client) throw std::runtime_error(client.error().message);
    return std::move(*client);
  }
  void serve(const std::string& uid) {
    server_.add_pod(R"({"metadata":{"name":"web","namespace":"shop","uid":")" + uid + "\"}}");
  }
  Error error_of(const std::string& name_space, const std::string& name) {
    auto client = connect();
    auto result = kube::get_pod(client, name_space, name, soon());
    if (result) {
      ADD_FAILURE() << "no error";
      return {};
    }
    return result.error();
  }

  ApiServer server_;
};

TEST_F(GetPod, StatusCodes) {
  serve("u");
  auto missing = error_of("shop", "other");
  EXPECT_EQ(missing.code, Errc::not_found);
  EXPECT_THAT(missing.message, AllOf(HasSubstr(server_.url()), HasSubstr("HTTP 404 Not Found"),
                                     HasSubstr("other"), HasSubstr("not found")));
  for (auto [status, code] :
       {std::pair(401, Errc::unauthorized), std::pair(403, Errc::unauthorized),
        std::pair(429, Errc::unavailable), std::pair(500, Errc::unavailable),
        std::pair(503, Errc::unavailable), std::pair(400, Errc::invalid_input),
        std::pair(302, Errc::invalid_input)}) {
    server_.inject({.kind = Fault::Kind::status, .status = status});
    auto error = error_of("shop", "web");
    EXPECT_EQ(error.code, code) << status;
    EXPECT_THAT(error.message,
                AllOf(HasSubstr(std::to_string(status)), HasSubstr("an injected fault")));
  }
}

TEST_F(GetPod, NamesAreChecked) {
  auto requests = server_.requests();
  for (const char* name : {"", "..", ".", "a/b", "a?b", "A", "a%2fb", "-a", "a b"}) {
    EXPECT_EQ(error_of("shop", name).code, Errc::invalid_input) << name;
    EXPECT_EQ(error_of(name, "web").code, Errc::invalid_input) << name;
  }
  EXPECT_EQ(server_.requests(), requests);
}

TEST_F(GetPod, RetriesOverOneConnection) {
  serve("old");
  server_.inject({.kind = Fault::Kind::status, .status = 404}, 2);
  auto client = connect();
  kube::RetryHooks hooks;
  int sleeps = 0;
  hooks.sleep = [&](milliseconds) {
    if (++sleeps == 3) serve("new");
  };
  auto fetch = [&](const kube::PodRef& ref, base::Deadline deadline) {
    return kube::get_pod(client, ref.name_space, ref.name, deadline);
  };
  auto pod = kube::find_pod(fetch, {"shop", "web", "new"}, soon(), {}, hooks);
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(pod->uid, "new");
  EXPECT_EQ(server_.requests(), 4U);
  EXPECT_EQ(server_.connections(), 1U);
}

}  // namespace
