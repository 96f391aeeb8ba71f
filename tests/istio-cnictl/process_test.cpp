// The built tool beside the built agent.
#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>

#include <map>
#include <memory>

#include "istio-cnictl/tool.hpp"

namespace {

using test_support::json;
using test_support::pod_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using ToolProcess = test_support::ToolTest;

json skipped_pod() { return pod_json("plain-1", "10.9.9.9", json::object()); }

TEST_F(ToolProcess, StatusWithTheAgentUpDownAndUninstalled) {
  begin();
  auto before = run("status");
  EXPECT_EQ(before.status, 1);
  EXPECT_THAT(before.out, HasSubstr("the agent does not answer; no file in"));
  start();
  const auto ready = run("status");
  EXPECT_EQ(ready.status, 0) << ready.out << ready.err;
  EXPECT_THAT(ready.out,
              AllOf(HasSubstr("Ready: chained in 10-primary.conflist"), HasSubstr("entry 2 of 2"),
                    HasSubstr("version 0.1.0, the agent's"), Not(HasSubstr("\x1b"))));
  const auto parsed = run("status --output json").parsed();
  EXPECT_EQ(parsed["ready"], true);
  EXPECT_EQ(parsed["agent"]["nodeName"], "n1");
  EXPECT_EQ(parsed["installation"]["file"], "10-primary.conflist");
  EXPECT_EQ(parsed["installation"]["copies"][0]["current"], true);
  EXPECT_THAT(run("status --color always").out, HasSubstr("\x1b[32mReady"));

  agent_->stop(SIGTERM);
  const auto down = run("status");
  EXPECT_EQ(down.status, 1);
  EXPECT_THAT(down.out, HasSubstr("the plugin is in place (chained in"));
  EXPECT_EQ(run("status -o json").parsed()["installation"]["ready"], true);
  dir_.write("net.d/10-primary.conflist", primary);
  EXPECT_THAT(run("status").out, HasSubstr("names the plugin"));
}

TEST_F(ToolProcess, Pods) {
  server_.add_pod(pod_json("web-1").dump());
  server_.add_pod(skipped_pod().dump());
  begin();
  start();
  wait_for_pods("2 pods on this node, 1 in the mesh");
  const auto mesh = run("pods");
  EXPECT_EQ(mesh.status, 0);
  EXPECT_THAT(mesh.out, AllOf(HasSubstr("web-1"), Not(HasSubstr("plain-1"))));
  EXPECT_THAT(run("pods --all").out, HasSubstr("plain-1"));
  EXPECT_EQ(run("pods -o json").parsed()["pods"][0]["uid"], "uid-web-1");
  EXPECT_EQ(run("pods -o json").parsed()["agent"], true);
}

TEST_F(ToolProcess, PodsWithoutTheAgent) {
  server_.add_pod(pod_json("web-2").dump());
  server_.add_pod(pod_json("web-1").dump());
  server_.add_pod(skipped_pod().dump());
  server_.add_pod(pod_json("far-1", "", {{"sidecar.istio.io/status", "{}"}}, "n2").dump());
  begin();
  const auto down = run("pods");
  EXPECT_EQ(down.status, 0) << down.err;
  EXPECT_THAT(down.out, HasSubstr("shop       web-1  Pending  redirect (now)  unknown  -\n"
                                  "shop       web-2  Pending"));
  EXPECT_THAT(down.out, Not(testing::AnyOf(HasSubstr("plain-1"), HasSubstr("far-1"))));
  EXPECT_THAT(down.err, AllOf(HasSubstr("is istio-cni-node running?"),
                              HasSubstr("What repair waits for is not known")));
  EXPECT_THAT(run("pods --all").out, HasSubstr("not-injected (now)"));
  EXPECT_THAT(run("pods --plugin-backend iptables").out, HasSubstr("iptables (now)"));
  const auto parsed = run("pods -o json").parsed();
  EXPECT_EQ(parsed["agent"], false);
  EXPECT_THAT(parsed["agentError"].get<std::string>(), HasSubstr("agent.sock"));
  EXPECT_EQ(parsed["pods"].size(), 2U);
  EXPECT_EQ(parsed["pods"][0]["now"]["decision"], "redirect");
  EXPECT_EQ(parsed["pods"][0]["now"]["backend"], "unknown");
  EXPECT_FALSE(parsed["pods"][0].contains("add"));

  server_.add_pod(pod_json("bad-1", "",
                           {{"sidecar.istio.io/status", "{}"},
                            {"traffic.sidecar.istio.io/includeInboundPorts", "http"}})
                      .dump());
  EXPECT_EQ(run("pods").status, 1) << "its ADD can only fail";
  EXPECT_THAT(run("pods").out, HasSubstr("failed (now)"));

  server_.set_token("another");
  const auto alone = run("pods");
  EXPECT_EQ(alone.status, 3);
  EXPECT_THAT(alone.err, AllOf(HasSubstr("is istio-cni-node running?"), HasSubstr("HTTP 401")));
  EXPECT_THAT(run("pods -o json").parsed()["error"].get<std::string>(), HasSubstr("HTTP 401"));
}

TEST_F(ToolProcess, PodsThatTheAgentHasNotReadYetAreNotNone) {
  server_.add_pod(pod_json("web-1").dump());
  server_.set_token("another");
  begin();
  start();
  const auto neither = run("pods");
  EXPECT_EQ(neither.status, 3) << neither.out << neither.err;
  EXPECT_THAT(neither.err, AllOf(HasSubstr("the agent does not know this node's pods yet"),
                                 HasSubstr("the API server: "), HasSubstr("HTTP 401")));
}

TEST_F(ToolProcess, PodsWithoutTheAgentInPages) {
  for (int i = 0; i < 250; ++i) server_.add_pod(pod_json("web-" + std::to_string(i)).dump());
  begin();
  EXPECT_EQ(run("pods -o json").parsed()["pods"].size(), 250U);
}

TEST_F(ToolProcess, ExplainWithoutNamespaces) {
  server_.add_pod(pod_json("web-1").dump());
  server_.add_pod(skipped_pod().dump());
  server_.add_pod(pod_json("far-1", "", {{"sidecar.istio.io/status", "{}"}}, "n2").dump());
  server_.add_pod(pod_json("bad-1", "",
                           {{"sidecar.istio.io/status", "{}"},
                            {"traffic.sidecar.istio.io/includeInboundPorts", "http"}})
                      .dump());
  begin();
  start();
  wait_for_pods("3 pods on this node");
  EXPECT_EQ(explain("plain-1")["finding"], "skipped");
  EXPECT_THAT(explain("plain-1")["sentence"].get<std::string>(), HasSubstr("not-injected"));
  EXPECT_EQ(run("explain shop/plain-1").status, 0);
  EXPECT_EQ(explain("far-1")["finding"], "other-node");
  EXPECT_EQ(run("explain shop/far-1").status, 3);
  EXPECT_EQ(explain("gone-1")["finding"], "no-such-pod");
  EXPECT_EQ(explain("web-1")["finding"], "not-started");
  EXPECT_EQ(explain("bad-1")["finding"], "plugin-failed");
  EXPECT_EQ(explain("bad-1")["cause"], "bad-annotation");
  agent_->stop(SIGTERM);
  EXPECT_EQ(explain("web-1")["finding"], "not-started") << "the API server is enough";
  dir_.write("net.d/10-primary.conflist", primary);
  EXPECT_EQ(explain("web-1")["finding"], "not-installed");
}

TEST_F(ToolProcess, ExplainWithoutApiServerAsksTheAgent) {
  server_.add_pod(skipped_pod().dump());
  begin();
  start();
  wait_for_pods("1 pod on this node");
  server_.set_token("another");
  const auto explained = run("explain shop/plain-1");
  EXPECT_EQ(explained.status, 0) << explained.out;
  EXPECT_THAT(explained.out, AllOf(HasSubstr("not-injected"), HasSubstr("HTTP 401")));
}

TEST_F(ToolProcess, ExplainByTheJournalAlone) {
  constexpr const char* writer = "/lib/systemd/systemd-journal-remote";
  if (::access(writer, X_OK) != 0) GTEST_SKIP() << "needs systemd-journal-remote";
  server_.add_pod(pod_json("web-1").dump());
  begin();
  const auto entries = dir_.write(
      "entries",
      "__REALTIME_TIMESTAMP=1795510000000000\n__MONOTONIC_TIMESTAMP=1\n"
      "_BOOT_ID=0123456789abcdef0123456789abcdef\n_UID=0\nSYSLOG_IDENTIFIER=istio-cni\n"
      "POD_NAMESPACE=shop\nPOD_NAME=web-1\nPOD_UID=uid-web-1\nCNI_COMMAND=ADD\nDECISION=failed\n"
      "ERROR_CODE=101\nMESSAGE=pod shop/web-1: the kernel lacks the nftables expression redir "
      "(module nft_redir)\n\n");
  ASSERT_EQ(std::system((std::string(writer) + " -o " + dir_.path("journal/a.journal") + " " +
                         entries + " >/dev/null 2>&1")
                            .c_str()),
            0);
  const auto verdict = explain("web-1");
  EXPECT_EQ(verdict["finding"], "plugin-failed") << verdict.dump(1);
  EXPECT_EQ(verdict["cause"], "kernel");
  EXPECT_EQ(verdict["next"][0], "modprobe nft_redir");
}

TEST_F(ToolProcess, RulesOfAFileAndOfAPod) {
  server_.add_pod(pod_json("web-1", "10.9.9.8").dump());
  begin();
  const auto file = dir_.write("pod.json", pod_json("web-1", "10.9.9.8").dump());
  const auto iptables = run("rules --backend iptables --pod " + file);
  EXPECT_EQ(iptables.status, 0) << iptables.err;
  EXPECT_THAT(iptables.out,
              AllOf(HasSubstr("* nat\n"), HasSubstr("--to-ports 15006"), HasSubstr("COMMIT\n")));
  const auto nftables = run("rules --backend nftables --ipv6 on shop/web-1");
  EXPECT_THAT(nftables.out, HasSubstr("add table inet istio-proxy-nat"));
  EXPECT_EQ(run("rules --backend iptables shop/web-1 -o json").parsed()["rules"], iptables.out);
  dir_.write("plain.json", skipped_pod().dump());
  const auto plain = run("rules --pod " + dir_.path("plain.json"));
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.out, "");
  EXPECT_THAT(plain.err, HasSubstr("left as it is: not-injected"));
  EXPECT_EQ(run("rules --pod /nonexistent").status, 3);
  EXPECT_EQ(run("rules shop/gone-1").status, 3);
}

TEST_F(ToolProcess, WrongUsageAndABadConfiguration) {
  EXPECT_EQ(run("nonsense").status, 2);
  EXPECT_EQ(run("explain").status, 2);
  EXPECT_EQ(run("status --install-mode nonsense").status, 2);
  dir_.write("config.yaml", "run_dir: " + dir_.path("run") + "\nbogus: 1\n");
  const auto ran = run("status");
  EXPECT_EQ(ran.status, 1) << "it goes on: this is when it is needed";
  EXPECT_THAT(ran.err, HasSubstr("bogus"));
}

TEST_F(ToolProcess, WhatFailsIsJsonToo) {
  begin();
  for (const char* command : {"pods", "rules shop/gone-1", "validate shop/gone-1"}) {
    server_.set_token("another");
    const auto ran = run(std::string(command) + " -o json");
    EXPECT_EQ(ran.status, 3) << command;
    EXPECT_EQ("istio-cnictl: " + ran.parsed()["error"].get<std::string>() + "\n", ran.err)
        << command;
  }
}

TEST_F(ToolProcess, Version) {
  begin();
  start();
  const auto ran = run("version");
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("istio-cnictl"), HasSubstr("0.1.0"), HasSubstr("kernel")));
}

/// Name and content of each file.
std::map<std::string, std::string> unpack(const std::string& path) {
  std::map<std::string, std::string> files;
  const std::unique_ptr<archive, int (*)(archive*)> reader(::archive_read_new(),
                                                           ::archive_read_free);
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_format_tar(reader.get());
  if (::archive_read_open_filename(reader.get(), path.c_str(), 65536) != ARCHIVE_OK) return files;
  archive_entry* entry = nullptr;
  while (::archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    std::string name = ::archive_entry_pathname(entry);
    std::string content(static_cast<std::size_t>(::archive_entry_size(entry)), '\0');
    if (::archive_read_data(reader.get(), content.data(), content.size()) !=
        static_cast<la_ssize_t>(content.size()))
      return {};
    files[name.substr(name.find('/') + 1)] = content;
  }
  return files;
}

TEST_F(ToolProcess, SupportBundleHasEverythingButSecrets) {
  server_.add_pod(pod_json("web-1").dump());
  begin();
  start();
  wait_for_pods("1 pod on this node");
  const auto bundle = dir_.path("bundle.tar.gz");
  const auto ran = run("support-bundle -o " + bundle);
  ASSERT_EQ(ran.status, 0) << ran.err;
  struct stat info {};
  ASSERT_EQ(::stat(bundle.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const auto files = unpack(bundle);
  for (const char* name :
       {"configuration.yaml", "status.txt", "status.json", "net.d/10-primary.conflist",
        "net.d/index.txt", "state/record.json", "state/repairs.json", "journal.txt", "metrics.txt",
        "versions.txt", "pods.json", "rules/shop_web-1.txt"})
    EXPECT_TRUE(files.contains(name)) << name;
  EXPECT_THAT(files.at("metrics.txt"), HasSubstr("istio_cni_install_ready 1"));
  EXPECT_THAT(files.at("pods.json"), HasSubstr("uid-web-1"));
  EXPECT_THAT(files.at("net.d/10-primary.conflist"), HasSubstr("istio-cni"));
  EXPECT_THAT(test_support::AgentProcess::read(dir_.path("kubeconfig")), HasSubstr(token))
      << "it is there to be found";
  agent_->stop(SIGTERM);
  ASSERT_EQ(run("support-bundle -o " + bundle).status, 0);
  const auto down = unpack(bundle);
  ASSERT_TRUE(down.contains("pods.json")) << "from the API server";
  EXPECT_THAT(down.at("pods.json"), AllOf(HasSubstr("uid-web-1"), HasSubstr("\"agent\": false")));
  EXPECT_TRUE(down.contains("rules/shop_web-1.txt"));
  EXPECT_THAT(down.at("status.txt"), HasSubstr("the agent does not answer"));
  for (const auto& [name, content] : files) {
    EXPECT_THAT(content, Not(HasSubstr(token))) << name;
    EXPECT_THAT(content, Not(HasSubstr("list-secret"))) << name;
    for (const char* secret : {"PRIVATE KEY-----\nM", "PRIVATE KEY-----\\nM", "client-key-data: L"})
      EXPECT_THAT(content, Not(HasSubstr(secret))) << name;
  }
}

}  // namespace
