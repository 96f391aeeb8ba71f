#include "istio-cnictl/first_line.hpp"

#include "base/program.hpp"

namespace istio_cnictl {

std::string first_line_of(const std::string& program, const std::vector<std::string>& arguments) {
  constexpr std::chrono::milliseconds patience{3000};
  const auto end = base::run_program(
      {program, arguments, {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
      base::Deadline::after(patience));
  if (!end) return {};
  const auto& said = end->output.empty() ? end->complaints : end->output;
  return said.substr(0, said.find('\n'));
}

}  // namespace istio_cnictl
