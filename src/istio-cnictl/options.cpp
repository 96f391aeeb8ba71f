#include "istio-cnictl/options.hpp"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <sstream>

#include "base/strings.hpp"
#include "config/settings.hpp"
#include "kube/pod_source.hpp"

namespace istio_cnictl {
namespace {

namespace po = boost::program_options;
using base::cat;
using base::Errc;
using base::Error;

struct CommandText {
  Command command;
  std::string_view name;
  std::string_view operands;
  std::string_view summary;
  std::string_view exit;  ///< what 0 and 1 mean here
};

constexpr std::array<CommandText, 8> commands{{
    {Command::status, "status", "", "is this node ready? installation, agent, watch, credential",
     "0 ready, 1 not ready"},
    {Command::pods, "pods", "[--verify] [--all]",
     "this node's mesh pods: decision at ADD, backend, repairs",
     "0 all as they should be, 1 one is not, 3 it could not be determined"},
    {Command::explain, "explain", "NAMESPACE/POD",
     "why a pod does not start, or is not redirected: one verdict and its evidence",
     "0 nothing is wrong, 1 something is, 3 it could not be determined"},
    {Command::rules, "rules", "(--pod FILE | [--live | --diff] NAMESPACE/POD)",
     "what would be programmed for a pod, what is there, or the difference",
     "0 shown (--diff: equal), 1 the pod is not usable (--diff: different), 3 could not be read"},
    {Command::validate, "validate", "NAMESPACE/POD",
     "does redirected traffic arrive in the pod? tried there as the proxy's user",
     "0 it does, 1 it does not, 3 it could not be tried"},
    {Command::support_bundle, "support-bundle", "[-o FILE]",
     "what a supporter asks for, without secrets, in one archive", "0 written, 1 not written"},
    {Command::version, "version", "", "versions of this tool, the agent, the plugin, the kernel",
     "0"},
    {Command::help, "help", "[COMMAND]", "this text, or that of one command", "0"},
}};

const CommandText* find_command(std::string_view name) {
  const auto* found = std::find_if(commands.begin(), commands.end(),
                                   [&](const CommandText& one) { return one.name == name; });
  return found == commands.end() ? nullptr : found;
}

const CommandText& text_of(Command command) {
  return *std::find_if(commands.begin(), commands.end(),
                       [&](const CommandText& one) { return one.command == command; });
}

Error usage(const std::string& message, std::string_view command) {
  return {Errc::invalid_input,
          cat(message, "; see: istio-cnictl ", command, command.empty() ? "" : " ", "--help")};
}

po::options_description general_options(bool short_output) {
  po::options_description options("Options of every command");
  auto add = options.add_options();
  add("config", po::value<std::string>()->value_name("FILE"),
      "the agent's configuration; default /etc/istio-cni-node/config.yaml");
  add(short_output ? "output,o" : "output", po::value<std::string>()->value_name("text|json"),
      "form of what is printed; default text");
  add("color", po::value<std::string>()->value_name("auto|always|never"),
      "auto: on a terminal, unless NO_COLOR is set");
  add("journal-dir", po::value<std::string>()->value_name("DIR"),
      "read the journal of this folder instead of the machine's");
  add("help,h", "");
  return options;
}

/// Every setting of the agent is a flag here too, so that a path that the agent
/// was told on its command line can be told here.
po::options_description setting_options() {
  po::options_description options;
  for (const auto& setting : config::settings()) {
    auto* value = po::value<std::string>();
    if (setting.kind == config::Kind::boolean) value->implicit_value("true");
    options.add_options()(setting.flag().c_str(), value, "");
  }
  return options;
}

po::options_description command_options(Command command) {
  po::options_description options("Options");
  auto add = options.add_options();
  if (command == Command::pods) {
    add("verify", "look into each pod's network namespace as well (as root)");
    add("all", "pods outside the mesh too");
  }
  if (command == Command::rules) {
    add("pod", po::value<std::string>()->value_name("FILE"),
        "a pod from a file (kubectl get pod -o json); - is the standard input");
    add("live", "what the pod's network namespace holds now (as root)");
    add("diff", "what is there that should not be, and what is missing (as root)");
    add("backend", po::value<std::string>()->value_name("auto|iptables|nftables"),
        "default auto: as configured, else what the kernel offers");
    add("ipv6", po::value<std::string>()->value_name("auto|on|off"),
        "default auto: by the pod's addresses");
  }
  if (command == Command::support_bundle)
    add("file,o", po::value<std::string>()->value_name("FILE"),
        "where to; - is the standard output; default istio-cni-NODE-TIME.tar.gz in this folder");
  return options;
}

template <typename T>
base::Status choose(const po::variables_map& given, const char* name, std::string_view command,
                    std::initializer_list<std::pair<std::string_view, T>> values, T& out) {
  if (given.count(name) == 0) return base::success();
  const auto& text = given[name].as<std::string>();
  std::vector<std::string> names;
  for (const auto& [word, value] : values) {
    if (word == text) {
      out = value;
      return base::success();
    }
    names.emplace_back(word);
  }
  return usage(cat("--", name, ": ", base::quote(text), " is none of ", base::join(names, ", ")),
               command);
}

std::string text_value(const po::variables_map& given, const char* name) {
  return given.count(name) == 0 ? std::string() : given[name].as<std::string>();
}

base::Result<PodName> parse_pod_name(const std::string& text, std::string_view command) {
  const auto parts = base::split(text, '/');
  if (parts.size() != 2)
    return usage(cat(base::quote(text), ": a pod is named as NAMESPACE/POD"), command);
  PodName pod{std::string(parts[0]), std::string(parts[1])};
  if (auto path = kube::pod_path(pod.name_space, pod.name); !path)
    return usage(path.error().message, command);
  return pod;
}

base::Status read_pod_operand(const CommandText& command, const std::vector<std::string>& operands,
                              Options& options) {
  const bool takes_pod = command.command == Command::explain ||
                         command.command == Command::validate || command.command == Command::rules;
  if (command.command == Command::help) {
    if (!operands.empty()) options.help_on = operands.front();
    return base::success();
  }
  const std::size_t most = takes_pod && options.pod_file.empty() ? 1 : 0;
  if (operands.size() > most)
    return usage(cat("too many operands: ", base::quote(operands[most])), command.name);
  if (operands.size() < most) return usage("which pod? Give NAMESPACE/POD", command.name);
  if (most == 0) return base::success();
  auto pod = parse_pod_name(operands.front(), command.name);
  if (!pod) return std::move(pod).error();
  options.pod = *std::move(pod);
  return base::success();
}

base::Status read_rules(const po::variables_map& given, Options& options) {
  options.pod_file = text_value(given, "pod");
  if (given.count("live") != 0) options.rules = Options::Rules::live;
  if (given.count("diff") != 0) options.rules = Options::Rules::diff;
  if (given.count("live") + given.count("diff") + (options.pod_file.empty() ? 0U : 1U) > 1)
    return usage("--pod, --live and --diff exclude each other", "rules");
  using Backend = cni::BackendChoice;
  auto status = choose<Backend>(given, "backend", "rules",
                                {{"auto", Backend::automatic},
                                 {"iptables", Backend::iptables},
                                 {"nftables", Backend::nftables}},
                                options.backend);
  if (!status) return status;
  return choose<Ipv6>(given, "ipv6", "rules",
                      {{"auto", Ipv6::automatic}, {"on", Ipv6::on}, {"off", Ipv6::off}},
                      options.ipv6);
}

/// The flags behind the command's name.
base::Status read_flags(const CommandText& command, const std::vector<std::string>& arguments,
                        Options& options) {
  po::options_description all;
  all.add(general_options(command.command != Command::support_bundle))
      .add(command_options(command.command))
      .add(setting_options());
  all.add_options()("operand", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("operand", -1);
  constexpr int style =
      po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map given;
  try {
    po::store(
        po::command_line_parser(arguments).options(all).positional(positional).style(style).run(),
        given);
  } catch (const po::error& error) {
    return usage(error.what(), command.name);
  }
  if (given.count("help") != 0) {
    options.command = Command::help;
    options.help_on = command.name;
    return base::success();
  }
  options.config_file = text_value(given, "config");
  options.journal_dir = text_value(given, "journal-dir");
  for (const auto& setting : config::settings())
    if (const auto flag = setting.flag(); given.count(flag) != 0)
      options.settings.push_back(cat("--", flag, "=", given[flag].as<std::string>()));
  auto status = choose<Format>(given, "output", command.name,
                               {{"text", Format::text}, {"json", Format::json}}, options.format);
  if (status)
    status = choose<Color>(
        given, "color", command.name,
        {{"auto", Color::automatic}, {"always", Color::always}, {"never", Color::never}},
        options.color);
  if (!status) return status;
  options.verify = given.count("verify") != 0;
  options.all = given.count("all") != 0;
  options.bundle_file = text_value(given, "file");
  if (command.command == Command::rules)
    if (status = read_rules(given, options); !status) return status;
  const auto operands = given.count("operand") == 0
                            ? std::vector<std::string>()
                            : given["operand"].as<std::vector<std::string>>();
  return read_pod_operand(command, operands, options);
}

}  // namespace

std::string_view to_string(Command command) { return text_of(command).name; }

base::Result<Options> parse_options(const std::vector<std::string>& arguments) {
  Options options;
  if (arguments.empty()) return usage("which command?", "");
  std::string name = arguments.front();
  if (name == "--help" || name == "-h") name = "help";
  if (name == "--version") name = "version";
  if (name.starts_with('-'))
    return usage(cat("the command comes first, flags after it: ", base::quote(name)), "");
  const auto* command = find_command(name);
  if (command == nullptr) return usage(cat("no command ", base::quote(name)), "");
  options.command = command->command;
  auto status = read_flags(*command, {arguments.begin() + 1, arguments.end()}, options);
  if (!status) return std::move(status).error();
  return options;
}

std::string help_text(std::string_view name) {
  std::ostringstream out;
  const auto* command = find_command(name);
  if (command != nullptr && command->command != Command::help) {
    out << "usage: istio-cnictl " << command->name << ' ' << command->operands
        << (command->operands.empty() ? "" : " ") << "[OPTIONS]\n\n"
        << command->summary << "\n\n";
    const auto own = command_options(command->command);
    if (!own.options().empty()) out << own << '\n';
    out << general_options(command->command != Command::support_bundle)
        << "\nExit status: " << command->exit << "; 2 wrong usage.\n";
    return out.str();
  }
  out << "usage: istio-cnictl COMMAND [OPTIONS]\n\n"
         "Shows the state of istio-cni-node on this node, and why a pod is as it "
         "is.\n\nCommands:\n";
  for (const auto& one : commands)
    out << "  " << one.name << std::string(16 - one.name.size(), ' ') << one.summary << '\n';
  out << '\n'
      << general_options(true)
      << "\nSettings of the agent's configuration are options too (--run-dir, --state-dir,\n"
         "--host-root, --install-cni-conf-dir, ...; istio-cni-node --help lists them).\n"
         "Exit status: 0 good, 1 not good, 2 wrong usage, 3 it could not be determined.\n";
  return out.str();
}

}  // namespace istio_cnictl
