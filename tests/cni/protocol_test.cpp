#include "cni/protocol.hpp"

#include <gtest/gtest.h>

#include <map>

namespace {

using Variables = std::map<std::string, std::string>;

cni::ParsedEnvironment parse(const Variables& variables) {
  return cni::parse_environment([&](const std::string& name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  });
}

const Variables full{{"CNI_COMMAND", "ADD"},
                     {"CNI_CONTAINERID", "c0ffee"},
                     {"CNI_NETNS", "/ns"},
                     {"CNI_IFNAME", "eth0"},
                     {"CNI_PATH", "/opt/cni/bin"}};

TEST(Environment, Complete) {
  auto parsed = parse(full);
  ASSERT_FALSE(parsed.failure);
  EXPECT_EQ(parsed.environment.command, cni::Command::add);
  EXPECT_EQ(parsed.environment.netns, "/ns");
  EXPECT_FALSE(parsed.environment.netns_override);
}

TEST(Environment, NoCommandAsksForAbout) { EXPECT_TRUE(parse({}).about); }

TEST(Environment, RequiredVariables) {
  struct Case {
    std::string command;
    std::vector<std::string> needed;
  };
  for (const auto& [command, needed] :
       {Case{"ADD", {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
        Case{"CHECK", {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
        Case{"DEL", {"CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"}}, Case{"GC", {"CNI_PATH"}},
        Case{"STATUS", {"CNI_PATH"}}, Case{"VERSION", {}}}) {
    for (const auto& [name, value] : full) {
      if (name == "CNI_COMMAND") continue;
      auto variables = full;
      variables["CNI_COMMAND"] = command;
      variables.erase(name);
      const bool must = std::find(needed.begin(), needed.end(), name) != needed.end();
      auto parsed = parse(variables);
      EXPECT_EQ(parsed.failure.has_value(), must) << command << " without " << name;
      if (parsed.failure) {
        EXPECT_EQ(parsed.failure->code, cni::Code::invalid_environment);
        EXPECT_NE(parsed.failure->message.find(name), std::string::npos);
      }
    }
  }
}

TEST(Environment, RefusesBadValues) {
  for (const auto& [name, value] :
       {std::pair{"CNI_COMMAND", "add"}, std::pair{"CNI_CONTAINERID", "../x"},
        std::pair{"CNI_CONTAINERID", "-x"}, std::pair{"CNI_IFNAME", "a/b"},
        std::pair{"CNI_IFNAME", ".."}, std::pair{"CNI_IFNAME", "sixteen-letters-"}}) {
    auto variables = full;
    variables[name] = value;
    auto parsed = parse(variables);
    ASSERT_TRUE(parsed.failure) << name << "=" << value;
    EXPECT_EQ(parsed.failure->code, cni::Code::invalid_environment);
  }
}

TEST(Protocol, FailureJson) {
  EXPECT_EQ(cni::failure_json({cni::Code::try_again_later, "no pod", "later"}, "1.0.0"),
            "{\n    \"cniVersion\": \"1.0.0\",\n    \"code\": 11,\n    \"msg\": \"no pod\",\n    "
            "\"details\": \"later\"\n}\n");
}

TEST(Protocol, VersionJson) {
  EXPECT_EQ(cni::version_json(),
            "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\","
            "\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n");
}

TEST(Protocol, VersionsAreOrdered) {
  EXPECT_LT(*cni::Version::parse("0.4.0"), *cni::Version::parse("1.0.0"));
  EXPECT_FALSE(cni::Version::parse("2.0.0"));
}

}  // namespace
