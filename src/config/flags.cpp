// The command line, by Boost.Program_options.
#include <algorithm>
#include <boost/program_options.hpp>
#include <sstream>

#include "base/strings.hpp"
#include "config/draft.hpp"
#include "config/known.hpp"
#include "config/values.hpp"

namespace config {
namespace {

using base::cat;
using base::quote;
namespace po = boost::program_options;
using Arguments = std::vector<std::string>;
using Options = std::vector<po::option>;

void add_option(po::options_description& options, std::string_view name, bool boolean,
                std::string_view help, std::string_view argument) {
  auto* value = po::value<std::string>();
  value->value_name(boolean ? "BOOL" : std::string(argument));
  if (boolean) value->implicit_value("true");
  options.add_options()(std::string(name).c_str(), value, std::string(help).c_str());
}

po::options_description own_options() {
  po::options_description options("Settings, as in the configuration file");
  const Config defaults;
  for (const auto& setting : settings()) {
    auto help = base::join(setting.help, " ");
    // the file's sentence about reloading is of no use here
    if (setting.restart) help = base::join({setting.help.begin(), setting.help.end() - 1}, " ");
    add_option(options, setting.flag(), setting.kind == Kind::boolean,
               cat(help, " Default: ", setting.print(defaults)),
               setting.kind == Kind::list ? "A,B,..." : "VALUE");
  }
  return options;
}

po::options_description known_options() {
  po::options_description options("Flags of Istio's own agent, and the settings they stand for");
  for (const auto& flag : known_flags())
    add_option(options, flag.name, flag.boolean, flag.help, "VALUE");
  return options;
}

/// "--name=" gives an empty value, which Boost has no syntax for.
Options empty_value(Arguments& arguments) {
  const auto token = arguments.front();
  if (!token.starts_with("--") || token.find('=') != token.size() - 1 || token.size() < 4)
    return {};
  arguments.erase(arguments.begin());
  po::option option(token.substr(2, token.size() - 3), {std::string()});
  option.original_tokens = {token};
  return {option};
}

std::string name_of(std::string_view token) {
  token = token.substr(std::min(token.find_first_not_of('-'), token.size()));
  return std::string(token.substr(0, token.find('=')));
}

std::vector<std::string> names_of(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back(option->long_name());
  return names;
}

/// Takes out the flags that lack their value. Boost would take the next flag for
/// it, and stops at the first mistake.
Arguments with_values(const Arguments& arguments, const po::options_description& all,
                      Draft& draft) {
  Arguments rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& token = arguments[i];
    const auto name = name_of(token);
    const auto* option = token.starts_with("--") && token.find('=') == std::string::npos
                             ? all.find_nothrow(name, false)
                             : nullptr;
    const bool last = i + 1 == arguments.size() || arguments[i + 1].starts_with("--");
    if (option != nullptr && last && option->semantic()->min_tokens() > 0) {
      draft.complain(Place::on_command_line(token), cat("needs a value: ", token, "=VALUE"));
      continue;
    }
    rest.push_back(token);
  }
  return rest;
}

void complain_unknown(const po::options_description& all, const std::string& token, Draft& draft) {
  const auto name = name_of(token);
  auto meant = nearest(name, names_of(all));
  const auto place = Place::on_command_line(printable(token.substr(0, token.find('='))));
  if (!token.starts_with("--"))
    draft.complain(place, cat(quote(token), " is no flag",
                              meant.empty() || !token.starts_with('-')
                                  ? "; flags begin with --"
                                  : cat("; did you mean --", meant, "?")));
  else
    draft.complain(place,
                   cat("unknown flag", meant.empty() ? "; --help lists the flags"
                                                     : cat("; did you mean --", meant, "?")));
}

}  // namespace

std::vector<GivenFlag> parse_flags(const Arguments& arguments, Draft& draft) {
  po::options_description all;
  all.add(own_options()).add(known_options());
  add_option(all, "config", false, "", "FILE");

  constexpr int style = po::command_line_style::allow_long |
                        po::command_line_style::long_allow_adjacent |
                        po::command_line_style::long_allow_next;
  Options options;
  try {
    options = po::command_line_parser(with_values(arguments, all, draft))
                  .options(all)
                  .style(style)
                  .extra_style_parser(empty_value)
                  .allow_unregistered()
                  .run()
                  .options;
  } catch (const std::exception& error) {
    draft.complain(Place::on_command_line(""), error.what());
    return {};
  }

  std::vector<GivenFlag> flags;
  bool after_unknown = false;
  for (const auto& option : options) {
    const bool positional = option.string_key.empty();
    const auto token =
        option.original_tokens.empty() ? option.string_key : option.original_tokens.front();
    const bool value_of_unknown = positional && after_unknown && !token.starts_with('-');
    after_unknown = option.unregistered && token.find('=') == std::string::npos;
    if (value_of_unknown) continue;
    if (positional || option.unregistered) {
      complain_unknown(all, token, draft);
    } else if (option.string_key != "config") {
      // a boolean that stands without a value
      flags.push_back({option.string_key, option.value.empty() ? "true" : option.value.front()});
    }
  }
  return flags;
}

void read_own_flags(const std::vector<GivenFlag>& flags, Draft& draft) {
  for (const auto& flag : flags)
    for (const auto& setting : settings())
      if (setting.flag() == flag.name)
        draft.set_text(setting.key, flag.value, Place::on_command_line(cat("--", flag.name)));
}

std::string flags_help() {
  try {
    std::ostringstream out;
    out << own_options() << '\n' << known_options();
    return out.str();
  } catch (const std::exception& error) {
    return cat("cannot list the flags: ", error.what(), "\n");
  }
}

}  // namespace config
