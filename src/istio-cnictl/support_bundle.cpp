// istio-cnictl support-bundle: what a supporter asks for, without secrets.
#include <unistd.h>

#include <algorithm>

#include "base/atomic_file.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "install/conf_folder.hpp"
#include "install/record.hpp"
#include "istio-cnictl/archive.hpp"
#include "istio-cnictl/commands.hpp"
#include "istio-cnictl/expected.hpp"
#include "istio-cnictl/explain_view.hpp"
#include "istio-cnictl/first_line.hpp"
#include "istio-cnictl/json_form.hpp"
#include "istio-cnictl/pod_list.hpp"
#include "istio-cnictl/pod_netns.hpp"
#include "istio-cnictl/redact.hpp"
#include "istio-cnictl/status_view.hpp"
#include "istio-cnictl/versions.hpp"

namespace istio_cnictl {
namespace {

using base::cat;

constexpr std::size_t journal_entries = 5000;
constexpr std::size_t most_pods = 100;  ///< whose rules are read

class Bundle {
 public:
  Bundle(Context& context, Time now)
      : context_(context),
        node_(context.node),
        now_(now),
        name_(cat("istio-cni-", file_name(node_.name()), '-', stamp(now))) {}

  std::vector<ArchiveFile> collect() {
    configuration();
    status();
    lists();
    record();
    journal();
    take("metrics.txt", node_.metrics());
    versions();
    pods();
    return std::move(files_);
  }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  /// Everything goes through here, and so nothing leaves unredacted.
  void add(std::string_view file, std::string_view content) {
    files_.push_back({cat(name_, '/', file), redact(content)});
  }
  void take(std::string_view file, const base::Result<std::string>& content) {
    add(file, content ? *content : cat("not to be had: ", content.error().message, '\n'));
  }

  static std::string file_name(std::string text) {
    for (char& c : text) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (!plain && c != '-' && c != '.') c = '_';
    }
    return text.starts_with('.') ? cat('_', text) : text;
  }
  static std::string stamp(Time time) {
    auto text = base::format_rfc3339(time);
    std::erase_if(text, [](char c) { return c == ':' || c == '-'; });
    return text;
  }

  void configuration() { add("configuration.yaml", config::print(context_.loaded)); }

  void status() {
    NodeStatus status{node_.agent_status(), read_disk(node_.config()), now_};
    add("status.txt", text_of(status, Style(false)));
    add("status.json", dump(json_of(status)));
    conf_dir_ = status.disk.conf_dir;
  }

  void lists() {
    auto folder = install::ConfFolder::read(conf_dir_);
    if (!folder) return add("net.d/error.txt", folder.error().message);
    std::string index;
    for (const auto& file : folder->files) {
      index.append(cat(file.name, file.problem.empty() ? "" : cat(": ", file.problem), '\n'));
      add(cat("net.d/", file_name(file.name)), file.content);
    }
    for (const auto& other : folder->others)
      index.append(cat(other, ": not looked at by runtimes\n"));
    add("net.d/index.txt", index);
  }

  void record() {
    install::Store store(node_.config().state_dir);
    std::string damage;
    const auto found = store.load(damage);
    if (found && *found == install::Store::Found::good)
      add("state/record.json", install::to_json(store.record()));
    else
      add("state/record.txt", found ? cat("none ", damage, '\n') : found.error().message);
    const auto repairs = node_.repairs();
    take("state/repairs.json", repairs ? base::Result<std::string>(repair::to_json(*repairs))
                                       : base::Result<std::string>(repairs.error()));
  }

  void journal() {
    const auto entries = node_.journal().all(journal_entries);
    if (!entries) return take("journal.txt", entries.error());
    std::string text;
    for (const auto& entry : *entries) {
      text.append(cat(base::format_rfc3339_micros(entry.at), ' ', entry.identifier, " <",
                      entry.priority, "> ", printable(entry.message)));
      for (const auto& [key, value] : entry.fields)
        text.append(cat(' ', key, '=', printable(value, 300)));
      text.push_back('\n');
    }
    add("journal.txt", text);
  }

  void versions() {
    const auto known = read_versions(node_);
    std::string text = cat("istio-cnictl ", known.tool, "\nistio-cni-node ",
                           known.agent.empty() ? "does not answer" : known.agent, '\n');
    for (const auto& [path, version] : known.plugins)
      text.append(cat("istio-cni ", version.empty() ? "unknown" : version, " (", path, ")\n"));
    text.append(cat("kernel ", known.kernel, "\nruntime ",
                    known.runtime.empty() ? "none found" : known.runtime, '\n'));
    const auto program = known.runtime == "CRI-O" ? "crio" : "containerd";
    for (const auto& one : {std::string(program), std::string("systemctl")}) {
      const auto said = first_line_of(one, {"--version"});
      if (!said.empty()) text.append(cat(one, ": ", said, '\n'));
    }
    add("versions.txt", text);
  }

  void pods() {
    const auto list = list_pods(node_);
    if (!list) return add("pods.txt", cat("not to be had: ", list.error().message, '\n'));
    add("pods.json", dump(json_of(*list)));
    std::size_t count = 0;
    for (const auto& row : list->rows)
      if (row.entry.in_mesh && count++ < most_pods) rules(row);
  }

  void rules(const PodRow& row) {
    const auto& entry = row.entry;
    const auto file =
        cat("rules/", file_name(entry.name_space), '_', file_name(entry.name), ".txt");
    const auto pod = pod_of(node_, row);
    if (!pod) return take(file, pod.error());
    auto netns = PodNetns::find(*pod, entry.add ? entry.add->netns : "", node_.config());
    if (!netns) return take(file, netns.error());
    std::string text = cat("# ", netns->path(), '\n');
    const auto decision = decide_as_plugin(*pod, node_.config());
    if (const auto* plan = decision ? std::get_if<redirect::RedirectPlan>(&*decision) : nullptr)
      if (const auto live = netns->compare(*plan, node_.config().plugin.backend)) {
        for (const auto& line : live->differences) text.append(cat("# different: ", line, '\n'));
        if (live->differences.empty()) text.append("# exactly the expected rules\n");
      }
    if (const auto live = netns->text())
      text.append(cat(live->nftables, live->iptables_v4, live->iptables_v6));
    add(file, text);
  }

  Context& context_;
  Node& node_;
  Time now_;
  std::string name_;
  std::string conf_dir_;
  std::vector<ArchiveFile> files_;
};

}  // namespace

int support_bundle_command(Context& context) {
  const auto now = std::chrono::system_clock::now();
  Bundle bundle(context, now);
  auto archive = make_archive(bundle.collect(), now);
  if (!archive) {
    context.err.append(cat("istio-cnictl: ", archive.error().message, '\n'));
    return exit_bad;
  }
  if (context.options.bundle_file == "-") {
    context.out = *std::move(archive);
    return exit_good;
  }
  const auto file = context.options.bundle_file.empty() ? cat(bundle.name(), ".tar.gz")
                                                        : context.options.bundle_file;
  base::WriteOptions options;
  options.mode = 0600;
  options.force_mode = true;
  if (auto written = base::write_atomically(file, *archive, options); !written) {
    context.err.append(cat("istio-cnictl: ", written.error().message, '\n'));
    return exit_bad;
  }
  if (context.options.format == Format::json)
    context.out = dump({{"file", file}, {"bytes", archive->size()}});
  else
    context.out = cat("written: ", file, "; read it before you pass it on\n");
  return exit_good;
}

}  // namespace istio_cnictl
