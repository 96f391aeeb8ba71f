#include "cni/conflist.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cni/json_spans.hpp"

namespace {

using base::Errc;
using cni::BackendChoice;
using cni::derived_list;
using cni::entry_json;
using cni::FileKind;
using cni::inspect;
using cni::PluginEntry;
using cni::with_entry;
using cni::without_entry;
using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

PluginEntry sample_entry() {
  PluginEntry entry;
  entry.exclude_namespaces = {"kube-system", "istio-system"};
  entry.agent_namespace = "istio-system";
  return entry;
}

std::string ok(const base::Result<std::string>& result) {
  if (result) return *result;
  ADD_FAILURE() << result.error().message;
  return "failure: " + result.error().message;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// --- the entry ---------------------------------------------------------

TEST(Entry, KeysAndTheirOrder) {
  auto entry = sample_entry();
  EXPECT_EQ(entry_json(entry).dump(),
            R"({"name":"istio-cni","type":"istio-cni","plugin_log_level":"info",)"
            R"("cni_agent_run_dir":"/run/istio-cni","ambient_enabled":false,)"
            R"("enablement_selectors":[],"exclude_namespaces":["kube-system","istio-system"],)"
            R"("pod_namespace":"istio-system","native_nftables":false,)"
            R"("enable_ambient_detection_retry":false})");
  entry.kubeconfig = "/etc/k";
  entry.backend = BackendChoice::nftables;
  entry.timeout = std::chrono::milliseconds(1500);
  entry.exclude_namespaces.clear();
  entry.log_level = "debug";
  entry.run_dir = "/var/run/istio-cni";
  EXPECT_EQ(entry_json(entry, "1.0.0").dump(),
            R"({"name":"istio-cni","type":"istio-cni","cniVersion":"1.0.0",)"
            R"("plugin_log_level":"debug","cni_agent_run_dir":"/var/run/istio-cni",)"
            R"("kubeconfig":"/etc/k","ambient_enabled":false,"enablement_selectors":[],)"
            R"("exclude_namespaces":[],"pod_namespace":"istio-system","native_nftables":true,)"
            R"("backend":"nftables","timeout_seconds":1.5,)"
            R"("enable_ambient_detection_retry":false})");
}

TEST(Entry, ThePluginReadsWhatWasMeant) {
  for (auto backend : {BackendChoice::automatic, BackendChoice::nftables, BackendChoice::iptables})
    for (int millis : {30000, 1, 999, 1001, 1500, 16001, 45000, 600000}) {
      auto entry = sample_entry();
      entry.log_level = "warn";
      entry.run_dir = "/other";
      entry.backend = backend;
      entry.timeout = std::chrono::milliseconds(millis);
      entry.kubeconfig = millis % 2 == 0 ? "/etc/k" : "";
      auto parsed = cni::parse_netconf(entry_json(entry, "1.0.0").dump());
      ASSERT_TRUE(std::holds_alternative<cni::Netconf>(parsed));
      const auto& conf = std::get<cni::Netconf>(parsed);
      EXPECT_EQ(conf.version.text(), "1.0.0");
      EXPECT_EQ(conf.name, "istio-cni");
      EXPECT_EQ(conf.log_level, "warn");
      EXPECT_EQ(conf.run_dir, "/other");
      EXPECT_EQ(conf.kubeconfig, millis % 2 == 0 ? "/etc/k" : "/other/istio-cni-kubeconfig");
      EXPECT_EQ(conf.exclude_namespaces, entry.exclude_namespaces);
      EXPECT_EQ(conf.agent_namespace, entry.agent_namespace);
      EXPECT_EQ(conf.backend, backend);
      EXPECT_EQ(conf.timeout.count(), millis);
      EXPECT_FALSE(conf.gate);
    }
}

// --- inspect -----------------------------------------------------------

TEST(Inspect, List) {
  auto network = inspect("10-calico.conflist", R"({"name":"k8s-pod-network","cniVersion":"0.3.1",
      "disableCheck":"true","plugins":[{"type":"calico"},{"type":"portmap","name":null},
      {"type":"istio-cni","gate":false}],"future":1})");
  ASSERT_TRUE(network) << network.error().message;
  EXPECT_EQ(network->kind, FileKind::list);
  EXPECT_EQ(network->name, "k8s-pod-network");
  EXPECT_EQ(network->cni_version, "0.3.1");
  EXPECT_THAT(network->plugin_types, ElementsAre("calico", "portmap", "istio-cni"));
  EXPECT_EQ(network->derived_from, "");
  EXPECT_FALSE(network->gate);
  EXPECT_EQ(network->our_position(), 2);
}

TEST(Inspect, Single) {
  for (const auto* name : {"10-bridge.conf", "10-bridge.json"}) {
    auto network = inspect(name, R"({"type":"bridge","plugins":7})");
    ASSERT_TRUE(network) << network.error().message;
    EXPECT_EQ(network->kind, FileKind::single);
    EXPECT_EQ(network->name, "");
    EXPECT_EQ(network->cni_version, "");
    EXPECT_THAT(network->plugin_types, ElementsAre("bridge"));
    EXPECT_EQ(network->our_position(), -1);
  }
}

TEST(Inspect, OurPositionIsThatOfTheFirst) {
  auto network =
      inspect("x.conflist",
              R"({"name":"n","plugins":[{"type":"istio-cni"},{"type":"a"},{"type":"istio-cni"}]})");
  ASSERT_TRUE(network);
  EXPECT_EQ(network->our_position(), 0);
}

TEST(Inspect, TheLastOfARepeatedKeyCounts) {
  auto network = inspect(
      "x.conflist", R"({"name":1,"plugins":[],"name":"n","plugins":[{"type":"a","type":"b"}]})");
  ASSERT_TRUE(network) << network.error().message;
  EXPECT_EQ(network->name, "n");
  EXPECT_THAT(network->plugin_types, ElementsAre("b"));
}

TEST(Inspect, OtherFilesAreNeverLookedAt) {
  for (const auto* name : {"README", "10-calico.conflist.bak", "10-calico.conflist.icn-aB3xYz",
                           "conf", "conflist", "x.CONF", "10-calico.conflist~", ""}) {
    auto network = inspect(name, R"({"name":"n","type":"a","plugins":[{"type":"a"}]})");
    ASSERT_FALSE(network) << name;
    EXPECT_EQ(network.error().code, Errc::not_found) << name;
  }
}

TEST(Inspect, WhatARuntimeCannotLoad) {
  const std::string deep = R"({"name":"n","plugins":[{"type":"a","x":)" + std::string(200, '[') +
                           std::string(200, ']') + "}]}";
  struct {
    const char* file;
    std::string text;
    const char* says;
  } const cases[] = {
      {"x.conflist", "", "is empty"},
      {"x.conflist", " \n", "not valid JSON"},
      {"x.conflist", "{\n  \"name\": \"n\",\n  \"plugins\" [\n", "line 3, column 13"},
      {"x.conflist", "[]", "not a JSON object"},
      {"x.conflist", "null", "not a JSON object"},
      {"x.conflist", R"({"plugins":[{"type":"a"}]})", "no name"},
      {"x.conflist", R"({"name":null,"plugins":[{"type":"a"}]})", "no name"},
      {"x.conflist", R"({"name":"","plugins":[{"type":"a"}]})", "no name"},
      {"x.conflist", R"({"name":5,"plugins":[{"type":"a"}]})", "no name"},
      {"x.conflist", R"({"name":"n"})", "not a list"},
      {"x.conflist", R"({"name":"n","type":"bridge"})", "not a list"},
      {"x.conflist", R"({"name":"n","Plugins":[{"type":"a"}]})", "not a list"},
      {"x.conflist", R"({"name":"n","plugins":null})", "plugins"},
      {"x.conflist", R"({"name":"n","plugins":{"type":"a"}})", "plugins"},
      {"x.conflist", R"({"name":"n","plugins":[]})", "empty list"},
      {"x.conflist", R"({"name":"n","plugins":[{"type":"a"},7]})", "plugin 2 is not an object"},
      {"x.conflist", R"({"name":"n","plugins":[{}]})", "plugin 1 has no type"},
      {"x.conflist", R"({"name":"n","plugins":[{"type":""}]})", "plugin 1 has no type"},
      {"x.conflist", R"({"name":"n","plugins":[{"type":3}]})", "type that is not a string"},
      {"x.conflist", R"({"name":"n","plugins":[{"type":"a","name":3}]})", "name that is not"},
      {"x.conflist", R"({"name":"n","cniVersion":1,"plugins":[{"type":"a"}]})", "cniVersion"},
      {"x.conflist", R"({"name":"n","cniVersion":null,"plugins":[{"type":"a"}]})", "cniVersion"},
      {"x.conflist", R"({"name":"n","disableCheck":1,"plugins":[{"type":"a"}]})", "disableCheck"},
      {"x.conflist", R"({"name":"n","plugins":[{"type":"a","mtu":1e400}]})", "not valid JSON"},
      {"x.conflist",
       "\xEF\xBB\xBF"
       R"({"name":"n","plugins":[{"type":"a"}]})",
       "byte order mark"},
      {"x.conflist", std::string(R"({"name":"n","plugins":[{"type":"a"}]})") + '\0', "NUL bytes"},
      {"x.conflist", std::string(4096, '\0'), "NUL bytes"},
      {"x.conflist", R"({"name":"n","plugins":[{"type":"a"}]} x)", "not valid JSON"},
      {"x.conflist", "{\"name\":\"\xFF\",\"plugins\":[{\"type\":\"a\"}]}", "not valid JSON"},
      {"x.conflist", deep, "deeper"},
      {"x.conf", "{}", "no type"},
      {"x.conf", R"({"type":null})", "no type"},
      {"x.conf", R"({"type":"a","name":[]})", "name that is not a string"},
      {"x.conf", R"({"type":"a","cniVersion":0.3})", "cniVersion that is not a string"},
      {"x.conf", R"({"name":"n","plugins":[{"type":"a"}]})", "named .conflist"},
      {"x.json", R"({"name":"n","plugins":[{"type":"a"}]})", "named .conflist"},
  };
  for (const auto& one : cases) {
    auto network = inspect(one.file, one.text);
    ASSERT_FALSE(network) << one.text;
    EXPECT_EQ(network.error().code, Errc::invalid_input) << one.text;
    EXPECT_THAT(network.error().message, HasSubstr(one.says));
    EXPECT_THAT(network.error().message, HasSubstr(one.file));
    EXPECT_FALSE(derived_list(one.file, one.text, sample_entry())) << one.text;
    if (std::string_view(one.file) == "x.conflist") {
      auto edited = with_entry(one.text, sample_entry());
      ASSERT_FALSE(edited) << one.text;
      EXPECT_EQ(edited.error().code, Errc::invalid_input) << one.text;
    }
  }
}

// --- with_entry, without_entry -----------------------------------------

TEST(WithEntry, TakesTheIndentationOfTheFile) {
  const std::string before = R"({
    "name": "k8s-pod-network",
    "cniVersion": "0.3.1",
    "plugins": [
        {
            "type": "calico",
            "mtu": 0
        },
        {
            "type": "portmap",
            "capabilities": {"portMappings": true}
        }
    ]
}
)";
  const std::string after = R"({
    "name": "k8s-pod-network",
    "cniVersion": "0.3.1",
    "plugins": [
        {
            "type": "calico",
            "mtu": 0
        },
        {
            "type": "portmap",
            "capabilities": {"portMappings": true}
        },
        {
            "name": "istio-cni",
            "type": "istio-cni",
            "plugin_log_level": "info",
            "cni_agent_run_dir": "/run/istio-cni",
            "ambient_enabled": false,
            "enablement_selectors": [],
            "exclude_namespaces": ["kube-system", "istio-system"],
            "pod_namespace": "istio-system",
            "native_nftables": false,
            "enable_ambient_detection_retry": false
        }
    ]
}
)";
  EXPECT_EQ(ok(with_entry(before, sample_entry())), after);

  auto tabs_before = before;
  auto tabs_after = after;
  for (auto* text : {&tabs_before, &tabs_after}) replace_all(*text, "    ", "\t");
  EXPECT_EQ(ok(with_entry(tabs_before, sample_entry())), tabs_after);
  auto crlf_before = before;
  auto crlf_after = after;
  for (auto* text : {&crlf_before, &crlf_after}) replace_all(*text, "\n", "\r\n");
  EXPECT_EQ(ok(with_entry(crlf_before, sample_entry())), crlf_after);
}

TEST(WithEntry, OneLineStaysOneLine) {
  PluginEntry entry;
  EXPECT_EQ(ok(with_entry(R"({"name":"n","plugins":[{"type":"a","x":1}]})", entry)),
            R"({"name":"n","plugins":[{"type":"a","x":1},{"name":"istio-cni","type":"istio-cni",)"
            R"("plugin_log_level":"info","cni_agent_run_dir":"/run/istio-cni",)"
            R"("ambient_enabled":false,"enablement_selectors":[],"exclude_namespaces":[],)"
            R"("pod_namespace":"","native_nftables":false,)"
            R"("enable_ambient_detection_retry":false}]})");
  const auto spaced =
      ok(with_entry(R"({ "name": "n", "plugins": [ { "type": "a" }, { "type": "b" } ] })", entry));
  EXPECT_THAT(spaced, HasSubstr(R"([ { "type": "a" }, { "type": "b" }, { "name": "istio-cni", )"
                                R"("type": "istio-cni", )"));
  EXPECT_THAT(spaced, testing::EndsWith(R"("enable_ambient_detection_retry": false } ] })"));
  // one plugin a line
  const auto lines =
      ok(with_entry("{\n \"name\": \"n\",\n \"plugins\": [\n  {\"type\": \"a\"}\n ]\n}\n", entry));
  EXPECT_THAT(lines, HasSubstr("[\n  {\"type\": \"a\"},\n  {\"name\": \"istio-cni\", \"type\": "));
  EXPECT_THAT(lines, testing::EndsWith("false}\n ]\n}\n"));
}

TEST(WithEntry, BracesOnTheLineOfTheBracket) {
  const auto text =
      ok(with_entry("{\n  \"name\": \"n\",\n  \"plugins\": [{\n    \"type\": \"a\"\n"
                    "  }, {\n    \"type\": \"b\"\n  }]\n}\n",
                    sample_entry()));
  EXPECT_THAT(text, HasSubstr("\n  }, {\n    \"name\": \"istio-cni\",\n    \"type\": "));
  EXPECT_THAT(text, testing::EndsWith("_retry\": false\n  }]\n}\n"));
}

TEST(WithEntry, AlreadyThereComesBackAsItIs) {
  const auto done = ok(with_entry(R"({"name":"n","plugins":[{"type":"a"}]})", sample_entry()));
  EXPECT_EQ(ok(with_entry(done, sample_entry())), done);
  // as another tool may have written it: other layout, keys sorted
  const auto sorted = nlohmann::json::parse(done).dump(7);
  EXPECT_NE(sorted, done);
  EXPECT_EQ(ok(with_entry(sorted, sample_entry())), sorted);
}

TEST(WithEntry, ChangedEntryIsReplaced) {
  const std::string before =
      "{\n \"name\": \"n\",\n \"plugins\": [\n  {\n   \"type\": \"a\"\n  }\n ]\n}";
  auto entry = sample_entry();
  const auto first = ok(with_entry(before, entry));
  entry.log_level = "debug";
  entry.timeout = std::chrono::seconds(5);
  const auto second = ok(with_entry(first, entry));
  EXPECT_NE(first, second);
  EXPECT_EQ(second, ok(with_entry(before, entry)));
  EXPECT_THAT(second, HasSubstr("\"timeout_seconds\": 5,\n"));
  // an additional key in our entry is a difference, and so is another value
  auto foreign = first;
  replace_all(foreign, "\"ambient_enabled\": false", "\"ambient_enabled\": true");
  EXPECT_EQ(ok(with_entry(foreign, sample_entry())), first);
  replace_all(foreign, "\"ambient_enabled\": true", "\"gate\": true, \"ambient_enabled\": false");
  EXPECT_EQ(ok(with_entry(foreign, sample_entry())), first);
}

TEST(WithEntry, OursMovesToTheEndAndIsThereOnce) {
  const std::string a = R"({"type":"a"})";
  const std::string b = R"({"type":"b"})";
  const std::string old = R"({"type":"istio-cni","old":[{"type":"x"},"]}"]})";
  auto list = [](const std::vector<std::string>& plugins) {
    std::string out = R"({"name":"n","plugins":[)";
    for (const auto& plugin : plugins) out += (out.back() == '[' ? "" : ",") + plugin;
    return out + R"(],"z":1})";
  };
  const auto wanted = ok(with_entry(list({a, b}), sample_entry()));
  for (const auto& plugins : std::vector<std::vector<std::string>>{{old, a, b},
                                                                   {a, old, b},
                                                                   {a, b, old},
                                                                   {old, old, a, b},
                                                                   {a, old, old, b},
                                                                   {old, a, old, b, old},
                                                                   {a, b, old, old}}) {
    EXPECT_EQ(ok(with_entry(list(plugins), sample_entry())), wanted) << list(plugins);
    EXPECT_EQ(ok(without_entry(list(plugins))), list({a, b})) << list(plugins);
  }
  // wanted, but not last, or twice
  const auto ours = entry_json(sample_entry()).dump();
  EXPECT_EQ(ok(with_entry(list({a, ours, b}), sample_entry())), wanted);
  EXPECT_EQ(ok(with_entry(list({a, b, ours, ours}), sample_entry())), wanted);
}

TEST(WithEntry, AListOfOursAlone) {
  const std::string old =
      R"({"name":"n","plugins":[ {"type":"istio-cni"} , {"type":"istio-cni"}]})";
  const auto text = ok(with_entry(old, sample_entry()));
  EXPECT_EQ(Json::parse(text)["plugins"], Json::array({entry_json(sample_entry())}));
  EXPECT_EQ(ok(with_entry(text, sample_entry())), text);
  auto none = without_entry(text);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::invalid_input);
  EXPECT_THAT(none.error().message, HasSubstr("remove the file"));
}

TEST(WithEntry, PluginsTwiceIsRefused) {
  for (const auto* text : {R"({"name":"n","plugins":[{"type":"a"}],"plugins":[{"type":"b"}]})",
                           R"({"name":"n","plugins":7,"plug\u0069ns":[{"type":"b"}]})"}) {
    for (const auto& edited : {with_entry(text, sample_entry()), without_entry(text)}) {
      ASSERT_FALSE(edited) << text;
      EXPECT_EQ(edited.error().code, Errc::invalid_input);
      EXPECT_THAT(edited.error().message, HasSubstr("\"plugins\" twice"));
    }
  }
  // further in, the key means nothing
  const std::string nested =
      R"({"a":{"plugins":[]},"name":"n","plugins":[{"type":"a","plugins":[1],"x":"\"plugins\":["}]})";
  EXPECT_EQ(ok(without_entry(ok(with_entry(nested, sample_entry())))), nested);
  const std::string escaped = R"({"name":"n","plug\u0069ns":[{"t\u0079pe":"a"}]})";
  EXPECT_EQ(ok(without_entry(ok(with_entry(escaped, sample_entry())))), escaped);
}

TEST(WithEntry, StringsOfTheEntryAreEscaped) {
  auto entry = sample_entry();
  entry.run_dir = "/a \"b\"\\\n\x01/ü";
  const auto text = ok(with_entry(R"({"name":"n","plugins":[{"type":"a"}]})", entry));
  EXPECT_EQ(Json::parse(text)["plugins"][1], entry_json(entry));
  // bytes that JSON cannot hold: an error, not a file that says something else
  entry.run_dir = "/\xFF";
  auto broken = with_entry(R"({"name":"n","plugins":[{"type":"a"}]})", entry);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Errc::mismatch);
}

TEST(WithoutEntry, AsksForLittle) {
  // no runtime loads these, but our entry must go all the same
  EXPECT_EQ(ok(without_entry(R"({"plugins":[7,{"type":"istio-cni"},{"type":[]},null]})")),
            R"({"plugins":[7,{"type":[]},null]})");
  EXPECT_EQ(ok(without_entry(R"({"plugins":[]})")), R"({"plugins":[]})");
  for (const auto* bad : {"", "{", "[]", "{}", R"({"plugins":7})", R"({"type":"istio-cni"})"}) {
    auto edited = without_entry(bad);
    ASSERT_FALSE(edited) << bad;
    EXPECT_EQ(edited.error().code, Errc::invalid_input) << bad;
  }
  // only the type makes an entry ours
  const std::string named =
      R"({"plugins":[{"name":"istio-cni","type":"other"},{"type":"istio-cni2"}]})";
  EXPECT_EQ(ok(without_entry(named)), named);
}

/// Every style crossed with every content: undoing gives each byte back.
TEST(Property, WithoutUndoesWith) {
  const std::vector<std::vector<std::string>> plugin_lists = {
      {R"({"type":"a"})"},
      {R"({"type":"calico","mtu":18446744073709551615,"x":1.0,"y":-0,"z":1E+2,"big":1e-400})",
       R"({"type":"portmap","capabilities":{"portMappings":true},"snat":true})"},
      {R"({"type":"a","x":"[{\"type\":\"istio-cni\"}],","e":{},"f":[],"g":[[],{}]})",
       R"({"dup":1,"dup":2,"type":"b","u":"ü\u00fc😀\ud83d\ude00"})", R"({"type":"c"})"},
  };
  struct Style {
    const char* newline;
    const char* indent;
    const char* colon;
    const char* comma;  ///< before the newline
    const char* edge;   ///< at the inner side of braces and brackets on one line
  };
  const Style styles[] = {
      {"\n", "  ", ": ", ",", ""},     {"\n", "    ", ": ", ",", ""},
      {"\n", "\t", ": ", ",", ""},     {"\r\n", "  ", ": ", ",", ""},
      {"\n\n", " ", " : ", " ,", ""},  {"", "", ":", ",", ""},
      {"", "", ": ", ", ", ""},        {"", "", ": ", ", ", " "},
      {"", "", " :\t", " ,  ", "\t "}, {"\n", "", ":\n", ",", ""},
      {"\n", "  ", ": ", ",", " "},    {" \n", "\t  ", ":", ",\t", ""},
  };
  const char* const ends[] = {"", "\n", "\r\n", "\n\n  ", " \t"};
  const char* const starts[] = {"", "\n", "  "};
  int cases = 0;
  for (const auto& plugins : plugin_lists)
    for (const auto& style : styles)
      for (const bool open_plugins : {false, true})
        for (const auto* end : ends)
          for (const auto* start : starts) {
            auto line = [&](int depth) {
              std::string out = style.newline;
              for (int i = 0; i < depth && *style.newline != 0; ++i) out += style.indent;
              return *style.newline == 0 ? std::string(style.edge) : out;
            };
            auto key = [&](const std::string& name) { return "\"" + name + "\"" + style.colon; };
            auto next = [&](int depth) {
              return style.comma + (*style.newline == 0 ? "" : line(depth));
            };
            std::string text = start + ("{" + line(1)) + key("cniVersion") + "\"0.3.1\"" + next(1) +
                               key("unknown") + "[1e2,{\"plugins\":[]}]" + next(1) +
                               key("unknown") + "\"twice\"" + next(1) + key("plugins") + "[";
            bool first = true;
            for (const auto& plugin : plugins) {
              text += first ? line(2) : next(2);
              first = false;
              if (!open_plugins) {
                text += plugin;
                continue;
              }
              text += "{" + line(3);
              auto inner = plugin;
              text += inner.substr(1, inner.size() - 2) + line(2) + "}";
            }
            text += line(1) + "]" + next(1) + key("name") + "\"nét\"" + line(0) + "}" + end;

            const auto with = ok(with_entry(text, sample_entry()));
            ASSERT_EQ(ok(without_entry(with)), text);
            ASSERT_EQ(ok(without_entry(text)), text);
            ASSERT_EQ(ok(with_entry(with, sample_entry())), with);
            // idempotent over a changed entry as well
            ASSERT_EQ(ok(with_entry(ok(with_entry(text, PluginEntry{})), sample_entry())), with);
            auto expected = Json::parse(text);
            expected["plugins"].push_back(entry_json(sample_entry()));
            ASSERT_EQ(Json::parse(with), expected) << with;
            if (*style.newline == 0) {
              ASSERT_EQ(std::count(with.begin(), with.end(), '\n'),
                        std::count(text.begin(), text.end(), '\n'));
            }
            ++cases;
          }
  EXPECT_EQ(cases, 3 * 12 * 2 * 5 * 3);
}

// --- lists of our own --------------------------------------------------

TEST(Derived, FromASinglePlugin) {
  PluginEntry entry;
  const auto text = ok(derived_list("10-net.conf", R"({
    "cniVersion": "0.2.0", "name": "mynet", "type": "bridge", "mtu": 9007199254740993,
    "ipam": {"type": "host-local", "b": 1, "a": 1.0}})",
                                    entry));
  EXPECT_EQ(text, R"({
  "cniVersion": "0.2.0",
  "name": "mynet",
  "istioCni": {
    "derivedFrom": "10-net.conf"
  },
  "plugins": [
    {
      "name": "mynet",
      "type": "bridge",
      "mtu": 9007199254740993,
      "ipam": {
        "type": "host-local",
        "b": 1,
        "a": 1.0
      }
    },
    {
      "name": "istio-cni",
      "type": "istio-cni",
      "plugin_log_level": "info",
      "cni_agent_run_dir": "/run/istio-cni",
      "ambient_enabled": false,
      "enablement_selectors": [],
      "exclude_namespaces": [],
      "pod_namespace": "",
      "native_nftables": false,
      "enable_ambient_detection_retry": false
    }
  ]
}
)");
}

TEST(Derived, AbsentVersionStaysAbsentAndAMissingNameIsFilled) {
  for (const auto* single : {R"({"type":"terway"})", R"({"type":"terway","cniVersion":null})"}) {
    const auto list = Json::parse(ok(derived_list("x.conf", single, sample_entry())));
    EXPECT_FALSE(list.contains("cniVersion"));
    EXPECT_EQ(list["name"], "k8s-pod-network");
    EXPECT_EQ(list["plugins"][0].dump(), R"({"type":"terway"})");
  }
}

TEST(Derived, FromAList) {
  const auto text = ok(derived_list(
      "10-calico.conflist",
      R"({"disableCheck":true,"name":"k","istioCni":{"derivedFrom":"old"},"cniVersion":"1.0.0",)"
      R"("plugins":[{"type":"istio-cni"},{"type":"calico","z":1,"a":2},{"type":"istio-cni"},)"
      R"({"type":"portmap"}],"zzz":[1]})",
      sample_entry()));
  Json expected =
      Json::parse(R"({"disableCheck":true,"name":"k","cniVersion":"1.0.0",)"
                  R"("istioCni":{"derivedFrom":"10-calico.conflist"},)"
                  R"("plugins":[{"type":"calico","z":1,"a":2},{"type":"portmap"}],"zzz":[1]})");
  expected["plugins"].push_back(entry_json(sample_entry()));
  EXPECT_EQ(text, expected.dump(2) + "\n");

  auto network = inspect("05-istio-cni.conflist", text);
  ASSERT_TRUE(network) << network.error().message;
  EXPECT_EQ(network->derived_from, "10-calico.conflist");
  EXPECT_EQ(network->our_position(), 2);
  EXPECT_FALSE(network->gate);
  EXPECT_EQ(ok(with_entry(text, sample_entry())), text);
}

TEST(Derived, NothingButOurs) {
  for (const auto& [file, text] :
       std::map<std::string, std::string>{{"x.conf", cni::standalone_conf(sample_entry())},
                                          {"x.conflist", cni::gate_list(sample_entry())}}) {
    auto list = derived_list(file, text, sample_entry());
    ASSERT_FALSE(list);
    EXPECT_EQ(list.error().code, Errc::invalid_input);
    EXPECT_THAT(list.error().message, HasSubstr("no plugin but istio-cni"));
  }
  EXPECT_EQ(derived_list("README", "{}", sample_entry()).error().code, Errc::not_found);
}

TEST(Gate, OurPluginAlone) {
  const auto text = cni::gate_list(sample_entry());
  auto network = inspect("05-istio-cni.conflist", text);
  ASSERT_TRUE(network) << network.error().message;
  EXPECT_TRUE(network->gate);
  EXPECT_EQ(network->cni_version, "1.1.0");
  EXPECT_THAT(network->plugin_types, ElementsAre("istio-cni"));
  EXPECT_TRUE(text.ends_with("}\n"));
  auto plugin = Json::parse(text)["plugins"][0];
  plugin["cniVersion"] = network->cni_version;  // as the runtime hands it over
  plugin["name"] = network->name;
  auto parsed = cni::parse_netconf(plugin.dump());
  ASSERT_TRUE(std::holds_alternative<cni::Netconf>(parsed));
  EXPECT_TRUE(std::get<cni::Netconf>(parsed).gate);
  // another plugin's key of that name says nothing
  EXPECT_FALSE(inspect("x.conflist", R"({"name":"n","plugins":[{"type":"a","gate":true}]})")->gate);
}

TEST(Standalone, IsASinglePlugin) {
  const auto text = cni::standalone_conf(sample_entry());
  auto network = inspect("YYY-istio-cni.conf", text);
  ASSERT_TRUE(network) << network.error().message;
  EXPECT_EQ(network->kind, FileKind::single);
  EXPECT_EQ(network->cni_version, "0.3.1");
  EXPECT_EQ(network->our_position(), 0);
  EXPECT_FALSE(network->gate);
  EXPECT_EQ(text, entry_json(sample_entry(), "0.3.1").dump(2) + "\n");
}

// --- spans -------------------------------------------------------------

TEST(Spans, OfObjectsAndArrays) {
  const std::string_view text = " {\"a\" : [1,\"]\\\"}\" , {}],\"b\":-1.5e3 }";
  const auto members = cni::object_members(text, 0);
  ASSERT_TRUE(members);
  ASSERT_EQ(members->size(), 2U);
  EXPECT_EQ((*members)[0].key.of(text), "\"a\"");
  EXPECT_EQ((*members)[0].value.of(text), "[1,\"]\\\"}\" , {}]");
  EXPECT_EQ((*members)[1].value.of(text), "-1.5e3");
  const auto elements = cni::array_elements(text, (*members)[0].value.begin);
  ASSERT_TRUE(elements);
  ASSERT_EQ(elements->size(), 3U);
  EXPECT_EQ((*elements)[1].of(text), "\"]\\\"}\"");
  EXPECT_EQ((*elements)[2].of(text), "{}");
  EXPECT_TRUE(cni::object_members("{ }", 0)->empty());
  EXPECT_TRUE(cni::array_elements("[\n]", 0)->empty());
}

TEST(Spans, TextCutOffAnywhereIsNoAccident) {
  const std::string text = R"({"a":[1,{"b":"\"x"},null],"c":{"d":[[]]}})";
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(cni::object_members(text.substr(0, length), 0)) << length;
    EXPECT_FALSE(cni::array_elements(text.substr(0, length), length)) << length;
  }
  EXPECT_FALSE(cni::object_members("[]", 0));
  EXPECT_FALSE(cni::array_elements("{}", 0));
  EXPECT_FALSE(cni::object_members("", 100));
}

}  // namespace
