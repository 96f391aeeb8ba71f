// The places in a Pod that parse_pod knows.
#pragma once

#include <cstdint>
#include <string_view>

namespace pod {

/// Where in a Pod a value stands; it fixes the type the value must have.
enum class At : std::uint8_t {
  skip,
  root,
  metadata,
  string_map,
  owners,
  owner,
  spec,
  containers,
  container,
  args,
  env,
  env_entry,
  security,
  status,
  conditions,
  condition,
  addresses,
  address,
  init_statuses,
  init_status,
  state,
  termination,
  text,
  number,
  integer,
  flag,
};

enum class Type : std::uint8_t { any, object, array, text, number, integer, flag };

Type type_of(At at);

/// For a message: "a list", "an integer from 0 to 4294967295"...
std::string_view describe(Type type);

/// Elements of lists, and the document: there is no absent one of these.
bool always_there(At at);

}  // namespace pod
