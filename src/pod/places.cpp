#include "pod/places.hpp"

namespace pod {

Type type_of(At at) {
  switch (at) {
    case At::skip:
      return Type::any;
    case At::owners:
    case At::containers:
    case At::args:
    case At::env:
    case At::conditions:
    case At::addresses:
    case At::init_statuses:
      return Type::array;
    case At::text:
      return Type::text;
    case At::number:
      return Type::number;
    case At::integer:
      return Type::integer;
    case At::flag:
      return Type::flag;
    default:
      return Type::object;
  }
}

std::string_view describe(Type type) {
  switch (type) {
    case Type::array:
      return "a list";
    case Type::text:
      return "a string";
    case Type::number:
      return "an integer from 0 to 4294967295";
    case Type::integer:
      return "an integer from -2147483648 to 2147483647";
    case Type::flag:
      return "true or false";
    default:
      return "an object";
  }
}

bool always_there(At at) {
  switch (at) {
    case At::root:
    case At::owner:
    case At::container:
    case At::env_entry:
    case At::condition:
    case At::address:
    case At::init_status:
      return true;
    default:
      return false;
  }
}

}  // namespace pod
