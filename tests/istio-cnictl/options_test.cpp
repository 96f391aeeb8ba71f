#include "istio-cnictl/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using istio_cnictl::Command;
using istio_cnictl::Format;
using istio_cnictl::Ipv6;
using istio_cnictl::Options;
using istio_cnictl::parse_options;
using istio_cnictl::PodName;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

Options good(const std::vector<std::string>& arguments) {
  auto options = parse_options(arguments);
  EXPECT_TRUE(options.ok()) << (options ? "" : options.error().message);
  return options ? *options : Options{};
}

std::string bad(const std::vector<std::string>& arguments) {
  auto options = parse_options(arguments);
  return options ? "accepted" : options.error().message;
}

TEST(Options, Commands) {
  EXPECT_EQ(good({"status"}).command, Command::status);
  EXPECT_EQ(good({"pods", "--verify", "--all"}).verify, true);
  EXPECT_EQ(good({"pods", "--all"}).all, true);
  EXPECT_EQ(good({"explain", "shop/web-1"}).pod, (PodName{"shop", "web-1"}));
  EXPECT_EQ(good({"validate", "shop/web-1"}).command, Command::validate);
  EXPECT_EQ(good({"version"}).command, Command::version);
  EXPECT_EQ(good({"--version"}).command, Command::version);
}

TEST(Options, Help) {
  EXPECT_EQ(good({"help"}).command, Command::help);
  EXPECT_EQ(good({"--help"}).command, Command::help);
  EXPECT_EQ(good({"-h"}).help_on, "");
  EXPECT_EQ(good({"help", "rules"}).help_on, "rules");
  EXPECT_EQ(good({"explain", "--help"}).help_on, "explain");
  for (const char* name : {"status", "pods", "explain", "rules", "validate", "support-bundle"}) {
    EXPECT_THAT(istio_cnictl::help_text(""), HasSubstr(name));
    EXPECT_THAT(istio_cnictl::help_text(name), HasSubstr(std::string("istio-cnictl ") + name));
    EXPECT_THAT(istio_cnictl::help_text(name), HasSubstr("Exit status"));
  }
}

TEST(Options, General) {
  const auto options = good({"status", "--output", "json", "--config=/tmp/c.yaml", "--color",
                             "never", "--journal-dir", "/var/log/journal/x"});
  EXPECT_EQ(options.format, Format::json);
  EXPECT_EQ(options.config_file, "/tmp/c.yaml");
  EXPECT_EQ(options.color, istio_cnictl::Color::never);
  EXPECT_EQ(options.journal_dir, "/var/log/journal/x");
  EXPECT_EQ(good({"status", "-o", "json"}).format, Format::json);
}

TEST(Options, SettingsOfTheAgentArePassedOn) {
  EXPECT_THAT(
      good({"status", "--run-dir", "/tmp/run", "--host-root=/host", "--install-gate"}).settings,
      UnorderedElementsAre("--run-dir=/tmp/run", "--host-root=/host", "--install-gate=true"));
}

TEST(Options, Rules) {
  EXPECT_EQ(good({"rules", "shop/web-1"}).rules, Options::Rules::expected);
  EXPECT_EQ(good({"rules", "--live", "shop/web-1"}).rules, Options::Rules::live);
  EXPECT_EQ(good({"rules", "shop/web-1", "--diff"}).rules, Options::Rules::diff);
  const auto options =
      good({"rules", "--pod", "pod.json", "--backend", "iptables", "--ipv6", "on"});
  EXPECT_EQ(options.pod_file, "pod.json");
  EXPECT_EQ(options.backend, cni::BackendChoice::iptables);
  EXPECT_EQ(options.ipv6, Ipv6::on);
  EXPECT_FALSE(options.pod.has_value());
  EXPECT_EQ(good({"rules", "--pod", "-"}).pod_file, "-");
}

TEST(Options, SupportBundle) {
  EXPECT_EQ(good({"support-bundle", "-o", "x.tar.gz"}).bundle_file, "x.tar.gz");
  EXPECT_EQ(good({"support-bundle", "-o", "x", "--output", "json"}).format, Format::json);
  EXPECT_EQ(good({"support-bundle"}).bundle_file, "");
}

TEST(Options, MistakesSayWhatToDo) {
  EXPECT_THAT(bad({}), HasSubstr("which command?; see: istio-cnictl --help"));
  EXPECT_THAT(bad({"stauts"}), HasSubstr("no command \"stauts\""));
  EXPECT_THAT(bad({"--output", "json", "status"}), HasSubstr("the command comes first"));
  EXPECT_THAT(bad({"status", "--bogus"}), HasSubstr("see: istio-cnictl status --help"));
  EXPECT_THAT(bad({"status", "--output", "yaml"}), HasSubstr("none of text, json"));
  EXPECT_THAT(bad({"status", "extra"}), HasSubstr("too many operands: \"extra\""));
  EXPECT_THAT(bad({"explain"}), HasSubstr("which pod?"));
  EXPECT_THAT(bad({"explain", "web-1"}), HasSubstr("named as NAMESPACE/POD"));
  EXPECT_THAT(bad({"explain", "a/b/c"}), HasSubstr("named as NAMESPACE/POD"));
  EXPECT_THAT(bad({"explain", "shop/../x"}), HasSubstr("NAMESPACE/POD"));
  EXPECT_THAT(bad({"explain", "Shop/web"}), HasSubstr("not a pod's name"));
  EXPECT_THAT(bad({"rules", "--live", "--diff", "shop/web-1"}), HasSubstr("exclude each other"));
  EXPECT_THAT(bad({"rules", "--pod", "f", "shop/web-1"}), HasSubstr("too many operands"));
  EXPECT_THAT(bad({"rules", "--backend", "ebpf", "shop/web-1"}), HasSubstr("none of auto"));
  EXPECT_THAT(bad({"status", "--verify"}), HasSubstr("verify"));
}

}  // namespace
