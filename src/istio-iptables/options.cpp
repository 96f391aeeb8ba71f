// Go's flags differ from what Boost.Program_options takes: "-n=false",
// "-p=15001", a boolean whose next argument is not its value, and unknown flags
// that are skipped together with their value. Hence a parser of our own.
#include "istio-iptables/options.hpp"

#include <array>

#include "base/strings.hpp"
#include "istio-iptables/flags.hpp"

namespace istio_iptables {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using base::quote;
using base::Status;

struct Given {
  std::string spelling;  ///< "--dry-run" or "-n", as the user wrote it
  std::string value;
};

class Parser {
 public:
  Parser(const std::vector<std::string>& args, const Environment& env)
      : args_(args), env_(env), given_(flags().size()) {}

  base::Result<Options> run() {
    // container arguments start with the name that selects this command
    if (!args_.empty() && args_[0] == "istio-iptables") next_ = 1;
    if (auto status = command_line(); !status) return status.error();
    if (options_.command != Command::run) return std::move(options_);
    options_.config.proxy_uids.clear();  // "not given": filled from the machine
    options_.config.proxy_gids.clear();
    for (std::size_t i = 0; i < flags().size(); ++i)
      if (auto status = evaluate(flags()[i], given_[i]); !status) return status.error();
    return std::move(options_);
  }

 private:
  void warn(std::string text) { options_.warnings.push_back(std::move(text)); }

  Status command_line() {
    while (next_ < args_.size() && options_.command == Command::run) {
      const std::string_view arg = args_[next_++];
      if (arg == "--") {
        while (next_ < args_.size()) positional(args_[next_++]);
      } else if (arg.starts_with("--")) {
        if (auto status = long_flag(arg.substr(2)); !status) return status;
      } else if (arg.size() > 1 && arg[0] == '-') {
        if (auto status = short_flags(arg.substr(1)); !status) return status;
      } else {
        positional(arg);
      }
    }
    return base::success();
  }

  void positional(std::string_view arg) {
    warn(cat("argument ", quote(arg), " is no flag, ignoring"));
  }

  Status long_flag(std::string_view body) {
    const auto equals = body.find('=');
    const auto name = body.substr(0, equals);
    if (name == "help") return set_command(Command::help);
    if (name == "version") return set_command(Command::version);
    std::optional<std::string_view> attached;
    if (equals != std::string_view::npos) attached = body.substr(equals + 1);
    for (std::size_t i = 0; i < flags().size(); ++i)
      if (!name.empty() && flags()[i].name == name) return take(i, cat("--", name), attached);
    unknown(cat("--", name), attached.has_value());
    return base::success();
  }

  // "-p15001", "-p=15001", "-p 15001", "-n", "-n=false", "-np15001"
  Status short_flags(std::string_view body) {
    while (!body.empty()) {
      const char letter = body[0];
      body.remove_prefix(1);
      if (letter == 'h') return set_command(Command::help);
      std::size_t i = 0;
      while (i < flags().size() && flags()[i].short_name != letter) ++i;
      const auto spelling = cat('-', letter);
      if (i == flags().size()) {
        unknown(spelling, !body.empty());
        return base::success();
      }
      if (body.starts_with('=')) return take(i, spelling, body.substr(1));
      if (flags()[i].kind != Kind::boolean)
        return take(i, spelling, body.empty() ? std::nullopt : std::optional(body));
      if (auto status = take(i, spelling, std::nullopt); !status) return status;
    }
    return base::success();
  }

  Status set_command(Command command) {
    options_.command = command;
    return base::success();
  }

  Status take(std::size_t i, const std::string& spelling,
              std::optional<std::string_view> attached) {
    std::string value;
    if (attached) {
      value = *attached;
    } else if (flags()[i].kind == Kind::boolean) {
      value = "true";
    } else if (next_ < args_.size()) {
      value = args_[next_++];
    } else {
      return Error{Errc::invalid_input, cat(spelling, ": a value must follow; see --help")};
    }
    given_[i] = Given{spelling, std::move(value)};
    return base::success();
  }

  void unknown(const std::string& spelling, bool has_value) {
    // what follows and is no flag is taken for its value
    if (!has_value && next_ < args_.size() && !args_[next_].starts_with('-')) ++next_;
    warn(cat("unknown flag ", quote(spelling), ", ignoring"));
  }

  Status evaluate(const Flag& flag, const std::optional<Given>& given) {
    if (given) return set(flag, given->spelling, given->value);
    std::array<std::string, 2> variables{std::string(flag.extra_variable), {}};
    if (flag.variable == Variable::own) variables[1] = own_variable(flag);
    for (const auto& name : variables) {
      if (name.empty()) continue;
      auto value = env_(name);
      if (!value) continue;
      auto status = set(flag, name, *value);
      if (status || flag.kind == Kind::text) return status;
      warn(cat(status.error().message, ", ignoring"));
    }
    return base::success();
  }

  Status set(const Flag& flag, const std::string& source, std::string_view value) {
    auto status = flag.set(options_, value);
    // a bad element alone does not tell which list it stands in
    if (!status) return std::move(status).error().wrap(cat(source, '=', quote(value)));
    return status;
  }

  const std::vector<std::string>& args_;
  const Environment& env_;
  std::size_t next_ = 0;
  std::vector<std::optional<Given>> given_;
  Options options_;
};

}  // namespace

base::Result<Options> parse_options(const std::vector<std::string>& args, const Environment& env) {
  return Parser(args, env).run();
}

std::string help_text() {
  std::string text =
      "Usage: istio-iptables [FLAG]...\n"
      "Sets up, removes or validates the redirection of a pod's traffic to its proxy.\n\n"
      "Exit status: 0 done, 1 failed, 126 the validation failed.\n\nFlags:\n";
  for (const auto& flag : flags()) {
    if (flag.name.empty()) continue;
    text.append(flag.short_name != 0 ? cat("  -", flag.short_name, ", ") : "      ");
    text.append(cat("--", flag.name, flag.kind == Kind::boolean ? "" : " VALUE", "\n          ",
                    flag.help));
    std::vector<std::string> variables;
    if (!flag.extra_variable.empty()) variables.emplace_back(flag.extra_variable);
    if (flag.variable == Variable::own) variables.push_back(own_variable(flag));
    if (!variables.empty()) text.append(cat(" [", base::join(variables, ", "), ']'));
    text.push_back('\n');
  }
  text.append("  -h, --help\n      --version\n\nVariables:\n");
  for (const auto& flag : flags())
    if (flag.name.empty())
      text.append(cat("  ", flag.extra_variable, "\n          ", flag.help, '\n'));
  return text;
}

}  // namespace istio_iptables
