// The pod's lookup with real sockets: an agent of every kind, and the API server
// behind it. Namespace and kernel are made up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/protocol.hpp"
#include "istio-cni/fake_edges.hpp"
#include "pod/serialize.hpp"
#include "support/apiserver.hpp"
#include "support/patience.hpp"
#include "support/temp_dir.hpp"

namespace {

using base::UniqueFd;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using Clock = std::chrono::steady_clock;

/// The real lookups in a made up world.
class LookupEdges final : public fakes::FakeEdges {
 public:
  base::Status lookup_ready(const cni::Netconf& conf, base::Deadline deadline) override {
    return real_->lookup_ready(conf, deadline);
  }
  base::Result<agent::Answer> ask_agent(const cni::Netconf& conf,
                                        const istio_cni::PodRequest& request,
                                        base::Deadline deadline) override {
    return real_->ask_agent(conf, request, deadline);
  }
  base::Result<pod::Pod> find_pod(
      const cni::Netconf& conf, const istio_cni::PodRequest& request, base::Deadline deadline,
      const std::function<void(int, const base::Error&)>& failed) override {
    return real_->find_pod(conf, request, deadline, failed);
  }
  void tell(const cni::Netconf& conf, const agent::Outcome& outcome) override {
    real_->tell(conf, outcome);
  }

 private:
  std::unique_ptr<istio_cni::Edges> real_ = istio_cni::make_edges();
};

/// Listens, keeps what it is told, and answers questions as the test says.
class FakeAgent {
 public:
  enum class Does {
    answer,  ///< with the text
    hang,
    close_at_once,
    close_when_asked,
  };

  FakeAgent(const std::string& path, Does does, std::string text = "")
      : does_(does), text_(std::move(text)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 16) != 0)
      throw std::runtime_error("cannot listen");
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeAgent() { stop(); }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  /// All outcomes of connections made until now.
  std::vector<agent::Outcome> told() {
    stop();
    return told_;
  }
  [[nodiscard]] int questions() const { return questions_; }
  [[nodiscard]] int clients() const { return clients_; }

 private:
  void stop() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }

  void serve() {
    std::vector<UniqueFd> open;
    for (;;) {
      std::vector<pollfd> waits{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      for (const auto& client : open) waits.push_back({client.get(), POLLIN, 0});
      // once told to stop, what is there is still read
      if (::poll(waits.data(), waits.size(), stopping_ ? 0 : -1) <= 0) return;
      if (waits[1].revents != 0) {
        std::uint64_t count = 0;
        (void)!::read(stop_.get(), &count, sizeof count);
        stopping_ = true;
      }
      for (std::size_t i = 0; i < open.size(); ++i)
        if (waits[i + 2].revents != 0 && !hear(open[i])) open[i].reset();
      std::erase_if(open, [](const UniqueFd& client) { return !client.valid(); });
      if (waits[0].revents != 0) {
        ++clients_;
        UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
        if (does_ != Does::close_at_once) open.push_back(std::move(client));
      }
    }
  }

  bool hear(const UniqueFd& client) {
    std::string bytes(agent::max_request, '\0');
    const auto length = ::recv(client.get(), bytes.data(), bytes.size(), 0);
    if (length <= 0) return false;
    bytes.resize(static_cast<std::size_t>(length));
    const auto message = agent::parse_message(bytes);
    if (!message) return false;
    if (const auto* outcome = std::get_if<agent::Outcome>(&*message)) {
      told_.push_back(*outcome);
      return true;
    }
    ++questions_;
    if (does_ == Does::answer) (void)::send(client.get(), text_.data(), text_.size(), MSG_NOSIGNAL);
    return does_ != Does::close_when_asked;
  }

  Does does_;
  std::string text_;
  UniqueFd listener_;
  UniqueFd stop_{::eventfd(0, EFD_CLOEXEC)};
  bool stopping_ = false;
  std::atomic<int> questions_ = 0;
  std::atomic<int> clients_ = 0;
  std::vector<agent::Outcome> told_;
  std::thread thread_;
};

using Does = FakeAgent::Does;

class AgentFallback : public testing::Test {
 protected:
  AgentFallback() {
    server.write_kubeconfig(folder.path("kubeconfig"));
    server.add_pod(pod::to_json(fakes::mesh_pod()));
  }

  istio_cni::Outcome run(const std::string& command, int seconds = 6,
                         const std::string& version = "1.0.0") {
    const nlohmann::json conf{{"cniVersion", version},
                              {"name", "net"},
                              {"type", "istio-cni"},
                              {"cni_agent_run_dir", folder.path()},
                              {"kubeconfig", folder.path(kubeconfig)},
                              {"timeout_seconds", seconds}};
    const std::map<std::string, std::string> env{
        {"CNI_COMMAND", command},
        {"CNI_CONTAINERID", "c0ffee"},
        {"CNI_NETNS", "/ns"},
        {"CNI_IFNAME", "eth0"},
        {"CNI_PATH", "/opt/cni/bin"},
        {"CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1"}};
    logging::Logger log("istio-cni", "");
    LookupEdges edges;
    testing::internal::CaptureStderr();
    const auto start = Clock::now();
    auto outcome = istio_cni::run(
        [&](const std::string& name) -> std::optional<std::string> {
          auto at = env.find(name);
          if (at == env.end()) return std::nullopt;
          return at->second;
        },
        [&]() -> base::Result<std::string> { return conf.dump(); }, edges, log);
    took = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
    log_text = testing::internal::GetCapturedStderr();
    return outcome;
  }

  /// An ADD that the agent did not help, and that succeeded all the same.
  void expect_fallback(milliseconds at_most) {
    const auto outcome = run("ADD");
    EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
    EXPECT_THAT(log_text, HasSubstr("lookup_from=api"));
    EXPECT_THAT(log_text, HasSubstr("decision=redirect"));
    EXPECT_EQ(server.requests(), 1U);
    EXPECT_LT(took, test_support::slowness * at_most);
  }

  static std::string answer(const std::string& uid = "u-1", const std::string& level = "") {
    auto pod = fakes::mesh_pod();
    pod.uid = uid;
    return to_json(agent::Answer{pod, level});
  }

  test_support::TempDir folder;
  test_support::ApiServer server;
  std::string socket = folder.path("agent.sock");
  std::string kubeconfig = "kubeconfig";
  std::string log_text;
  milliseconds took{0};
};

TEST_F(AgentFallback, TheAgentAnswersAndNothingElseIsAsked) {
  FakeAgent agent(socket, Does::answer, answer("u-1", "debug"));
  kubeconfig = "no-such-file";
  const auto outcome = run("ADD");
  EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
  EXPECT_THAT(log_text, HasSubstr("lookup_from=agent"));
  EXPECT_EQ(server.requests(), 0U);
  EXPECT_EQ(server.connections(), 0U);
  EXPECT_EQ(agent.questions(), 1);
  const auto told = agent.told();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(agent.clients(), 1) << "question and outcome over one connection";
  EXPECT_EQ(told[0].command, "ADD");
  EXPECT_EQ(told[0].decision, "redirect");
  EXPECT_EQ(told[0].lookup, "agent");
  EXPECT_EQ(told[0].container_id, "c0ffee");
}

TEST_F(AgentFallback, NoSocketAtAll) {
  expect_fallback(milliseconds(1500));
  EXPECT_THAT(log_text, Not(HasSubstr("no answer from the agent")));
}

TEST_F(AgentFallback, StaleSocketFile) {
  { const FakeAgent gone(socket, Does::hang); }
  expect_fallback(milliseconds(1500));
}

TEST_F(AgentFallback, AFileInItsPlace) {
  folder.write("agent.sock", "");
  expect_fallback(milliseconds(1500));
}

TEST_F(AgentFallback, TheAgentHangs) {
  FakeAgent agent(socket, Does::hang);
  const auto outcome = run("ADD", 3);
  EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
  EXPECT_GE(took, milliseconds(950)) << "a third of 3 s";
  EXPECT_LT(took, test_support::slowness * milliseconds(2500));
  EXPECT_EQ(server.requests(), 1U);
  const auto told = agent.told();
  ASSERT_EQ(told.size(), 1U) << "it may hang for that one pod alone";
  EXPECT_EQ(told[0].lookup, "api");
}

TEST_F(AgentFallback, NobodyAnswersWithinTheDeadline) {
  const FakeAgent agent(socket, Does::hang);
  server.inject({test_support::Fault::Kind::hang, 0, {}}, 100);
  const auto outcome = run("ADD", 1);
  EXPECT_EQ(nlohmann::json::parse(outcome.out).at("code"), 11);
  EXPECT_LT(took, test_support::slowness * milliseconds(1800)) << "both within one deadline";
}

TEST_F(AgentFallback, TheAgentDies) {
  {
    FakeAgent agent(socket, Does::close_at_once);
    expect_fallback(milliseconds(1500));
  }
  ASSERT_EQ(::unlink(socket.c_str()), 0);
  FakeAgent agent(socket, Does::close_when_asked);
  const auto outcome = run("ADD");
  EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
  EXPECT_EQ(server.requests(), 2U);
  EXPECT_LT(took, test_support::slowness * milliseconds(1500));
  EXPECT_EQ(agent.questions(), 1);
  EXPECT_EQ(agent.told().size(), 1U) << "over a new connection";
}

TEST_F(AgentFallback, TheAgentTalksNonsense) {
  std::size_t requests = 0;
  auto oversized = answer();
  oversized.resize(agent::max_answer + 1, ' ');
  for (const auto& text :
       {std::string("nonsense"), std::string("{}"), std::string("{\"pod\":[]}"),
        std::string(1, '\0'), oversized, answer("another-uid"), answer(""),
        to_json(agent::Answer{base::Error{base::Errc::not_found, "HTTP 404"}, ""})}) {
    (void)::unlink(socket.c_str());
    FakeAgent agent(socket, Does::answer, text);
    const auto outcome = run("ADD");
    EXPECT_EQ(outcome.exit_status, 0) << outcome.out;
    EXPECT_THAT(log_text, HasSubstr("no answer from the agent"));
    EXPECT_THAT(log_text, HasSubstr("lookup_from=api"));
    EXPECT_EQ(server.requests(), ++requests) << text.substr(0, 60);
    EXPECT_LT(took, test_support::slowness * milliseconds(1500));
  }
}

TEST_F(AgentFallback, DelIsToldWithoutAQuestion) {
  FakeAgent agent(socket, Does::hang);
  EXPECT_EQ(run("DEL").exit_status, 0);
  EXPECT_LT(took, test_support::slowness * milliseconds(500));
  const auto told = agent.told();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].command, "DEL");
  EXPECT_EQ(agent.questions(), 0);
}

TEST_F(AgentFallback, DelWithoutAnAgent) { EXPECT_EQ(run("DEL").exit_status, 0); }

TEST_F(AgentFallback, StatusNeedsTheAgentOrAKubeconfig) {
  EXPECT_EQ(run("STATUS", 6, "1.1.0").exit_status, 0) << "kubeconfig alone";
  kubeconfig = "no-such-file";
  EXPECT_EQ(nlohmann::json::parse(run("STATUS", 6, "1.1.0").out).at("code"), 50);
  {
    const FakeAgent agent(socket, Does::hang);
    EXPECT_EQ(run("STATUS", 6, "1.1.0").exit_status, 0) << "agent alone";
    EXPECT_LT(took, test_support::slowness * milliseconds(1000));
  }
  EXPECT_EQ(nlohmann::json::parse(run("STATUS", 6, "1.1.0").out).at("code"), 50)
      << "a stale socket is no agent";
  EXPECT_EQ(server.requests(), 0U);
}

}  // namespace
