#include "istio-cni-node/unredirected.hpp"

#include <gtest/gtest.h>

#include "base/time.hpp"

namespace {

using istio_cni_node::CachedPod;
using istio_cni_node::Doubt;
using istio_cni_node::Redirection;
using repair::Deed;
using std::chrono::system_clock;

constexpr std::string_view validation = "istio-validation";

system_clock::time_point at(const std::string& time) {
  return *base::parse_rfc3339("2026-11-24T" + time + "Z");
}

pod::Termination ended(int code, const std::string& time) {
  return {code, code == 0 ? "Completed" : "Error", "", "2026-11-24T" + time + "Z"};
}

/// It runs, and nothing is known of it.
CachedPod running() {
  CachedPod cached;
  cached.in_mesh = true;
  cached.pod.name = "web-1";
  cached.pod.phase = "Running";
  cached.pod.annotations["sidecar.istio.io/status"] = "{}";
  return cached;
}

Redirection add(const std::string& decision, const std::string& result, const std::string& time) {
  Redirection made;
  made.decision = decision;
  made.result = result;
  made.when = at(time);
  return made;
}

std::optional<Doubt> doubt_of(const CachedPod& cached, const repair::Record* record = nullptr,
                              std::string_view container = validation) {
  const auto criteria = repair::make_criteria(config::Repair{});
  return doubt(cached, repair::find_broken(cached.pod, *criteria), record, container);
}

TEST(Unredirected, WhatSpeaksForAPod) {
  EXPECT_EQ(doubt_of(running()), Doubt::unproven) << "as one from before the plugin's time";
  auto redirected = running();
  redirected.redirection = add("redirect", "success", "12:00:00");
  EXPECT_FALSE(doubt_of(redirected));
  auto validated = running();
  validated.pod.init_statuses = {{"istio-validation", 0, ended(0, "12:00:00"), std::nullopt}};
  EXPECT_FALSE(doubt_of(validated));
  EXPECT_EQ(doubt_of(validated, nullptr, "my-validation"), Doubt::unproven);
  EXPECT_EQ(doubt_of(validated, nullptr, ""), Doubt::unproven) << "any container: none proves it";
  const repair::Record repaired{"shop", "web-1", Deed::repaired, at("12:00:00"), 1, 1};
  EXPECT_FALSE(doubt_of(running(), &repaired));
  const repair::Record labelled{"shop", "web-1", Deed::labelled, at("12:00:00"), 1, 1};
  EXPECT_EQ(doubt_of(running(), &labelled), Doubt::unproven);
  auto skipped = running();
  skipped.redirection = add("istio-init", "success", "12:00:00");
  EXPECT_EQ(doubt_of(skipped), Doubt::unproven) << "the plugin left it alone";
}

TEST(Unredirected, WhoIsInNoDoubt) {
  for (const auto* phase : {"Pending", "Succeeded", "Failed", ""}) {
    auto cached = running();
    cached.pod.phase = phase;
    EXPECT_FALSE(doubt_of(cached)) << phase;
  }
  auto cached = running();
  cached.in_mesh = false;
  EXPECT_FALSE(doubt_of(cached));
  cached = running();
  cached.pod.deleting = true;
  EXPECT_FALSE(doubt_of(cached));
}

TEST(Unredirected, Broken) {
  auto cached = running();
  cached.pod.phase = "Pending";
  cached.pod.init_statuses = {{"istio-validation", 1, std::nullopt, ended(126, "12:00:00")}};
  EXPECT_EQ(doubt_of(cached), Doubt::broken);
  cached.redirection = add("redirect", "success", "11:59:00");
  EXPECT_EQ(doubt_of(cached), Doubt::broken) << "somebody took the rules away";
  cached.in_mesh = false;
  EXPECT_EQ(doubt_of(cached), Doubt::broken);
  const repair::Record repaired{"shop", "web-1", Deed::repaired, at("12:00:01"), 1, 1};
  EXPECT_FALSE(doubt_of(cached, &repaired));
  cached.pod.init_statuses = {{"istio-validation", 2, std::nullopt, ended(126, "12:01:00")}};
  EXPECT_EQ(doubt_of(cached, &repaired), Doubt::broken) << "again, after its repair";
  const repair::Record failed{"shop", "web-1", Deed::repair_failed, at("12:00:01"), 1, 1};
  EXPECT_EQ(doubt_of(cached, &failed), Doubt::broken);
}

TEST(Unredirected, AddFailed) {
  auto cached = running();
  cached.pod.phase = "Pending";
  cached.redirection = add("failed", "error", "12:00:00");
  EXPECT_EQ(doubt_of(cached), Doubt::add_failed);
  cached.redirection->decision = "redirect";
  EXPECT_EQ(doubt_of(cached), Doubt::add_failed);
  // its sandbox is made anew: what the status says is of the one before
  cached.pod.init_statuses = {{"istio-validation", 0, ended(0, "11:00:00"), std::nullopt}};
  EXPECT_EQ(doubt_of(cached), Doubt::add_failed);
  cached.pod.init_statuses = {{"istio-validation", 0, ended(0, "12:00:00"), std::nullopt}};
  EXPECT_FALSE(doubt_of(cached)) << "a later ADD must have succeeded unheard";
  cached.pod.init_statuses.clear();
  cached.redirection = add("redirect", "success", "12:00:05");
  EXPECT_FALSE(doubt_of(cached));
}

}  // namespace
