// Runs a program for what it prints.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"

namespace base {

struct Program {
  std::string path;                      ///< looked up in PATH unless it contains "/"
  std::vector<std::string> arguments;    ///< without the program's name
  std::vector<std::string> environment;  ///< "NAME=VALUE": all that it gets
  std::size_t output_limit = std::size_t{64} << 10;
};

struct ProgramEnd {
  std::string output;
  std::string complaints;  ///< the beginning of its standard error, 2 KiB at most
  int status = 0;          ///< as of waitpid(2)

  /// "exit status 1" or "killed by signal 9".
  [[nodiscard]] std::string how() const;
};

/// Waits until its output is closed and it has ended. It gets no standard input,
/// no blocked signals and a process group of its own, which is killed when the
/// deadline passes (Errc::timeout) or when it prints too much (Errc::invalid_input).
/// Any end is a ProgramEnd. Errors do not name the program. May be called by
/// several threads at once.
Result<ProgramEnd> run_program(const Program& program, Deadline deadline);

}  // namespace base
