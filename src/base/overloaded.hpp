// One visitor of several lambdas, for std::visit.
#pragma once

namespace base {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace base
