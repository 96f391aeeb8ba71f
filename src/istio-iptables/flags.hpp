// The table of flags: name, short form, variables, kind and where a value goes.
#pragma once

#include <span>

#include "istio-iptables/options.hpp"

namespace istio_iptables {

enum class Kind {
  text,     ///< a bad value is an error wherever it comes from
  typed,    ///< a bad value is an error as a flag, ignored as a variable
  boolean,  ///< as typed; as a flag it needs no value
};

enum class Variable {
  own,  ///< the name in upper case, with '_' for '-'
  none,
};

struct Flag {
  std::string_view name;  ///< empty: only a variable
  char short_name = 0;
  Kind kind = Kind::text;
  Variable variable = Variable::own;
  std::string_view extra_variable;  ///< looked at before the own one
  /// Parses and stores; the error says what is wrong and what is allowed.
  base::Status (*set)(Options& options, std::string_view value) = nullptr;
  std::string_view help;
};

std::span<const Flag> flags();
std::string own_variable(const Flag& flag);

}  // namespace istio_iptables
