// The Events of the test API server are as the real one's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/apiserver_store.hpp"

namespace {

using test_support::ApiReply;
using test_support::Json;
using test_support::Store;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ApiEvents : public testing::Test {
 protected:
  ApiReply send(const std::string& method, const std::string& target, const std::string& body = "",
                const std::string& type = "application/json") {
    return route({method, target, type, body}, store_, 201);
  }
  static Json event(const std::string& name, const std::string& pod, const std::string& uid,
                    const std::string& name_space = "shop") {
    return {{"apiVersion", "v1"},
            {"kind", "Event"},
            {"metadata", {{"name", name}, {"namespace", name_space}}},
            {"involvedObject",
             {{"kind", "Pod"}, {"namespace", name_space}, {"name", pod}, {"uid", uid}}},
            {"reason", "Failed"},
            {"type", "Warning"},
            {"source", {{"component", "kubelet"}}}};
  }
  int post(const Json& event) {
    return send("POST", "/api/v1/namespaces/shop/events", event.dump()).status;
  }
  std::vector<std::string> names(const std::string& target) {
    const auto reply = send("GET", target);
    EXPECT_EQ(reply.status, 200) << reply.body;
    const auto json = Json::parse(reply.body);
    EXPECT_EQ(json["kind"], "EventList");
    std::vector<std::string> names;
    for (const auto& item : json["items"]) names.push_back(item["metadata"]["name"]);
    return names;
  }
  std::vector<std::string> selected(const std::string& selector) {
    return names("/api/v1/namespaces/shop/events?fieldSelector=" + selector);
  }

  Store store_;
};

TEST_F(ApiEvents, AreListedByNamespaceAndName) {
  EXPECT_THAT(names("/api/v1/namespaces/shop/events"), IsEmpty());
  EXPECT_EQ(post(event("web.2", "web-1", "u-1")), 201);
  EXPECT_EQ(post(event("web.1", "web-1", "u-1")), 201);
  store_.post_event("other", event("web.3", "web-1", "u-9", "other").dump());
  EXPECT_THAT(names("/api/v1/namespaces/shop/events"), ElementsAre("web.1", "web.2"));
  EXPECT_THAT(names("/api/v1/events"), ElementsAre("web.3", "web.1", "web.2"));
  const auto one =
      Json::parse(send("GET", "/api/v1/namespaces/shop/events").body)["items"][0]["metadata"];
  EXPECT_EQ(one["namespace"], "shop");
  EXPECT_THAT(one["creationTimestamp"].get<std::string>(), HasSubstr("T"));
}

TEST_F(ApiEvents, AreSelectedByFields) {
  post(event("a", "web-1", "u-1"));
  post(event("b", "web-1", "u-2"));
  post(event("c", "web-2", "u-3"));
  auto other = event("d", "web-1", "u-1");
  other["involvedObject"]["kind"] = "ReplicaSet";
  other["reason"] = "Created";
  other["source"] = Json::object();
  other["reportingComponent"] = "controller";
  post(other);
  EXPECT_THAT(selected("involvedObject.name=web-1"), ElementsAre("a", "b", "d"));
  EXPECT_THAT(selected("involvedObject.kind%3DPod%2CinvolvedObject.name%3Dweb-1"),
              ElementsAre("a", "b"));
  EXPECT_THAT(selected("involvedObject.uid==u-1"), ElementsAre("a", "d"));
  EXPECT_THAT(selected("involvedObject.name!=web-1"), ElementsAre("c"));
  EXPECT_THAT(selected("involvedObject.namespace=shop,reason=Created"), ElementsAre("d"));
  EXPECT_THAT(selected("involvedObject.namespace=other"), IsEmpty());
  EXPECT_THAT(selected("source=kubelet"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(selected("source=controller"), ElementsAre("d"));
  EXPECT_THAT(selected("type=Normal"), IsEmpty());
  EXPECT_THAT(selected("metadata.name=c"), ElementsAre("c"));
  const auto bad = send("GET", "/api/v1/namespaces/shop/events?fieldSelector=message=x");
  EXPECT_EQ(bad.status, 400);
  EXPECT_THAT(bad.body, HasSubstr("field label not supported: message"));
}

TEST_F(ApiEvents, ComeInPages) {
  for (const char* name : {"a", "b", "c"}) post(event(name, "web-1", "u-1"));
  const auto page =
      Json::parse(send("GET", "/api/v1/namespaces/shop/events?limit=2").body)["metadata"];
  EXPECT_EQ(page["remainingItemCount"], 1);
  EXPECT_THAT(names("/api/v1/namespaces/shop/events?limit=2&continue=" +
                    page["continue"].get<std::string>()),
              ElementsAre("c"));
}

TEST_F(ApiEvents, PatchedAndForgotten) {
  post(event("a", "web-1", "u-1"));
  EXPECT_EQ(post(event("a", "web-1", "u-1")), 409);
  EXPECT_EQ(post(event("b", "web-1", "u-1", "other")), 422);
  EXPECT_EQ(send("PATCH", "/api/v1/namespaces/shop/events/a", R"({"count":7})",
                 "application/merge-patch+json")
                .status,
            200);
  EXPECT_EQ(Json::parse(send("GET", "/api/v1/namespaces/shop/events").body)["items"][0]["count"],
            7);
  store_.forget_events();
  EXPECT_THAT(names("/api/v1/namespaces/shop/events"), IsEmpty());
  EXPECT_EQ(store_.events().size(), 1U) << "the test still sees it";
  EXPECT_EQ(post(event("a", "web-1", "u-1")), 201);
}

}  // namespace
