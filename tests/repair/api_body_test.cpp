#include "repair/api_body.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "repair/fixtures.hpp"

namespace {

using nlohmann::json;
using repair::Target;
using testing::HasSubstr;
using Kind = repair::Reply::Kind;
using Method = kube::ApiRequest::Method;

const Target pod{"shop", "web-1", "u-1", "100"};

TEST(ApiBody, Delete) {
  const auto request = repair::delete_request(pod);
  EXPECT_EQ(request.method, Method::del);
  EXPECT_EQ(request.target, "/api/v1/namespaces/shop/pods/web-1");
  EXPECT_EQ(request.content_type, "application/json");
  EXPECT_EQ(json::parse(request.body),
            (json{{"apiVersion", "v1"},
                  {"kind", "DeleteOptions"},
                  {"preconditions", {{"uid", "u-1"}, {"resourceVersion", "100"}}}}));
}

TEST(ApiBody, Evict) {
  const auto request = repair::evict_request(pod);
  EXPECT_EQ(request.method, Method::post);
  EXPECT_EQ(request.target, "/api/v1/namespaces/shop/pods/web-1/eviction");
  const auto body = json::parse(request.body);
  EXPECT_EQ(body.at("apiVersion"), "policy/v1");
  EXPECT_EQ(body.at("kind"), "Eviction");
  EXPECT_EQ(body.at("metadata"), (json{{"name", "web-1"}, {"namespace", "shop"}}));
  EXPECT_EQ(body.at("deleteOptions").at("preconditions"),
            (json{{"uid", "u-1"}, {"resourceVersion", "100"}}));
}

TEST(ApiBody, Label) {
  const auto request = repair::label_request(pod, "cni.istio.io/uninitialized", "true");
  EXPECT_EQ(request.method, Method::patch);
  EXPECT_EQ(request.target, "/api/v1/namespaces/shop/pods/web-1/status");
  EXPECT_EQ(request.content_type, "application/merge-patch+json");
  EXPECT_EQ(json::parse(request.body).at("metadata"),
            (json{{"uid", "u-1"},
                  {"resourceVersion", "100"},
                  {"labels", {{"cni.istio.io/uninitialized", "true"}}}}));
}

TEST(ApiBody, NamesAreEncoded) {
  EXPECT_EQ(repair::delete_request({"a/b", "c?d=%", "", ""}).target,
            "/api/v1/namespaces/a%2Fb/pods/c%3Fd%3D%25");
}

TEST(ApiBody, Event) {
  repair::EventText event{pod,
                          "web-1.1",
                          "DeleteBrokenPod",
                          "it was broken",
                          "node-1",
                          test_support::noon(),
                          test_support::noon(),
                          1};
  const auto made = json::parse(repair::event_json(event));
  EXPECT_EQ(made.at("metadata"), (json{{"name", "web-1.1"}, {"namespace", "shop"}}));
  EXPECT_EQ(made.at("involvedObject"), (json{{"apiVersion", "v1"},
                                             {"kind", "Pod"},
                                             {"namespace", "shop"},
                                             {"name", "web-1"},
                                             {"uid", "u-1"},
                                             {"resourceVersion", "100"}}));
  EXPECT_EQ(made.at("type"), "Warning");
  EXPECT_EQ(made.at("reason"), "DeleteBrokenPod");
  EXPECT_EQ(made.at("message"), "it was broken");
  EXPECT_EQ(made.at("source"), (json{{"component", "cni-repair"}, {"host", "node-1"}}));
  EXPECT_EQ(made.at("reportingComponent"), "cni-repair");
  EXPECT_EQ(made.at("firstTimestamp"), "2026-11-24T12:00:00Z");
  EXPECT_EQ(made.at("count"), 1);
  event.count = 3;
  event.message = std::string(1022, 'x') + "\xc3\xa4" + "yyy";  // an umlaut across the limit
  const auto patch = json::parse(repair::event_patch(event));
  EXPECT_EQ(patch.at("count"), 3);
  EXPECT_EQ(patch.at("lastTimestamp"), "2026-11-24T12:00:00Z");
  const auto text = patch.at("message").get<std::string>();
  EXPECT_LE(text.size(), 1024U);
  EXPECT_TRUE(text.ends_with("x..."));
  event.message = std::string(1020, 'x') + "\xc3\xa4\xc3\xa4\xc3\xa4";
  EXPECT_TRUE(
      json::parse(repair::event_patch(event)).at("message").get<std::string>().ends_with("x..."));
  event.message = "\xff";
  EXPECT_TRUE(json::accept(repair::event_json(event)));
}

TEST(ApiBody, Replies) {
  struct Case {
    int status;
    bool eviction;
    Kind kind;
  };
  for (const auto& [status, eviction, kind] : std::vector<Case>{{200, false, Kind::done},
                                                                {201, true, Kind::done},
                                                                {202, false, Kind::done},
                                                                {404, false, Kind::gone},
                                                                {409, false, Kind::conflict},
                                                                {409, true, Kind::conflict},
                                                                {429, false, Kind::unavailable},
                                                                {429, true, Kind::blocked},
                                                                {400, false, Kind::rejected},
                                                                {403, false, Kind::rejected},
                                                                {422, false, Kind::rejected},
                                                                {302, false, Kind::rejected},
                                                                {401, false, Kind::unavailable},
                                                                {408, false, Kind::unavailable},
                                                                {500, true, Kind::unavailable},
                                                                {503, false, Kind::unavailable}}) {
    const auto reply = repair::reply_of(
        kube::Response{status, R"({"kind":"Status","message":"the\nreason"})"}, eviction, 1);
    EXPECT_EQ(reply.maybe_done, status >= 500) << status;
    EXPECT_EQ(static_cast<int>(reply.kind), static_cast<int>(kind)) << status;
    if (kind == Kind::done) continue;
    EXPECT_THAT(reply.cause, HasSubstr(std::to_string(status)));
    EXPECT_THAT(reply.cause, HasSubstr("reason"));
    EXPECT_EQ(reply.cause.find('\n'), std::string::npos);
  }
  EXPECT_THAT(repair::reply_of(kube::Response{503, "<html>"}, false, 1).cause, HasSubstr("503"));
  const base::Error late{base::Errc::timeout, "https://x: too late"};
  const auto reply = repair::reply_of(late, false, 0);
  EXPECT_EQ(reply.kind, Kind::unavailable);
  EXPECT_EQ(reply.cause, "https://x: too late");
  EXPECT_FALSE(reply.maybe_done) << "it never went out";
  EXPECT_TRUE(repair::reply_of(late, false, 1).maybe_done);
  // the first was lost with its connection: what the second found may be its work
  for (const int status : {404, 409})
    EXPECT_TRUE(repair::reply_of(kube::Response{status, ""}, false, 2).maybe_done) << status;
  EXPECT_FALSE(repair::reply_of(kube::Response{401, ""}, false, 2).maybe_done) << "both refused";
  EXPECT_TRUE(repair::reply_of(kube::Response{401, ""}, false, 3).maybe_done);
}

}  // namespace
