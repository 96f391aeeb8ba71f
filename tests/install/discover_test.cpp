#include "install/discover.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/rooted.hpp"
#include "base/strings.hpp"
#include "support/temp_dir.hpp"

namespace {

namespace fs = std::filesystem;
using base::cat;
using base::Errc;
using install::CniDirs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Strings = std::vector<std::string>;

// ---- containerd's configuration

struct Case {
  const char* name;
  std::string text;
  std::string conf_dir;  // "": absent
  Strings bin_dirs;
  Strings imports = {};
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Containerd : public testing::TestWithParam<Case> {};

TEST_P(Containerd, Parses) {
  auto parsed = install::parse_containerd(GetParam().text, "/etc/containerd/config.toml");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->conf_dir.value_or(""), GetParam().conf_dir);
  EXPECT_EQ(parsed->bin_dirs, GetParam().bin_dirs);
  EXPECT_EQ(parsed->imports, GetParam().imports);
}

const char* const version_1 = R"(
root = "/var/lib/containerd"
oom_score = -999
[grpc]
  address = "/run/containerd/containerd.sock"
  uid = 0
[debug]
  level = ""
[plugins]
  [plugins.cgroups]
    no_prometheus = false
  [plugins.cri]
    stream_server_address = "127.0.0.1"
    sandbox_image = "registry.k8s.io/pause:3.1"
    [plugins.cri.containerd]
      snapshotter = "overlayfs"
      [plugins.cri.containerd.default_runtime]
        runtime_type = "io.containerd.runtime.v1.linux"
    [plugins.cri.cni]
      bin_dir = "/usr/libexec/cni"
      conf_dir = "/etc/kube/cni"
      conf_template = ""
    [plugins.cri.registry]
      [plugins.cri.registry.mirrors]
        [plugins.cri.registry.mirrors."docker.io"]
          endpoint = ["https://registry-1.docker.io"]
)";

const char* const version_2 = R"(
disabled_plugins = []
imports = ["/etc/containerd/conf.d/*.toml", 'runtimes.toml']
oom_score = 0
version = 2

[cgroup]
  path = ""

[plugins]

  [plugins."io.containerd.gc.v1.scheduler"]
    deletion_threshold = 0
    startup_delay = "100ms"

  [plugins."io.containerd.grpc.v1.cri"]
    cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
    max_container_log_line_size = 16384

    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/opt/cni/bin/"
      conf_dir = "/etc/cni/net.d/"
      ip_pref = ""
      max_conf_num = 1
      setup_serially = false

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true

[timeouts]
  "io.containerd.timeout.shim.load" = "5s"
)";

const char* const version_3 = R"(
version = 3
root = '/var/lib/containerd'
temp = ''
required_plugins = []

[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'
    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10'

  [plugins.'io.containerd.cri.v1.runtime']
    enable_selinux = false
    [plugins.'io.containerd.cri.v1.runtime'.cni]
      # DEPRECATED, use `bin_dirs` instead (since containerd v2.1).
      bin_dir = ''
      bin_dirs = ['/opt/cni/bin', '/usr/lib/cni/', '/opt/cni/bin/']
      conf_dir = '/etc/cni/net.d'
      use_internal_loopback = false

  [plugins.'io.containerd.grpc.v1.cri']
    disable_tcp_service = true
)";

INSTANTIATE_TEST_SUITE_P(
    Versions, Containerd,
    testing::Values(
        Case{"Empty", "", "", {}}, Case{"OnlyAComment", "# nothing", "", {}},
        Case{"Version1", version_1, "/etc/kube/cni", {"/usr/libexec/cni"}},
        Case{"Version1Explicit",
             cat("version = 1\n", version_1),
             "/etc/kube/cni",
             {"/usr/libexec/cni"}},
        Case{"Version2",
             version_2,
             "/etc/cni/net.d",
             {"/opt/cni/bin"},
             {"/etc/containerd/conf.d/*.toml", "runtimes.toml"}},
        Case{"Version3", version_3, "/etc/cni/net.d", {"/opt/cni/bin", "/usr/lib/cni"}},
        Case{"Version4",
             "version = 4\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/b']\n",
             "",
             {"/b"}},
        Case{"Version2KnowsNoShortNames",
             "version = 2\n[plugins.cri.cni]\nbin_dir = '/x'\n",
             "",
             {}},
        Case{"Version1KnowsNoLongNames",
             "version = 1\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/x'\n",
             "",
             {}},
        Case{"Version3HasMovedOn",
             "version = 3\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/x'\n",
             "",
             {}},
        Case{"NoVersionOfADropIn",
             "[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/x'\nconf_dir = '/c'\n",
             "/c",
             {"/x"}},
        Case{"NoVersionOfAVersion3DropIn",
             "[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = '/c'\n",
             "/c",
             {}},
        Case{"BothBinKeys",
             "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n"
             "bin_dir = '/old'\nbin_dirs = ['/new']\n",
             "",
             {"/new", "/old"}},
        Case{"EmptyIsNotSet",
             "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = ''\n"
             "conf_dir = \"\"\n",
             "",
             {}},
        Case{"Root", "[plugins.cri.cni]\nconf_dir = '///'\n", "/", {}},
        Case{"InlineAndDotted",
             "version = 2\nplugins.\"io.containerd.grpc.v1.cri\".cni = "
             "{bin_dir = '/b', conf_dir = '/c'}\n",
             "/c",
             {"/b"}},
        Case{"WindowsLines",
             "version = 2\r\n[plugins.'io.containerd.grpc.v1.cri'.cni]\r\n"
             "bin_dir = '/b'\r\n",
             "",
             {"/b"}},
        Case{"BracketsInStringsAreNoDepth",
             cat("a = '", std::string(500, '['), "'\nb = \"\\\"", std::string(500, '{'),
                 "\"\nc = '''\n", std::string(500, '['), "'''\nd = \"\"\"\n\\\"\"\"\"#",
                 std::string(500, '.'), "\n# ", std::string(500, '['),
                 "\n[plugins.cri.cni]\nconf_dir = '/c'\n"),
             "/c",
             {}}),
    [](const auto& one) { return one.param.name; });

using Parse = base::Result<install::RuntimeDirs> (*)(std::string_view, std::string_view);

TEST(RuntimeConfig, ErrorsNameFileLineAndColumn) {
  const Parse containerd = install::parse_containerd;
  const Parse crio = install::parse_crio;
  const struct {
    Parse parse;
    std::string text;
    std::string message;  // after the file
  } cases[] = {
      {containerd, "version = 2\n[plugins.\n", ":2:"},
      {containerd, "version = 2\nroot =\n", ":2:"},
      {containerd, "a = 1\nb = 2\n  a = 3\n", ":3:"},
      {containerd, "[a]\n[b]\n[a]\n", ":3:1: "},
      {containerd, "a = [1,\n", ":2:"},
      {containerd, "a = \"x\n", ":1:5: "},
      {containerd, "no toml at all", ":1:"},
      {containerd, "\n\n  {\"json\": true}", ":3:"},
      {containerd, "version = '2'\n", ":1:11: \"version\" is not a number"},
      {containerd, "version = 2\nimports = '/etc/x'\n", ":2:11: \"imports\" is not a list"},
      {containerd, "imports = ['a', 7]\n", ":1:17: \"imports\" is not a string"},
      {containerd, "plugins = 3\n", ":1:11: \"plugins\" is not a table"},
      {containerd, "[plugins]\ncri = 'x'\n", ":2:7: \"cri\" is not a table"},
      {containerd, "[plugins.cri.cni]\n  bin_dir = ['/x']\n", ":2:13: \"bin_dir\" is not a string"},
      {containerd, "[plugins.cri.cni]\nbin_dirs = '/x'\n", ":2:12: \"bin_dirs\" is not a list"},
      {containerd, "[plugins.cri.cni]\nconf_dir = true\n", ":2:12: \"conf_dir\" is not a string"},
      {containerd, "[plugins.cri.cni]\nconf_dir = \"/a\\nb\"\n",
       ":2:12: \"conf_dir\" has control characters in it"},
      {containerd, std::string("\na = 1\0", 7), ":2:6: a zero byte"},
      {containerd, "a = 1\n# \xff", ":2:3: not UTF-8"},
      {containerd, "a = '\xc3'", ":1:6: not UTF-8"},
      {containerd, "a = 1 # \xef", ":1:9: not UTF-8"},
      {containerd, "a = [\"\"\"x\"\"\"\"\", " + std::string(1000, '['), ":1:116: nested deeper"},
      {containerd, "a = '\xed\xa0\x80'", ":1:6: not UTF-8"},
      {containerd, std::string((256 << 10) + 1, '\n'), ":1:1: larger than 256 KiB"},
      {containerd, "\n# " + std::string(8191, 'x'), ":2:8193: a line longer than 8 KiB"},
      {containerd, "\na = " + std::string(8000, '['), ":2:105: nested deeper than 100 levels"},
      {containerd, "a = " + std::string(8000, '{'), ":1:105: nested deeper"},
      {containerd, "[" + std::string(8000, '['), ":1:101: nested deeper"},
      {containerd,
       []() {
         std::string text = "x";
         for (int i = 0; i < 4000; ++i) text += ".x";
         return text + " = 1\n";
       }(),
       ":1:202: nested deeper"},
      {crio, "[crio.network]\nplugin_dirs = '/x'\n", ":2:15: \"plugin_dirs\" is not a list"},
      {crio, "crio = 1\n", ":1:8: \"crio\" is not a table"},
      {crio, "[crio.network\n", ":1:"},
  };
  for (const auto& c : cases) {
    auto parsed = c.parse(c.text, "/etc/some.toml");
    ASSERT_FALSE(parsed.ok()) << c.text.substr(0, 100);
    EXPECT_EQ(parsed.error().code, Errc::invalid_input);
    EXPECT_THAT(parsed.error().message, StartsWith("/etc/some.toml" + c.message));
    EXPECT_LT(parsed.error().message.size(), 400U);
    EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos) << parsed.error().message;
  }
}

TEST(RuntimeConfig, AHundredLevelsAreFine) {
  auto text = "a = " + std::string(100, '[') + std::string(100, ']') + "\nx";
  for (int i = 0; i < 100; ++i) text += ".x";
  text += " = 1\n[plugins.cri.cni]\nbin_dir = '/b'\n";
  auto parsed = install::parse_containerd(text, "f");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_THAT(parsed->bin_dirs, ElementsAre("/b"));
}

TEST(RuntimeConfig, ParserErrorsPointAtTheMistake) {
  auto parsed = install::parse_containerd("version = 2\nroot = @\n", "f");
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().message, StartsWith("f:2:8: "));
  parsed = install::parse_containerd("a = {b = 1\n", "f");
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().message, AllOf(StartsWith("f:1:11: "), HasSubstr("missing curly")));
}

TEST(RuntimeConfig, Crio) {
  const struct {
    std::string text;
    std::string conf_dir;
    Strings bin_dirs;
  } cases[] = {
      {"", "", {}},
      {"[crio]\nroot = '/var/lib/containers'\n[crio.runtime]\nconmon = ''\n[crio.network]\n",
       "",
       {}},
      {"[crio.network]\nnetwork_dir = \"/etc/cni/net.d/\"\nplugin_dirs = [\n  \"/opt/cni/bin/\",\n"
       "  \"/usr/libexec/cni/\",\n]\n",
       "/etc/cni/net.d",
       {"/opt/cni/bin", "/usr/libexec/cni"}},
      {"[crio.network]\nplugin_dir = '/var/lib/cni/bin'\n", "", {"/var/lib/cni/bin"}},
      {"[crio.network]\nplugin_dir = '/a'\nplugin_dirs = ['/b', '']\n", "", {"/b", "/a"}},
      {"[plugins.cri.cni]\nbin_dir = '/x'\n", "", {}},
  };
  for (const auto& c : cases) {
    auto parsed = install::parse_crio(c.text, "/etc/crio/crio.conf");
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(parsed->conf_dir.value_or(""), c.conf_dir);
    EXPECT_EQ(parsed->bin_dirs, c.bin_dirs);
  }
}

// ---- on a host

constexpr const char* k3s_config = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
constexpr const char* rke2_config = "/var/lib/rancher/rke2/agent/etc/containerd/config.toml";
constexpr const char* microk8s_config = "/var/snap/microk8s/current/args/containerd.toml";

class Discover : public testing::Test {
 protected:
  std::string put(const std::string& path, const std::string& content) const {
    fs::create_directories(fs::path(dir.path() + path).parent_path());
    return dir.write(path.substr(1), content);
  }
  void folder(const std::string& path) const { fs::create_directories(dir.path() + path); }
  void link(const std::string& target, const std::string& path) const {
    fs::create_directories(fs::path(dir.path() + path).parent_path());
    fs::create_symlink(target, dir.path() + path);
  }
  /// Through the folder's descriptor: a socket's own path has to be short.
  void socket(const std::string& path) const {
    fs::path full = dir.path() + path;
    fs::create_directories(full.parent_path());
    const int at = ::open(full.parent_path().c_str(), O_PATH | O_CLOEXEC);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto name = cat("/proc/self/fd/", at, '/', full.filename().string());
    ASSERT_LT(name.size(), sizeof address.sun_path);
    name.copy(address.sun_path, name.size());
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
    ::close(at);
  }
  void modified(const std::string& path, time_t seconds) const {
    timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (dir.path() + path).c_str(), times, 0), 0);
  }
  void expect(const std::string& runtime, const std::string& conf_dir, const Strings& bin_dirs,
              const std::string& found_in) {
    warnings.clear();
    auto found = install::discover(dir.path(), warnings);
    EXPECT_EQ(found.runtime, runtime);
    EXPECT_EQ(found.conf_dir, conf_dir);
    EXPECT_EQ(found.bin_dirs, bin_dirs);
    EXPECT_EQ(found.found_in, found_in);
  }
  static std::string cni(const std::string& conf_dir, const std::string& bin_dir) {
    return cat("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n",
               conf_dir.empty() ? "" : cat("conf_dir = '", conf_dir, "'\n"),
               bin_dir.empty() ? "" : cat("bin_dir = '", bin_dir, "'\n"));
  }

  test_support::TempDir dir;
  Strings warnings;
};

constexpr const char* usual = "the usual places";

TEST_F(Discover, NoRuntimeAtAll) {
  expect("", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(Discover, ContainerdWithoutConfiguration) {
  socket("/run/containerd/containerd.sock");
  expect("containerd", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(Discover, KubeadmWithContainerd) {
  socket("/run/containerd/containerd.sock");
  put("/etc/containerd/config.toml", cni("/etc/cni/net.d", "/usr/lib/cni"));
  expect("containerd", "/etc/cni/net.d", {"/usr/lib/cni"}, "/etc/containerd/config.toml");
  put("/etc/containerd/config.toml", cni("", "/usr/lib/cni"));
  expect("containerd", "/etc/cni/net.d", {"/usr/lib/cni"}, "/etc/containerd/config.toml");
  put("/etc/containerd/config.toml", cni("/c", ""));
  expect("containerd", "/c", {"/opt/cni/bin"}, "/etc/containerd/config.toml");
  put("/etc/containerd/config.toml", "version = 2\n");
  expect("containerd", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(Discover, ABrokenConfigurationIsIgnoredWithAWarning) {
  put("/etc/containerd/config.toml", "version = 2\n[plugins.\n");
  expect("containerd", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_THAT(warnings, ElementsAre(StartsWith("ignored: /etc/containerd/config.toml:2:")));

  put("/etc/containerd/config.toml", cni("relative/dir", "~/bin"));
  expect("containerd", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("\"relative/dir\" is not an absolute path"),
                                    HasSubstr("\"~/bin\" is not an absolute path")));

  fs::remove(dir.path("etc/containerd/config.toml"));
  folder("/etc/containerd/config.toml");
  expect("containerd", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_EQ(warnings.size(), 1U);
}

TEST_F(Discover, ImportsInOrderAndLaterWins) {
  put("/etc/containerd/config.toml",
      cat("imports = ['conf.d/*.toml', '/etc/containerd/last.toml', '/opt/a*/x?.toml']\n",
          cni("/main", "/main-bin")));
  put("/etc/containerd/conf.d/10-a.toml", cni("/a", "/a-bin"));
  put("/etc/containerd/conf.d/20-b.toml",
      cat("imports = ['/etc/containerd/nested.toml']\n", cni("/b", "")));
  put("/etc/containerd/conf.d/30-c.conf", cni("/no", "/no"));
  put("/etc/containerd/last.toml", "version = 2\n");
  expect("containerd", "/b", {"/a-bin"}, "/etc/containerd/conf.d/20-b.toml");
  EXPECT_THAT(warnings, ElementsAre(AllOf(HasSubstr("20-b.toml: imports "),
                                          HasSubstr("nested.toml\", which does not exist"))));

  put("/etc/containerd/nested.toml", cni("/nested", ""));
  expect("containerd", "/nested", {"/a-bin"}, "/etc/containerd/nested.toml");
  // Breadth first: the main file's other imports come before nested ones.
  put("/etc/containerd/last.toml", cni("/last", "/last-bin"));
  expect("containerd", "/nested", {"/last-bin"}, "/etc/containerd/nested.toml");
  put("/opt/ab/x1.toml", cni("/last", "/globbed"));
  put("/opt/ab/x12.toml", cni("/no", "/no"));
  put("/opt/b/x1.toml", cni("/no", "/no"));
  expect("containerd", "/nested", {"/globbed"}, "/etc/containerd/nested.toml");
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(Discover, AVersion2DropInOfAVersion3File) {
  put("/etc/containerd/config.toml",
      "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n"
      "[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/a', '/b']\nconf_dir = '/c'\n");
  put("/etc/containerd/conf.d/x.toml",
      "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia]\nruntime_type = 'x'\n");
  expect("containerd", "/c", {"/a", "/b"}, "/etc/containerd/config.toml");
  put("/etc/containerd/conf.d/y.toml", cni("/d", ""));
  expect("containerd", "/d", {"/a", "/b"}, "/etc/containerd/conf.d/y.toml");
}

TEST_F(Discover, ABrokenDropInCostsOnlyItself) {
  put("/etc/containerd/config.toml", cat("imports = ['conf.d/*']\n", cni("/c", "/b")));
  put("/etc/containerd/conf.d/1.toml", "[");
  put("/etc/containerd/conf.d/2.toml", cni("/d", ""));
  expect("containerd", "/d", {"/b"}, "/etc/containerd/conf.d/2.toml");
  EXPECT_THAT(warnings, ElementsAre(StartsWith("ignored: /etc/containerd/conf.d/1.toml:1:")));
}

TEST_F(Discover, ImportsInACircleEnd) {
  put("/etc/containerd/config.toml",
      cat("imports = ['config.toml', './config.toml', 'again.toml', '*.toml', 'b/../b/b.toml']\n",
          cni("/c", "/b")));
  link("/etc/containerd/config.toml", "/etc/containerd/again.toml");
  put("/etc/containerd/b/b.toml", cat("imports = ['/etc/containerd/*']\n", cni("", "/bb")));
  expect("containerd", "/c", {"/bb"}, "/etc/containerd/config.toml");
}

TEST_F(Discover, ImportsAreBounded) {
  put("/etc/containerd/config.toml", cat("imports = ['a/*', 'b/*']\n", cni("/c", "/b")));
  for (int i = 0; i < 150; ++i) {
    put(cat("/etc/containerd/a/", i), "");
    put(cat("/etc/containerd/b/", i), "");
  }
  expect("containerd", "/c", {"/b"}, "/etc/containerd/config.toml");
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("more than 200 imported files")));
}

TEST_F(Discover, LinksAreTheHosts) {
  put("/nix/store/abc/config.toml", cni("/c", "/b"));
  link("/nix/store/abc/config.toml", "/etc/containerd/config.toml");
  expect("containerd", "/c", {"/b"}, "/etc/containerd/config.toml");
}

TEST_F(Discover, Crio) {
  link("/run", "/var/run");
  socket("/run/crio/crio.sock");
  expect("CRI-O", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  put("/etc/crio/crio.conf", "[crio.network]\nnetwork_dir = '/main'\nplugin_dirs = ['/x', '/y']\n");
  expect("CRI-O", "/main", {"/x", "/y"}, "/etc/crio/crio.conf");
  put("/etc/crio/crio.conf.d/10-crio.conf", "[crio.runtime]\nselinux = true\n");
  put("/etc/crio/crio.conf.d/20-net.conf", "[crio.network]\nplugin_dirs = ['/z']\n");
  put("/etc/crio/crio.conf.d/30-bad.conf", "[crio\n");
  put("/etc/crio/crio.conf.d/40-any-name", "[crio.network]\nnetwork_dir = '/last/'\n");
  folder("/etc/crio/crio.conf.d/folder.conf");
  expect("CRI-O", "/last", {"/z"}, "/etc/crio/crio.conf.d/40-any-name");
  EXPECT_THAT(warnings, ElementsAre(StartsWith("ignored: /etc/crio/crio.conf.d/30-bad.conf:1:")));
}

TEST_F(Discover, CrioFromItsDropInsAlone) {
  put("/etc/crio/crio.conf.d/10-crio.conf", "[crio.network]\nplugin_dirs = ['/z']\n");
  expect("CRI-O", "/etc/cni/net.d", {"/z"}, "/etc/crio/crio.conf.d/10-crio.conf");
}

TEST_F(Discover, K3s) {
  socket("/run/k3s/containerd/containerd.sock");
  const std::string conf_dir = "/var/lib/rancher/k3s/agent/etc/cni/net.d";
  // Before its first start.
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/cni"}, usual);
  folder("/var/lib/rancher/k3s/data/0123abcd/bin");
  link("/var/lib/rancher/k3s/data/0123abcd", "/var/lib/rancher/k3s/data/current");
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/current/bin"}, usual);
  folder("/var/lib/rancher/k3s/data/cni");
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/cni"}, usual);

  // Old: a folder with a new name for every release.
  put(k3s_config, cni(conf_dir, "/var/lib/rancher/k3s/data/0123abcd/bin"));
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/current/bin"}, k3s_config);
  put(k3s_config, cni(conf_dir, "/var/lib/rancher/k3s/data/another/bin"));
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/another/bin"}, k3s_config);
  put(k3s_config, cni(conf_dir, "/var/lib/rancher/k3s/data/current/bin"));
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/current/bin"}, k3s_config);
  // In a container.
  put(k3s_config, cni(conf_dir, "/bin"));
  expect("k3s", conf_dir, {"/bin"}, k3s_config);
  // New.
  put(k3s_config, cat("version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n"
                      "bin_dirs = ['/var/lib/rancher/k3s/data/cni']\nconf_dir = '",
                      conf_dir, "'\n"));
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/cni"}, k3s_config);
  // Without flannel it leaves the choice to containerd.
  put(k3s_config, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = 'x'\n");
  expect("k3s", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  EXPECT_THAT(warnings, IsEmpty());
  put(k3s_config, "version = ");
  expect("k3s", conf_dir, {"/var/lib/rancher/k3s/data/cni"}, usual);
  EXPECT_EQ(warnings.size(), 1U);
}

TEST_F(Discover, Rke2) {
  put(rke2_config, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = 'x'\n");
  expect("RKE2", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  socket("/run/k3s/containerd/containerd.sock");
  expect("RKE2", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
  put(rke2_config, cni("/c", "/b"));
  expect("RKE2", "/c", {"/b"}, rke2_config);
}

TEST_F(Discover, Rke2BeforeItsFirstStart) {
  socket("/run/k3s/containerd/containerd.sock");
  folder("/var/lib/rancher/rke2/agent");
  expect("RKE2", "/etc/cni/net.d", {"/opt/cni/bin"}, usual);
}

TEST_F(Discover, OfK3sAndRke2TheYoungerConfiguration) {
  socket("/run/k3s/containerd/containerd.sock");
  put(k3s_config, cni("/k3s", ""));
  put(rke2_config, cni("/rke2", ""));
  modified(k3s_config, 1000);
  modified(rke2_config, 2000);
  expect("RKE2", "/rke2", {"/opt/cni/bin"}, rke2_config);
  modified(k3s_config, 3000);
  expect("k3s", "/k3s", {"/opt/cni/bin"}, k3s_config);
}

TEST_F(Discover, MicroK8s) {
  socket("/var/snap/microk8s/common/run/containerd.sock");
  const std::string conf_dir = "/var/snap/microk8s/current/args/cni-network";
  const Strings bin_dirs = {"/var/snap/microk8s/current/opt/cni/bin"};
  expect("MicroK8s", conf_dir, bin_dirs, usual);

  folder("/var/snap/microk8s/6364");
  link("6364", "/var/snap/microk8s/current");
  const std::string placeholders = cni("${SNAP_DATA}/args/cni-network", "${SNAP_DATA}/opt/cni/bin");
  const std::string text =
      cat("version = 2\n[plugins.x]\ny = '${RUNTIME}'\n", placeholders.substr(12));
  put("/var/snap/microk8s/6364/args/containerd-template.toml", text);
  expect("MicroK8s", conf_dir, bin_dirs,
         "/var/snap/microk8s/current/args/containerd-template.toml");
  // The file made of the template wins, and names the revision.
  put(microk8s_config,
      cni("/var/snap/microk8s/6364/args/cni-network", "/var/snap/microk8s/6364/opt/cni/bin"));
  expect("MicroK8s", conf_dir, bin_dirs, microk8s_config);
  put(microk8s_config, cni("/var/snap/microk8s/6364", "${SNAP}/x/${SNAP_COMMON}/y"));
  expect("MicroK8s", "/var/snap/microk8s/current",
         {"/snap/microk8s/current/x//var/snap/microk8s/common/y"}, microk8s_config);
  // Not the revision that is current.
  put(microk8s_config, cni("/var/snap/microk8s/6000/x", "/var/snap/microk8s/common/y"));
  expect("MicroK8s", "/var/snap/microk8s/6000/x", {"/var/snap/microk8s/common/y"}, microk8s_config);
}

TEST_F(Discover, Precedence) {
  // Installed, from the last to the first: each wins over those before.
  put("/etc/containerd/config.toml", cni("/containerd", ""));
  expect("containerd", "/containerd", {"/opt/cni/bin"}, "/etc/containerd/config.toml");
  put("/etc/crio/crio.conf", "[crio.network]\nnetwork_dir = '/crio'\n");
  expect("CRI-O", "/crio", {"/opt/cni/bin"}, "/etc/crio/crio.conf");
  put(microk8s_config, cni("/microk8s", ""));
  expect("MicroK8s", "/microk8s", {"/opt/cni/bin"}, microk8s_config);
  put(rke2_config, cni("/rke2", ""));
  expect("RKE2", "/rke2", {"/opt/cni/bin"}, rke2_config);
  put(k3s_config, cni("/k3s", ""));
  modified(rke2_config, 1000);
  expect("k3s", "/k3s", {"/opt/cni/bin"}, k3s_config);

  // In use, likewise; and a file in a socket's place is none.
  put("/var/run/crio/crio.sock", "");
  socket("/run/containerd/containerd.sock");
  expect("containerd", "/containerd", {"/opt/cni/bin"}, "/etc/containerd/config.toml");
  fs::remove(dir.path("var/run/crio/crio.sock"));
  socket("/var/run/crio/crio.sock");
  expect("CRI-O", "/crio", {"/opt/cni/bin"}, "/etc/crio/crio.conf");
  socket("/var/snap/microk8s/common/run/containerd.sock");
  expect("MicroK8s", "/microk8s", {"/opt/cni/bin"}, microk8s_config);
  socket("/run/k3s/containerd/containerd.sock");
  expect("k3s", "/k3s", {"/opt/cni/bin"}, k3s_config);
}

// ---- links below another root

TEST_F(Discover, ResolveBelow) {
  folder("/real/sub");
  link("/real", "/absolute");
  link("real/sub", "/relative");
  link("../../../../real", "/real/sub/up");
  link("/chain2", "/chain1");
  link("absolute/sub", "/chain2");
  link("/loop", "/loop");
  const struct {
    const char* path;
    const char* resolved;
  } cases[] = {
      {"/real/sub", "/real/sub"},
      {"/absolute/sub", "/real/sub"},
      {"/absolute/missing/x", "/real/missing/x"},
      {"/relative", "/real/sub"},
      {"/relative/..", "/real"},
      {"/relative/up/sub", "/real/sub"},
      {"/chain1", "/real/sub"},
      {"/../../etc", "/etc"},
      {"//real/./sub/", "/real/sub"},
      {"/", ""},
      {"/loop/x", "/loop/x"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(base::resolve_below(dir.path(), c.path), dir.path() + c.resolved) << c.path;
    EXPECT_EQ(base::resolve_below(dir.path() + "/", c.path), dir.path() + c.resolved) << c.path;
  }
  EXPECT_EQ(base::resolve_below("", "/a/../b"), "/a/../b");
  EXPECT_EQ(base::resolve_below("/", "/a"), "/a");
}

}  // namespace
